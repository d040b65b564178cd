"""Named lists: what an entry is, and what a rule gets that refers to one."""

from __future__ import annotations

import pytest

from netpolicy.core.address import parse_address, parse_range
from netpolicy.core.facts import parse_facts
from netpolicy.core.field import parse_field
from netpolicy.core.named_list import Lists, NamedList, UnknownList, looks_like_address, parse_entry
from netpolicy.core.value import ValueProblem

BOTH = NamedList("both", (" 2001:DB8::/32", "192.0.2.4-192.0.2.7", "Kids.Example", "=a.example"))
LISTS = Lists((BOTH, NamedList("names", ("kids.example",)), NamedList("later", file="/etc/netpolicy/later")))


def test_entries_are_kept_in_canonical_form():
    assert BOTH.entries == ("2001:db8::/32", "192.0.2.4/30", "kids.example", "=a.example")
    assert [pattern.text for pattern in BOTH.domains] == ["kids.example", "=a.example"]
    assert BOTH.ranges == [parse_range("2001:db8::/32"), parse_range("192.0.2.4/30")]


def test_what_a_file_holds_is_meant_and_not_written_back():
    found = NamedList("x", ("192.0.2.1",), read=("192.0.2.2", "a.example"))
    assert found.entries == ("192.0.2.1",)
    assert len(found.ranges) == 2
    assert [pattern.text for pattern in found.domains] == ["a.example"]


@pytest.mark.parametrize(
    "text",
    ["192.0.2.1", "192.0.2.0/24", "192.0.2.1-192.0.2.9", "::1", "2001:db8::/32", "::1-::2", "1.2.3", "192.0.2.0/33"],
)
def test_what_is_meant_as_an_address_is_read_as_one(text):
    assert looks_like_address(text)


@pytest.mark.parametrize(
    "text", ["a.b", "1.example", "keyword:a", "regex:a:b", "1-2.example", "=1.2.3.4", "*.1", "localhost"]
)
def test_what_is_meant_as_a_name_is_not(text):
    assert not looks_like_address(text)


@pytest.mark.parametrize(
    "text", ["", "  ", "!192.0.2.1", "@names", "192.0.2.1/24", "1.2.3", "a..b", "http://a.example", "10"]
)
def test_what_is_no_entry_is_refused(text):
    with pytest.raises(ValueProblem):
        parse_entry(text)


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
    assert LISTS.names == ("both", "later", "names")
