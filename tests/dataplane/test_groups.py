"""Groups: few nft rules however many rules there are, the best label wins, and what did not change is kept."""

from __future__ import annotations

import random
import re

import pytest

from netpolicy.dataplane.areas import MOST
from netpolicy.dataplane.groups import LEAST_TO_LEAD, Group, Groups
from netpolicy.dataplane.labels import NONE, assign
from netpolicy.dataplane.policy import Entry, Policy
from netpolicy.dataplane.shape import MOST_RANGES, Shape, shapes
from netpolicy.dataplane.table import LEAST_ROOM, build
from tests.router import policy, rule

POLICY = Policy()


def shaped(**fields: str) -> tuple[Shape, ...]:
    return shapes(Entry(rule("r", **fields), 2), POLICY)


def grouped(*labelled: tuple[tuple[Shape, ...], int]) -> list[Group]:
    return Groups().of(labelled)


def test_rules_of_one_shape_share_one_lookup():
    (group,) = grouped((shaped(dest_port="443", proto="tcp"), 5), (shaped(dest_port="80", proto="tcp"), 9))
    (only,) = group.maps
    assert group.rules == (f"meta priority set th dport . meta l4proto . meta priority map @{only.name}",)
    assert only.elements == (
        (((80, 80), (6, 6), (10, NONE)), 9, ""),
        (((443, 443), (6, 6), (6, NONE)), 5, ""),
    )
    assert only.types == ("inet_service", "inet_proto", "classid") and only.data == "classid" and only.interval


def test_where_two_of_one_shape_meet_the_better_label_stands():
    (group,) = grouped((shaped(dest_addr="10.0.0.0/8"), 5), (shaped(dest_addr="10.1.0.0/16"), 9))
    assert [value for one in group.maps for _, value, _ in one.elements] == [5]
    (group,) = grouped((shaped(dest_addr="10.0.0.0/8"), 9), (shaped(dest_addr="10.1.0.0/16"), 5))
    assert [value for one in group.maps for _, value, _ in one.elements] == [9, 5, 9]


def test_what_overlaps_in_two_parts_takes_a_second_map_of_the_same_group():
    (group,) = grouped(
        (shaped(dest_addr="10.0.0.0/8", dest_port="1-100"), 5), (shaped(dest_addr="10.1.0.0/16", dest_port="50-200"), 9)
    )
    assert len(group.maps) == len(group.rules) == 2
    assert [one.name for one in group.maps] == [text.rsplit("@", 1)[1] for text in group.rules]
    guard = "meta l4proto { 6, 17, 33, 132, 136 } "
    assert all(text.startswith(guard + "meta priority set ip daddr . th dport . ") for text in group.rules)


def test_without_anything_for_a_key_the_best_of_the_group_is_one_plain_rule():
    (group,) = grouped((shaped(), 9), (shaped(), 5), (shaped(), 7))
    assert group.rules == ("meta priority > 0x5 meta priority set 0x5",) and group.maps == ()
    (group,) = grouped((shaped(src_iface="eth0 !lo"), 9))
    assert group.rules == ('meta priority > 0x9 iifname "eth0" meta priority set 0x9',)


def test_another_guard_family_or_direction_is_another_group():
    found = grouped(
        (shaped(dest_addr="10.0.0.1"), 1),
        (shaped(dest_addr="2001:db8::1"), 2),
        (shaped(dest_addr="10.0.0.1", dscp="ef"), 3),
        (shaped(dest_addr="10.0.0.1", src_iface="lo"), 4),
        (shaped(dest_addr="10.0.0.1", src_iface="eth0"), 5),
    )
    assert len(found) == 5
    assert len({one.name for group in found for one in group.maps}) == 5


def test_a_map_is_named_after_its_shape_and_what_it_holds():
    (four,) = grouped((shaped(dest_addr="10.0.0.1", dest_port="443", proto="tcp"), 5))[0].maps
    assert re.fullmatch(r"g4a_da_dp_pr_[0-9a-f]{10}", four.name)
    (again,) = grouped((shaped(dest_addr="10.0.0.1", dest_port="443", proto="tcp"), 5))[0].maps
    (label,) = grouped((shaped(dest_addr="10.0.0.1", dest_port="443", proto="tcp"), 6))[0].maps
    (match,) = grouped((shaped(dest_addr="10.0.0.2", dest_port="443", proto="tcp"), 5))[0].maps
    (guard,) = grouped((shaped(dest_addr="10.0.0.1", dest_port="443", proto="tcp", dscp="ef"), 5))[0].maps
    assert again.name == four.name
    assert len({four.name, label.name, match.name, guard.name}) == 4


