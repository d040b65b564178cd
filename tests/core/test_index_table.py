"""Each kind of key has its table, and what nobody asks for is not looked up."""

import random

import pytest

from netpolicy.core import index_table
from netpolicy.core.facts import Facts
from netpolicy.core.field import parse_field
from netpolicy.core.index import build
from netpolicy.core.index_column import Groups, ranks_of
from netpolicy.core.index_table import Filling, Tables
from netpolicy.core.model import Action, Rule, Ruleset
from netpolicy.core.named_list import Lists, NamedList
from netpolicy.core.range_table import RangeTable
from tests.core.gathered import gathered
from tests.core.index_agreement import Packets, difference


def tables(*fields: tuple[str, ...]) -> Tables:
    """The tables of groups with one rule each, under these fields."""
    groups = Groups()
    for rank, (name, *values) in enumerate(fields):
        groups.add(rank, parse_field(name, tuple(values)), (rank, None, None, None, None))
    steps = Filling(groups).steps()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_nothing_asked_is_nothing_looked_up() -> None:
    made = tables()
    assert (made.names, made.dest_ports, made.macs, made.hosts, made.exact, made.grams) == ({}, {}, {}, {}, [], [])
    assert (made.rest, made.pages) == (None, (None, 0))
    assert made.src == {4: index_table.NOWHERE, 6: index_table.NOWHERE}


@pytest.mark.parametrize(
    ("field", "place"),
    [
        (("dest_port", "80,443"), lambda made: made.dest_ports[443]),
        (("src_mac", "02:00:00:00:00:01"), lambda made: made.macs["02:00:00:00:00:01"]),
        (("src_addr", "192.0.2.1"), lambda made: made.hosts[4, 0xC0000201]),
        (("src_addr", "192.0.2.0/24"), lambda made: made.src[4][1][1]),
        (("dest_addr", "2001:db8::/32"), lambda made: made.dest[6][1][3]),
        (("proto", "tcp"), lambda made: dict(made.exact)["proto"][6]),
        (("src_iface", "lan", "!lan", "guest"), lambda made: dict(made.exact)["src_iface"]["guest"]),
        (("dest_port", "1000-2000"), lambda made: dict(made.intervals)["dest_port"][1][1]),
        (("latency_ms", ">5"), lambda made: dict(made.measured)["latency_ms"][1][2]),
        (("domain", "keyword:tracker"), lambda made: made.grams[0][2]["tracke"]),
        (("sni", "exa*"), lambda made: made.grams[0][2]["exa"]),
        (("domain", "example.com"), lambda made: made.names["example.com"][0]),
    ],
)
def test_a_field_hangs_in_its_table(field: tuple[str, ...], place) -> None:
    assert list(ranks_of([place(tables(field))])) == [0]


def test_a_long_list_of_names_is_asked_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_table, "MAX_INDEXED", 3)
    entries = ("a.example", "=b.example", "*.c.example", "d.example", "keyword:track")
    lists = Lists((NamedList("long", entries),))
    field = parse_field("domain", ("@long", "!x.a.example"), lists)
    rest = Rule("rest", -1, (), Action("route", "direct"))
    ruleset = Ruleset((Rule("r", 0, (field,), Action("block", "drop")), rest))
    view = build(ruleset).view()
    packets = Packets(ruleset.rules)
    names = ("a.example", "y.a.example", "x.a.example", "b.example", "y.b.example", "Z.c.example.", "tracks.org", "e")
    for name in names:
        facts = packets.draw(random.Random(name))
        facts.domain, facts.dest_addr = name, None
        assert difference(view, facts) == ""


def test_a_long_list_of_addresses_is_asked_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_table, "MAX_INDEXED", 3)
    entries = ("192.0.2.0/24", "198.51.100.7", "10.0.0.0/8", "203.0.113.9", "2001:db8::/32")
    lists = Lists((NamedList("long", entries),))
    fields = [parse_field("dest_addr", ("@long", "!192.0.2.7"), lists), parse_field("src_addr", ("!@long",), lists)]
    rules = [Rule(field.name, 0, (field,), Action("block", "drop")) for field in fields]
    ruleset = Ruleset((*rules, Rule("rest", -1, (), Action("route", "direct"))))
    index = build(ruleset)
    assert len(index._tables.large) == 2 and not index._tables.hosts
    packets = Packets(ruleset.rules)
    for number in range(300):
        assert difference(index.view(), packets.draw(random.Random(number))) == ""


def test_a_list_that_is_kept_as_a_table_of_ranges_is_asked_at_its_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_table, "MAX_INDEXED", 3)
    held = gathered(*[f"{net}.{number}.0.0/17" for net in (11, 12) for number in range(256)], "2001:db8::/32")
    lists = Lists((NamedList("long", file="long", read=held),))
    field = parse_field("dest_addr", ("@long",), lists)
    assert isinstance(held.ranges[4], RangeTable) and field.ranges[4] is held.ranges[4]
    view = build(Ruleset((Rule("r", 0, (field,), Action("block", "drop")),))).view()
    for low, high in (held.ranges[4][0], held.ranges[4][300], held.ranges[4][511]):
        for number in (low - 1, low, low + 9, high, high + 1):
            facts = Facts()
            facts.dest_addr = (4, number)
            assert (view.find(facts) is not None) == (low <= number <= high), number


def test_many_networks_get_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tables(("dest_addr", "192.0.2.0/24")).pages[0] is None
    monkeypatch.setattr(index_table, "MANY_RANGES", 1)
    assert tables(("dest_addr", "192.0.2.0/24", "10.0.0.0/8", "8.8.8.8")).pages[1] == 20
