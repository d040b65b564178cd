"""Rules above others that match all they match: exact, held against the reference evaluator."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netpolicy.config.analysis_cover import Budget, Covers, Exhausted
from netpolicy.config.analysis_shape import Shapes
from netpolicy.core.calendar import Schedule, active
from netpolicy.core.evaluate import World, decide
from netpolicy.core.facts import Facts
from netpolicy.core.field import parse_field
from netpolicy.core.health import STATES
from netpolicy.core.model import Action, Outbound, Rule, Ruleset
from netpolicy.core.named_list import Lists, NamedList
from tests.core.gathered import gathered

BLOCKING = Action("block", "drop")
SURE = Action("route", "vpn", on_fail="block")
NEXT = Action("route", "vpn")
TWO = Action("fallback", "vpn", targets=("vpn", "wan"))
OUTBOUNDS = (Outbound("vpn", "interface", interface="wg0"), Outbound("wan", "interface", interface="wan"))

SCHEDULES = (Schedule("night", (0, 1, 2, 3, 4, 5, 6), 22 * 60, 6 * 60), Schedule("late", (0, 2), 23 * 60, 1 * 60))
NAMED = NamedList("nets", ("192.0.2.0/25", "2001:db8::/33", "shop.example"))
LISTS = Lists((NAMED,))

MINUTES = tuple((day, minute) for day in (0, 1, 2, 3) for minute in (0, 59, 60, 360, 800, 1320, 1380, 1439))


def rule(
    name: str, action: Action = BLOCKING, priority: int = 0, when=(), disable=(), **fields: tuple[str, ...]
) -> Rule:
    made = tuple(parse_field(field, values, LISTS) for field, values in fields.items())
    return Rule(name, priority, made, action, when, disable)


def ruleset(*rules: Rule) -> Ruleset:
    return Ruleset(rules, OUTBOUNDS, schedules=SCHEDULES, lists=(NAMED,))


def shadowed(rules: Ruleset, budget: Budget | None = None) -> dict[str, tuple[str, ...]]:
    """For every rule that never wins the names of those that win instead."""
    make = Shapes(rules)
    shapes = tuple(make(rank, one) for rank, one in enumerate(rules.ranked))
    covers = Covers(shapes, budget or Budget())
    found = {shape.rule.name: covers.of(shape) for shape in shapes}
    return {name: tuple(one.rule.name for one in by) for name, by in found.items() if by}


VALUES: dict[str, tuple[str, ...]] = {
    "src_iface": ("lan", "lo", "wan", "!lan", "!lo"),
    "src_addr": ("192.0.2.0/25", "192.0.2.0/24", "!192.0.2.7", "::/0", "@nets"),
    "dest_addr": ("192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "!2001:db8::/33", "@nets", "239.0.0.0/8"),
    "domain": ("shop.example", "=shop.example", "*.shop.example", "keyword:shop", "!a.shop.example", "@nets",
               "regex:^shop", "a.shop.example"),
    "sni": ("*", "*.b.example", "b.example", "*example", "x.b*", "*b*", "!*.b.example", "x.b.example"),
    "proto": ("tcp", "udp", "!tcp"),
    "dest_port": ("0-3", "2", "!2", "4-7", "0-7", "3-5"),
    "family": ("ipv4", "ipv6", "!ipv4"),
    "latency_ms": (">5", ">=5", "<5", "==5", "<=6", ">=0"),
    "loss": (">5%", "<=0.05", ">=0"),
    "schedule": ("night", "late", "!night", "!late"),
}  # fmt: skip
SINGLE = ("latency_ms", "loss")
FACTS = {
    "src_iface": (None, "lan", "lo", "wan", "eth9"),
    "src_mac": (None,),
    "src_addr": (None, (4, 0xC0000207), (4, 0xC0000208), (4, 0xC00002F0), (4, 0x01020304), (6, 1 << 100)),
    "dest_addr": (None, (4, 0xC0000201), (4, 0xC00002F0), (4, 0x01020304), (4, 0xEF000001),
                  (6, 0x20010DB8 << 96), (6, (0x20010DB8 << 96) + (1 << 95)), (6, 1 << 100)),
    "domain": (None, "shop.example", "a.shop.example", "b.shop.example", "xshop.example", "shop.other", "other.net"),
    "sni": (None, "b.example", "x.b.example", "y.b.example", "xb.example", "example", "x.b", "x.bc", "other.net"),
    "proto": (None, 6, 17, 1),
    "dest_port": (None, 0, 1, 2, 3, 4, 5, 6, 7, 8),
    "family": (None, 4, 6),
    "latency_ms": (None, 0, 4.5, 5, 5.5, 6, 7),
    "loss": (None, 0, 0.05, 0.0500005, 1),
}  # fmt: skip


@st.composite
def rules(draw: st.DrawFn, names: tuple[str, ...] = tuple(VALUES), actions=(BLOCKING, SURE, NEXT, TWO)) -> Rule:
    chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=3))
    fields = {}
    for name in chosen:
        most = 1 if name in SINGLE else 3
        fields[name] = tuple(draw(st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=most)))
    when = tuple(draw(st.lists(st.sampled_from(STATES), max_size=2)))
    disable = tuple(draw(st.lists(st.sampled_from(STATES), max_size=1)))
    return rule("r", draw(st.sampled_from(actions)), draw(st.integers(0, 2)), when, disable, **fields)


def named(found: list[Rule]) -> Ruleset:
    return ruleset(*[
        Rule(f"r{at}", one.priority, one.fields, one.action, one.when, one.disable) for at, one in enumerate(found)
    ])  # fmt: skip


def facts(chance: Random) -> Facts:
    """What a connection can look like: both addresses and the family agree, hours are those of a moment."""
    made = Facts()
    for name, values in FACTS.items():
        setattr(made, name, chance.choice(values))
    family = (made.dest_addr or made.src_addr or (made.family,))[0]
    for name in ("src_addr", "dest_addr"):
        address = getattr(made, name)
        if address is not None and address[0] != family:
            setattr(made, name, None)
    made.family = family
    made.schedule = active(SCHEDULES, *chance.choice(MINUTES)) if chance.random() < 0.5 else None
    return made.completed()


WORLDS = tuple(
    World(down, {"wan": "wan"} if has_ingress else {})
    for down in ((), ("vpn",), ("wan",), ("vpn", "wan"))
    for has_ingress in (False, True)
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(rules(), min_size=2, max_size=6), st.integers(0, 1 << 32))
def test_a_rule_that_is_called_shadowed_never_wins(found: list[Rule], seed: int) -> None:
    chance = Random(seed)  # not drawn fact by fact: that took ten times as long as what is tested
    made, connections = named(found), [facts(chance) for _ in range(20)]
    dead = shadowed(made)
    if not dead:
        return
    for connection, state, world in itertools.product(connections, STATES, WORLDS):
        winner = decide(made, connection, state, world).rule
        assert winner is None or winner.name not in dead, (winner.name, dead[winner.name])


SMALL = ("dest_port", "proto")
SURE_ACTIONS = (BLOCKING, Action("route", "direct"), SURE)


@settings(max_examples=150, deadline=None)
@given(st.lists(rules(SMALL, SURE_ACTIONS), min_size=1, max_size=6))
def test_in_a_small_world_exactly_the_rules_that_never_win_are_shadowed(found: list[Rule]) -> None:
    made = named(found)
    winners = set()
    # A block spares the router itself, so "lan" and "lo" are two different worlds.
    for proto, port, source, state in itertools.product(
        FACTS["proto"], FACTS["dest_port"], (None, "lan", "lo"), STATES
    ):
        connection = Facts()
        connection.proto, connection.dest_port, connection.src_iface = proto, port, source
        winner = decide(made, connection, state).rule
        if winner is not None:
            winners.add(winner.name)
    make = Shapes(made)
    can_match = {one.name for rank, one in enumerate(made.ranked) if make(rank, one).boxes}
    assert set(shadowed(made)) == can_match - winners


def test_the_highest_rule_that_covers_is_named() -> None:
    made = ruleset(
        rule("c", priority=1, dest_port=("443",)), rule("a", priority=3, dest_port=("1-1000",)), rule("b", priority=2)
    )
    assert shadowed(made) == {"c": ("a",)}


def test_several_cover_together() -> None:
    made = ruleset(
        rule("low", priority=9, dest_port=("1-99",)),
        rule("high", priority=8, dest_port=("100-200",)),
        rule("both", priority=1, dest_port=("50-150",), proto=("tcp",)),
        rule("more", priority=1, dest_port=("50-250",), proto=("tcp",)),
    )
    assert shadowed(made) == {"both": ("low", "high")}


def test_a_route_whose_line_can_be_down_covers_only_what_would_go_the_same_way() -> None:
    made = ruleset(
        rule("vpn", NEXT, 9),
        rule("guard", BLOCKING, 1, dest_port=("25",)),
        rule("again", NEXT, 1, dest_port=("25",)),
        rule("other", TWO, 2, dest_port=("25",)),
    )
    assert shadowed(made) == {"again": ("vpn",)}


def test_a_block_does_not_cover_the_router_itself() -> None:
    made = ruleset(rule("all", BLOCKING, 9), rule("own", SURE, 1), rule("named", BLOCKING, 1, src_iface=("lo",)))
    assert shadowed(made) == {}
    made = ruleset(rule("all", SURE, 9), rule("named", BLOCKING, 1, src_iface=("lo",)))
    assert shadowed(made) == {"named": ("all",)}


def test_a_block_of_an_uplink_is_asked_where_no_route_is() -> None:
    made = ruleset(
        rule("all", SURE, 9), rule("wan", BLOCKING, 1, src_iface=("wan",)), rule("lan", BLOCKING, 0, src_iface=("lan",))
    )
    assert shadowed(made) == {"lan": ("all",)}


def test_a_list_that_may_grow_covers_only_itself() -> None:
    grown = NamedList("nets", (), file="nets.txt", read=gathered("192.0.2.0/24"))
    lists = Lists((grown,))
    same = [Rule(name, 0, (parse_field("dest_addr", ("@nets",), lists),), SURE) for name in ("a", "b")]
    part = Rule("c", 0, (parse_field("dest_addr", ("192.0.2.7",)),), SURE)
    assert shadowed(Ruleset((*same, part), OUTBOUNDS, lists=(grown,))) == {"b": ("a",)}


def test_the_work_is_bounded() -> None:
    many = [rule(f"r{at}", SURE, 9, dest_port=(str(at),)) for at in range(99)]
    made = ruleset(*many, rule("wide", SURE, 1, dest_port=("0-98",)))
    assert len(shadowed(made)["wide"]) == 99
    with pytest.raises(Exhausted):
        shadowed(made, Budget(1_000_000, per_rule=100))
    with pytest.raises(Exhausted):
        shadowed(made, Budget(500))


def test_ten_thousand_rules_are_no_ten_thousand_squared() -> None:
    """The steps are counted, so that the test does not depend on the machine."""
    budget = Budget(200_000)
    made = ruleset(*[rule(f"r{at}", SURE, at % 7, dest_port=(str(at),), proto=("tcp",)) for at in range(10_000)])
    assert shadowed(made, budget) == {}
