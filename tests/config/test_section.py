"""Options against the table, without meaning."""

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.schema import SECTIONS
from netpolicy.config.section import read_section
from netpolicy.config.source import Option, Section


def read(*options: Option, kind: str = "rule"):
    findings = Findings()
    section = Section(kind, "r", False, 1, options)
    return read_section(section, SECTIONS[kind], Place("f", 1, 1, "r"), findings), findings


def test_values_are_read_and_match_values_stay_texts():
    reading, findings = read(Option("priority", ("5",), False), Option("dest_port", ("80",), False))
    assert reading.ok
    assert not findings.all
    assert reading.values == {"priority": 5, "dest_port": ("80",)}


def test_an_empty_option_is_absent_unless_it_would_widen_the_rule():
    reading, _ = read(Option("priority", ("",), False))
    assert reading.ok
    assert reading.values == {}
    assert not read(Option("route", ("",), False))[0].ok


def test_every_broken_option_is_reported_at_its_place():
    reading, findings = read(Option("priority", ("x",), False, 3, 2), Option("nonsense", ("1",), False, 4, 2))
    assert not reading.ok
    assert [(item.code, item.line, item.column, item.rule) for item in findings.all] == [
        ("NP105", 3, 2, "r"),
        ("NP101", 4, 2, "r"),
    ]
