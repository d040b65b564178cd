"""The parts of a decision that the predecessor had no word for."""

from netpolicy.core.evaluate import World, decide
from netpolicy.core.facts import parse_facts
from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Outbound, Rule, Ruleset, Settings

OUTBOUNDS = (Outbound("fast", "interface", "wanb"), Outbound("pit", "block"))


def rule(name: str, action: Action, **fields: str) -> Rule:
    return Rule(name, 0, tuple(parse_field(key, (value,)) for key, value in fields.items()), action)


def goes(rules: list[Rule], world: World | None = None, default: str = "direct", **facts: str) -> str:
    ruleset = Ruleset(tuple(rules), OUTBOUNDS, Settings(default=default))
    return decide(ruleset, parse_facts(facts), world=world or World()).outbound


FAST = rule("all_fast", Action("route", "fast"))


def test_what_is_never_steered_is_not():
    for address in ("127.0.0.1", "169.254.1.1", "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "ff02::1"):
        assert goes([FAST], dest_addr=address) == "direct"
    assert goes([FAST], dest_addr="192.0.2.1", proto="udp", src_port="68", dest_port="67") == "direct"
    assert goes([FAST], dest_addr="192.0.2.1") == "fast"


def test_the_routers_own_addresses_are_not_steered():
    assert goes([FAST], World(local=((4, 0xC0000201),)), dest_addr="192.0.2.1") == "direct"


def test_answers_leave_by_the_line_that_the_question_came_in_by():
    world = World(ingress={"wana": "slow"})
    assert goes([FAST], world, src_iface="wana", dest_addr="192.0.2.1") == "slow"
    block = rule("no", Action("block", "drop"), src_iface="wana")
    assert goes([block], world, src_iface="wana", dest_addr="192.0.2.1") == "block"
    assert goes([rule("no", Action("block", "drop"))], world, src_iface="wana", dest_addr="192.0.2.1") == "slow"


def test_a_block_spares_the_router_unless_it_names_it():
    for action in (
        Action("block", "drop"),
        Action("block", "reject"),
        Action("route", "pit"),
        Action("route", "block"),
    ):
        assert goes([rule("no", action)], src_iface="lo", dest_addr="192.0.2.1") == "direct"
        assert goes([rule("no", action)], src_iface="lan", dest_addr="192.0.2.1") in ("block", "pit")
        assert goes([rule("no", action, src_iface="lo")], src_iface="lo", dest_addr="192.0.2.1") in ("block", "pit")


def test_on_fail_decides_when_the_outbound_is_down():
    down = World(down=("fast",))
    for on_fail, expected in (("next", "pit"), ("direct", "direct"), ("block", "block")):
        rules = [rule("first", Action("route", "fast", on_fail=on_fail)), rule("second", Action("route", "pit"))]
        assert goes(rules, down, dest_addr="192.0.2.1") == expected
        assert goes(rules, dest_addr="192.0.2.1") == "fast"


def test_a_default_that_is_down_or_blocks_the_router_falls_back():
    assert goes([], default="fast") == "fast"
    assert goes([], World(down=("fast",)), default="fast") == "direct"
    for default in ("block", "pit"):
        assert goes([], default=default, src_iface="lan") == default
        assert goes([], default=default, src_iface="lo") == "direct"


def test_a_throttle_profile_named_like_an_outbound_that_is_down_changes_nothing():
    found = decide(
        Ruleset((rule("t", Action("throttle", "fast")),), OUTBOUNDS), parse_facts({}), world=World(down=("fast",))
    )
    assert (found.outbound, found.why) == ("direct", ("t: matches",))


def test_the_reasons_name_every_rule_that_was_looked_at():
    off = Rule("off", 9, (), Action("block", "drop"), enabled=False)
    web = rule("web", Action("route", "fast"), dest_port="443")
    found = decide(Ruleset((web, off), OUTBOUNDS), parse_facts({"dest_port": "80"}))
    assert found.why == (
        "off: is switched off",
        "web: dest_port is 80, the rule wants 443",
        "no rule matches: the default decides",
    )


def test_reasons_are_put_into_words_when_somebody_reads_them():
    facts = parse_facts({"dest": "203.0.113.9", "proto": "udp"})
    direct = Action("route", "direct")
    made = decide(Ruleset((rule("a", direct, proto="tcp"), rule("b", direct, dest_port="443"))), facts)
    assert made.why == (
        "a: proto is udp, the rule wants tcp",
        "b: dest_port is not known, the rule wants 443",
        "no rule matches: the default decides",
    )


GROUPS = (
    Outbound("a", "interface", "wana"),
    Outbound("b", "interface", "wanb"),
    Outbound("both", "group", member=("a", "b")),
    Outbound("outer", "group", member=("both", "c")),
    Outbound("c", "interface", "wanc"),
    Outbound("ring", "group", member=("ring", "a")),
)


def carried(action: Action, down: tuple[str, ...]) -> str:
    ruleset = Ruleset((rule("r", action),), GROUPS)
    return decide(ruleset, parse_facts({"dest_addr": "192.0.2.1"}), world=World(down)).outbound


def test_a_group_is_carried_by_its_first_member_that_is_up():
    for target in ("both", "outer", "ring"):
        assert carried(Action("route", target), ()) == "a"
    assert carried(Action("route", "both"), ("a",)) == "b"
    assert carried(Action("route", "outer"), ("a", "b")) == "c"
    assert carried(Action("route", "both", on_fail="block"), ("a", "b")) == "block"
    assert carried(Action("route", "both"), ("both",)) == "direct", "a group that is down as a whole"


def test_a_fallback_takes_the_first_that_is_up_and_on_fail_when_none_is():
    action = Action("fallback", "a", on_fail="block", targets=("a", "both", "c"))
    assert [carried(action, down) for down in ((), ("a",), ("a", "b"), ("a", "b", "c"))] == ["a", "b", "c", "block"]


def test_the_way_that_a_route_took_is_explained():
    ruleset = Ruleset((rule("r", Action("route", "both")),), GROUPS)
    made = decide(ruleset, parse_facts({}), world=World(("a",)))
    assert made.why == ("r: matches", "r: b is the first that is up of both")


def test_a_thousand_values_are_not_all_shown():
    wide = rule("wide", Action("block", "drop"))
    wide.fields = (parse_field("dest_port", tuple(str(port) for port in range(2000, 3000))),)
    made = decide(Ruleset((wide,)), parse_facts({"port": "1"}))
    assert made.why[0].endswith("2007,… (1000 in all)")
