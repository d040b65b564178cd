"""Named lists: what an entry is, and what a rule gets that refers to one."""

from __future__ import annotations

import pytest

from netpolicy.core.address import parse_address, parse_range
from netpolicy.core.facts import parse_facts
from netpolicy.core.field import parse_field
from netpolicy.core.named_list import Lists, NamedList, UnknownList
from netpolicy.core.ranges import merge
from netpolicy.core.value import ValueProblem
from tests.core.gathered import gathered

BOTH = NamedList("both", (" 2001:DB8::/32", "192.0.2.4-192.0.2.7", "Kids.Example", "=a.example"))
LISTS = Lists((BOTH, NamedList("names", ("kids.example",)), NamedList("later", file="/etc/netpolicy/later")))


def test_entries_are_kept_in_canonical_form():
    assert BOTH.entries == ("2001:db8::/32", "192.0.2.4/30", "kids.example", "=a.example")
    assert [pattern.text for pattern in BOTH.domains] == ["kids.example", "=a.example"]
    assert BOTH.ranges == {4: (parse_range("192.0.2.4/30")[1:],), 6: (parse_range("2001:db8::/32")[1:],)}


def test_what_a_file_holds_is_meant_and_not_written_back():
    found = NamedList("x", ("192.0.2.1", "b.example"), read=gathered("192.0.2.2", "192.0.2.9", "a.example"))
    assert found.entries == ("192.0.2.1", "b.example")
    assert found.ranges == {4: merge([parse_range("192.0.2.1-192.0.2.2")[1:], parse_range("192.0.2.9")[1:]]), 6: ()}
    assert [pattern.text for pattern in found.domains] == ["b.example"]
    assert [found.names.matches(name) for name in ("x.a.example", "b.example", "c.example")] == [True, True, False]


def test_what_a_file_holds_is_shared_by_everybody_who_names_the_list():
    held = gathered(*[f"192.0.{high}.{low}" for high in range(4) for low in range(0, 256, 2)])
    lists = Lists((NamedList("long", file="long", read=held),))
    fields = [parse_field(name, ("@long",), lists) for name in ("src_addr", "dest_addr")]
    assert all(field.ranges[4] is held.ranges[4] for field in fields)


def test_a_rule_matches_what_its_list_has():
    field = parse_field("dest_addr", ("@both", "!192.0.2.5"), LISTS)
    assert field.values == ("@both", "!192.0.2.5")
    assert field.matches(parse_address("192.0.2.4"))
    assert field.matches(parse_address("2001:db8::1"))
    assert not field.matches(parse_address("192.0.2.5"))
    assert not field.matches(parse_address("192.0.2.8"))
    names = parse_field("domain", ("@both",), LISTS)
    assert [names.matches(name) for name in ("www.kids.example", "a.example", "b.a.example")] == [True, True, False]


def test_a_negated_list_is_all_the_rest():
    field = parse_field("dest_addr", ("!@both",), LISTS)
    facts = parse_facts({"dest_addr": "198.51.100.1"})
    assert field.matches(facts.dest_addr)
    assert not field.matches(parse_address("192.0.2.4"))


def test_a_list_without_entries_of_that_kind_is_refused_unless_more_may_come():
    with pytest.raises(ValueProblem, match="has no addresses"):
        parse_field("dest_addr", ("@names",), LISTS)
    assert not parse_field("dest_addr", ("@later",), LISTS).matches(parse_address("192.0.2.1"))


def test_a_list_that_is_not_defined_is_named():
    with pytest.raises(UnknownList) as caught:
        parse_field("domain", ("@nobody",), LISTS)
    assert caught.value.name == "nobody"
    assert caught.value.text == "the list 'nobody' is not defined"
    assert LISTS.names == ("both", "later", "names")


def test_a_list_that_has_errors_is_said_to_have_them():
    with pytest.raises(UnknownList) as caught:
        parse_field("dest_addr", ("@half",), Lists((), ("half",)))
    assert caught.value.is_broken
    assert caught.value.text == "the list 'half' has errors"
