"""Canonical UCI text. That everything is read back as the same: test_round_trip.py."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.config.print_uci import quote, to_uci
from netpolicy.config.reader import open_reader
from netpolicy.config.source import Option, Section
from netpolicy.config.uci import read_text
from netpolicy.config.unload import to_sections
from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Outbound, Rule, Ruleset, Settings

from .rulesets import random_ruleset


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20))
def test_any_printable_text_survives_quoting(text):
    file = read_text(f"config a b\n\toption x {quote(text)}\n")
    assert not [item for item in file.diagnostics if item.severity == "error"]
    assert file.sections[0].options[0].values == (text,)


def test_the_sections_are_read_back_as_they_are():
    for number in range(100):
        sections = to_sections(random_ruleset(Random(number)))
        again = read_text(to_uci(sections)).sections
        assert [(one.type, one.name) for one in again] == [(one.type, one.name) for one in sections]
        for one, other in zip(sections, again, strict=True):
            assert [(o.name, o.values, o.is_list) for o in other.options] == [
                (o.name, o.values, o.is_list) for o in one.options
            ]


def test_the_printed_form_is_the_documented_one(tmp_path):
    rule = Rule(
        "mail", 90, (parse_field("proto", ("tcp",)), parse_field("dest_port", ("25",))), Action("block", "reject")
    )
    outbound = Outbound("vpn", "table", table=100, title="the vpn")
    text = to_uci(to_sections(Ruleset((rule,), (outbound,), Settings())))
    assert text == (
        "config netpolicy 'main'\n\toption enabled '0'\n\n"
        "config outbound 'vpn'\n\toption type 'table'\n\toption name 'the vpn'\n\toption table '100'\n\n"
        "config rule 'mail'\n\toption priority '90'\n\tlist proto 'tcp'\n\tlist dest_port '25'\n"
        "\toption block 'reject'\n"
    )
    (tmp_path / "netpolicy").write_text(text)
    assert not open_reader("auto").read(str(tmp_path / "netpolicy")).diagnostics


def test_a_list_of_one_is_printed_as_a_list():
    section = Section("list", "l", False, 0, (Option("entry", ("a.example",), False), Option("url", ("x",), False)))
    assert to_uci((section,)) == "config list 'l'\n\tlist entry 'a.example'\n\toption url 'x'\n"


def test_nothing_is_an_empty_text():
    assert to_uci(()) == ""
