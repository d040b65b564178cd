"""The LuCI page, run in node on sample answers of the service: what it shows, and what it never does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "luci-app-netpolicy"
VIEW = APP / "htdocs/luci-static/resources/view/netpolicy/overview.js"
HARNESS = Path(__file__).with_name("luci_page.js")
MENU = APP / "root/usr/share/luci/menu.d/luci-app-netpolicy.json"
PERMISSIONS = APP / "root/usr/share/rpcd/acl.d/luci-app-netpolicy.json"

SCRIPTS = sorted((APP / "htdocs").rglob("*.js"))

HOSTILE = '<img src=x onerror="alert(1)">'

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")

STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "mode": "enforce",
    "enabled": True,
    "state": "NORMAL",
    "outbounds": [
        {
            "name": "wan",
            "type": "interface",
            "up": True,
            "reason": "",
            "device": "eth1",
            "gateway": "203.0.113.1",
            "gateway6": "2001:db8::1",
            "class": 1,
            "table": 7001,
        },
        {
            "name": "wan_b",
            "type": "interface",
            "up": False,
            "reason": "no carrier",
            "device": "eth2",
            "gateway": "",
            "gateway6": "",
            "class": 2,
            "table": 7002,
        },
    ],
    "rules": {"total": 3, "active": 2, "skipped": [{"name": "typo", "error": "unknown option `prot`"}]},
    "pending": None,
    "inspector": {"tier": "conntrack", "reason": "no BTF"},
    "warnings": [{"code": "NP301", "message": "mark collision", "hint": "change mark_mask"}],
    "config": {"file": "/etc/config/netpolicy", "error": None},
    "kernel": {"in_sync": True, "generation": 7},
}
RULES = {
    "rules": [
        {"name": "office", "title": "Office hours", "priority": 100, "enabled": True, "active": True,
         "match": "src_addr=192.168.1.0/24", "action": "route wan_b", "outbound": "wan_b", "hits": 12,
         "bytes": 5_000_000, "enforced": "kernel", "log": True},
        {"name": "old", "title": "", "priority": 10, "enabled": False, "active": False, "match": "any",
         "action": "block", "outbound": None, "hits": 0, "bytes": 0, "enforced": "after first connection",
         "log": False},
    ]
}  # fmt: skip
FLOW = {"id": 1, "family": "ipv4", "protocol": "tcp", "src": "192.168.1.7", "src_port": 51000,
        "dest": "198.51.100.4", "dest_port": 443, "rule": "office", "outbound": "wan_b", "class": 2,
        "agrees": True, "bytes": 2048, "packets": 9, "state": "ESTABLISHED"}  # fmt: skip
FLOW6 = {**FLOW, "id": 2, "src": "2001:db8::7", "dest": "2001:db8::53", "rule": None, "outbound": "direct",
         "agrees": False}  # fmt: skip
CONNECTIONS = {"total": 120, "connections": [FLOW, FLOW6]}


def answers(**changes: Any) -> dict[str, list[Any]]:
    replies = {"status": STATUS, "rules": RULES, "connections": CONNECTIONS, **changes}
    return {f"netpolicy.{method}": [reply] for method, reply in replies.items()}


def show(replies: dict[str, list[Any]], steps: list[list[str]] | None = None, *, write: bool = True) -> Any:
    question = json.dumps({"replies": replies, "steps": steps or [], "write": write})
    done = subprocess.run(
        ["node", HARNESS, VIEW], input=question, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def words(page: Any) -> str:
    """The text of the page with one blank where tags were."""
    return " ".join(re.sub(r"<[^>]*>", " ", page["html"]).split())


def everywhere_hostile(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: everywhere_hostile(item) for key, item in value.items()}
    if isinstance(value, list):
        return [everywhere_hostile(item) for item in value]
    return HOSTILE if isinstance(value, str) or value is None else value


@needs_node
def test_the_page_shows_state_outbounds_rules_and_connections() -> None:
    text = words(show(answers()))
    assert "State NORMAL" in text
    assert "enforcing" in text
    assert "2 of 3 active" in text
    assert "wan_b interface down no carrier - eth2" in text
    assert "203.0.113.1, 2001:db8::1" in text
    assert "Office hours (logged) src_addr=192.168.1.0/24 route wan_b active" in text
    assert "12 4.8 MiB" in text
    assert "192.168.1.7:51000 198.51.100.4:443 office wan_b 2.0 KiB ESTABLISHED" in text
    assert "[2001:db8::7]:51000 [2001:db8::53]:443 no rule direct the rules now say otherwise" in text
    assert "conntrack (no BTF)" in text


@needs_node
def test_warnings_skipped_rules_and_a_refused_configuration_are_on_top() -> None:
    status = {**STATUS, "config": {"file": "/etc/config/netpolicy", "error": "line 4: unknown option"}}
    text = words(show(answers(status=status)))
    assert "the previous one stays in force. /etc/config/netpolicy: line 4: unknown option" in text
    assert "NP301 mark collision change mark_mask" in text
    assert "Skipped rule typo unknown option `prot`" in text
    assert text.index("line 4") < text.index("State NORMAL")


@needs_node
def test_observing_is_said_plainly_and_the_kernel_is_not_claimed() -> None:
    text = words(show(answers(status={**STATUS, "mode": "observe"})))
    assert "observing only, nothing is changed" in text
    assert "equal to the rules" not in text


@needs_node
def test_names_with_markup_stay_text_everywhere() -> None:
    replies = answers(
        status=everywhere_hostile(STATUS),
        rules=everywhere_hostile(RULES),
        connections=everywhere_hostile(CONNECTIONS),
    )
    page = show(replies)
    assert "<img" not in page["html"]
    assert page["html"].count("&#60;img") > 20
    assert page["raw"] == []


@needs_node
def test_only_the_first_line_of_an_error_is_shown() -> None:
    page = show({"netpolicy.status": [{"!reject": "Object not found\n  at rpc.js:82"}]})
    assert "Object not found" in words(page)
    assert "rpc.js" not in words(page)


@needs_node
def test_an_error_text_with_markup_stays_text_too() -> None:
    page = show({"netpolicy.status": [{"!reject": HOSTILE}]})
    assert "<img" not in page["html"]
    assert page["raw"] == []


@needs_node
@pytest.mark.parametrize(
    ("services", "advice"),
    [
        ({}, "It was stopped. &#34;/etc/init.d/netpolicy start&#34; starts it."),
        ({"netpolicy": {"triggers": []}}, "option &#34;enabled&#34; in /etc/config/netpolicy is 1"),
    ],
    ids=["stopped", "switched off"],
)
def test_a_service_that_does_not_run_is_said_so_and_how_to_start_it(services: Any, advice: str) -> None:
    page = show({"service.list": [services]})
    text = words(page)
    assert "The NetPolicy service is not running." in text
    assert advice in text
    assert "Live connections" not in text


@needs_node
def test_a_service_that_should_run_but_is_silent_points_to_the_log() -> None:
    page = show({"service.list": [{"netpolicy": {"instances": {"main": {"running": False}}}}]})
    assert "It should run, but does not answer. The system log says why." in words(page)


@needs_node
def test_a_missing_permission_is_not_called_a_missing_service() -> None:
    page = show({"netpolicy.status": [{"!reject": "RPC call failed with error -32002: Access denied"}]})
    assert "You are not allowed to see this." in words(page)
    assert "not running" not in words(page)


@needs_node
def test_a_ubus_status_number_from_an_older_luci_is_an_error_not_an_empty_page() -> None:
    page = show(answers(status=2))
    assert "The service answered with ubus status 2." in words(page)


@needs_node
def test_the_page_comes_back_when_the_service_does() -> None:
    replies = answers()
    replies["netpolicy.status"] = [{"!reject": "Object not found"}, STATUS]
    page = show(replies, [["poll", ""]])
    assert "State NORMAL" in words(page)
    assert "not running" not in words(page)


@needs_node
def test_a_service_that_stops_replaces_the_old_picture() -> None:
    replies = answers()
    replies["netpolicy.status"] = [STATUS, {"!reject": "Object not found"}]
    page = show(replies, [["poll", ""]])
    assert "not running" in words(page)
    assert "State NORMAL" not in words(page)


@needs_node
def test_connections_come_in_pages_of_fifty() -> None:
    page = show(answers(), [["click", "Next"], ["filter", "  10.0.0.1 "]])
    asked = [call[1:] for call in page["calls"] if call[0] == "netpolicy.connections"]
    assert asked == [[50, 0, ""], [50, 50, ""], [50, 0, "10.0.0.1"]]
    assert page["poll"] == [5]


@needs_node
def test_the_last_page_has_no_next_and_the_first_no_previous() -> None:
    page = show(answers(connections={"total": 2, "connections": [FLOW, FLOW6]}))
    assert page["disabled"] == ["Previous", "Next"]
    assert "1 to 2 of 2" in words(page)


@needs_node
def test_reload_tells_the_reason_of_a_refusal() -> None:
    replies = answers(reload={"ok": False, "error": "line 9: " + HOSTILE})
    page = show(replies, [["click", "Reload configuration"]])
    assert page["notes"] == [["Reload refused: line 9: " + HOSTILE, "error"]]
    assert page["raw"] == []


@needs_node
def test_a_login_that_may_only_read_cannot_reload() -> None:
    assert "Reload configuration" in words(show(answers()))
    assert "Reload configuration" not in words(show(answers(), write=False))


@needs_node
def test_rules_stand_in_the_order_in_which_they_are_asked() -> None:
    rule = RULES["rules"][0]
    told = (("low", 0), ("mid_a", 100), ("top", 1000), ("mid_b", 100), ("bad", None))
    given = [{**rule, "title": "", "name": name, "priority": priority} for name, priority in told]
    text = words(show(answers(rules={"total": 5, "rules": given}, connections={})))
    assert sorted(("top", "mid_a", "mid_b", "low", "bad"), key=text.index) == ["top", "mid_a", "mid_b", "low", "bad"]
    assert "of 5 rules" not in text


@needs_node
def test_a_page_of_many_rules_says_how_many_there_are() -> None:
    assert "2 of 5000 rules" in words(show(answers(rules={**RULES, "total": 5000})))


@needs_node
def test_texts_of_any_length_may_be_broken_anywhere() -> None:
    """Otherwise a name of 64 letters makes the table wider than the screen."""
    long = "x" * 120
    page = show(answers(
        status={**STATUS, "outbounds": [{**STATUS["outbounds"][0], "name": long, "reason": long}],
                "warnings": [{"code": "NP1", "message": long, "hint": long}],
                "rules": {"skipped": [{"name": long, "error": long}]}},
        rules={"rules": [{**RULES["rules"][0], key: long} for key in ("title", "match", "action", "enforced")]},
        connections={"total": 1, "connections": [{**FLOW, "rule": long, "outbound": long}]},
    ))  # fmt: skip
    assert page["html"].count(long) == 12
    rest = re.sub(r'<span style="overflow-wrap: anywhere">[^<]*</span>', "", page["html"])
    rest = re.sub(r'<div class="alert-message[^>]*overflow-wrap: anywhere">.*?</div></div>', "", rest)
    assert long not in rest


@needs_node
def test_every_call_of_the_page_is_granted_and_none_that_changes_something_by_reading() -> None:
    group = json.loads(PERMISSIONS.read_text())["luci-app-netpolicy"]
    read, write = group["read"]["ubus"], group["write"]["ubus"]
    declared = re.findall(r"object: '(\w+)', method: '(\w+)'", VIEW.read_text())
    assert declared
    for name, method in declared:
        assert method in read.get(name, []) + write.get(name, []), f"{name}.{method}"
    # `job` gives out what confirms a change.
    changing = {"reload", "apply", "job", "confirm", "extend", "abort", "rollback", "heal", "set_mode", "outbound_set",
                "refresh_lists"}  # fmt: skip
    assert changing.isdisjoint(read["netpolicy"])
    assert set(write["netpolicy"]) == changing - {"set_mode"}


def test_permissions_hold_no_wildcard_and_split_reading_from_writing() -> None:
    text = PERMISSIONS.read_text()
    assert '"*"' not in text
    group = json.loads(text)["luci-app-netpolicy"]
    assert group["read"]["uci"] == group["write"]["uci"] == ["netpolicy"]


def test_menu_entries_lead_to_views_and_ask_for_their_group() -> None:
    menu = json.loads(MENU.read_text())
    views = {entry["action"]["path"] for entry in menu.values() if entry["action"]["type"] == "view"}
    assert views == {"netpolicy/overview", "netpolicy/changes"}
    assert all((APP / f"htdocs/luci-static/resources/view/{view}.js").is_file() for view in views)
    assert all(entry["depends"]["acl"] == list(json.loads(PERMISSIONS.read_text())) for entry in menu.values())


def test_the_translation_template_is_up_to_date() -> None:
    """Renewed by `python3 sdk-build/pot.py --write`."""
    done = subprocess.run(["python3", ROOT / "sdk-build/pot.py"], capture_output=True, text=True, check=True)
    assert (APP / "po/templates/netpolicy.pot").read_text() == done.stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_text_of_a_page_escapes_translation(path: Path) -> None:
    """A quoted phrase (capital, blank) outside _() is one that translators never see."""
    source = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    source = re.sub(r"\b_\('(?:[^'\\]|\\.)*'\)", "", source)
    phrases = re.findall(r"'([A-Z][a-z]+ [^']*)'", source)
    assert phrases == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_makes_markup_of_text_keeps_anything_in_the_browser_or_loads_from_elsewhere(path: Path) -> None:
    source = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "sessionStorage",
                 "localStorage", "document.cookie", "history.pushState", "https:", "http:"):  # fmt: skip
        assert word not in source


@needs_node
def test_the_health_of_a_line_is_shown_with_its_reason() -> None:
    health = {"state": "DEGRADED", "because": "latency 300 ms, more than 120", "since": 4.0, "trusted": True,
              "by_hand": "auto", "latency_ms": 300.4, "loss": 0.05, "probes": []}  # fmt: skip
    taken = {**health, "state": "NORMAL", "by_hand": "down", "loss": None}
    lines = [{**one, "health": said} for one, said in zip(STATUS["outbounds"], (health, taken), strict=True)]
    page = show(answers(status={**STATUS, "outbounds": lines}))
    assert "DEGRADED 300 ms, loss 5 % latency 300 ms, more than 120 eth1" in words(page)
    assert "NORMAL 300 ms, set to down by hand" in words(page)
    assert "<img" not in show(answers(status=everywhere_hostile({**STATUS, "outbounds": lines})))["html"]
