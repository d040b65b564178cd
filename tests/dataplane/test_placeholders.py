"""The text of a table's structure: the same for tables that differ only in what their sets hold."""

from __future__ import annotations

import re

from netpolicy.dataplane.placeholders import placeholders, structure, unhooked
from netpolicy.dataplane.policy import Entry
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.script import structure_text
from netpolicy.dataplane.shape import MOST_RANGES
from netpolicy.dataplane.table import build
from tests.router import policy, rule

LONG = " ".join(f"10.0.{number}.0/25" for number in range(MOST_RANGES)) + " 192.0.2.1"
VIDEO = Entry(rule("video", dest_addr="203.0.113.0/24", dest_port="443"), 2)
WORK = Entry(rule("work", src_addr=LONG, dest_port="25"), 1)


def test_other_elements_are_the_same_structure():
    moved = replace(VIDEO, rule=rule("video", dest_addr="198.51.100.0/24", dest_port="80"))
    longer = replace(WORK, rule=rule("work", src_addr=LONG + " 192.0.2.7", dest_port="25"))
    one, other = build(policy(VIDEO, WORK)), build(policy(longer, moved))
    assert structure_text(one) != structure_text(other)
    assert structure(one) == structure(other)


def test_another_guard_key_class_or_number_of_maps_is_another_structure():
    base = structure(build(policy(VIDEO)))
    for changed in (
        policy(replace(VIDEO, rule=rule("video", dest_addr="203.0.113.0/24", dest_port="443", dscp="ef"))),
        policy(replace(VIDEO, rule=rule("video", src_addr="203.0.113.0/24", dest_port="443"))),
        policy(VIDEO, Entry(rule("wide", dest_addr="203.0.0.0/16", dest_port="1-999"), 2)),
        policy(replace(VIDEO, number=1)),
        policy(VIDEO, ingress=(("wanb", 2),)),
    ):
        assert structure(build(changed)) != base


def test_every_set_named_after_its_content_has_a_stand_in_that_the_text_uses():
    table = build(policy(VIDEO, WORK))
    stand_ins = placeholders(table)
    assert set(stand_ins) == {one.name for one in table.sets} - {"restore", "alive", "hits_a", "verdicts_a"}
    text = structure(table)
    for name, stand_in in stand_ins.items():
        assert name not in text and text.count(f" {stand_in} ") == 1 and f"@{stand_in}" in text
    assert sorted(stand_ins.values()) == ["g4a_da_dp_x1", "g4a_dp_x2", "l4_x0"]


def test_a_rule_whose_name_looks_like_one_of_ours_keeps_its_name():
    (name,) = (one.name for one in build(policy(VIDEO)).sets if one.name.startswith("g4a"))
    found = structure(build(policy(replace(VIDEO, rule=rule("l4_0123456789", dest_port="1"), log=True), VIDEO)))
    assert "np:rule=l4_0123456789" in found and name not in found


def test_without_hooks_the_same_rules_are_left():
    text = structure(build(policy(VIDEO)))
    plain = unhooked(text)
    assert "hook" in text and "hook" not in plain
    assert [line for line in plain.splitlines() if line.startswith("add rule")] == [
        line for line in text.splitlines() if line.startswith("add rule")
    ]
    assert re.findall(r"add chain \S+ \S+ (\S+)", plain) == re.findall(r"add chain \S+ \S+ (\S+)", text)
