"""The area of the guard: what its status says, and the real program."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from netpolicy.core.model import Ruleset, Throttle
from netpolicy.dataplane import guard_files
from netpolicy.dataplane.pending import Pending, print_record
from netpolicy.service.doctor_given import Given, guard_program
from netpolicy.service.doctor_guard import INIT, examine
from netpolicy.service.doctor_system import Ran
from tests.netns import needs_root
from tests.service.doctoring import Machine, Patient, seen

GUARD = "/usr/lib/netpolicy/guard"
QUIET = "resident: yes (process 7)\npending: no\noutcome: \n"
WAITING = (
    "resident: yes (process 7)\npending: r0a1b2c3d\nstate: await\nseconds left: 80\n"
    "watched: yes (process 7)\nverdict: \noutcome: \n"
)
CODES = tuple(f"ND80{number}" for number in range(1, 8))


def asked(status: str | Ran, *files: str) -> dict[str, str]:
    return seen(examine(Machine(dict.fromkeys((GUARD, *files), ""), {GUARD: status}), Given()))


def test_one_that_is_resident_and_has_nothing_to_do_is_fine() -> None:
    assert asked(QUIET) == dict.fromkeys(CODES, "ok")


@pytest.mark.parametrize(
    ("said", "code", "level"),
    [
        (Ran(1, "", "sh: not found"), "ND802", "error"),
        (QUIET.replace("yes (process 7)", "no"), "ND803", "info"),
        (WAITING, "ND804", "info"),
        (WAITING.replace("watched: yes (process 7)", "watched: no"), "ND805", "error"),
        (Ran(4, "resident: no\npending: unreadable\n"), "ND805", "error"),
        (QUIET.replace("outcome: ", "outcome: reverted r1 deadline"), "ND806", "warning"),
    ],
)
def test_each_is_red_for_its_own_reason(said: str | Ran, code: str, level: str) -> None:
    assert asked(said)[code] == level


def test_without_tc_queues_are_not_led_back_which_matters_where_there_are_limits() -> None:
    limits = Given(ruleset=Ruleset(throttles=(Throttle("slow", 8000, 8000),)))
    for says, level in (({GUARD: QUIET}, "info"), ({GUARD: QUIET, "tc": "tc utility"}, "ok")):
        assert seen(examine(Machine({GUARD: ""}, says), limits))["ND807"] == level


def test_a_change_that_is_watched_is_good_to_know_and_no_more() -> None:
    assert asked(WAITING)["ND805"] == "ok"


def test_where_a_service_could_keep_it_alive_that_is_a_warning() -> None:
    assert asked(QUIET.replace("yes (process 7)", "no"), INIT)["ND803"] == "warning"


def test_without_the_program_nothing_else_is_said() -> None:
    assert seen(examine(Machine(), Given())) == {"ND801": "error"}


@needs_root
def test_the_real_guard_answers_and_a_change_that_nobody_watches_is_an_error(tmp_path: Path) -> None:
    program = tmp_path / "guard"
    shutil.copy(guard_program(), program)
    store, state = str(tmp_path / "store"), str(tmp_path / "run")
    given = Given(config=str(tmp_path / "config"), store=store, state=state, guard=str(program))
    found = seen(examine(Patient(), given))
    assert [found[code] for code in ("ND801", "ND802", "ND804", "ND805", "ND806")] == ["ok"] * 5
    pending = Path(store, "pending")
    guard_files.make_folder(pending)
    made = Pending(
        "r0a1b2c3d", "0" * 32, "6a1c7d5e-1111-4222-8333-444455550000", "await", 10, os.getpid(), 1, 0, 1,
        given.config, "0" * 64, "0" * 64, store, state, "0" * 64, 0,
    )  # fmt: skip
    guard_files.write(pending / "record", print_record(made).encode())
    found = seen(examine(Patient(), given))
    assert (found["ND804"], found["ND805"]) == ("info", "error")
    program.chmod(0o644)
    assert seen(examine(Patient(), given)) == {"ND801": "error"}
