"""Records behave as frozen dataclasses would: equal by value, usable in sets, readable."""

from __future__ import annotations

import inspect

import pytest

from netpolicy.dataplane import policy, routing, state, table
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import Hop, SourceTranslation
from netpolicy.dataplane.record import Record, replace
from netpolicy.dataplane.state import Route

KINDS = [
    kind
    for module in (policy, routing, state, table)
    for kind in vars(module).values()
    if inspect.isclass(kind) and issubclass(kind, Record) and kind is not Record
]


def test_records_of_equal_values_are_equal():
    assert Hop(4, "192.0.2.1") == Hop(4, "192.0.2.1")
    assert Hop(4, "192.0.2.1") != Hop(6, "192.0.2.1")
    assert len({Hop(4, ""), Hop(4, ""), Hop(6, "")}) == 2


def test_records_of_two_kinds_are_never_equal():
    assert Marks(0x77000000) != 0x77000000
    assert Hop(4, "") != (4, "")


def test_a_record_shows_its_arguments():
    assert repr(Hop(4, "192.0.2.1")) == "Hop(family=4, gateway='192.0.2.1')"


def test_replace_changes_a_copy():
    before = SourceTranslation("wana", ipv4=True)
    assert replace(before, device="wanb") == SourceTranslation("wanb", ipv4=True)
    assert before.device == "wana"
    with pytest.raises(TypeError):
        replace(before, devise="wanb")


@pytest.mark.parametrize("kind", KINDS)
def test_slots_values_and_arguments_are_in_one_order(kind: type[Record]) -> None:
    """Otherwise text, copies and comparisons would mix fields up."""
    names = list(inspect.signature(kind).parameters)
    assert list(kind.__slots__) == names
    made = kind.__new__(kind)
    for name in names:
        setattr(made, name, f"value of {name}")
    assert list(made.values()) == [f"value of {name}" for name in names]


def test_the_kinds_are_found():
    assert Route in KINDS and len(KINDS) >= 12