def test_a_group_whose_rules_did_not_change_is_the_same_object():
    groups = Groups()
    mail, web, lan = shaped(dest_port="25"), shaped(dest_port="443"), shaped(src_addr="192.168.1.0/24")
    ports, sources = groups.of([(mail, 3), (web, 5), (lan, 7)])
    assert groups.of([(mail, 3), (web, 5), (lan, 7)]) == [ports, sources]
    other = shaped(src_addr="192.168.2.0/24")
    same_ports, changed = groups.of([(mail, 3), (web, 5), (other, 7)])
    assert same_ports is ports and changed is not sources
    moved, same_changed = groups.of([(mail, 3), (web, 6), (other, 7)])
    assert moved is not ports and same_changed is changed
    assert groups.of([(other, 7)]) == [changed]


def many(count: int) -> list[tuple[tuple[Shape, ...], int]]:
    return [(shaped(dest_addr=f"10.{n >> 8}.{n & 255}.0/24", proto="tcp"), n + 1) for n in range(count)]


def test_of_a_large_group_each_area_has_a_map_and_a_rule_that_asks_in_it_alone():
    (group,) = grouped(*many(MOST + 500))
    assert len(group.maps) == len(group.rules) == 2
    assert [text.partition(" meta")[0] for text in group.rules] == ["ip daddr 10.0.0.0/14", "ip daddr 10.4.0.0/14"]
    assert sum(len(one.elements) for one in group.maps) == MOST + 500
    ports = [(shaped(dest_port=str(n), proto="tcp"), n + 1) for n in range(MOST + 500)]
    (group,) = grouped(*ports)
    assert [text.partition(" meta")[0] for text in group.rules] == ["th dport 0-1023", "th dport 1024-2047"]


def test_of_a_large_group_the_maps_of_other_areas_are_kept():
    groups = Groups()
    rules = many(MOST + 500)
    (before,) = groups.of(rules)
    rules[7] = (shaped(dest_addr="10.0.7.0/25", proto="tcp"), 8)
    (after,) = groups.of(rules)
    assert after.maps[0] is not before.maps[0] and after.maps[1] is before.maps[1]
    rules[9] = (rules[9][0], 0)
    (label,) = groups.of(rules)
    assert label.maps[0] is not after.maps[0] and label.maps[1] is before.maps[1]


def test_an_area_that_becomes_one_around_others_asks_for_labels_though_its_boxes_stay():
    """A thousand that reach across the middle of a block; then some in its halves, which are areas of their own."""
    across = [(shaped(dest_addr="10.0.127.0-10.0.128.255", dest_port=str(n), proto="tcp"), n) for n in range(1, 1001)]
    outside = [
        (shaped(dest_addr=f"10.{1 + n // 256}.{n % 256}.0/24", dest_port="9", proto="tcp"), 2000 + n)
        for n in range(1500)
    ]
    inside = [(shaped(dest_addr=f"10.0.0.{n}", dest_port="9", proto="tcp"), 4000 + n) for n in range(100)]
    groups = Groups()
    for rules in (across + outside, across + outside + inside, across + outside):
        (group,) = groups.of(rules)
        (alone,) = grouped(*rules)
        assert group.rules == alone.rules
        asked = {text.rpartition("@")[2]: ". meta priority map" in text for text in group.rules}
        assert {one.name: one.types[-1] == "classid" for one in group.maps} == asked


def test_the_long_lists_of_a_group_come_with_it():
    long = " ".join(f"10.0.{number}.0/25" for number in range(MOST_RANGES)) + " 192.0.2.1"
    found = shaped(dest_addr=long, dest_port="443", proto="tcp")
    (group,) = grouped((found, 5), (shaped(dest_addr=long, dest_port="80", proto="tcp"), 6))
    (large,) = group.large
    assert group.rules[0].startswith(f"ip daddr @{large.name} meta priority set th dport . ")
    assert len(group.maps[0].elements) == 2


def to_networks(count: int, first: int = 1, **fields: str) -> list[tuple[tuple[Shape, ...], int]]:
    """So many rules, each with another destination."""
    return [(shaped(dest_addr=f"10.{n >> 8}.{n & 255}.0/24", **fields), first + n) for n in range(count)]


def test_the_largest_group_is_asked_first_and_without_labels():
    small = to_networks(LEAST_TO_LEAD - 1, src_addr="192.168.1.1")
    assert [group.leads for group in grouped(*small)] == [False]
    large = to_networks(LEAST_TO_LEAD, 1000, dest_port="443", proto="tcp")
    first, second = grouped(*small, *large)
    assert (first.leads, second.leads) == (True, False)
    assert first.rules == (f"meta priority set ip daddr . th dport . meta l4proto map @{first.maps[0].name}",)
    assert first.maps[0].types == ("ipv4_addr", "inet_service", "inet_proto")
    assert first.maps[0].elements[0] == (((0x0A000000, 0x0A0000FF), (443, 443), (6, 6)), 1000, "")
    assert second.rules == (f"meta priority set ip daddr . ip saddr . meta priority map @{second.maps[0].name}",)


