"""Sections that are no rules: in one line, as a block, and what is wrong in them."""

import pytest

from netpolicy.config.dsl import read_dsl
from netpolicy.config.dsl_section import list_directive


def read(text):
    parsed = read_dsl(text)
    section = parsed.sections[0]
    return {option.name: option.values for option in section.options}, [
        (item.code, item.line, item.column, item.message) for item in parsed.diagnostics
    ]


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("outbound a interface wan", {"type": ("interface",), "interface": ("wan",)}),
        ("outbound a table 100", {"type": ("table",), "table": ("100",)}),
        ("outbound a group balance x y,z", {"type": ("group",), "strategy": ("balance",), "member": ("x", "y", "z")}),
        ("outbound a group x balance", {"type": ("group",), "member": ("x", "balance")}),
        ("outbound a xray frankfurt", {"type": ("xray",), "node": ("frankfurt",)}),
        ("outbound a tunnel ssh://me@h:22 key=k", {"type": ("tunnel",), "server": ("ssh://me@h:22",), "key": ("k",)}),
        ("outbound a direct", {"type": ("direct",)}),
        ("outbound a interface wan masq", {"type": ("interface",), "interface": ("wan",), "masq": ("1",)}),
        ("outbound a type=block", {"type": ("block",)}),
        ("schedule a days=mon-fri from=18:00", {"days": ("mon-fri",), "from": ("18:00",)}),
        ("throttle a down=2mbit up = 1mbit # c", {"down": ("2mbit",), "up": ("1mbit",)}),
        ('list a x, y ,z "=w" url="h#i"', {"entry": ("x", "y", "z", "=w"), "url": ("h#i",)}),
        ("list a 2001:db8::", {"entry": ("2001:db8::",)}),
        ("netpolicy enabled primary=wan", {"enabled": ("1",), "primary": ("wan",)}),
        ("netpolicy main enabled=0", {"enabled": ("0",)}),
    ],
)
def test_one_line(line, options):
    assert read(line) == (options, [])


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("list a:\n  entry x y,z\n  entry w\n  file = /f\n", {"entry": ("x", "y", "z", "w"), "file": ("/f",)}),
        ("outbound a : # c\n\ttype\tinterface\n\tmasq\n", {"type": ("interface",), "masq": ("1",)}),
        ("outbound a interface wan\n  masq yes\n", {"type": ("interface",), "interface": ("wan",), "masq": ("yes",)}),
        ("netpolicy:\n  assert lan can  wan\nassert lan cannot wan # c\n",
         {"assert": ("lan can wan", "lan cannot wan")}),
        ("assert a can b\nnetpolicy:\n  assert c can d\n", {"assert": ("a can b", "c can d")}),
    ],
)  # fmt: skip
def test_a_block(text, options):
    assert read(text) == (options, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("throttle a dwn=1mbit", ("NP101", 1, 12, "throttle 'a': unknown option dwn of throttle")),
        ("throttle a 2mbit", ("NP101", 1, 12, "throttle 'a': '2mbit' is not an option")),
        ("throttle a down=1mbit,2mbit", ("NP105", 1, 12, "throttle 'a': down takes one value")),
        ("list a:\n  url x y\n", ("NP105", 2, 3, "list 'a': url takes one value")),
        ("list a:\n  url # c\n", ("NP105", 2, 3, "list 'a': url needs a value")),
        ("list a:\n  x.example\n", ("NP101", 2, 3, "list 'a': unknown option x.example of list")),
        ("list a: x.example\n", ("NP003", 1, 9, "nothing may follow the name")),
        ("assert\n", ("NP105", 1, 1, "netpolicy 'main': assert needs a value")),
    ],
)
def test_mistakes_at_their_place(text, expected):
    assert read(text)[1] == [expected]
    assert read_dsl(text).sections[0].broken


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("url=x", "write `url VALUE`, without ="),
        ("outbound x interface y", "a section begins at the margin"),
        ("entri x", "did you mean 'entry'?"),
    ],
)
def test_what_was_meant_is_said(line, hint):
    assert [item.hint for item in read_dsl(f"list a:\n  {line}\n").diagnostics] == [hint]


def test_every_value_of_a_list_has_a_line_of_its_own_name():
    assert list_directive("entry", 2) != list_directive("entry", 3)
