"""A real script in the place of hotplug-call: what it is told, and that no line waits for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

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
    return LineHooks(log(), str(tmp_path), str(program))


def say(hooks, outbound, carries, because="", interface="", device="eth1"):
    """One word at once, as a turn does that changes one line."""
    hooks.note(outbound, interface, device, carries, "NORMAL" if carries else "FAILOVER", because)
    hooks.tell("ab")


async def until(condition) -> None:
    async def wait() -> None:
        while not condition():  # noqa: ASYNC110 - a script writes a file, and nothing tells of it
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), 30)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def test_the_script_is_told_what_happened(hooks, tmp_path):
    say(hooks, "a", True)
    await until(lambda: "over" in lines(tmp_path / "begun"))
    (tmp_path / "told").unlink()
    hooks.note("a", "wan", "eth1", False, "FAILOVER", "3 of 5 lost\nACTION=ifup")
    hooks.tell("a")
    await until(lambda: lines(tmp_path / "begun").count("over") == 2)
    assert lines(tmp_path / "told") == [
        "ACTION=disconnected", "DEVICE=eth1", "INTERFACE=wan", "NETPOLICY_BECAUSE=3 of 5 lost ACTION=ifup",
        "NETPOLICY_OUTBOUND=a", "NETPOLICY_STATE=FAILOVER", "argument iface",
    ]  # fmt: skip
    await hooks.close()


async def test_what_a_turn_found_is_said_when_it_is_done(hooks, tmp_path):
    hooks.note("a", "", "eth1", True, "NORMAL", "")
    await asyncio.sleep(0.05)
    assert not lines(tmp_path / "begun")
    hooks.tell("a")
    await until(lambda: "over" in lines(tmp_path / "begun"))
    await hooks.close()


async def test_one_at_a_time_and_of_each_outbound_the_newest_word(hooks, tmp_path):
    (tmp_path / "wait").touch()
    say(hooks, "a", True, "1")
    await until(lambda: lines(tmp_path / "begun"))
    say(hooks, "b", True, "2")
    say(hooks, "a", False, "3")
    say(hooks, "a", True, "4")
    say(hooks, "a", False, "5")
    await asyncio.sleep(0.05)
    assert lines(tmp_path / "begun") == ["begun"], "the first is not over"
    (tmp_path / "wait").unlink()
    await until(lambda: lines(tmp_path / "begun").count("over") == 3)
    assert lines(tmp_path / "begun") == ["begun", "over"] * 3
    assert because(tmp_path) == ["1", "2", "5"]
    assert "INTERFACE=b" in lines(tmp_path / "told"), "without an interface its own name"
    await hooks.close()


async def test_nothing_is_said_twice(hooks, tmp_path):
    """Neither of a line that is down from the beginning, nor of one that came and went while a script ran."""
    say(hooks, "b", False, "never was up")
    (tmp_path / "wait").touch()
    say(hooks, "a", True, "1")
    await until(lambda: lines(tmp_path / "begun"))
    say(hooks, "a", False, "2")
    say(hooks, "a", True, "3")
    (tmp_path / "wait").unlink()
    say(hooks, "b", True, "4")
    await until(lambda: lines(tmp_path / "begun").count("over") == 2)
    assert because(tmp_path) == ["1", "4"]
    await hooks.close()


async def test_the_next_daemon_goes_on_where_this_one_was(hooks, tmp_path):
    say(hooks, "a", True, "1")
    say(hooks, "b", True, "2")
    await until(lambda: lines(tmp_path / "begun").count("over") == 2)
    await hooks.close()
    after = LineHooks(log(), str(tmp_path), str(tmp_path / "hotplug-call"))
    say(after, "a", True, "still")
    say(after, "b", False, "3")
    await until(lambda: lines(tmp_path / "begun").count("over") == 3)
    assert because(tmp_path) == ["1", "2", "3"]
    after.tell("b")  # `a` is no outbound any more, and another one when it is one again
    say(after, "a", True, "4")
    await until(lambda: lines(tmp_path / "begun").count("over") == 4)
    await after.close(is_over=True)
    begins = LineHooks(log(), str(tmp_path), str(tmp_path / "hotplug-call"))
    say(begins, "a", True, "5")
    await until(lambda: lines(tmp_path / "begun").count("over") == 5)
    await begins.close()


async def test_a_script_that_takes_too_long_is_ended_and_the_next_one_runs(hooks, tmp_path, monkeypatch):
    (tmp_path / "wait").touch()
    say(hooks, "a", True)
    await until(lambda: lines(tmp_path / "begun") and hooks._connected)  # and its time is counted
    loop = asyncio.get_running_loop()
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + line_hooks.SECONDS)  # it has begun, and then that goes by
    await until(lambda: any("took more than" in one["message"] for one in logged(hooks)))
    (tmp_path / "wait").unlink()
    say(hooks, "b", True)
    await until(lambda: "over" in lines(tmp_path / "begun"))
    assert lines(tmp_path / "begun") == ["begun", "begun", "over"]
    await hooks.close()


async def test_closing_begins_no_other_script_also_where_one_ends_in_that_moment(hooks, tmp_path, monkeypatch):
    ended = asyncio.Event()

    async def spawned(*_, **__):
        return SimpleNamespace(pid=1 << 30, wait=ended.wait)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", spawned)
    for steps in range(5):
        say(hooks, "a", True)
        say(hooks, "b", True)
        while hooks._connected != {"a"}:  # noqa: ASYNC110 - what it waits for is ours
            await asyncio.sleep(0)
        ended.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        await hooks.close()
        if steps < 3:
            assert hooks._connected == {"a"} and hooks._waiting, steps
        ended.clear()
        hooks = LineHooks(log(), str(tmp_path / str(steps)), str(tmp_path / "hotplug-call"))


async def test_closing_ends_what_runs(hooks, tmp_path):
    (tmp_path / "wait").touch()
    say(hooks, "a", True)
    await until(lambda: lines(tmp_path / "begun"))
    await hooks.close()
    (tmp_path / "wait").unlink()
    await asyncio.sleep(0.2)
    assert lines(tmp_path / "begun") == ["begun"]


async def test_what_stands_in_place_of_the_file_stops_nothing(hooks, tmp_path):
    (tmp_path / line_hooks.FILE).mkdir()
    odd = LineHooks(log(), str(tmp_path), str(tmp_path / "hotplug-call"))
    say(odd, "a", True)
    await until(lambda: "over" in lines(tmp_path / "begun"))
    assert "a restart may call scripts again" in logged(odd)[0]["message"]
    await odd.close(is_over=True)


async def test_without_a_program_nothing_is_called_and_one_that_cannot_run_is_said(tmp_path):
    say(LineHooks(log(), str(tmp_path), str(tmp_path / "none")), "a", True)
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nothing")
    broken.chmod(0o755)
    hooks = LineHooks(log(), str(tmp_path), str(broken))
    say(hooks, "a", True)
    await until(lambda: logged(hooks))
    assert "for outbound a: " in logged(hooks)[0]["message"]
    await hooks.close()


def because(folder: Path) -> list[str]:
    return [one.partition("=")[2] for one in lines(folder / "told") if one.startswith("NETPOLICY_BECAUSE")]


def logged(hooks: LineHooks) -> list[dict]:
    return [one.as_dict() for one in hooks._log.since(0, 10, "debug")]