def test_of_the_first_group_what_overlaps_and_what_is_around_areas_asks_for_better_labels():
    around = (shaped(dest_addr="10.0.0.0/8", dest_port="1-9", proto="tcp"), 9000)
    (group,) = grouped(*to_networks(2 * MOST, 1, dest_port="5-10", proto="tcp"), around)
    assert [" . meta priority map @" in text for text in group.rules] == [False, False, True]
    assert [len(one.types) for one in group.maps] == [3, 3, 4]
    overlap = (shaped(dest_addr="10.0.0.0/23", dest_port="1-9", proto="tcp"), 9000)
    (group,) = grouped(*to_networks(LEAST_TO_LEAD, 1, dest_port="5-10", proto="tcp"), overlap)
    assert sorted(" . meta priority map @" in text for text in group.rules) == [False, True]
    assert " . meta priority map @" not in group.rules[0]


def test_a_few_rules_more_do_not_make_another_group_the_first_one():
    groups = Groups()
    ports, sources = {"dest_port": "443", "proto": "tcp"}, {"src_addr": "192.168.1.1"}
    from_one = to_networks(LEAST_TO_LEAD + 20, 1000, **sources)
    first = groups.of(from_one + to_networks(LEAST_TO_LEAD + 10, **ports))[0]
    again, changed = groups.of(from_one + to_networks(LEAST_TO_LEAD + 30, **ports))
    assert again is first and first.leads and not changed.leads
    others, led_before = groups.of(from_one + to_networks(2 * LEAST_TO_LEAD, **ports))
    assert others.leads and len(others.maps[0].types) == 3 and not led_before.leads
    assert led_before.maps[0].types == ("ipv4_addr", "ipv4_addr", "classid")


def test_one_part_alone_does_not_lead():
    assert [group.leads for group in grouped(*to_networks(LEAST_TO_LEAD))] == [False]


# -- the number of nft rules ---------------------------------------------------------------------


def predecessor(drawn: random.Random, number: int) -> dict[str, str]:
    return {"dest_port": str(1 + number), "proto": "tcp"}


def networks(drawn: random.Random, number: int) -> dict[str, str]:
    return {"dest_addr": f"{number % 223 + 1}.{drawn.randrange(256)}.{drawn.randrange(256)}.0/24"}


def mixed(drawn: random.Random, number: int) -> dict[str, str]:
    found = {
        "dest_addr": f"{number % 223 + 1}.{drawn.randrange(256)}.{drawn.randrange(256)}.0/24",
        "src_addr": f"192.168.{drawn.randrange(8)}.{drawn.randrange(256)}",
        "dest_port": str(drawn.randrange(1, 60_000)),
        "proto": drawn.choice(("tcp", "udp")),
    }
    forms = (("dest_addr",), ("dest_port", "proto"), ("src_addr", "dest_addr"), ("src_addr", "dest_port", "proto"))
    return {name: found[name] for name in forms[number % 4]}


def nft_rules(made, count: int, seed: int) -> int:
    """How many rules the whole table has. Ranks of the forms are interleaved at random."""
    drawn = random.Random(seed)
    entries = [Entry(rule(f"r{number}", **made(drawn, number)), 1 + number % 2) for number in range(count)]
    drawn.shuffle(entries)
    return sum(len(chain.rules) for chain in build(policy(*entries)).chains.values())


@pytest.mark.parametrize("made", [predecessor, networks, mixed])
def test_the_number_of_nft_rules_does_not_grow_with_the_rules_whatever_their_order(made):
    assert {nft_rules(made, count, seed) for count, seed in ((100, 1), (100, 2), (1_000, 3), (1_000, 4))} == {
        nft_rules(made, 100, 5)
    }


def test_of_each_rule_there_is_one_element_to_count_and_one_that_leads_on():
    entries = [Entry(rule(f"r{number}", dest_port=str(number)), 1) for number in range(300)]
    table = build(policy(*entries))
    sizes = {one.name: len(one.elements) for one in table.sets}
    assert sizes["hits_a"] == sizes["verdicts_a"] == 300
    assert table.labels == assign([entry.rule.name for entry in entries])
    assert {one.size for one in table.sets if one.name in ("hits_a", "verdicts_a")} == {2 * LEAST_ROOM}
