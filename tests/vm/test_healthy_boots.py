"""A new generation whose boots are cut twice is left for the one before it; one that was well once is not.

In a virtual machine: counting boots needs boots. What the counter does with every state of its files is tried without.
"""

from __future__ import annotations

import pytest

from tests.vm.router import FIRST, SECOND, Router, Sight

# A boot takes a quarter of a minute; these need four each.
pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]

# The router's clock follows its work, and where there is none it goes on at once: three minutes pass in a second.
HURRY = ("-icount", "shift=2,sleep=off")


def confirm_another(router: Router) -> tuple[Sight, Sight]:
    """A new generation is in force: before and after."""
    old = router.ready()
    router.begin(SECOND if old.config == FIRST else FIRST)
    assert router.confirm()["state"] == "committed"
    return old, router.look()


def cut_two_boots(router: Router) -> None:
    """The power goes as soon as the boot is begun, twice; the third one is let go on."""
    router.machine.cut()
    for _ in range(2):
        router.machine.boot_half()
        router.machine.cut()
    router.machine.boot()


def test_a_generation_whose_boots_fail_twice_is_left_for_the_one_before_it(router):
    old, new = confirm_another(router)
    cut_two_boots(router)
    now = router.look()
    assert now.what == router.clean[old.config].what and (now.current, now.pending) == (old.current, ())
    assert router.machine.ask("read", path="/etc/netpolicy/rejected") == new.config
    last = router.journal()[-1]
    assert (last["event"], last["outcome"]) == ("recovered", "fallback")
    assert last["detail"] == f"{new.current} {old.current} unhealthy-boots"
    assert router.machine.call("verify")["fine"]
    router.trust()


def test_a_generation_that_ran_three_minutes_stays_whatever_its_boots_do(router):
    _, new = confirm_another(router)
    router.machine.cut()
    router.machine.boot(*HURRY)
    router.until_healthy()
    router.machine.run("sync")
    cut_two_boots(router)
    now = router.look()
    assert now.what == router.clean[new.config].what and (now.current, now.pending) == (new.current, ())
    router.trust()
