"""The area of the store, on real stores that are spoilt one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from netpolicy.observe.journal import LINES, Journal
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_store import examine
from netpolicy.service.doctor_system import Room, System
from netpolicy.service.generations import Store
from tests.netns import needs_root
from tests.service.doctoring import Machine, seen

pytestmark = needs_root
CODES = tuple(f"ND70{number}" for number in range(1, 7))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """With one generation and two lines of the journal."""
    path = tmp_path / "store"
    path.mkdir(mode=0o700)
    held = Store(str(path))
    held.commit(held.prepare({"/etc/config/netpolicy": b"config netpolicy 'main'\n"}, {"who": "a test"}))
    journal = Journal(str(path))
    journal.append({"event": "change", "who": "a test"})
    journal.append({"event": "change", "who": "another"})
    return path


def of(store: Path) -> dict[str, str]:
    return seen(examine(System(), Given(store=str(store))))


def test_a_good_store_is_fine_and_one_that_is_not_there_yet_too(store: Path, tmp_path: Path) -> None:
    assert of(store) == dict.fromkeys(CODES, "ok")
    assert of(tmp_path / "none") == dict.fromkeys(CODES, "ok")


def test_nothing_is_written_while_it_is_looked_at(store: Path) -> None:
    (store / LINES).write_bytes((store / LINES).read_bytes()[:-20])
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in store.rglob("*")}
    of(store)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in store.rglob("*")} == before


def test_a_damaged_generation_is_named(store: Path) -> None:
    (store / "generations" / "000001" / "config").write_text("another")
    found = examine(System(), Given(store=str(store)))
    assert seen(found)["ND703"] == "warning"
    assert any("000001" in one.details for one in found)


def test_a_journal_that_somebody_changed_is_told(store: Path) -> None:
    lines = store / LINES
    lines.write_bytes(lines.read_bytes().replace(b"a test", b"nobody"))
    assert of(store)["ND704"] == "warning"


def test_a_store_that_others_read_is_told(store: Path) -> None:
    store.chmod(0o755)
    assert of(store)["ND705"] == "warning"


def test_boots_that_did_not_go_well_are_told_until_it_is_healthy(store: Path) -> None:
    (store / "generations" / "000001" / "boots").write_text("1 6a1c7d5e-1111-4222-8333-444455550000\n")
    assert of(store)["ND706"] == "warning"
    Store(str(store)).mark_healthy(1)
    assert of(store)["ND706"] == "ok"


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (Room(64 << 20, True, 0o700), ("ok", "ok")),
        (Room(700 << 10, True, 0o700), ("ok", "warning")),
        (Room(4 << 10, True, 0o700), ("ok", "error")),
        (Room(64 << 20, False, 0o700), ("error", "ok")),
    ],
)
def test_a_full_flash_and_one_that_cannot_be_written(room: Room, expected: tuple[str, str], tmp_path: Path) -> None:
    machine = Machine()
    machine.space = room
    found = seen(examine(machine, Given(store=str(tmp_path))))
    assert (found["ND701"], found["ND702"]) == expected
