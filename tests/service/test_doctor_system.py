"""The doctor's hands, on the real machine: nothing hangs, nothing floods, nothing stays."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from netpolicy.service.doctor_system import MISSING, TOO_LONG, TOO_MUCH, System
from tests.netns import needs_root


def test_a_program_that_hangs_is_ended_with_what_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started, start, begun = [], subprocess.Popen, time.monotonic()
    monkeypatch.setattr(
        subprocess, "Popen", lambda *given, **named: started.append(start(*given, **named)) or started[0]
    )
    ran = System().run("sh", "-c", "sleep 77 & sleep 77", seconds=0.2)
    assert ran.status == TOO_LONG and ran.why == "it took too long"
    assert time.monotonic() - begun < 60
    with pytest.raises(ChildProcessError):
        os.waitpid(started[0].pid, os.WNOHANG)


def test_one_that_closes_its_output_and_goes_on_is_ended_too() -> None:
    assert System().run("sh", "-c", "exec >&- 2>&-; sleep 77", seconds=0.2).status == TOO_LONG


def test_all_together_have_a_limit() -> None:
    system = System(0.1)
    assert system.run("sleep", "77").status == TOO_LONG
    assert system.is_over


def test_a_flood_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netpolicy.service.doctor_system.MOST_OUTPUT", 1 << 16)
    assert System().run("sh", "-c", "while :; do echo flood; done", seconds=20.0).status == TOO_MUCH


def test_status_and_both_outputs_are_kept() -> None:
    ran = System().run("sh", "-c", "echo out; echo err >&2; exit 3", seconds=20.0)
    assert (ran.status, ran.out, ran.err, ran.why) == (3, "out\n", "err\n", "err")


def test_what_is_not_there_is_said_and_not_raised(tmp_path: Path) -> None:
    system = System()
    assert system.run("no-such-program").status == MISSING
    assert system.run_apart("no-such-program").status == MISSING
    assert system.read(str(tmp_path / "x")) is None
    assert system.names(str(tmp_path / "x")) == ()
    assert system.number("/proc/self/comm") is None


def test_a_store_that_is_not_there_yet_is_judged_by_what_holds_it(tmp_path: Path) -> None:
    room = System().room(str(tmp_path / "a" / "b"))
    assert room.is_writable and room.free > 0 and room.mode == 0


def test_a_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    (tmp_path / "long").write_text("x" * 100)
    assert System().read(str(tmp_path / "long"), 10) == "x" * 10


@pytest.mark.kernel
@needs_root
def test_a_program_runs_apart_from_this_network() -> None:
    system = System()
    assert system.run_apart("ip", "link", "add", "npd0", "type", "veth", "peer", "name", "npd1").status == 0
    assert system.run("ip", "link", "show", "npd0").status != 0
    assert system.run_apart("ip", "link", "add", "npd0", "type", "nonsense").status not in (0, MISSING)
