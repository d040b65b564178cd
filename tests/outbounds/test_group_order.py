"""Which line of a group is used first: failover, latency, groups in groups, and what is known of each line."""

from __future__ import annotations

from netpolicy.core.model import Outbound, Ruleset
from netpolicy.outbounds.group_order import MOST_PARTS, Condition, Use, uses


def rules(**groups: str) -> Ruleset:
    """Lines a to d and these groups: "strategy member member …"."""
    made = [Outbound(name, "interface", interface=name) for name in "abcd"]
    for name, text in groups.items():
        strategy, *members = text.split()
        made.append(Outbound(name, "group", strategy=strategy, member=tuple(members)))
    return Ruleset(outbounds=tuple(made))


def order(ruleset: Ruleset, before: str = "", group: str = "g", **conditions: Condition) -> str:
    """The lines of a group, in the order in which they are to be used now, as letters; `before` as it was."""
    last = Use({4: tuple(before), 6: tuple(before)}, {})
    return "".join(uses(ruleset, conditions, {group: last})[group].order[4])


def shares(ruleset: Ruleset, family: int = 4, group: str = "g", **conditions: Condition) -> dict[str, int]:
    """The weights of the lines of a group that carry now."""
    return dict(uses(ruleset, conditions, {})[group].shares[family])


def ms(latency: float | None, trusted: bool = True, down: bool = False) -> Condition:
    return Condition(down, trusted, latency)


FAILED = Condition(is_trusted=False)
DOWN = Condition(is_down=True)


def test_failover_uses_its_members_as_they_are_written():
    assert order(rules(g="failover c a b")) == "cab"
    assert order(rules(g="failover c a b"), "bac", a=ms(1), c=ms(100)) == "cab"


def test_what_failed_lately_comes_last_and_is_never_left_out():
    assert order(rules(g="failover a b c"), a=FAILED) == "bca"
    assert order(rules(g="failover a b c"), a=FAILED, b=FAILED) == "cab"
    assert order(rules(g="failover a b c"), a=FAILED, b=FAILED, c=FAILED) == "abc"
    assert order(rules(g="failover a b"), a=DOWN) == "ab", "who uses the order passes over it"


def test_latency_begins_with_the_fastest_and_what_is_not_measured_comes_last():
    assert order(rules(g="latency a b c"), a=ms(50), b=ms(None), c=ms(20)) == "cab"
    assert order(rules(g="latency a b c")) == "abc"


def test_latency_changes_over_only_to_a_line_that_is_clearly_faster():
    group = rules(g="latency a b")
    assert order(group, "ba", a=ms(30), b=ms(39)) == "ba", "9 ms are less than the tolerance of 10"
    assert order(group, "ba", a=ms(30), b=ms(41)) == "ab"
    assert order(group, "ba", a=ms(100), b=ms(124)) == "ba", "of slow lines it is a fifth"
    assert order(group, "ba", a=ms(100), b=ms(126)) == "ab"


def test_what_nobody_measures_is_used_where_nothing_measured_is_usable_as_it_is_written():
    group = rules(g="latency a b c d")
    assert order(group, "abcd", b=ms(900), d=ms(50)) == "dbac", "though a was in use"
    assert order(group, "dbac", b=DOWN, d=ms(50, trusted=False)) == "abcd"
    assert order(group, "cabd") == "abcd", "no one is measured any more: none of them has a reason to stay"
    assert order(group, "bacd", a=ms(None), b=FAILED) == "acdb"


def test_latency_does_not_dance_between_two_equal_lines():
    group, used, changes = rules(g="latency a b"), "ab", 0
    for number in range(100):
        found = order(group, used, a=ms(30 + number * 7 % 9), b=ms(30 + number * 5 % 9))
        changes += found != used
        used = found
    assert changes == 0


def test_latency_leaves_a_line_that_is_down_or_failed_at_once():
    group = rules(g="latency a b")
    assert order(group, "ab", a=ms(10, down=True), b=ms(300))[0] == "b"
    assert order(group, "ab", a=ms(10, trusted=False), b=ms(300)) == "ba"


def test_a_group_in_a_group_counts_as_the_line_that_it_would_use():
    group = rules(inner="failover a b", g="latency c inner")
    assert order(group, a=ms(10), b=ms(90), c=ms(50)) == "abc"
    assert order(group, a=ms(10, down=True), b=ms(90), c=ms(50)) == "cab"
    assert order(group, "", "inner", a=FAILED) == "ba"


def test_a_group_that_nobody_measures_comes_behind_those_that_are():
    """It counts as the line that it would use; that another line of it is measured does not matter."""
    group = rules(inner="failover a b", g="latency inner c d")
    assert order(group, "abcd", b=ms(5), c=ms(80)) == "cabd"
    assert order(group, "abcd", a=FAILED, b=ms(5), c=ms(80)) == "bcda"
    assert order(group) == "abcd"


