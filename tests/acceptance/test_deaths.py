"""Whoever dies, whenever: everything is old or everything is new, and the journal says which. Tests 3 to 6.

Power is cut here by killing every process, emptying kernel and RAM and booting with another boot id; `make test-vm`
does it with a machine. How many of the steps are died at: EVERY=1 takes each, which `make soak` does.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.acceptance.deaths import Labs, killed, respawned, without_power
from tests.acceptance.scene import Scene
from tests.kernel.steering import A4, A6, B4, B6, LINES, rule
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]
if os.environ.get("EVERY"):
    pytestmark.append(pytest.mark.timeout(1800))

EVERY = int(os.environ.get("EVERY", "20"))
MOVED = LINES + rule("moved", "+dest_port=31000", "route=wan_b")
OLD_WAY, NEW_WAY = (A4, A6), (B4, B6)


@pytest.fixture(scope="module")
def labs() -> Iterator[Labs]:
    """Two routers, for all the deaths of a file."""
    made = Labs()
    yield made
    made.close()


def ways(router: Scene) -> tuple[str, str]:
    """By which lines new connections of the LAN go now, IPv4 and IPv6."""
    return router.goes_by(4), router.goes_by(6)


@pytest.mark.slow  # a life of router and guard for each step
@pytest.mark.parametrize("end", ["confirm", "abort"])
def test_03_the_daemon_killed_at_every_step_leaves_the_old_state_or_the_new_one(labs: Labs, end: str) -> None:
    assert labs.sweep(end, killed, EVERY) >= 30 // EVERY


@pytest.mark.slow  # a life of the router for each step
@pytest.mark.parametrize("end", ["confirm", "abort"])
def test_03_the_same_when_the_daemon_is_back_at_once(labs: Labs, end: str) -> None:
    assert labs.sweep(end, respawned, EVERY * 2) >= 30 // EVERY // 2


@pytest.mark.slow  # a boot for each step
@pytest.mark.parametrize("end", ["confirm", "abort"])
def test_06_a_power_cut_at_every_step_boots_the_old_configuration_or_the_new_one(labs: Labs, end: str) -> None:
    assert labs.sweep(end, without_power, EVERY) >= 30 // EVERY


def test_03_a_tool_that_dies_changes_nothing_and_the_change_is_taken_back_at_its_end(router: Scene) -> None:
    before = router.kernel()
    router.write(MOVED)
    tool = router.start_tool("apply", "--wait", "--confirm", "2")
    router.wait(lambda: router.record().get("STATE") == "await", "the change waits")
    tool.kill()
    tool.communicate()
    found = ways(router)
    assert found == NEW_WAY or router.record().get("STATE") != "await"  # on a machine that takes seconds for it
    router.wait(lambda: not router.record(), "it is over")
    assert router.kernel() == before and ways(router) == OLD_WAY
    assert router.journal()[-1]["reason"] == "nobody confirmed it in time"


def test_03_what_has_died_is_told_in_the_journal(router: Scene) -> None:
    router.applied(MOVED)
    router.kill_daemon()
    router.wait(lambda: (router.pending / "outcome").exists(), "the guard has led back")
    assert ways(router) == OLD_WAY  # before any daemon is back
    router.start()
    assert [row["event"] for row in router.journal()][-2:] == ["begin", "recovered"]
    assert "the-daemon-died" in router.journal()[-1]["detail"]
    assert router.lab.call("verify")["fine"] and router.config.read_text() == LINES


def test_04_a_guard_that_is_killed_is_replaced_and_the_next_one_leads_back(router: Scene) -> None:
    before = router.kernel()
    router.applied(MOVED)
    first = router.guard_process
    for gentle in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        router.kill(first, sig=gentle)
    router.kill(first)
    router.wait(lambda: router.guard_process not in (0, first), "another guard watches")
    assert router.lab.call("job")["state"] == "await" and ways(router) == NEW_WAY
    router.kill_daemon()
    router.wait(lambda: (router.pending / "outcome").exists(), "it leads back")
    assert router.kernel() == before and ways(router) == OLD_WAY


def test_04_a_change_whose_guard_was_replaced_can_still_be_confirmed(router: Scene) -> None:
    change = router.applied(MOVED)
    first = router.guard_process
    router.kill(first)
    router.wait(lambda: router.guard_process not in (0, first), "another guard watches")
    router.confirm(change)
    assert router.events()[-1] == "change committed" and ways(router) == NEW_WAY


@pytest.mark.parametrize("step", ["1 start nft -f -", "2 start nft -f -", ""])
def test_05_with_guard_and_daemon_dead_the_next_start_leads_back(router: Scene, step: str) -> None:
    """While the kernel is being changed, and while the change waits."""
    before = router.kernel()
    router.stop()
    router.start(LINES, steps=True)
    router.watch_steps(f"stop {step}")
    router.write(MOVED)
    tool = router.start_tool("apply", "--confirm", "60")
    state = "applying" if step else "await"
    router.wait(lambda: router.record().get("STATE") == state and (not step or router.is_stopped), "it is there")
    assert router.lab.daemon is not None
    router.lab.daemon.send_signal(signal.SIGSTOP)  # it would start another guard
    router.wait(lambda: router.is_stopped, "the daemon stands still")
    router.kill(router.guard_process)
    router.kill_daemon()
    tool.kill()
    tool.communicate()
    router.steps()
    assert not (router.pending / "outcome").exists(), "nobody is left to lead back"
    router.start()
    assert router.kernel() == before and ways(router) == OLD_WAY
    assert router.config.read_text() == LINES and router.events()[-1] == "recovered reverted"


def test_05_a_daemon_that_hangs_is_ended_and_the_guard_leads_back(router: Scene) -> None:
    before = router.kernel()
    router.write(MOVED)
    assert router.answer("apply", "--confirm", "3")["state"] == "await"
    assert router.lab.daemon is not None
    router.lab.daemon.send_signal(signal.SIGSTOP)
    router.wait(lambda: (router.pending / "outcome").exists(), "the guard leads back")
    assert router.kernel() == before and ways(router) == OLD_WAY
    assert router.is_dead
    router.start()
    assert router.events()[-1] == "recovered reverted"
