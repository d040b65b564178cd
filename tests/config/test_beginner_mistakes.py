"""What somebody gets wrong in the first hour: one finding each, at its place, that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from netpolicy.config.linter import lint_file, lint_text
from netpolicy.config.spelling import DSL, UCI, YAML

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
    Case(
        "a blank in a value of which there is one",
        WAN + "config throttle 'slow'\n\toption down '5 Mbit/s'\n" + RULE + "\toption block 'yes please'\n",
        (
            "7 NP105 : throttle 'slow': down: '5 Mbit/s' is not a speed | 8kbit to 100gbit, for example 2mbit",
            "10 NP105 r: block: 'yes please' is no way to block | 1, drop, reject or 0",
        ),
    ),
    Case(
        "several values in one, behind a blank or a stroke",
        MAIN + "config rule 'r'\n\tlist proto 'tcp/udp'\n\tlist src_iface 'lan guest'\n\toption block '1'\n",
        (
            "5 NP105 r: src_iface: invalid interface name 'lan guest' | these are 2 values: write one `list src_iface…",
            "4 NP105 r: proto: unknown protocol 'tcp/udp' | these are 2 values: write one `list proto` line…",
        ),
    ),
    Case(
        "two words for cannot",
        MAIN + "\tlist assert 'guest can not lan'\n" + RULE + "\toption block '1'\n",
        ("3 NP105 : netpolicy 'main': assert: 'guest can not lan' is not an assertion | write cannot, in one word",),
    ),
    Case(
        "the words of netpolicy decide, and of firewalls, in the DSL",
        "netpolicy:\n  enabled 1\nrule r:\n  match src=192.168.1.5 dst=192.0.2.1 dport=80\n  action allow\n",
        (
            "4 NP101 r: unknown match key src | did you mean 'src_addr'?",
            "4 NP101 r: unknown match key dst | did you mean 'dest_addr'?",
            "4 NP101 r: unknown match key dport | did you mean 'port'?",
            "5 NP105 r: invalid action token | to let it go the ordinary way, route it to…",
        ),
        DSL,
    ),
    Case(
        "the words of firewalls in YAML",
        "netpolicy: {enabled: true}\nrules:\n  - name: r\n    priority: 1\n"
        "    match: {src: lan, dst: [192.0.2.1]}\n    action: {deny: true}\n",
        (
            "5 NP101 r: unknown key 'src' in match | did you mean 'src_iface'?",
            "5 NP101 r: unknown key 'dst' in match | did you mean 'dest_addr'?",
            "6 NP101 r: unknown key 'deny' in action | did you mean 'block'?",
        ),
        YAML,
    ),
    Case(
        "the words of a firewall rule",
        MAIN + "config rule 'r'\n\toption src 'lan'\n\toption target 'ACCEPT'\n",
        (
            "4 NP101 r: unknown option 'src' in a rule section | did you mean 'src_iface'?",
            "5 NP101 r: unknown option 'target' in a rule section | did you mean 'route'?",
            "3 NP202 …",
        ),
    ),
    Case(
        "an option of rules in an outbound",
        WAN + "\toption on_fail 'next'\n" + RULE + "\toption block '1'\n",
        (
            "6 NP101 : outbound 'wan': unknown option 'on_fail' in an outbound section"
            " | it is an option of rule sections",
        ),
    ),
    Case(
        "a list without its @",
        MAIN + "config list 'ads'\n\tlist entry '192.0.2.0/24'\n"
        "config rule 'r'\n\tlist dest_addr '!ads'\n\toption block '1'\n",
        ("6 NP105 r: dest_addr: invalid address '…ads' | did you mean '!@ads'?",),
    ),
    Case(
        "the name of a kind of line for its type",
        MAIN
        + "config outbound 'wg'\n\toption type 'wireguard'\n\toption interface 'wg0'\n"
        + RULE
        + "\toption block '1'\n",
        ("4 NP105 : outbound 'wg': type: 'wireguard' is not known | did you mean 'interface'?",),
    ),
    Case(
        "capitals in the name of an outbound, in a rule with another mistake",
        WAN + "config rule 'r'\n\tlist proto 'xyz'\n\toption route 'WAN'\n",
        ("7 NP105 …", "8 NP204 r: route 'WAN' is not an outbound | did you mean 'wan'?"),
    ),
    Case(
        "a rule and a group for an outbound that has a mistake",
        MAIN + "config outbound 'wan'\n\toption type 'x'\nconfig outbound 'all'\n\toption type 'group'\n"
        "\tlist member 'wan'\n" + RULE + "\toption route 'wan'\n",
        (
            "4 NP105 …",
            "7 NP214 : group 'all': member 'wan' names an outbound that has errors | correct the outbound first",
            "10 NP204 r: route 'wan' names an outbound that has errors | correct the outbound first",
        ),
    ),
    Case(
        "a default that nobody defined",
        MAIN + "\toption default 'vpn'\n" + RULE + "\toption block '1'\n",
        ("3 NP205 : default 'vpn' is not an outbound | define it: config outbound 'vpn'",),
    ),
    Case(
        "profiles and hours that have mistakes themselves",
        MAIN + "config throttle 'slow'\n\toption down 'x'\nconfig schedule 'night'\n\toption from 'x'\n"
        "config rule 'r'\n\toption schedule 'night'\n\toption throttle 'slow'\n",
        (
            "6 NP105 …",
            "4 NP105 …",
            "9 NP215 r: throttle 'slow' has errors | correct the throttle first",
            "8 NP216 r: schedule 'night' has errors | correct the schedule first",
        ),
    ),
    Case(
        "ports of what has none",
        MAIN + "config rule 'r'\n\toption proto 'icmp'\n\toption dest_port '7'\n\toption block '1'\n",
        ("3 NP206 r: the rule can never match: dest_port with proto=icmp,… | remove the ports, or name tcp or udp",),
    ),
    Case(
        "the settings by another name",
        "config netpolicy 'mian'\n\toption enabled '1'\n" + RULE + "\toption block '1'\n",
        ("1 NP106 : the settings are in one section: config netpolicy 'main' | call it 'main'; of several keep one",),
    ),
    Case(
        "a range from the end to the beginning",
        MAIN + "config rule 'r'\n\tlist src_addr '192.168.1.9-192.168.1.2'\n\toption block '1'\n",
        ("4 NP105 r: src_addr: the range…ends before it starts | write the smaller address first: 192.168.1.2-192…",),
    ),
    Case(
        "an outbound without what its type needs",
        MAIN + "config outbound 'wan'\n\toption type 'interface'\n" + RULE + "\toption block '1'\n",
        ("3 NP109 : outbound 'wan' of type interface needs option interface | add it: a network…",),
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


def test_a_further_file_that_is_missing_is_told_at_the_line_that_lists_it(tmp_path: Path) -> None:
    main = tmp_path / "netpolicy"
    main.write_text(MAIN + "\tlist ruleset 'more.np'\n" + RULE + "\toption block '1'\n")
    (item,) = [item for item in lint_file(str(main)) if item.severity != "info"]
    assert (item.code, item.file, item.line, item.column) == ("NP001", str(main), 3, 16)
    assert "more.np" in item.message
    assert "or remove the line" in item.hint


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.about)
def test_a_mistake_is_told_where_it_is_and_what_to_do_about_it(case: Case) -> None:
    found = told(case)
    assert len(found) == len(case.said), found
    assert [(one, wanted) for one, wanted in zip(found, case.said, strict=True) if not is_like(one, wanted)] == []
