"""Which pairs of an outbound and a throttle profile need a class of their own."""

from __future__ import annotations

import pytest

from netpolicy.core.model import Action, Outbound, Rule, Ruleset, Throttle
from netpolicy.core.pairs import limit_in, line_of, pair, pairs, profile_of

OUTBOUNDS = (
    Outbound("fibre", "interface", interface="wan"),
    Outbound("lte", "interface", interface="wwan"),
    Outbound("either", "group", member=("fibre", "lte", "plain")),
    Outbound("plain", "direct"),
    Outbound("proxy", "xray"),
)


def found(*actions: Action, enabled: bool = True) -> tuple[str, ...]:
    rules = tuple(Rule(f"r{at}", 0, (), action, enabled=enabled) for at, action in enumerate(actions))
    return pairs(Ruleset(rules, OUTBOUNDS, throttles=(Throttle("slow", 1, 1), Throttle("fast", 1, 1))))


@pytest.mark.parametrize(
    ("action", "wanted"),
    [
        (Action("throttle", "slow"), ("direct/slow",)),
        (Action("route", "fibre", throttle="slow"), ("fibre/slow",)),
        (Action("route", "fibre", on_fail="direct", throttle="slow"), ("fibre/slow", "direct/slow")),
        (Action("route", "either", throttle="fast"), ("fibre/fast", "lte/fast", "direct/fast")),
        (Action("fallback", "lte", targets=("lte", "fibre"), throttle="slow"), ("lte/slow", "fibre/slow")),
        (Action("route", "proxy", throttle="slow"), ()),
        (Action("route", "fibre"), ()),
        (Action("route", "fibre", throttle="unknown"), ()),
    ],
)
def test_a_throttled_action_needs_a_pair_for_each_line_that_it_may_lead_to(action, wanted):
    assert found(action) == wanted


def test_rules_share_pairs_and_one_that_is_switched_off_needs_none():
    slow = Action("route", "fibre", throttle="slow")
    assert found(slow, Action("throttle", "slow"), slow) == ("fibre/slow", "direct/slow")
    assert found(slow, enabled=False) == ()


def test_the_word_for_a_pair_tells_both():
    word = pair("fibre", "slow")
    assert (line_of(word), limit_in(word)) == ("fibre", "slow")
    assert (pair("fibre", ""), line_of("fibre"), limit_in("fibre")) == ("fibre", "fibre", "")


def test_a_profile_that_each_rule_has_for_itself_makes_a_pair_for_each_of_them():
    rules = tuple(Rule(name, 0, (), Action("throttle", "slow")) for name in ("tv", "guests"))
    words = pairs(Ruleset(rules, OUTBOUNDS, throttles=(Throttle("slow", 1, 1, per="rule"),)))
    assert words == ("direct/slow:tv", "direct/slow:guests")
    assert {profile_of(limit_in(word)) for word in words} == {"slow"}
