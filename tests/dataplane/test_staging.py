"""The steps of a change as texts and batches: what is staged is new, what is swapped refers to what is there."""

from __future__ import annotations

import re

from netpolicy.dataplane import staging
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.nft_messages import AddElements, Change, DeleteElements
from netpolicy.dataplane.packed import ElementChange
from netpolicy.dataplane.policy import Entry
from netpolicy.dataplane.staging import Difference
from netpolicy.dataplane.table import build
from tests.router import policy, rule

MARKS = Marks(0x77000000)
STOP = Entry(rule("stop", ("block", "drop"), dest_port="25"), MARKS.drop, blocks=True)
TABLE = build(policy(Entry(rule("video", dest_port="443"), 2), STOP))
MAP = TABLE.sets[-1].name  # that of `stop`

OLD, NEW, MOVED = (
    Element(b"1", verdict="goto v_01"),
    Element(b"1", verdict="goto v_02"),
    Element(b"2", verdict="goto v_02"),
)
COUNTS = Element(b"3", counter=(0, 0), comment="video")
CHANGE = Difference(
    missing_sets=(MAP,),
    stale_sets=("g4a_da_0123456789",),
    missing_chains=("v_02", "m_02", "k_02", "forward_np"),
    changed_chains=("classify", "pre"),
    stale_chains=("r_old", "post_np"),
    stale_hooks=("post_np",),
    elements={
        "verdicts_a": ElementChange(add=(MOVED,), delete=(Element(b"9"),), replace=(NEW,), before=(OLD,)),
        "hits_a": ElementChange(add=(COUNTS,)),
    },
)


def written(changes: list[Change]) -> list[tuple[type, str, list[Element]]]:
    return [(type(change), change.name, list(change.elements)) for change in changes]


def touched(text: str) -> set[str]:
    """The chains that the text declares, fills, empties or deletes."""
    return set(re.findall(r"^(?:add chain|add rule|flush chain|delete chain) inet netpolicy (\S+)", text, re.MULTILINE))


def test_the_stage_touches_nothing_that_packets_pass():
    text = staging.stage_text(TABLE, CHANGE)
    assert touched(text) == {"v_02", "m_02", "k_02"}
    assert "delete" not in text and "hook" not in text and "add element" not in text
    assert text.count(f"add {TABLE.sets[-1].declaration}\n") == 1


def test_a_chain_and_a_set_are_declared_before_the_first_rule():
    lines = staging.stage_text(TABLE, CHANGE).splitlines()
    first_rule = next(place for place, line in enumerate(lines) if line.startswith(("add rule", "flush")))
    assert not [line for line in lines[first_rule:] if line.startswith(("add chain", "add map", "add set"))]


def test_a_new_hook_comes_after_the_elements_and_before_the_swap():
    text = staging.hook_text(TABLE, CHANGE)
    assert touched(text) == {"forward_np"} and "hook forward" in text


def test_the_swap_fills_what_changed_and_empties_hooks_that_are_not_wanted():
    """A chain that packets may still be led to goes on: empty, it would let them pass by main."""
    text = staging.swap_text(TABLE, CHANGE)
    assert touched(text) == {"classify", "pre", "post_np"}
    assert "delete" not in text and f"@{MAP}" in text
    assert "add rule inet netpolicy post_np" not in text


def test_elements_that_nobody_asks_for_yet_come_first_and_those_that_nobody_asks_for_any_more_go_last():
    assert written(staging.additions(CHANGE, {})) == [
        (AddElements, "verdicts_a", [MOVED]),
        (AddElements, "hits_a", [COUNTS]),
    ]
    assert written(staging.removals(CHANGE)) == [(DeleteElements, "verdicts_a", [Element(b"9")])]


def test_a_rule_that_gets_another_label_counts_on():
    counts = [Element(b"3", counter=(0, 0), comment=name) for name in ("video", "new")]
    found = staging.additions(Difference(elements={"hits_a": ElementChange(add=tuple(counts))}), {"video": (5, 500)})
    assert [element.counter for _, _, elements in written(found) for element in elements] == [(5, 500), (0, 0)]


def test_what_leads_elsewhere_is_exchanged_in_one_batch_and_can_be_put_back():
    there = [(DeleteElements, "verdicts_a", [OLD]), (AddElements, "verdicts_a", [NEW])]
    back = [(DeleteElements, "verdicts_a", [NEW]), (AddElements, "verdicts_a", [OLD])]
    assert (written(staging.replacements(CHANGE)), written(staging.restorations(CHANGE))) == (there, back)
    only_too_many = Difference(elements={MAP: ElementChange(before=(OLD,))})
    assert written(staging.replacements(only_too_many)) == [(DeleteElements, MAP, [OLD])]
    assert written(staging.restorations(only_too_many)) == [(AddElements, MAP, [OLD])]


def test_clearing_empties_the_chains_that_nobody_leads_to_and_then_removes_them():
    assert touched(staging.empty_text(CHANGE)) == set(CHANGE.stale_chains)
    assert staging.clear_text(CHANGE).splitlines() == [
        "delete chain inet netpolicy r_old",
        "delete chain inet netpolicy post_np",
    ]


def test_unstaging_takes_back_exactly_what_was_staged():
    staged = touched(staging.stage_text(TABLE, CHANGE) + staging.hook_text(TABLE, CHANGE))
    taken = staging.unstage_text(TABLE, CHANGE) + staging.unstage_chains_text(TABLE, CHANGE)
    assert set(re.findall(r"delete chain inet netpolicy (\S+)", taken)) == staged == set(CHANGE.missing_chains)


def test_an_empty_difference_has_no_text_and_no_batch():
    nothing = Difference()
    assert nothing.is_empty and nothing.changes == ()
    for text in (
        staging.stage_text(TABLE, nothing), staging.hook_text(TABLE, nothing), staging.swap_text(TABLE, nothing),
        staging.clear_text(nothing), staging.unstage_text(TABLE, nothing), staging.unstage_chains_text(TABLE, nothing),
    ):  # fmt: skip
        assert text == ""
    assert staging.additions(nothing, {}) == staging.replacements(nothing) == staging.removals(nothing) == []


def test_every_kind_of_difference_has_a_line_for_people():
    assert CHANGE.changes == (
        "+ chain v_02",
        "+ chain m_02",
        "+ chain k_02",
        "+ chain forward_np",
        "~ chain classify",
        "~ chain pre",
        "- chain r_old",
        "- chain post_np",
        f"+ set {MAP}",
        "- set g4a_da_0123456789",
        "+ 1 in verdicts_a",
        "~ 1 in verdicts_a",
        "- 1 in verdicts_a",
        "+ 1 in hits_a",
    )
    assert Difference(rebuild=True).changes == ("+ table inet netpolicy",)
    assert Difference(elements={MAP: ElementChange(before=(OLD,))}).changes == (f"~ 1 in {MAP}",)
