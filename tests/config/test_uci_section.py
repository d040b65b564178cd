"""What libuci makes of commands, once their words are known."""

from netpolicy.config.diagnostic import Findings
from netpolicy.config.source import Option, Section
from netpolicy.config.uci_section import Sections


def opened() -> tuple[Sections, Findings]:
    findings = Findings()
    sections = Sections("f", findings)
    sections.open("rule", "r", 1)
    return sections, findings


def test_sections_keep_the_order_of_their_first_lines_and_their_places():
    sections, findings = opened()
    sections.open("rule", "", 2)
    sections.add("x", "1", False, 3, 2)
    sections.open("rule", "r", 4)
    sections.add("y", "2", True, 5, 2)
    assert sections.all() == (
        Section("rule", "r", False, 1, (Option("y", ("2",), True, 5, 2),)),
        Section("rule", "", True, 2, (Option("x", ("1",), False, 3, 2),)),
    )
    assert [(item.code, item.line, item.rule) for item in findings.all] == [("NP005", 4, "r")]


def test_an_option_belongs_to_an_open_section_only():
    sections, _ = opened()
    assert sections.is_open
    sections.close()
    assert not sections.is_open
    assert sections.named("r") is not None


def test_an_empty_option_leaves_what_an_earlier_line_says():
    sections, findings = opened()
    sections.add("x", "1", False, 2, 1)
    sections.add("x", "", False, 3, 1)
    section = sections.all()[0]
    assert section.option("x") == Option("x", ("1",), False, 2, 1)
    assert section.option("y") is None
    assert [item.code for item in findings.all] == ["NP006"]


def test_an_empty_entry_of_a_list_is_an_entry():
    sections, findings = opened()
    sections.add("x", "", True, 2, 1)
    sections.add("x", "1", True, 3, 1)
    assert sections.all()[0].options[0].values == ("", "1")
    assert not findings.all


def test_a_list_goes_on_where_it_began_until_an_option_replaces_it():
    sections, findings = opened()
    sections.add("x", "1", False, 2, 1)
    for line, value in enumerate("23", 3):
        sections.add("x", value, True, line, 1)
    assert sections.all()[0].options == (Option("x", ("1", "2", "3"), True, 2, 1),)
    assert sections.all() == sections.all()
    sections.add("x", "4", True, 5, 1)
    assert sections.all()[0].options[0].values == ("1", "2", "3", "4")
    sections.add("x", "5", True, 6, 1)
    sections.add("x", "6", False, 7, 1)
    assert sections.all()[0].options == (Option("x", ("6",), False, 7, 1),)
    assert [(item.code, item.line) for item in findings.all] == [("NP005", 3), ("NP005", 7)]
