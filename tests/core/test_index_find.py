"""Names and addresses as they come: however they are written, index and reference decide alike."""

import itertools

import pytest

from netpolicy.core.facts import Facts
from netpolicy.core.field import parse_field
from netpolicy.core.index import build
from netpolicy.core.model import Action, Outbound, Rule, Ruleset
from tests.core.index_agreement import NAMES, ODD_NAMES, difference

WANTED = (
    ("domain", "example.com"), ("domain", "=a.example.com"), ("domain", "*.b.a.example.com"), ("domain", "com"),
    ("domain", "localhost"), ("domain", "co.uk"), ("domain", "*.x.co.uk"), ("domain", "keyword:track"),
    ("sni", "*.example.com"), ("sni", "a.example.com"), ("sni", "*.com"), ("sni", "*.localhost"), ("sni", "exam*"),
    ("sni", "*ample.com"), ("sni", "*.a.example.com"), ("sni", ".com"),
)  # fmt: skip


def ruleset(*fields: tuple[str, str]) -> Ruleset:
    """A rule for each field, of falling priority, so that the first that matches is seen."""
    rules = [
        Rule(f"{name} {value}", -number, (parse_field(name, (value,)),), Action("route", "wan"))
        for number, (name, value) in enumerate(fields)
    ]
    return Ruleset(tuple(rules), (Outbound("wan", "interface", "eth0"),))


@pytest.mark.parametrize("fields", [WANTED, tuple(reversed(WANTED)), *((one,) for one in WANTED)])
def test_names_in_every_spelling_meet_the_same_rules(fields: tuple[tuple[str, str], ...]) -> None:
    view = build(ruleset(*fields)).view()
    names = [*NAMES, *ODD_NAMES]
    spelled = [None, *names, *(name.upper() for name in names), *(name + "." for name in names)]
    facts = Facts()
    for name in spelled:
        for facts.domain, facts.sni in ((name, None), (name, name)):
            assert difference(view, facts) == ""
    for facts.domain, facts.sni in itertools.product((None, "a.example.com", "x.com"), spelled):
        assert difference(view, facts) == ""


def test_both_families_and_the_borders_of_what_is_never_steered() -> None:
    view = build(ruleset(("dest_addr", "0.0.0.0/0"), ("dest_addr", "::/0"), ("src_addr", "::/1"))).view()
    facts = Facts()
    for family, number in (
        (4, 0x7F000000),
        (4, 0xE0000000),
        (4, 0x01000000),
        (4, 0xFFFFFFFF),
        (6, 0xFE80 << 112),
        (6, 2),
    ):
        for facts.dest_addr in ((family, number - 1), (family, number)):
            assert difference(view, facts) == ""
    facts.dest_addr = None
    for facts.src_addr in (None, (6, 0), (6, 1 << 127), (4, 7)):
        assert difference(view, facts) == ""


def test_who_asks_for_the_lists_gets_them() -> None:
    view = build(ruleset(("dest_port", "80"), ("proto", "tcp"))).view()
    facts = Facts()
    facts.dest_port, facts.proto = 80, 6
    lists: list = []
    assert view.decide(facts, lists) is view.decide(facts)
    assert [entry[0] for entry in lists] == [0, 1]
