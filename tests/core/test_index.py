"""The compiled rule set decides as the reference does, is built in slices, and is not seen before it is whole."""

import pytest

from benchmarks.shapes import MAKERS, packets_for, shape
from netpolicy.core.evaluate import World
from netpolicy.core.field import parse_field
from netpolicy.core.field_kind import Words
from netpolicy.core.health import DEGRADED, FAILOVER, NORMAL
from netpolicy.core.index import Building, Index, build
from netpolicy.core.index_order import SLICE
from netpolicy.core.model import Action, Rule, Ruleset
from netpolicy.core.named_list import NO_LISTS, Lists, NamedList
from tests.core.index_agreement import difference, differences


@pytest.mark.parametrize("seed", range(4))
def test_index_and_reference_decide_alike(seed: int) -> None:
    assert differences(seed, 10_000) == []


@pytest.mark.parametrize("name", MAKERS)
def test_they_decide_alike_where_rules_are_many(name: str) -> None:
    ruleset = shape(name, 300)
    index = build(ruleset)
    views = [index.view(NORMAL), index.view(FAILOVER, World(down=("line1",))), index.view(DEGRADED)]
    facts = packets_for(name, ruleset, 60) + packets_for(name, ruleset, 30, hit=False)
    found = [difference(view, one, with_reasons=False) for view in views for one in facts]
    assert [text for text in found if text] == []


def test_a_disagreement_would_be_seen() -> None:
    ruleset = shape("mixed", 100)
    view = build(ruleset).view()
    view.outcomes.ruleset = Ruleset(ruleset.rules[:50], ruleset.outbounds, ruleset.settings)
    assert [text for one in packets_for("mixed", ruleset, 50) if (text := difference(view, one, False))]


def test_an_index_under_construction_is_not_there_yet() -> None:
    ruleset = shape("mixed", 3 * SLICE)
    building = Building(ruleset)
    steps = 0
    for _ in building.steps():
        assert building.index is None
        steps += 1
    assert building.index is not None
    assert building.index.rules == ruleset.ranked
    assert steps > 20


def _rules(values: "dict[str, str]", target: str = "a", lists: Lists = NO_LISTS) -> Ruleset:
    fields = tuple([parse_field(name, (value,), lists) for name, value in values.items()])
    return Ruleset((Rule("r", 0, fields, Action("route", target)), Rule("s", 1, (), Action("route", "b"))))


MATCH = {"dest_addr": "10.0.0.0/8", "proto": "tcp", "src_iface": "lan", "domain": "a.b", "latency_ms": ">5"}


def _after(before: Ruleset, now: Ruleset) -> "tuple[Index, Index]":
    first = build(before)
    building = Building(now, first)
    for _ in building.steps():
        pass
    assert building.index is not None
    return first, building.index


def test_other_actions_share_the_tables_and_lead_elsewhere() -> None:
    first, second = _after(_rules(MATCH), _rules(MATCH, "c"))
    assert second._tables is first._tables
    assert second.ruleset is not first.ruleset and [rule.action.target for rule in second.rules] == ["b", "c"]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, value in {
    "dest_addr": "10.0.0.0/9", "proto": "udp", "src_iface": "wan", "domain": "a.c", "latency_ms": ">6",
}.items()])  # fmt: skip
def test_another_match_shares_nothing(name: str, value: str) -> None:
    first, second = _after(_rules(MATCH), _rules({**MATCH, name: value}))
    assert second._tables is not first._tables
    first, second = _after(_rules(MATCH), _rules({**MATCH, "dscp": "1"}))
    assert second._tables is not first._tables


def test_another_order_or_number_of_rules_shares_nothing() -> None:
    rules = _rules(MATCH).rules
    for others in (rules[:1], (rules[0], Rule("s", -1, (), rules[1].action))):
        first, second = _after(Ruleset(rules), Ruleset(others))
        assert second._tables is not first._tables


def test_the_same_words_that_mean_something_else_share_nothing() -> None:
    before, now = _rules({"src_iface": "lan"}), _rules({"src_iface": "lan"})
    field = now.rules[0].fields[0]
    assert isinstance(field, Words)
    field.wanted = ("br-lan",)  # the device behind the interface
    first, second = _after(before, now)
    assert second._tables is not first._tables


def test_a_list_of_the_same_name_may_hold_something_else() -> None:
    match = {"dest_addr": "@nets"}
    first, second = _after(
        *[_rules(match, lists=Lists((NamedList("nets", (net,)),))) for net in ("10.0.0.0/8", "::/8")]
    )
    assert second._tables is not first._tables