def test_latency_groups_in_latency_groups_and_in_others():
    found = rules(fast="latency a b", far="latency c d", g="latency far fast", h="failover far fast")
    known = {"a": ms(60), "b": ms(20), "c": ms(90), "d": ms(45)}
    assert order(found, **known) == "badc"
    assert order(found, group="h", **known) == "dcba", "failover: as it is written, whatever is measured"
    assert order(found, a=ms(60), c=ms(90)) == "abcd"
    assert shares(found, **known) == {"b": 1} and shares(found, group="h", **known) == {"d": 1}
    assert shares(found, group="h", c=DOWN, d=DOWN, a=ms(60), b=ms(20)) == {"b": 1}


def test_a_balance_is_as_slow_as_the_slowest_line_that_it_uses():
    found = rules(shared="balance a b", g="latency shared c", one="failover d shared", h="latency one c")
    assert order(found, a=ms(10), b=ms(300), c=ms(50)) == "cab"
    assert order(found, a=ms(10), b=ms(300, down=True), c=ms(50)) == "abc"
    assert order(found, a=ms(10), b=ms(None), c=ms(50)) == "abc", "of those that are measured"
    assert order(found, c=ms(50)) == "cab"
    assert order(found, group="h", a=ms(10), b=ms(300), c=ms(50), d=ms(5)) == "dabc"
    assert order(found, group="h", a=ms(10), b=ms(300), c=ms(50), d=DOWN) == "cdab"


def test_a_group_is_used_in_another_as_it_is_used_alone():
    """What the outer one did last is no reason for the inner one to stay."""
    found = rules(inner="latency a b", g="failover inner c")
    before = {"inner": Use({4: ("b", "a"), 6: ()}, {}), "g": Use({4: ("a", "b", "c"), 6: ()}, {})}
    known = {"a": ms(30), "b": ms(35)}
    made = uses(found, known, before)
    assert made["inner"].order[4] == ("b", "a") and made["g"].order[4] == ("b", "a", "c")


def test_a_line_in_two_members_stands_once():
    assert order(rules(one="failover a b", two="failover b c", g="failover one two")) == "abc"


def test_a_circle_ends():
    found = uses(rules(g="failover h a", h="failover g b"), {}, {})
    assert set(found["g"].order[4]) == set(found["h"].order[4]) == set("ab")


def test_nothing_but_groups_has_an_order():
    assert set(uses(rules(g="failover a b"), {}, {})) == {"g"}


def weighted(**weights: int) -> Ruleset:
    found = rules(inner="failover a b", spread="balance c d", g="balance a b c", top="balance inner spread")
    for name, weight in weights.items():
        outbound = found.outbound(name)
        assert outbound is not None
        outbound.weight = weight
    return found


def test_one_line_carries_all_of_a_group_that_does_not_balance():
    assert shares(rules(g="failover a b")) == {"a": 1}
    assert shares(rules(g="failover a b"), a=DOWN) == {"b": 1}
    assert shares(rules(g="failover a b"), a=DOWN, b=DOWN) == {}


def test_a_balance_spreads_by_weight_over_the_lines_that_are_well():
    assert shares(weighted(a=3)) == {"a": 3, "b": 1, "c": 1}
    assert shares(weighted(a=3), a=DOWN) == {"b": 1, "c": 1}
    assert shares(weighted(a=3), a=FAILED) == {"b": 1, "c": 1}
    assert shares(weighted(a=3), a=FAILED, b=FAILED, c=DOWN) == {"a": 3, "b": 1}, "better than none"


def test_groups_in_a_balance_take_their_own_weight_however_many_lines_they_have():
    assert shares(weighted(inner=2, c=3), group="top") == {"a": 8, "c": 3, "d": 1}
    assert shares(weighted(inner=2), group="top", a=DOWN) == {"b": 4, "c": 1, "d": 1}
    assert shares(weighted(inner=2), group="top", c=DOWN) == {"a": 2, "d": 1}
    assert shares(weighted(inner=2), group="top", a=DOWN, b=DOWN) == {"c": 1, "d": 1}


def test_shares_stay_small_numbers_whatever_the_weights():
    assert shares(weighted(a=1000, b=500, c=250)) == {"a": 4, "b": 2, "c": 1}
    assert shares(weighted(a=1000, b=600, c=400)) == {"a": 5, "b": 3, "c": 2}
    found = shares(weighted(a=997, b=991, c=1))
    assert sum(found.values()) <= MOST_PARTS + 3 and found["c"] == 1
    assert abs(found["a"] / sum(found.values()) - 997 / 1989) < 0.004


def test_each_family_has_its_own_order_and_shares():
    old = Condition(families=(4,))
    group = rules(g="failover a b")
    assert shares(group, 6, a=old) == {"b": 1} and shares(group, 4, a=old) == {"a": 1}
    assert shares(weighted(), 6, a=old) == {"b": 1, "c": 1}
    assert shares(group, 6, a=old, b=old) == {"a": 1}, "there it ends, instead of leaking"


def test_proxies_and_tunnels_are_passed_over_as_long_as_nobody_drives_them():
    """They have no class: a share that named one could not be compiled."""
    found = rules(g="failover p a t", h="balance p b", n="balance t")
    ruleset = Ruleset(outbounds=(Outbound("p", "xray", node="far"), Outbound("t", "tunnel"), *found.outbounds))
    assert shares(ruleset) == {"a": 1}
    assert shares(ruleset, group="h") == {"b": 1}
    assert shares(ruleset, group="n") == {}
