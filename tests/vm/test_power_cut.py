"""The power goes in the middle of a guarded change, for real: the router boots into the old state or into the new one.

A virtual machine with Debian's kernel and a disk; its processor stops, its memory is gone, and the next boot finds what
was written to the disk. Expected is what a clean boot with the old or the new configuration gives, to the last rule.
"""

from __future__ import annotations

import random

import pytest

from netpolicy.service import change as states
from tests.vm.router import FIRST, SECOND, Router, Sight

# A boot takes a quarter of a minute, and the first test boots three times.
pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]

BEFORE_WAITING = (states.PLANNING, states.CHECKED, states.REHEARSED, states.ARMED, states.APPLYING, states.PROBING)


def more(*points: object) -> list[object]:
    """Points between two states: with `make test-vm ALL=1`, for a boot takes a quarter of a minute."""
    return [pytest.param(point, marks=pytest.mark.slow) for point in points]


BETWEEN = more("after-prepare", "before-arm", "after-journal-begin", "after-record-applying", "after-record-await")

SEED = 5
# A change that is confirmed passes a few more.
MOST_POINTS = 20


def other(config: str) -> str:
    """The configuration to change to."""
    return SECOND if config == FIRST else FIRST


def ends(router: Router) -> list[str]:
    """How the last change ended, by the journal, and the recoveries since; [] when it knows of none."""
    rows = router.journal()
    begun = max((index for index, row in enumerate(rows) if row["event"] == "begin"), default=len(rows))
    return [row["outcome"] for row in rows[begun:] if row["event"] in ("change", "recovered")]


def assert_old(router: Router, old: Sight, told: bool) -> None:
    """After the boot everything is as before the change. `told`: the journal knows that there was one."""
    now = router.look()
    assert now.what == router.clean[old.config].what
    assert (now.config, now.current, now.pending, now.lan) == (old.config, old.current, (), True)
    assert not told or set(ends(router)) == {"reverted"}
    end(router)


def assert_new(router: Router, old: Sight) -> None:
    """After the boot everything is as the change wanted it."""
    now = router.look()
    assert now.what == router.clean[other(old.config)].what
    assert (now.pending, now.lan) == ((), True) and now.current > old.current
    assert ends(router) and set(ends(router)) <= {"committed", "confirmed"}
    end(router)


def end(router: Router) -> None:
    """The journal is what was written, and the next change can come."""
    assert router.machine.call("verify")["fine"]
    assert router.machine.call("status")["kernel"]["in_sync"]
    router.trust()


def test_every_state_of_a_change_is_tried():
    tried = {*BEFORE_WAITING, states.AWAITING, states.REVERTING, states.REVERTED, states.COMMITTED}
    without_a_change = {states.UNCHANGED, states.REFUSED}
    left_to_the_guard = {states.RESCUE}
    assert tried | without_a_change | left_to_the_guard == {
        *BEFORE_WAITING, *states.PENDING, *states.ENDED,
    }  # fmt: skip


@pytest.mark.parametrize("point", [*BEFORE_WAITING, *BETWEEN])
def test_a_cut_before_the_confirmation_boots_the_old_configuration(router, point):
    old = router.ready()
    passed = router.cut_at(other(old.config), point)
    router.machine.boot()
    assert_old(router, old, told="after-journal-begin" in passed)


def test_a_change_that_waits_is_taken_back_and_out_of_the_file_that_somebody_edited(router):
    old = router.ready()
    router.machine.ask("write", path="/etc/config/netpolicy", text=other(old.config))
    router.machine.run("sync")
    router.machine.call("apply", confirm=120, console=True)
    router.machine.until_state("await")
    router.machine.cut()
    router.machine.boot()
    assert router.machine.ask("read", path="/etc/netpolicy/rejected") == other(old.config)
    assert_old(router, old, told=True)


@pytest.mark.parametrize(
    "point",
    [states.REVERTING, states.REVERTED, *more("before-revert-verdict", "after-outcome", "after-journal-change")],
)
def test_a_cut_on_the_way_back_boots_the_old_configuration(router, point):
    old = router.ready()
    router.cut_at(other(old.config), point, ending="abort")
    router.machine.boot()
    assert_old(router, old, told=True)


def test_a_cut_right_before_the_verdict_boots_the_old_configuration(router):
    old = router.ready()
    router.cut_at(other(old.config), "before-verdict", ending="confirm")
    router.machine.boot()
    assert_old(router, old, told=True)


@pytest.mark.parametrize(
    "point",
    ["after-verdict", "after-commit", states.COMMITTED, *more("after-outcome", "after-journal-change", "after-finish")],
)
def test_a_cut_after_the_verdict_boots_the_new_configuration(router, point):
    old = router.ready()
    router.cut_at(other(old.config), point, ending="confirm")
    router.machine.boot()
    assert_new(router, old)


def test_a_cut_right_after_the_answer_to_the_confirmation_boots_the_new_configuration(router):
    old = router.ready()
    router.begin(other(old.config))
    answer = router.confirm()
    router.machine.cut()
    assert answer["state"] == states.COMMITTED
    router.machine.boot()
    assert_new(router, old)
    assert router.look().current == answer["generation"]


@pytest.mark.parametrize(
    "number", [0, 1, 2, *[pytest.param(number, marks=pytest.mark.slow) for number in range(3, 12)]]
)
def test_a_cut_at_any_moment_boots_the_old_or_the_new_configuration(router, number):
    old = router.ready()
    chance = random.Random(SEED * 1000 + number)
    passed = router.cut_after(other(old.config), chance.randint(1, MOST_POINTS), chance.uniform(0, 2))
    router.machine.boot()
    is_new = router.look().config != old.config
    assert is_new or "after-verdict" not in passed, passed
    assert not is_new or "before-verdict" in passed, passed
    if is_new:
        assert_new(router, old)
    else:
        assert_old(router, old, told="after-journal-begin" in passed)
