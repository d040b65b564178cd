"""What the rules make of a connection, and what can be said of it without its MAC address."""

from __future__ import annotations

import pytest

from netpolicy.service.judge import Fate, Judge
from tests.service.open_flows import AROUND, DIRECT, HEAD, MAC, compiled, flow, rule

VIDEO = rule("video", "+dest_port=443", "route=wan_b")
KID = rule("kid", f"+src_mac={MAC}", "block=drop", priority=60)
NOT_KID = rule("others", f"+src_mac=!{MAC}", "route=wan_a", priority=60)
UNKNOWN = "192.168.1.77"  # not in the neighbour table


def fate(judge: Judge, **given: object) -> Fate:
    """By the walk over all rules, and prepared for many questions: the same."""
    walked = judge.fate(AROUND.facts(flow(DIRECT, **given)))
    for _ in judge.steps():
        pass
    assert judge.fate(AROUND.facts(flow(DIRECT, **given))) == walked
    return walked


@pytest.mark.parametrize(
    ("rules", "given", "expected"),
    [
        ((VIDEO,), {}, Fate("video", "route", 2)),
        ((VIDEO,), {"port": 80}, Fate(None, "", 0)),
        ((rule("no", "any=1", "block=reject"),), {}, Fate("no", "block", 30)),
        ((rule("no", "any=1", "block=drop"),), {}, Fate("no", "block", 29)),
        ((rule("no", "any=1", "block=drop"),), {"source": "192.0.2.2"}, Fate(None, "", 0)),  # the router's own
        ((VIDEO,), {"destination": "192.168.1.1"}, Fate(None, "", 0)),  # to the router
        ((VIDEO,), {"source": "203.0.113.9", "destination": "198.51.100.2"}, Fate(None, "", 2)),  # came in by wan_b
        ((rule("s", "any=1", "switch_route=wan_a"),), {}, Fate("s", "switch_route", 1)),
    ],
)
def test_a_fate_is_the_rule_its_action_and_the_class_that_the_kernel_gives(rules, given, expected):
    assert fate(Judge(compiled(*rules)), **given) == expected


def test_a_line_that_is_down_refuses_where_the_rule_says_so():
    refusing = rule("vpn", "+dest_port=443", "route=wan_b", "on_fail=block")
    assert fate(Judge(compiled(refusing, down=("wanb",)))) == Fate("vpn", "route", 30)
    assert fate(Judge(compiled(VIDEO, down=("wanb",)))) == Fate(None, "", 0)


@pytest.mark.parametrize(("default", "number"), [("wan_a", 1), ("block", 30), ("direct", 0)])
def test_without_a_rule_the_default_decides(default, number):
    head = HEAD.replace("option enabled '1'", f"option enabled '1'\n\toption default '{default}'")
    assert fate(Judge(compiled(VIDEO, head=head)), port=80) == Fate(None, "", number)


def test_rules_of_a_state_that_is_over_still_say_what_they_said():
    only_failover = rule("calls", "any=1", "route=wan_b", "+state=FAILOVER")
    assert fate(Judge(compiled(only_failover, state="FAILOVER"))) == Fate("calls", "route", 2)


@pytest.mark.parametrize(
    ("rules", "certain", "worst"),
    [
        ((VIDEO,), True, Fate("video", "route", 2)),  # nobody asks for the MAC
        ((VIDEO, KID), False, Fate("kid", "block", 29)),
        ((VIDEO, NOT_KID), False, Fate("video", "route", 2)),
        ((rule("first", "any=1", "route=wan_a", priority=99), KID), True, Fate("first", "route", 1)),
        ((rule("both", f"+src_mac={MAC}", "+dest_port=25", "block=drop"), VIDEO), True, Fate("video", "route", 2)),
    ],
)
def test_without_the_mac_it_says_what_is_certain_and_what_may_be(rules, certain, worst):
    judge = Judge(compiled(*rules))
    facts = AROUND.facts(flow(DIRECT, source=UNKNOWN))
    assert judge.is_certain(facts, judge.fate(facts)) is certain
    assert judge.worst(facts) == worst


def test_a_rule_that_is_asked_without_its_mac_keeps_its_rank():
    """The MAC counts as a match field: the rule with two fields wins against the one with one."""
    tied = (
        rule("one", "+dest_port=443", "route=wan_a"),
        rule("two", "+dest_port=443", f"+src_mac={MAC}", "block=drop"),
    )
    judge = Judge(compiled(*tied))
    assert judge.worst(AROUND.facts(flow(DIRECT, source=UNKNOWN))) == Fate("two", "block", 29)


def test_a_code_point_is_never_known():
    voice = rule("voice", "+dscp=ef", "block=drop", priority=60)
    judge = Judge(compiled(VIDEO, voice))
    facts = AROUND.facts(flow(DIRECT))
    assert judge.hidden(facts) == ("dscp",)
    assert judge.fate(facts).rule == "video" and not judge.is_certain(facts, judge.fate(facts))
    assert judge.worst(facts) == Fate("voice", "block", 29)


def test_a_schedule_is_what_it_was_when_the_rules_were_made():
    hours = "config schedule 'night'\n\toption from '22:00'\n\toption to '06:00'\n"
    asleep = hours + rule("asleep", "+schedule=night", "block=reject", priority=90)
    assert fate(Judge(compiled(VIDEO, asleep, active=("night",)))) == Fate("asleep", "block", 30)
    assert fate(Judge(compiled(VIDEO, asleep))) == Fate("video", "route", 2)


def test_a_known_mac_is_certain():
    judge = Judge(compiled(VIDEO, KID))
    facts = AROUND.facts(flow(DIRECT))
    assert judge.is_certain(facts, judge.fate(facts)) and judge.fate(facts).rule == "kid"


def test_what_a_tunnel_sends_itself_does_not_follow_what_leads_to_it():
    everything = rule("all", "any=1", "route=wan_b", "on_fail=block")
    for down, number in (((), 2), (("wanb",), 30)):
        judge = Judge(compiled(everything, down=down, ports={"wanb": 40000}))
        assert fate(judge, source="192.0.2.2", protocol=17) == Fate("all", "route", 0)
        # A client's from that port, another protocol of the router's, and a tunnel that no rule leads to.
        assert fate(judge, protocol=17).number == number
        assert fate(judge, source="192.0.2.2").number == number
        other = Judge(compiled(everything, down=down, ports={"wana": 40000}))
        assert fate(other, source="192.0.2.2", protocol=17).number == number
