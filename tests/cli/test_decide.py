"""`netpolicy decide`, by the daemon and by a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Tool
from .documents import DECISION
from .stand_in import StandIn

RULES = """
config netpolicy 'main'
	option enabled '1'

config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'

config rule 'calls'
	option priority '200'
	list sni '*.zoom.us'
	list state 'NORMAL'
	option route 'wan_b'

config rule 'office'
	option priority '100'
	list src_addr '192.168.1.0/24'
	list proto 'tcp'
	list dest_port '443'
	option route 'wan_b'
	option log '1'

config rule 'no_mail'
	option priority '50'
	list proto 'tcp'
	list dest_port '25'
	option block 'reject'
"""

KEYS = {"rule", "action", "log", "outbound", "state", "confidence", "why", "runners_up"}


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "netpolicy"
    path.write_text(RULES)
    return str(path)


def test_the_daemon_gets_the_facts_as_they_were_typed(tool: Tool, daemon: StandIn) -> None:
    result = tool("decide", "src=192.168.1.7", "port=443", "state=degraded", "--json")
    assert daemon.calls == [("decide", {"facts": {"src": "192.168.1.7", "port": "443", "state": "degraded"}})]
    assert result.json == DECISION
    assert result.code == 0


def test_the_text_names_rule_action_and_reasons(tool: Tool, daemon: StandIn) -> None:
    assert tool("decide", "port=443").out.splitlines() == [
        "decision: state=NORMAL rule=office",
        "context: port=443",
        "action: route wan, log",
        "outbound: wan",
        "confidence: certain",
        "why:",
        "  mail: dest_port is 443, the rule wants 25",
        "  office: matches",
    ]


@pytest.mark.parametrize(
    ("facts", "rule", "action", "log", "outbound"),
    [
        (["src_addr=192.168.1.7", "proto=tcp", "dest_port=443"], "office", "route wan_b", True, "wan_b"),
        (["src=192.168.1.7", "protocol=tcp", "port=25"], "no_mail", "block reject", False, "block"),
        (["src_addr=192.168.2.7", "proto=tcp", "dest_port=443"], None, None, False, "direct"),
    ],
)
def test_a_file_decides_without_a_daemon(
    facts: list[str], rule: str | None, action: str | None, log: bool, outbound: str, tool: Tool, rules: str
) -> None:
    result = tool("decide", "--rules", rules, *facts, "--json")
    found = result.json
    assert result.code == 0
    assert set(found) == KEYS
    assert (found["rule"], found["action"], found["log"], found["outbound"]) == (rule, action, log, outbound)
    assert (found["state"], found["confidence"]) == ("NORMAL", "certain")


@pytest.mark.parametrize("words", [[], ["--rules", "x"]])
def test_without_any_fact_there_is_nothing_to_decide(words: list[str], tool: Tool) -> None:
    result = tool("decide", *words)
    assert result.code == 64
    assert "which connection?" in result.err and "for example: netpolicy decide src_addr=" in result.err


def test_an_answer_that_a_missing_fact_could_change_is_not_certain(tool: Tool, rules: str) -> None:
    shown = tool("decide", "--rules", rules, "proto=tcp", "dest_port=443").out
    assert "confidence: depends on facts that were not given" in shown
    assert shown.endswith("not given, and could make another rule win: src_addr\n")
    # The port of the better rule is another one, whoever sends.
    found = tool("decide", "--rules", rules, "proto=tcp", "dest_port=25", "--json").json
    assert (found["rule"], found["confidence"]) == ("no_mail", "certain")


def test_a_rule_by_name_is_not_certain_at_the_first_packet(tool: Tool, rules: str) -> None:
    found = tool("decide", "--rules", rules, "sni=a.zoom.us", "--json").json
    assert (found["rule"], found["confidence"]) == ("calls", "after first connection")


def test_the_state_gates_rules(tool: Tool, rules: str) -> None:
    found = tool("decide", "--rules", rules, "sni=a.zoom.us", "state=degraded", "--json").json
    assert (found["rule"], found["state"]) == (None, "DEGRADED")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["port"], "is not FACT=VALUE"),
        (["=5"], "is not FACT=VALUE"),
        (["port=1", "port=2"], "given twice"),
        (["port=1", "dest_port=2"], "two names of one fact"),
        (["port=abc"], "invalid port value: abc"),
        (["port=70000"], "invalid port value"),
        (["proto=tpc"], "unknown protocol"),
        (["src_addr=300.1.1.1"], "invalid address"),
        (["state=GOOD"], "invalid state value"),
        (["at=25:00"], "is not a time of day"),
        (["latency_ms=nan"], "milliseconds"),
        (["sni=a\x1bb"], "cannot be printed"),
        (["sni=\udcff"], "cannot be printed"),
    ],
)
def test_a_bad_fact_is_a_wrong_command_line(words: list[str], says: str, tool: Tool, rules: str) -> None:
    result = tool("decide", "--rules", rules, *words)
    assert result.code == 64
    assert says in result.err and result.out == ""


def test_a_broken_rule_is_left_out_and_named(tool: Tool, tmp_path: Path) -> None:
    path = tmp_path / "netpolicy"
    path.write_text(RULES.replace("list proto 'tcp'\n\tlist dest_port '25'", "list proto 'tpc'"))
    result = tool("decide", "--rules", str(path), "proto=tcp", "port=25", "--json")
    assert result.json["rule"] is None
    assert "no_mail is left out" in result.err


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none", None, "failed to read"),
        ("netpolicy", "confg rule\n", "netpolicy:1:1: invalid command"),
        ("rules.yaml", "rules: [\n", "rules.yaml:1:8: "),
        ("rules.np", 'rule x:\n  match sni="\n', "rules.np:2:13: unterminated quote"),
    ],
)
def test_a_file_that_cannot_be_used_ends_with_1(
    name: str, content: str | None, says: str, tool: Tool, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    result = tool("decide", "--rules", str(path), "port=1")
    assert result.code == 1
    assert says in result.err and result.out == ""


def test_without_a_daemon_the_hint_is_a_file(tool: Tool, tmp_path: Path) -> None:
    result = tool("decide", "port=1", "--socket", str(tmp_path / "none"))
    assert result.code == 1
    assert "--rules FILE" in result.err


SCHEDULED = """\
schedule evening days=mon-fri from=18:00 to=23:00
outbound fast interface wana
rule films:
  priority 5
  match domain=example.com schedule=evening
  action route=fast
