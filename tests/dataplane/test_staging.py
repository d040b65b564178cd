"""Stage and swap as texts: what is staged is new, what is swapped refers only to what is there."""

from __future__ import annotations

import re

from netpolicy.dataplane import staging
from netpolicy.dataplane.policy import Entry
from netpolicy.dataplane.staging import Difference
from netpolicy.dataplane.table import build
from tests.router import policy, rule

TABLE = build(policy(Entry(rule("video", dest_port="443"), 2)))
CHANGE = Difference(
    missing_counters=("c_video",),
    stale_counters=("c_old",),
    missing_chains=("r_video", "m_02", "k_02"),
    changed_chains=("g_forwarded", "pre"),
    stale_chains=("g4_forwarded", "r_old"),
    missing_elements=("0x02000000",),
    stale_elements=("0x05000000",),
    generations={"g_forwarded": 4, "g_own": 2},
)


def test_the_stage_touches_nothing_that_packets_pass():
    text = staging.stage_text(TABLE, CHANGE, 5)
    assert set(re.findall(r"flush chain inet netpolicy (\S+)", text)) == {"r_video", "m_02", "k_02", "g5_forwarded"}
    assert "delete" not in text
    assert not re.search(r" (pre|out|classify|g4_forwarded|g2_own)\b", text)


def test_a_chain_is_declared_before_anything_refers_to_it():
    lines = staging.stage_text(TABLE, CHANGE, 5).splitlines()
    declared = [line for line in lines if line.startswith("add chain")]
    first_rule = next(
        index for index, line in enumerate(lines) if line.startswith(("add rule", "flush", "add element"))
    )
    assert lines[first_rule - len(declared) : first_rule] == declared
    assert lines[-1] == "add element inet netpolicy restore { 0x02000000 : goto k_02 }"


def test_the_swap_points_the_front_at_the_new_generation_and_clears_up():
    lines = staging.swap_text(TABLE, CHANGE, 5).splitlines()
    assert "add rule inet netpolicy classify goto g5_forwarded" in lines
    assert "add rule inet netpolicy classify_own goto g2_own" not in lines  # it was not restaged
    deletions = [line for line in lines if line.startswith("delete")]
    assert deletions == [
        "delete element inet netpolicy restore { 0x05000000 }",
        "delete chain inet netpolicy g4_forwarded",
        "delete chain inet netpolicy r_old",
        "delete counter inet netpolicy c_old",
    ]
    assert lines.index("flush chain inet netpolicy g4_forwarded") < lines.index(deletions[1])


def test_unstaging_takes_back_exactly_what_was_staged():
    staged = re.findall(r"add (chain|counter) inet netpolicy (\S+)", staging.stage_text(TABLE, CHANGE, 5))
    taken = re.findall(r"delete (chain|counter) inet netpolicy (\S+)", staging.unstage_text(TABLE, CHANGE, 5))
    assert sorted(staged) == sorted(taken)


def test_an_empty_difference_has_no_text():
    nothing = Difference(generations={"g_forwarded": 4, "g_own": 4})
    assert nothing.is_empty and nothing.changes == ()
    assert staging.stage_text(TABLE, nothing, 5) == staging.swap_text(TABLE, nothing, 5) == ""
    assert staging.unstage_text(TABLE, nothing, 5) == ""


def test_every_kind_of_difference_has_a_line_for_people():
    assert CHANGE.changes == (
        "+ counter c_video",
        "- counter c_old",
        "+ class 0x02000000",
        "- class 0x05000000",
        "+ chain r_video",
        "+ chain m_02",
        "+ chain k_02",
        "~ chain g_forwarded",
        "~ chain pre",
        "- chain g4_forwarded",
        "- chain r_old",
    )
    assert Difference(rebuild=True).changes == ("+ table inet netpolicy",)
    assert Difference(no_map=True).changes == ("+ map restore",)


def test_the_unhooked_table_has_the_same_rules_and_no_hook():
    plain = staging.unhooked(TABLE)
    assert not [chain for chain in plain.chains.values() if chain.header]
    assert {name: chain.rules for name, chain in plain.chains.items()} == {
        name: chain.rules for name, chain in TABLE.chains.items()
    }
