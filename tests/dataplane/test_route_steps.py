"""Routes and ip rules follow, one by one, and come back."""

from __future__ import annotations

import pytest

from netpolicy.dataplane.kernel import ApplyError
from netpolicy.dataplane.policy import Hop
from netpolicy.dataplane.record import replace
from tests.dataplane.followed import VIDEO, WORK, follow
from tests.netns import needs_root, run
from tests.router import WAN_A, WAN_B, everything, policy

pytestmark = [pytest.mark.kernel, needs_root]


async def test_tables_and_priorities_can_be_moved_while_running(kernel):
    await follow(kernel, policy(VIDEO))
    await follow(kernel, policy(VIDEO, table_base=9000, rule_priority=12000))
    rules = run("ip", "rule")
    assert "12002:" in rules and "lookup 9002" in rules and "7002" not in rules
    assert run("ip", "route", "show", "table", "all").count("table 7002") == 0


async def test_a_new_gateway_replaces_the_old_one(kernel):
    await follow(kernel, policy(VIDEO))
    moved = policy(VIDEO, lines=(WAN_A, replace(WAN_B, hops=(Hop(4, "198.51.100.9"),))))
    await follow(kernel, moved)
    assert "default via 198.51.100.9 dev wanb" in run("ip", "route", "show", "table", "7002")
    without_a_gateway = run("ip", "-6", "route", "show", "table", "7002")
    assert "unreachable default" in without_a_gateway and "via" not in without_a_gateway


async def test_two_lines_with_the_same_subnet_reach_each_its_own(kernel):
    """Two modems of one maker: both 198.51.100.0/24."""
    run("ip", "address", "add", "198.51.100.7/24", "dev", "wana")
    wanted = policy(VIDEO, WORK, lines=(replace(WAN_A, hops=(Hop(4, "198.51.100.1"),)), WAN_B))
    await follow(kernel, wanted)
    assert (await kernel.plan(wanted)).is_empty
    assert "198.51.100.0/24 dev wana" in run("ip", "route", "show", "table", "7001")
    assert "198.51.100.0/24 dev wanb" in run("ip", "route", "show", "table", "7002")


async def test_routes_and_rules_deleted_by_hand_come_back(kernel):
    await follow(kernel, policy(VIDEO))
    clean = everything()
    run("ip", "rule", "del", "priority", "7002")
    run("ip", "-6", "rule", "del", "priority", "7001")
    run("ip", "route", "del", "default", "via", "198.51.100.1", "table", "7002")
    run("ip", "-6", "route", "flush", "table", "7002")
    await follow(kernel, policy(VIDEO))
    assert sorted(everything().splitlines()) == sorted(clean.splitlines())


async def test_a_line_over_a_missing_device_is_refused_and_undone(kernel):
    await follow(kernel, policy(VIDEO))
    before = everything()
    plan = await kernel.plan(
        policy(VIDEO, lines=(WAN_A, WAN_B, replace(WAN_A, name="wan_c", number=3, device="gone0")))
    )
    with pytest.raises(ApplyError, match="gone0"):
        await kernel.apply(plan)
    assert sorted(everything().splitlines()) == sorted(before.splitlines())
