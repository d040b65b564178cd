"""Rules, outbounds and facts as values."""

import pytest

from netpolicy.core.facts import Facts, parse_facts
from netpolicy.core.field import FIELD_ORDER, parse_field
from netpolicy.core.model import Action, Outbound, Rule, Ruleset
from netpolicy.core.value import ValueProblem


def test_fields_have_one_order_however_they_were_given():
    fields = tuple(
        parse_field(name, (value,)) for name, value in (("proto", "tcp"), ("src_iface", "lan"), ("dest_port", "1"))
    )
    assert Rule("r", 0, fields, Action("route", "x")).match_text == "src_iface=lan proto=tcp dest_port=1"
    assert Rule("r", 0, (), Action("route", "x")).match_text == "any"


def test_the_action_is_one_phrase():
    texts = [
        Action("block", "drop").text,
        Action("block", "reject").text,
        Action("route", "a").text,
        Action("throttle", "s").text,
    ]
    assert texts == ["block", "block reject", "route a", "throttle s"]


def test_direct_and_block_exist_without_being_defined():
    ruleset = Ruleset((), (Outbound("a", "interface", "wan"),))
    found = [ruleset.outbound(name) for name in ("a", "direct", "block", "b")]
    assert [one and one.type for one in found] == ["interface", "direct", "block", None]


def test_only_packet_fields_reach_the_kernel():
    assert Rule("r", 0, (parse_field("dest_port", ("1",)),), Action("route", "x")).is_packet_only
    assert not Rule("r", 0, (parse_field("sni", ("a.b",)),), Action("route", "x")).is_packet_only


def test_every_fact_has_a_place_and_the_family_follows_the_address():
    assert [getattr(Facts(), name) for name in FIELD_ORDER] == [None] * len(FIELD_ORDER)
    assert parse_facts({"dst": "2001:db8::1"}).family == 6
    assert parse_facts({"protocol": "tcp", "port": "443"}).dest_port == 443


@pytest.mark.parametrize(
    ("name", "text"), [("sn", "x"), ("dest_port", "x"), ("latency_ms", "nan"), ("rtt_ms", "-1"), ("sni", "a" * 256)]
)
def test_a_fact_that_cannot_be_is_refused_by_name(name, text):
    with pytest.raises(ValueProblem, match=name):
        parse_facts({name: text})


def test_rules_are_ranked_by_priority_then_by_fields_then_by_the_file():
    ports = (parse_field("dest_port", ("1",)),)
    route = Action("route", "direct")
    rules = (
        Rule("any", 5, (), route),
        Rule("port", 5, ports, route),
        Rule("later", 5, ports, route),
        Rule("top", 6, (), route),
    )
    ruleset = Ruleset(rules)
    assert [one.name for one in ruleset.ranked] == ["top", "port", "later", "any"]
    assert ruleset.ranked is ruleset.ranked


def test_the_first_outbound_of_a_name_is_meant_and_a_defined_one_hides_the_built_in():
    ruleset = Ruleset((), (Outbound("a", "block"), Outbound("a", "direct"), Outbound("direct", "direct", title="mine")))
    assert ruleset.outbound("a").type == "block"
    assert ruleset.outbound("direct").title == "mine"
    assert ruleset.outbound("block").type == "block"
    assert ruleset.outbound("nowhere") is None


def test_a_rule_says_its_place_and_may_move():
    rule = Rule("r", 0, (), Action("route", "x"), position="/etc/config/a:b:12")
    assert (rule.position, rule.place) == ("/etc/config/a:b:12", ("/etc/config/a:b", 12))
    rule.move("f", 3)
    assert rule.position == "f:3"
    assert [Rule("r", 0, (), Action("route", "x"), position=text).position for text in ("", "f", "f:x")] == [
        "",
        "f",
        "f:x",
    ]


def test_rules_of_one_file_share_its_name():
    first, second = [Rule("r", 0, (), Action("route", "x"), position=f"/etc/{'file'}:{line}") for line in (1, 2)]
    assert first.place[0] is second.place[0]
