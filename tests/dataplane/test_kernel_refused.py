"""A change that is refused or never ends: the old state stays in force without leftovers, or the next plan mends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from netpolicy.dataplane.kernel import ApplyError, Kernel, Plan
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.nft import NftError
from netpolicy.dataplane.policy import Entry, Hop, Policy, SourceTranslation
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.shape import MOST_RANGES
from tests.dataplane.watched import Killed, Steps, WatchedKernel
from tests.netns import needs_root, run
from tests.router import WAN_A, WAN_B, everything, policy, router, rule

pytestmark = [pytest.mark.kernel, needs_root]

MARKS = Marks(0x77000000)
VIDEO = Entry(rule("video", dest_port="443", proto="tcp"), 2)
NEWS = Entry(rule("news", dest_port="119", proto="tcp"), 2)
OTHER = Entry(rule("other", dest_port="8080", proto="tcp"), 1)
MAIL = Entry(rule("mail", ("block", "reject"), src_addr="192.168.3.0/24", dest_port="25"), MARKS.reject, blocks=True)
LONG = " ".join(f"10.{number // 9}.{number % 9}.0/25" for number in range(MOST_RANGES + 1))
WAN_C = replace(WAN_A, name="wan_c", number=3)

START = policy(VIDEO, NEWS, OTHER)
CHANGES = {
    "action": policy(replace(VIDEO, number=1), NEWS, OTHER),
    "action, the last of its class": policy(replace(VIDEO, number=1), replace(NEWS, number=1), OTHER),
    "match": policy(replace(VIDEO, rule=rule("video", dest_port="444", proto="tcp")), NEWS, OTHER),
    "match and action": policy(
        replace(VIDEO, rule=rule("video", dest_port="444", proto="tcp"), number=1), NEWS, OTHER
    ),
    "the rules change places": policy(OTHER, NEWS, VIDEO),
    "classes, hooks and lists": policy(
        replace(VIDEO, number=3), MAIL, Entry(rule("long", dest_addr=LONG), 3, log=True), lines=(WAN_A, WAN_B, WAN_C),
        ingress=(("wanb", 2),), translations=(SourceTranslation("wanb", True),),
    ),
    "nothing but lines": policy(),
    "nothing at all": Policy(),
}  # fmt: skip


@pytest.fixture(autouse=True)
def here() -> Iterator[None]:
    with router():
        yield


def fresh() -> Kernel:
    return Kernel(open_netlink("builtin"))


async def follow(wanted: Policy) -> None:
    """By somebody who knows nothing of what was before; afterwards nothing is left to do."""
    kernel = fresh()
    await kernel.apply(await kernel.plan(wanted))
    assert (await kernel.plan(wanted)).changes == ()


def state() -> list[str]:
    """The whole namespace; the order in which the kernel lists equals is none."""
    return sorted(" ".join(sorted(everything().replace(",", " ").split())).split())


async def steps_of(wanted: Policy) -> int:
    """How many transactions the change takes."""
    kernel = WatchedKernel()
    await kernel.apply(await kernel.plan(wanted))
    assert (await kernel.plan(wanted)).changes == ()
    return kernel.steps.taken


@pytest.mark.parametrize("name", CHANGES)
async def test_whichever_step_is_refused_the_old_rules_stay_in_force_without_leftovers(name):
    wanted = CHANGES[name]
    await follow(START)
    count = await steps_of(wanted)
    refused = 0
    for at in range(count):
        await follow(START)
        before = state()
        kernel = WatchedKernel(Steps(at))
        plan = await kernel.plan(wanted)
        if await is_refused(kernel, plan):
            refused += 1
            assert state() == before, at
            assert (await kernel.plan(START)).changes == ()
        else:  # while clearing away: the new rules are in force
            assert kernel.steps.was_reached
            await follow(wanted)
    assert refused >= 1


async def is_refused(kernel: Kernel, plan: Plan) -> bool:
    try:
        await kernel.apply(plan)
    except ApplyError as error:
        return str(error).endswith("previous rules stay in force: the test refuses")
    return False


async def test_whichever_step_of_a_cold_start_is_refused_nothing_is_left():
    before = state()
    wanted = CHANGES["classes, hooks and lists"]
    count = await steps_of(wanted)
    await fresh().remove()
    assert count > 4
    for at in range(count):
        kernel = WatchedKernel(Steps(at))
        plan = await kernel.plan(wanted)
        assert plan.conflicts == ()
        with pytest.raises(ApplyError, match="previous rules stay in force"):
            await kernel.apply(plan)
        assert state() == before, at
    await follow(wanted)


@pytest.mark.parametrize("name", CHANGES)
async def test_after_a_death_between_two_steps_the_next_plan_ends_in_the_wanted_state(name):
    """Nobody clears up, as after kill -9. Then the change is wanted still, or again what was before it."""
    wanted = CHANGES[name]
    await follow(START)
    count = await steps_of(wanted)
    await follow(START)
    for at in range(count):
        kernel = WatchedKernel(Steps(at, Killed))
        plan = await kernel.plan(wanted)
        with pytest.raises(Killed):
            await kernel.apply(plan)
        if at % 2:
            await follow(wanted)
        await follow(START)


async def test_a_death_during_a_cold_start_is_mended_by_the_next():
    wanted = CHANGES["classes, hooks and lists"]
    count = await steps_of(wanted)
    for at in range(count):
        await fresh().remove()
        kernel = WatchedKernel(Steps(at, Killed))
        with pytest.raises(Killed):
            await kernel.apply(await kernel.plan(wanted))
        await follow(wanted)


async def test_counters_survive_a_refusal_and_a_death():
    await follow(START)
    run("ip", "neigh", "replace", "198.51.100.1", "lladdr", "02:00:00:00:00:09", "dev", "wanb")
    own = Entry(rule("own", src_iface="lo", dest_port="9"), 2)
    await follow(policy(VIDEO, own))
    run("python3", "-c", "import socket; socket.socket(2, 2).sendto(b'x', ('203.0.113.1', 9))")
    changed = policy(Entry(rule("own", src_iface="lo", dest_port="10"), 1), VIDEO)  # rank, match and action
    for at in range(30):
        kernel = WatchedKernel(Steps(at, Killed if at % 2 else NftError))
        with contextlib.suppress(Killed, ApplyError):
            await kernel.apply(await kernel.plan(changed))
        await follow(policy(VIDEO, own))
        assert (await fresh().counters())["own"][0] == 1, at
        if not kernel.steps.was_reached:
            break
    assert 5 < at < 30


async def test_routes_and_marks_of_a_refused_change_are_taken_back():
    await follow(START)
    before = sorted(everything().splitlines())
    wanted = policy(
        OTHER, lines=(WAN_C, replace(WAN_B, hops=(Hop(4, "198.51.100.77"),))), default_own=3, default_forwarded=3
    )
    kernel = WatchedKernel(Steps(0))
    with pytest.raises(ApplyError):
        await kernel.apply(await kernel.plan(wanted))
    assert sorted(everything().splitlines()) == before


async def test_what_somebody_took_away_between_plan_and_apply_is_a_refusal_that_the_next_plan_mends():
    await follow(START)
    kernel = fresh()
    plan = await kernel.plan(CHANGES["action"])
    run("nft", "flush", "map", "inet", "netpolicy", "verdicts_a")
    with pytest.raises(ApplyError, match="previous rules stay in force"):
        await kernel.apply(plan)
    await follow(CHANGES["action"])
