"""What somebody gets wrong in the first hour: one finding each, at its place, that says what to do."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from netpolicy.config.linter import lint_text
from netpolicy.config.spelling import DSL, UCI

MAIN = "config netpolicy 'main'\n\toption enabled '1'\n"
WAN = MAIN + "config outbound 'wan'\n\toption type 'interface'\n\toption interface 'wan'\n"
RULE = "config rule 'r'\n\toption any '1'\n"


class Case(NamedTuple):
    """A text, and its errors and warnings: `LINE CODE RULE: message | hint`, the texts abridged by …"""

    about: str
    text: str
    said: tuple[str, ...]
    spelling: str = UCI


CASES = [
    Case(
        "a rule that is named like an outbound",
        WAN + "config rule 'wan'\n\toption any '1'\n\toption block '1'\n",
        ("6 NP003 wan: the name 'wan' is already used by the outbound in line 3 | in UCI all sections share…",),
    ),
    Case(
        "a name with a blank",
        WAN + "config rule 'my rule-1'\n\toption any '1'\n\toption block '1'\n",
        ("6 NP003 : invalid character in the name of the rule | letters, digits and _;…",),
    ),
    Case(
        "an outbound that says an option twice",
        WAN + "\toption interface 'wanb'\n" + RULE + "\toption block '1'\n",
        ("6 NP005 : outbound 'wan': option interface replaces what line 5 says | write it once",),
    ),
    Case(
        "an outbound that says an option twice, in the DSL",
        "netpolicy:\n  enabled 1\noutbound wan:\n  type interface\n  interface wan\n  interface wanb\n"
        "rule r:\n  match any\n  action block\n",
        ("6 NP005 : outbound 'wan': interface replaces what line 5 says | write it once",),
        DSL,
    ),
    Case(
        "a quote that is missing in the first line of a section",
        MAIN + "config rule 'r\n\toption any '1'\n\toption block '1'\n",
        ("3 NP003 : a quote that opens here is not closed in this line | close it in its line;…",),
    ),
    Case(
        "a quote that is missing behind a value, and a later one takes it for its own",
        MAIN + RULE + "\toption name 'abc\n\tlist proto 'tcp udp'\n\toption block '1'\n",
        ("5 NP003 : a quote that opens here is not closed in this line | close it in its line;…", "…", "…"),
    ),
    Case(
        "the last quote of a file is missing",
        MAIN + RULE + "\toption block '1\n",
        ("5 NP003 : unterminated ' | close the quote", "…"),
    ),
]


def told(case: Case) -> list[str]:
    found = [item for item in lint_text(case.text, "f", case.spelling) if item.severity != "info"]
    return [f"{item.line} {item.code} {item.rule}: {item.message} | {item.hint}" for item in found]


def is_like(found: str, wanted: str) -> bool:
    """Whether it begins as the text before each … and goes on with what is behind it."""
    at = 0
    for number, part in enumerate(wanted.split("…")):
        place = found.find(part, at)
        if place < 0 or (number == 0 and place):
            return False
        at = place + len(part)
    return wanted.endswith("…") or at == len(found)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.about)
def test_a_mistake_is_told_where_it_is_and_what_to_do_about_it(case: Case) -> None:
    found = told(case)
    assert len(found) == len(case.said), found
    assert [(one, wanted) for one, wanted in zip(found, case.said, strict=True) if not is_like(one, wanted)] == []
