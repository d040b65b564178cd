"""A real script in the place of hotplug-call: what it is told, and that no line waits for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from netpolicy.observe.ring import Ring
from netpolicy.service import line_hooks
from netpolicy.service.line_hooks import LineHooks

SCRIPT = """#!/bin/sh
env | grep -E '^(ACTION|INTERFACE|DEVICE|NETPOLICY)' | sort >> {0}/told
echo "argument $*" >> {0}/told
echo begun >> {0}/begun
while [ -e {0}/wait ]; do sleep 0.02; done
echo over >> {0}/begun
"""


def log() -> Ring:
    return Ring(lambda: 0.0, lambda _: None)


@pytest.fixture
def hooks(tmp_path):
    program = tmp_path / "hotplug-call"
    program.write_text(SCRIPT.format(tmp_path))
    program.chmod(0o755)
    return LineHooks(log(), str(program))


async def until(condition) -> None:
    async def wait() -> None:
        while not condition():  # noqa: ASYNC110 - a script writes a file, and nothing tells of it
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), 10)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def test_the_script_is_told_what_happened(hooks, tmp_path):
    hooks.call("wan_a", "wan", "eth1", False, "FAILOVER", "3 of 5 lost\nACTION=ifup")
    await until(lambda: "over" in lines(tmp_path / "begun"))
    assert lines(tmp_path / "told") == [
        "ACTION=disconnected", "DEVICE=eth1", "INTERFACE=wan", "NETPOLICY_BECAUSE=3 of 5 lost ACTION=ifup",
        "NETPOLICY_OUTBOUND=wan_a", "NETPOLICY_STATE=FAILOVER", "argument iface",
    ]  # fmt: skip
    await hooks.close()


async def test_one_at_a_time_and_of_each_outbound_the_newest_word(hooks, tmp_path):
    (tmp_path / "wait").touch()
    hooks.call("a", "", "eth1", False, "FAILOVER", "1")
    await until(lambda: lines(tmp_path / "begun"))
    hooks.call("a", "", "eth1", True, "RECOVERY", "2")
    hooks.call("b", "", "eth2", False, "FAILOVER", "3")
    hooks.call("a", "", "eth1", False, "FAILOVER", "4")
    await asyncio.sleep(0.05)
    assert lines(tmp_path / "begun") == ["begun"], "the first is not over"
    (tmp_path / "wait").unlink()
    await until(lambda: lines(tmp_path / "begun").count("over") == 3)
    assert lines(tmp_path / "begun") == ["begun", "over"] * 3
    told = [one.partition("=")[2] for one in lines(tmp_path / "told") if one.startswith("NETPOLICY_BECAUSE")]
    assert told == ["1", "4", "3"]
    assert "INTERFACE=b" in lines(tmp_path / "told"), "without an interface its own name"
    await hooks.close()


async def test_a_script_that_takes_too_long_is_ended_and_the_next_one_runs(hooks, tmp_path, monkeypatch):
    monkeypatch.setattr(line_hooks, "SECONDS", 0.3)
    (tmp_path / "wait").touch()
    hooks.call("a", "", "eth1", False, "FAILOVER", "1")
    await until(lambda: any("took more than" in one["message"] for one in logged(hooks)))
    (tmp_path / "wait").unlink()
    hooks.call("b", "", "eth2", True, "NORMAL", "2")
    await until(lambda: "over" in lines(tmp_path / "begun"))
    assert lines(tmp_path / "begun") == ["begun", "begun", "over"]
    await hooks.close()


async def test_closing_ends_what_runs(hooks, tmp_path):
    (tmp_path / "wait").touch()
    hooks.call("a", "", "eth1", False, "FAILOVER", "1")
    await until(lambda: lines(tmp_path / "begun"))
    await hooks.close()
    (tmp_path / "wait").unlink()
    await asyncio.sleep(0.2)
    assert lines(tmp_path / "begun") == ["begun"]


async def test_without_a_program_nothing_is_called_and_one_that_cannot_run_is_said(tmp_path):
    LineHooks(log(), str(tmp_path / "none")).call("a", "", "", True, "NORMAL", "")
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nothing")
    broken.chmod(0o755)
    hooks = LineHooks(log(), str(broken))
    hooks.call("a", "", "", True, "NORMAL", "")
    await until(lambda: logged(hooks))
    assert "for outbound a: " in logged(hooks)[0]["message"]
    await hooks.close()


def logged(hooks: LineHooks) -> list[dict]:
    return [one.as_dict() for one in hooks._log.since(0, 10, "debug")]
