"""The commands that ask the daemon once: their documents, texts and exit codes."""

from __future__ import annotations

from typing import Any

import pytest

from netpolicy import __version__
from netpolicy.bus.status import INVALID_ARGUMENT, PERMISSION_DENIED, UbusError

from .conftest import Tool
from .documents import REPLIES, RULE, STATUS, TUNNEL, UNUSED_RULE, WAN
from .stand_in import StandIn

LEFT_OUT = {"name": "video", "error": "route 'wam' is not an outbound", "place": "netpolicy:16:15"}
LISTS = ["status", "rules", "outbounds", "connections"]


@pytest.mark.parametrize("command", [*LISTS, "plan", "reload", "logs"])
def test_json_is_the_document_of_the_daemon_and_nothing_else(command: str, tool: Tool, daemon: StandIn) -> None:
    result = tool(command, "--json")
    assert result.json == REPLIES[command]
    assert (result.code, result.err) == (1 if command == "status" else 0, "")  # a rule is left out


@pytest.mark.parametrize("command", LISTS)
@pytest.mark.parametrize("columns", [40, 60, 80, 132])
def test_no_line_is_wider_than_the_terminal(
    command: str, columns: int, tool: Tool, daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = tool(command).out.splitlines()
    # Below 80 the least widths of a table's columns may need more than there is.
    assert max(len(line) for line in lines) <= max(columns, 80)


def test_status_tells_the_whole_picture(tool: Tool, daemon: StandIn) -> None:
    text = tool("status").out
    for part in ("NetPolicy 0.1.0, enabled, mode enforce, state NORMAL", "/etc/config/netpolicy", "2 in force of 3",
                 "conntrack (no eBPF", "changed 4 times", "generation 2",
                 "skipped rule typo: unknown protocol 'tpc'", "NP206",
                 "hint: remove it", "192.0.2.1"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize("part", ["config", "kernel"])
def test_status_ends_with_1_when_something_is_not_in_force(part: str, tool: Tool, daemon: StandIn) -> None:
    assert daemon.replies
    daemon.replies["status"] = {**STATUS, part: {**STATUS[part], "error": "broken"}}
    result = tool("status")
    assert result.code == 1
    assert "broken" in result.out


def test_status_ends_with_1_when_a_rule_is_left_out_and_says_where_it_stands(tool: Tool, daemon: StandIn) -> None:
    assert daemon.replies
    rules = {"total": 1, "active": 1, "skipped": []}
    daemon.replies["status"] = {**STATUS, "rules": rules}
    assert tool("status").code == 0
    daemon.replies["status"] = {**STATUS, "rules": {**rules, "skipped": [LEFT_OUT]}}
    result = tool("status")
    assert result.code == 1 and "skipped rule video (netpolicy:16:15): route 'wam'" in " ".join(result.out.split())


def test_a_status_with_nothing_in_it_still_shows(tool: Tool, daemon: StandIn) -> None:
    assert daemon.replies
    daemon.replies["status"] = {"outbounds": None, "rules": 5, "warnings": ["text"], "kernel": []}
    assert tool("status").code == 0


def test_rules_say_why_one_is_not_in_the_kernel(tool: Tool, daemon: StandIn, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    lines = tool("rules").out.splitlines()
    by_name = {line.split()[1]: line.split()[-1] for line in lines[1:4]}
    assert by_name == {"office": "yes", "calls": "no", "old": "off"}
    assert "calls: not in the kernel: sni is not seen at first" in lines
    assert "12k" in lines[1] and "123M" in lines[1] and "+log" in lines[1]


@pytest.mark.parametrize("gone", [0, 3])
def test_rules_are_asked_page_by_page_until_all_are_there(gone: int, tool: Tool, daemon: StandIn) -> None:
    """`gone`: a reload between two pages left fewer than the first one told."""
    rules = [{"name": f"r{n}", "enforced": "kernel"} for n in range(8)]

    def page(given: dict[str, Any]) -> dict[str, Any]:
        offset = given.get("offset", 0)
        return {"total": 8, "rules": rules[: 8 - gone][offset : offset + 3]}

    assert daemon.replies
    daemon.replies["rules"] = page
    assert tool("rules", "--json").json == {"total": 8, "rules": rules[: 8 - gone]}
    assert [given for _, given in daemon.calls][:2] == [{}, {"offset": 3}]
    assert len(tool("rules").out.splitlines()) == 1 + 8 - gone


def test_outbounds_say_why_one_is_down(tool: Tool, daemon: StandIn) -> None:
    text = " ".join(tool("outbounds").out.split())
    assert "tunnel_with_a_rather_long_name is down: the interface wg0 does not exist, or netifd" in text
    assert "wan is down" not in text


def test_outbounds_show_the_health_of_a_line_and_why_it_is_not_well(tool: Tool, daemon: StandIn) -> None:
    health = {"state": "DEGRADED", "because": "latency 300 ms, more than 120", "latency_ms": 300.4, "loss": 0.05,
              "by_hand": "auto"}  # fmt: skip
    daemon.replies["outbounds"] = {"outbounds": [{**WAN, "health": health}, TUNNEL]}
    text = " ".join(tool("outbounds").out.split())
    assert "up DEGRADED 300 ms eth1" in text
    assert "wan is DEGRADED: latency 300 ms, more than 120" in text
    daemon.replies["outbounds"] = {"outbounds": [{**WAN, "health": {**health, "state": "NORMAL", "by_hand": "up"}}]}
    assert "(set to up by hand)" in tool("outbounds").out


def test_a_line_is_set_by_hand(tool: Tool, daemon: StandIn) -> None:
    assert (
        tool("outbounds", "set", "wan", "down").out == "wan is set to down, until `auto` or a restart of the daemon\n"
    )
    assert daemon.calls[-1] == ("outbound_set", {"name": "wan", "state": "down"})
    assert tool("outbounds", "set", "wan").code == 64
    daemon.replies["outbound_set"] = {"ok": False, "error": "the disk is full"}
    done = tool("outbounds", "set", "wan", "auto")
    assert done.code == 1 and "the kernel does not follow: the disk is full" in done.err


def test_shares_and_orders_are_set_by_hand(tool: Tool, daemon: StandIn) -> None:
    for words, sent in (
        (("wan", "weight", "5"), {"weight": 5}),
        (("best", "member", "b,a"), {"member": ["b", "a"]}),
        (("best", "member", "auto"), {"member": []}),
    ):
        assert "is set to" in tool("outbounds", "set", *words).out
        assert daemon.calls[-1] == ("outbound_set", {"name": words[0], **sent})
    for words in (("wan", "weight"), ("wan", "weight", "-1"), ("wan", "member"), ("wan", "down", "5")):
        assert tool("outbounds", "set", *words).code == 64


def test_outbounds_show_the_gateway_of_either_family(tool: Tool, daemon: StandIn) -> None:
    text = tool("outbounds").out
    assert "192.0.2.1" in text and "2001:db8" in text and "7002" in text


def test_there_may_be_nothing_to_list(tool: Tool, daemon: StandIn) -> None:
    assert daemon.replies
    daemon.replies.update(rules={"rules": []}, outbounds={"outbounds": []})
    assert tool("rules").out == "there are no rules\n"
    assert tool("outbounds").out == "there are no outbounds\n"


def test_an_empty_plan_ends_with_0(tool: Tool, daemon: StandIn) -> None:
    result = tool("plan")
    assert result.code == 0
    assert "nothing to do" in result.out


@pytest.mark.parametrize("words", [["plan"], ["plan", "--json"]])
def test_a_plan_with_changes_ends_with_2(words: list[str], tool: Tool, daemon: StandIn) -> None:
    assert daemon.replies
    daemon.replies["plan"] = {"changes": ["nft: add rule r_office", "ip rule: add 7001"], "hash": "x"}
    result = tool(*words)
    assert result.code == 2
    assert "ip rule: add 7001" in result.out


def test_a_plan_names_what_stands_in_its_way(tool: Tool, daemon: StandIn) -> None:
    assert daemon.replies
    conflict = {"message": "mark 0x7000000 is used by pbr", "hint": "set fwmark_mask"}
    daemon.replies["plan"] = {"changes": [], "hash": "x", "conflicts": [conflict], "not_enforced": ["calls: by sni"]}
    result = tool("plan")
    assert result.code == 1
    assert result.out.splitlines() == [
        "nothing to do", "conflict: mark 0x7000000 is used by pbr", "  hint: set fwmark_mask", "calls: by sni",
    ]  # fmt: skip


def test_a_refused_reload_ends_with_1_and_says_why(tool: Tool, daemon: StandIn) -> None:
    assert daemon.replies
    daemon.replies["reload"] = {"ok": False, "error": "netpolicy:7:2: unknown option 'prioritty'"}
    result = tool("reload")
    assert result.code == 1
    assert "unknown option 'prioritty'" in result.err


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ({"skipped": [LEFT_OUT]}, "1 rule left out: video (netpolicy:16:15, route 'wam' is not an outbound)"),
        ({"skipped": [{"name": "odd"}, 7], "left_out": "x"}, "1 rule left out: odd"),
        ({"skipped": [{**LEFT_OUT, "name": f"r{n}"} for n in range(9)], "left_out": 300}, "300 rules left out: r0 ("),
    ],
)
def test_a_reload_that_leaves_rules_out_names_them_and_ends_with_1(
    reply: dict[str, Any], says: str, tool: Tool, daemon: StandIn
) -> None:
    assert daemon.replies
    daemon.replies["reload"] = {"ok": True, "error": None, **reply}
    result = tool("reload")
    assert result.code == 1 and result.out == "reloaded\n"
    assert says in " ".join(result.err.split()) and "netpolicy lint" in result.err
    assert tool("reload", "--json").code == 1


def test_call_passes_json_both_ways(tool: Tool, daemon: StandIn) -> None:
    result = tool("call", "logs", '{"limit": 5}')
    assert result.json == REPLIES["logs"]
    assert daemon.calls == [("logs", {"limit": 5})]


@pytest.mark.parametrize("words", ["[1]", "{", "[" * 100_000, '"text"', ""])
def test_call_refuses_what_is_no_object(words: str, tool: Tool, daemon: StandIn) -> None:
    result = tool("call", "status", words)
    assert result.code == 64
    assert "JSON" in result.err and daemon.calls == []


def test_call_of_an_unknown_method_says_so(tool: Tool, daemon: StandIn) -> None:
    result = tool("call", "frobnicate")
    assert result.code == 1
    assert "has no method 'frobnicate'" in result.err


def test_an_argument_the_daemon_refuses_is_a_wrong_command_line(tool: Tool, daemon: StandIn) -> None:
    result = tool("call", "logs", '{"limt": 5}')
    assert result.code == 64
    assert "unknown argument 'limt'" in result.err


def test_a_denied_call_says_to_be_root(tool: Tool, daemon: StandIn) -> None:
    def deny(arguments: dict[str, Any]) -> dict[str, Any]:
        raise UbusError(PERMISSION_DENIED)

    assert daemon.replies
    daemon.replies["reload"] = deny
    result = tool("reload")
    assert result.code == 1
    assert "as root" in result.err


def test_a_failure_is_a_document_too(tool: Tool, daemon: StandIn) -> None:
    def refuse(arguments: dict[str, Any]) -> dict[str, Any]:
        raise UbusError(INVALID_ARGUMENT, "port: invalid port value: x")

    assert daemon.replies
    daemon.replies["decide"] = refuse
    result = tool("decide", "port=x", "--json")
    assert result.code == 64
    assert "invalid port value: x" in result.json["error"]
    assert "invalid port value: x" in result.err


def test_the_version_needs_no_daemon(tool: Tool) -> None:
    assert tool("version").out == f"netpolicy {__version__}\n"
    assert tool("version", "--json").json == {"version": __version__}


def test_names_from_elsewhere_cannot_steer_the_terminal(tool: Tool, daemon: StandIn) -> None:
    assert daemon.replies
    daemon.replies["outbounds"] = {"outbounds": [{"name": "a\x1b[2Jb\n\x07", "reason": "\x9b31m"}]}
    text = tool("outbounds").out
    assert all(c.isprintable() or c == "\n" for c in text)
    assert text.splitlines()[1].startswith("a?[2Jb??")


@pytest.mark.usefixtures("greenwich")
def test_rules_show_the_last_hit_and_who_took_nothing_for_long(tool: Tool, daemon: StandIn, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert daemon.replies
    old = {**UNUSED_RULE, "name": "old", "last_hit": 1_650_000_000, "hits": 3}
    lost = {**UNUSED_RULE, "name": "lost", "hits": 3}
    daemon.replies["rules"] = {"rules": [RULE, UNUSED_RULE, old, lost]}
    lines = tool("rules").out.splitlines()
    assert "LAST" in lines[0] and " never " in lines[2] and lines[4].split()[-2] == "-"
    assert lines[6] == "fax: never took a connection, in force since 2020-09-13"
    assert lines[7] == "old: took no connection for 30 days, the last one on 2022-04-15"
    assert lines[8] == "lost: took no connection for 30 days, nobody knows when the last one was"
    only = tool("rules", "--unused", "--json").json["rules"]
    assert [rule["name"] for rule in only] == ["fax", "old", "lost"]
    daemon.replies["rules"] = {"rules": [RULE]}
    assert tool("rules", "--unused", "--days", "7").out == "no rule is unused for 7 days\n"
    assert daemon.calls[-1] == ("rules", {"unused_days": 7})


@pytest.mark.parametrize("words", [["--days", "0"], ["--days", "3651"], ["--days", "x"]])
def test_days_that_make_no_sense_are_refused(words: list[str], tool: Tool, daemon: StandIn) -> None:
    assert tool("rules", *words).code == 64
    assert daemon.calls == []


def test_below_the_rules_stands_what_holds_their_limits_and_what_was_dropped(tool: Tool, daemon: StandIn) -> None:
    assert daemon.replies
    ways = [{"device": "wan", "how": "policed", "why": "SQM"}, {"device": "lte", "how": "shaped", "why": ""}]
    up = {"direction": "up", "rate": 1, "packets": 9, "bytes": 2500, "dropped": 4, "devices": ways}
    nowhere = {**up, "direction": "down", "devices": []}
    profile = {"name": "slow", "per": "client", "directions": [up, nowhere]}
    daemon.replies["rules"] = {"rules": [RULE], "throttles": [profile, "broken"]}
    told = " ".join(" ".join(tool("rules").out.splitlines()[2:]).split())
    assert told == (
        "throttle slow up for each client: 9 packets, 2.5k bytes, 4 packets dropped; "
        "dropped on wan (SQM); queued on lte"
    )
