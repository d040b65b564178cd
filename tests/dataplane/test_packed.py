"""Elements as the kernel keeps them: what differs is found, what is equal is not, and counters go along."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane.labels import NONE
from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.packed import ElementChange, change, contents, digest, is_tree, pack, repair
from netpolicy.dataplane.set_key import from_host_number, host_number
from netpolicy.dataplane.sets import KernelSet


def verdicts(**leads: str) -> KernelSet:
    """Labels l5=..., l9=..."""
    found = tuple((((int(name[1:]),) * 2,), to, "") for name, to in leads.items())
    return KernelSet("verdicts_a", ("classid",), found, "verdict")


def hits(**names: str) -> KernelSet:
    found = tuple((((int(label[1:]),) * 2,), None, name) for label, name in names.items())
    return KernelSet("hits_a", ("classid",), found, counter=True)


def intervals(*spans: tuple[int, int], value: int = 3) -> KernelSet:
    found = tuple(((span, (value + 1, NONE)), value, "") for span in spans)
    return KernelSet("g4a_da", ("ipv4_addr", "classid"), found, "classid", interval=True)


def tree(*spans: tuple[int, int]) -> KernelSet:
    return KernelSet("l4_x", ("ipv4_addr",), tuple(((span,), None, "") for span in spans), interval=True)


def shown(found: ElementChange) -> tuple[list[tuple[int, str]], ...]:
    """(label, what it says) of what is added, replaced, deleted."""
    return tuple(
        [(from_host_number(element.key), element.verdict or element.comment) for element in elements]
        for elements in (found.add, found.replace, found.delete)
    )


def test_a_verdict_and_a_comment_are_packed_as_nft_spells_them():
    assert list(pack(verdicts(l5="v_02", l9="accept"))) == [
        Element(host_number(5), verdict="goto v_02"),
        Element(host_number(9), verdict="accept"),
    ]
    assert list(pack(hits(l5="video"))) == [Element(host_number(5), counter=(0, 0), comment="video")]


def test_an_element_counts_on_from_where_its_rule_is():
    found = list(pack(hits(l5="video", l9="mail"), {"video": (3, 180), "other": (1, 1)}))
    assert [element.counter for element in found] == [(3, 180), (0, 0)]


def test_only_intervals_of_one_field_are_a_tree():
    assert is_tree(tree((1, 2))) and not is_tree(intervals((1, 2))) and not is_tree(hits(l5="video"))
    assert [element.closes for element in pack(tree((1, 2), (5, NONE)))] == [False, True, False]
    (found,) = pack(intervals((1, 2)))
    assert found.key_end is not None and not found.closes and found.data == host_number(3)


def test_what_a_set_of_single_keys_says_is_compared_key_by_key():
    loaded = contents(pack(verdicts(l5="v_01", l6="v_01", l7="v_03")))
    found = change(verdicts(l5="v_01", l6="v_02", l8="v_04"), loaded)
    assert shown(found) == ([(8, "goto v_04")], [(6, "goto v_02")], [(7, "")])
    assert found.count == 3
    assert [element.verdict for element in found.before] == ["goto v_01"]
    assert change(verdicts(l5="v_01", l6="v_01", l7="v_03"), loaded).count == 0


def test_a_number_that_a_key_stands_for_is_compared_too():
    wanted, other = (KernelSet("alive", ("mark",), ((((0, 0),), value, ""),), "classid") for value in (0, 7))
    assert change(wanted, contents(pack(wanted))).count == 0
    found = change(wanted, contents(pack(other)))
    assert ([one.data for one in found.replace], [one.data for one in found.before]) == ([bytes(4)], [host_number(7)])
    assert change(wanted, {}).add == tuple(pack(wanted))


def test_a_label_that_counts_for_another_rule_is_replaced():
    found = change(hits(l5="mail", l7="new"), contents(pack(hits(l5="video", l6="gone"))))
    assert shown(found) == ([(7, "new")], [(5, "mail")], [(6, "")])
    assert all(element.counter == (0, 0) for element in (*found.add, *found.replace))


def test_an_element_that_somebody_added_without_a_comment_is_found():
    found = change(hits(l5="video"), {host_number(5): "", host_number(6): ""})
    assert shown(found) == ([], [(5, "video")], [(6, "")])


def test_intervals_that_somebody_changed_are_put_right():
    wanted = intervals((1, 2), (5, 9), (20, 30))
    loaded = [*pack(intervals((1, 2), (20, 29))), *pack(intervals((5, 9), value=4))]
    found = repair(wanted, loaded)
    # In one batch: those that are missing may overlap with those that are too many.
    assert found.add == found.delete == ()
    assert found.count == found.replaced == 2
    left = {element.content() for element in loaded} - {element.content() for element in found.before}
    assert left | {element.content() for element in found.replace} == {element.content() for element in pack(wanted)}
    assert repair(wanted, [*pack(wanted), *pack(intervals((40, 50)))]).replaced == 1


def test_an_end_that_closes_nothing_is_no_difference():
    """nft writes one at 0 into a tree that begins later; netlink need not."""
    end = Element(bytes(4), closes=True)
    assert digest([end, *pack(tree((5, 9)))]) == digest(pack(tree((5, 9))))
    assert repair(tree((5, 9)), [end, *pack(tree((5, 9)))]).count == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda p: (min(p), max(p))), max_size=6),
       st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda p: (min(p), max(p))), max_size=6),
       st.randoms(use_true_random=False))  # fmt: skip
def test_a_digest_tells_contents_apart_whatever_their_order(one, other, drawn):
    packed = list(pack(intervals(*one)))
    assert digest(drawn.sample(packed, len(packed))) == digest(packed)
    assert (digest(pack(intervals(*other))) == digest(packed)) == (sorted(one) == sorted(other))


def test_a_digest_sees_value_end_verdict_and_number():
    base = Element(b"\0\0\0\1", b"\0\0\0\2", b"\0\0\0\3")
    others = [
        Element(b"\0\0\0\1", b"\0\0\0\2", b"\0\0\0\4"),
        Element(b"\0\0\0\1", b"\0\0\0\3", b"\0\0\0\3"),
        Element(b"\0\0\0\1", verdict="goto v_01"),
        Element(b"\0\0\0\1", verdict="goto v_02"),
        Element(b"\0\0\0\1"),
        Element(b"\0\0\0\1", closes=True),
    ]
    assert len({digest([one]) for one in (base, *others)}) == 7
    assert digest([base]) != digest([base, base]) != digest([])


def test_a_digest_does_not_see_what_was_counted():
    assert digest(pack(hits(l5="video"))) == digest(pack(hits(l5="video"), {"video": (9, 9)}))


def test_a_change_of_one_among_ten_thousand_is_one_element():
    drawn = random.Random(1)
    labels = drawn.sample(range(1, 1 << 20), 10_000)
    wanted = verdicts(**{f"l{label}": "v_01" for label in labels})
    loaded = contents(pack(wanted))
    loaded[host_number(labels[77])] = "goto v_02"
    assert shown(change(wanted, loaded)) == ([], [(labels[77], "goto v_01")], [])