rule rest:
  match port=443
  action block
rule last:
  match any
  action route=direct
"""


def test_the_hour_that_is_asked_about_decides(tool: Tool, tmp_path: Path) -> None:
    path = tmp_path / "rules.np"
    path.write_text(SCHEDULED)
    asked = ["decide", "--rules", str(path), "domain=a.example.com", "port=443"]
    for at, rule in (
        ("fri,18:00", "films"), ("fri,23:00", "rest"), ("sat,18:30", "rest"), ("2026-11-20T22:59", "films"),
        ("2026-11-21T22:59", "rest"),
    ):  # fmt: skip
        assert tool(*asked, f"at={at}", "--json").json["rule"] == rule, at


def test_every_other_rule_says_what_failed_or_why_it_lost(tool: Tool, tmp_path: Path) -> None:
    path = tmp_path / "rules.np"
    path.write_text(SCHEDULED)
    asked = ["decide", "--rules", str(path), "port=443", "at=mon,09:00"]
    assert tool(*asked, "--json").json["runners_up"] == [
        {"rule": "films", "priority": 5, "failed": "domain",
         "reason": "domain is not known, the rule wants example.com"},
        {"rule": "last", "priority": 0, "failed": None, "reason": "matches too; it has 0 match fields, rest has 1"},
    ]  # fmt: skip
    shown = tool(*asked).out
    assert "also matching, without effect:\n  last: matches too" in shown


def test_a_line_can_be_supposed_to_be_down(tool: Tool, tmp_path: Path) -> None:
    path = tmp_path / "rules.np"
    path.write_text("outbound vpn interface wg0\nrule work:\n  match any\n  action route=vpn on_fail=block\n")
    asked = ["decide", "--rules", str(path), "proto=tcp"]
    assert tool(*asked, "--json").json["outbound"] == "vpn"
    assert tool(*asked, "down=vpn", "--json").json["outbound"] == "block"
    found = tool(*asked, "down=vnp")
    assert found.code == 64
    assert "'vnp' is not an outbound" in found.err


def test_what_the_kernel_does_not_do_yet_stands_beside_the_decision(tool: Tool, tmp_path: Path) -> None:
    path = tmp_path / "rules.np"
    path.write_text(SCHEDULED.replace("domain=example.com", "rtt_ms=>50"))
    shown = tool("decide", "--rules", str(path), "rtt_ms=60", "at=mon,19:00").out
    assert "films: not enforced yet: rtt_ms is not known at the first packet" in shown
