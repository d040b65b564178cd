"""Each warning with a network that earns it and one that does not."""

from __future__ import annotations

from netpolicy.core.model import Action, Outbound, Rule, Ruleset
from netpolicy.dataplane.conflicts import Conflict
from netpolicy.dataplane.policy import Hop
from netpolicy.dataplane.shaping import PER_CLIENT, POLICED, SHAPED, Way
from netpolicy.dataplane.state import RoutingRule
from netpolicy.outbounds.lines import LineState
from netpolicy.service import warnings

BOTH = (Hop(4, "192.0.2.1"), Hop(6, "fe80::1"))
FOUR = (Hop(4, "192.0.2.1"),)


def lines(hops_b: tuple[Hop, ...], up: bool = True) -> tuple[LineState, ...]:
    return (
        LineState("a", "interface", True, "fine", "", BOTH),
        LineState("b", "interface", up, "no carrier" if not up else "fine", "", hops_b),
    )


def ruleset(ipv6_source: str, target: str = "b") -> Ruleset:
    outbounds = (
        Outbound("a", "interface", interface="a", ipv6_source="masq"),
        Outbound("b", "interface", interface="b", ipv6_source=ipv6_source),
    )
    return Ruleset((Rule("r", 1, (), Action("route", target)),), outbounds)


def codes(rules: Ruleset, states: tuple[LineState, ...]) -> list[str]:
    return [found.code for found in warnings.of_lines(rules, states)]


def test_two_ipv6_lines_of_which_one_does_not_translate_and_is_used() -> None:
    assert codes(ruleset("none"), lines(BOTH)) == ["NP905"]


def test_translated_unused_or_single_ipv6_lines_are_fine() -> None:
    assert codes(ruleset("masq"), lines(BOTH)) == []
    assert codes(ruleset("none", "a"), lines(BOTH)) == []
    assert codes(ruleset("none"), lines(FOUR)) == []


def test_a_line_that_is_down_says_why() -> None:
    found = warnings.of_lines(ruleset("masq"), lines((), up=False))
    assert [(one.code, one.message) for one in found] == [("NP903", "outbound b is down: no carrier")]


def test_a_collision_is_told_with_the_cure() -> None:
    found = warnings.of_conflicts([Conflict("mwan3 uses bits of ours", "choose another mask")])
    assert [(one.code, one.message, one.hint) for one in found] == [
        ("NP902", "mwan3 uses bits of ours", "choose another mask")
    ]


def test_a_rule_of_the_kernel_is_missed_though_another_one_leads_to_its_table() -> None:
    """The line has no IPv6: what is bound to its device asks main, by a rule of ours."""
    own = (RoutingRule(4, 32766, 254), RoutingRule(4, 32767, 253))
    ours = (RoutingRule(6, 7000, 254, oif="wana"), RoutingRule(6, 7001, 254, 0x1000000, 0x77000000))
    assert warnings.of_kernel_rules((*own, RoutingRule(6, 32766, 254))) == []
    (gone,) = warnings.of_kernel_rules((*own, *ours))
    assert gone.code == "NP907" and gone.hint == "ip -6 rule add priority 32766 lookup main"


def test_a_limit_that_drops_where_it_could_queue_is_told_and_one_for_each_client_is_not() -> None:
    ways = (
        Way("slow", "up", "wan", POLICED, "wan has a queue of somebody else: cake"),
        Way("slow", "down", "lan", SHAPED),
        Way("each", "up", "wan", POLICED, PER_CLIENT),
    )
    (found,) = warnings.of_ways(ways)
    assert found.code == "NP909" and "slow up" in found.message and found.message.endswith("somebody else: cake")


def test_a_limit_that_offloaded_connections_pass_by_is_told_once() -> None:
    ways = (Way("slow", "up", "wan", SHAPED), Way("slow", "down", "lan", SHAPED))
    assert warnings.of_offload(ways, False) == [] == warnings.of_offload((), True)
    (found,) = warnings.of_offload(ways, True)
    assert found.code == "NP910" and "slow" in found.message
