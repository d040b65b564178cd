"""The whole examination: every area, whatever breaks; from files and from an engine, and nothing changes by it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from netpolicy.dataplane import rehearsal_child
from netpolicy.service import doctor
from netpolicy.service.api import Service
from netpolicy.service.doctor_codes import AREAS
from netpolicy.service.doctor_given import Given
from netpolicy.service.loading import IMPORTING
from tests.netns import needs_root
from tests.router import everything, router
from tests.service.doctoring import Machine, Patient
from tests.service.parts import CONFIG, House


def by_code(document: dict) -> dict[str, dict]:
    return {one["code"]: one for one in document["findings"]}


@pytest.mark.kernel
@needs_root
def test_every_area_is_looked_at_and_nothing_changes(tmp_path: Path) -> None:
    (tmp_path / "netpolicy").write_text(CONFIG)
    given = doctor.given_by_files(
        "no ubus", str(tmp_path / "netpolicy"), str(tmp_path / "run"), str(tmp_path / "store")
    )
    with router():
        before = everything()
        found = doctor.examine(Patient(), given)
        assert everything() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["netpolicy"]
    assert set(found["summary"]["areas"]) == set(AREAS)
    told = by_code(found)
    assert told["ND106"]["level"] == "ok", told["ND106"]
    assert told["ND951"]["level"] == "ok" and told["ND951"]["details"] == "2 outbounds"
    assert told["ND101"]["details"] == "no ubus"


def test_an_area_that_breaks_is_told_and_the_others_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    import netpolicy.service.doctor_memory as memory

    def broken(*_: object) -> list:
        raise RuntimeError("never thought of")

    monkeypatch.setattr(memory, "examine", broken)
    found = doctor.examine(Machine(), Given())
    lost = [one for one in found["findings"] if one["code"] == "ND106"]
    assert any("memory" in one["details"] and "never thought of" in one["details"] for one in lost)
    assert "lines" in found["summary"]["areas"] and "memory" not in found["summary"]["areas"]


def test_when_the_time_is_over_that_is_told_of_every_area_that_is_left() -> None:
    found = doctor.examine(Machine(is_over=True), Given())
    assert found["summary"]["warning"] == len(doctor.CHECKS) == len(found["findings"])


def test_a_file_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    given = doctor.given_by_files("x", str(tmp_path / "none"), "/run", "/store")
    assert "none" in given.config_error and given.ruleset.rules == ()


def test_a_file_with_a_broken_rule_is_in_force_without_it_unless_it_blocks(tmp_path: Path) -> None:
    file = tmp_path / "netpolicy"
    file.write_text(CONFIG.replace("route 'wan_b'", "route 'wan_c'"))
    given = doctor.given_by_files("x", str(file), "/run", "/store")
    assert given.config_error == "" and given.skipped[0].startswith(f"video ({file}:16:")
    file.write_text(CONFIG.replace("option block 'reject'", "option block 'rejekt'"))
    given = doctor.given_by_files("x", str(file), "/run", "/store")
    assert "would pass" in given.config_error


@pytest.mark.kernel
@needs_root
async def test_a_daemon_is_told_of_itself_and_keeps_nothing_of_it_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "System", Patient)
    monkeypatch.setattr(doctor, "CHILD_SECONDS", 600.0)
    with router(foreign=False):
        house = House(tmp_path)
        await house.engine.reload()
        for name in [name for name in sys.modules if name.startswith("netpolicy.service.doctor_c")]:
            if name.rpartition("_")[2] in ("collisions", "clock"):
                monkeypatch.delitem(sys.modules, name)
        found = await doctor.examine_beside(house.engine)
        assert "netpolicy.service.doctor_clock" not in sys.modules
        await house.engine.stop()
    told = by_code(found)
    assert told["ND101"]["level"] == told["ND102"]["level"] == told["ND103"]["level"] == "ok"
    assert told["ND501"]["level"] == "ok", told["ND501"]


async def test_nobody_is_forked_while_a_thread_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """The import would belong to a thread that the child does not have, and never end."""
    begun = []

    async def in_child(work: object, limit: float) -> bytes:
        begun.append(limit)
        return b'{"summary": {}}'

    monkeypatch.setattr(rehearsal_child, "in_child", in_child)
    monkeypatch.setattr(doctor, "given_by", lambda *_: Given())
    with IMPORTING:
        asking = asyncio.create_task(doctor.examine_beside(None))  # type: ignore[arg-type]
        for _ in range(10):
            await asyncio.sleep(0)
        assert not begun
    assert await asking == {"summary": {}} and begun and not IMPORTING.locked()


async def test_many_who_ask_at_once_cost_one_examination(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go_on = [], asyncio.Event()

    async def examine(engine: object, _: object) -> dict[str, object]:
        asked.append(engine)
        await go_on.wait()
        return {"number": len(asked)}

    monkeypatch.setattr(doctor, "examine_beside", examine)
    service = Service(None, None, None)  # type: ignore[arg-type]
    first, *others = [asyncio.create_task(service.doctor()) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()  # who leaves does not take it from the others
    await asyncio.sleep(0)
    go_on.set()
    assert [await one for one in others] == [{"number": 1}] * 4
    assert await service.doctor() == {"number": 2}
