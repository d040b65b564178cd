"""The LuCI page of the guarded apply, run in node with a clock of its own: what it asks, how, and what it shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

APP = Path(__file__).resolve().parents[2] / "luci-app-netpolicy"
RESOURCES = APP / "htdocs/luci-static/resources"
VIEW = RESOURCES / "view/netpolicy/changes.js"
HARNESS = Path(__file__).with_name("luci_page.js")
PERMISSIONS = APP / "root/usr/share/rpcd/acl.d/luci-app-netpolicy.json"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")

HOSTILE = '<img src=x onerror="alert(1)">'
TOKEN = "r12345678.0123456789abcdef0123456789abcdef"
OLD = "no HTTP connection to this router is younger than the change"

ROWS = [
    {"what": "admin 192.168.1.5 -> 192.168.1.1 tcp/80", "before": "answered", "after": "answered", "ok": True},
    {"what": "assert lan can wan tcp/25", "before": "answered", "after": "silent", "ok": False, "because": "rule mail"},
]
PLAN: dict[str, Any] = {
    "changes": ["+ chain k_01", "+ chain m_01"], "hash": "a" * 64, "drift": [], "conflicts": [], "not_enforced": [],
    "rules": [{"kind": "rule", "name": "mail", "change": "added", "details": []}],
    "text": ["+ rule mail (block reject, tcp/25)"],
    "risk": {"level": "medium", "window": 120, "reasons": [{"level": "medium", "text": "a service for everybody"}]},
    "rehearsal": {"how": "packets", "why": "", "ok": False, "notes": [], "rows": ROWS}, "unchanged": False,
}  # fmt: skip
JOB: dict[str, Any] = {
    "id": "r12345678", "state": "planning", "who": "root by web", "why": "", "cause": "apply", "error": None,
    "hint": None, "window": 120, "seconds_left": None, "generation": None, "plan": {}, "rehearsal": {}, "probes": [],
    "notes": [], "token": None,
}  # fmt: skip
AWAIT = {**JOB, "state": "await", "seconds_left": 120, "generation": 8, "token": TOKEN}
COMMITTED = {**JOB, "state": "committed", "generation": 8, "notes": ["confirmed by root by web: HTTP from 192.168.1.5"]}
REVERTED = {**JOB, "state": "reverted", "error": "nobody confirmed it in time"}
REFUSED = {**JOB, "state": "refused", "error": "the rehearsal shows: lan", "rehearsal": {"rows": ROWS}}
ENTRIES = [
    {"number": 3, "time": 1795268236.2, "event": "change", "id": "r1", "cause": "apply", "who": "root by web",
     "why": "because", "outcome": "committed", "reason": "", "generation": 7},
    {"number": 2, "time": 1795268230.2, "event": "begin", "id": "r1", "cause": "apply", "generation": 7},
    {"number": 1, "time": 1795267856.6, "event": "adopted", "cause": "start", "generation": 1},
]  # fmt: skip
LAN = {"l3_device": "br-lan", "ipv4-address": [{"address": "192.168.1.1"}, {"address": "10.0.0.1"}],
       "ipv6-address": [{"address": "fe80::1"}],
       "ipv6-prefix-assignment": [{"address": "fd00::", "local-address": {"address": "fd00::1"}}]}  # fmt: skip
WAN = {"l3_device": "eth1", "ipv4-address": [{"address": "203.0.113.2"}]}
REPLIES: dict[str, Any] = {
    "netpolicy.status": {"outbounds": [{"name": "wan", "device": "eth1"}], "pending": None},
    "netpolicy.plan": PLAN,
    "netpolicy.history": {"entries": ENTRIES, "generations": [1, 7], "current": 7},
    "netpolicy.verify": {"fine": True, "lines": 3},
    "netpolicy.drift": {"mode": "heal", "is_there": False, "last": None},
    "netpolicy.apply": {"job": "r12345678"},
    "netpolicy.rollback": {"job": "r12345678"},
    "netpolicy.diff": {"text": ["- rule mail"]},
    "netpolicy.heal": {"ok": True},
    "netpolicy.confirm": {"!refused": OLD},
    "netpolicy.job": [JOB, AWAIT],
    "network.interface.dump": {"interface": [LAN, WAN]},
}


def show(*steps: list[Any], write: bool = True, answering: tuple[str, ...] = (), **replies: Any) -> Any:
    given = {**REPLIES, **{name.replace("__", "."): reply for name, reply in replies.items()}}
    queues = {}
    for name, reply in given.items():
        full = name if "." in name else f"netpolicy.{name.replace('_anew', ' anew')}"
        queues[full] = reply if isinstance(reply, list) else [reply]
    question = {"replies": queues, "steps": steps, "write": write, "answering": answering}
    done = subprocess.run(
        ["node", HARNESS, VIEW], input=json.dumps(question), capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def asked(page: Any, method: str, name: str = "netpolicy") -> list[dict[str, Any]]:
    return [one for one in page["asked"] if one["parameters"][:2] == [name, method]]


def hostile(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: hostile(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return HOSTILE if isinstance(value, str) or value is None else value


APPLY, LOOK = ["click", "Apply"], ["look"]


def wait(seconds: float) -> list[Any]:
    return ["pass", seconds]


def test_the_plan_comes_by_rules_risk_and_rehearsal_with_what_is_broken_first_and_the_kernel_folded() -> None:
    page = show()
    text = words(page["html"])
    assert "+ rule mail (block reject, tcp/25)" in text
    assert "Risk: medium a service for everybody" in text
    assert text.index("assert lan can wan tcp/25 rule mail answered silent broken") < text.index("admin 192.168.1.5")
    assert "<details><summary>2 changes of the kernel</summary>" in page["html"]
    assert page["raw"] == []


def test_history_hides_beginnings_that_ended_and_says_whether_the_journal_is_what_was_written() -> None:
    text = words(show()["html"])
    assert "apply: confirmed 7 root by web because" in text and "apply: began" not in text
    assert "the journal is what was written 3 lines" in text
    assert "The journal is not what was written: line 2" in words(show(verify={"fine": False, "why": "line 2"})["html"])


def test_an_apply_is_bound_to_the_plan_that_was_shown_and_forces_nothing() -> None:
    page = show(["type", "Why", "for the office"], ["type", "Seconds to confirm", "60"], APPLY)
    assert [one["parameters"][2] for one in asked(page, "apply")] == [
        {"message": "for the office", "confirm": 60, "plan": "a" * 64}
    ]
    assert "Apply in spite of the refusal" not in words(page["html"])


def test_nothing_to_change_is_nothing_to_apply() -> None:
    page = show(plan={**PLAN, "changes": [], "rules": [], "text": [], "unchanged": True})
    assert page["disabled"] == ["Apply"]


def test_the_page_confirms_by_itself_without_credentials_and_the_token_is_nowhere_but_in_that_call() -> None:
    page = show(APPLY, wait(0.2), LOOK, wait(5), job=[JOB, AWAIT, COMMITTED], confirm_anew=COMMITTED)
    confirmed = asked(page, "confirm")
    assert [(one["credentials"], one["url"], one["parameters"][2]) for one in confirmed] == [
        ("omit", "/ubus/", {"id": TOKEN})
    ]
    assert all(one["credentials"] == "same-origin" for one in page["asked"] if one not in confirmed)
    assert "confirmed Generation 8 is in force. confirmed by root by web: HTTP" in words(page["html"])
    assert not [one for one in page["asked"] if TOKEN in one["url"]]
    assert TOKEN not in page["html"] + "".join(page["looks"])


def test_a_refused_confirmation_shows_why_closes_its_connection_and_is_tried_again_by_a_new_one() -> None:
    page = show(
        APPLY, wait(3), LOOK, wait(4),
        job=AWAIT, confirm_anew=[{"!refused": OLD}, COMMITTED], answering=("http://10.0.0.1/",),
    )  # fmt: skip
    assert f"Not confirmed yet: {OLD}" in words(page["looks"][0])
    assert '<a href="http://10.0.0.1/changes" rel="noreferrer">10.0.0.1</a>' in page["looks"][0]
    order = [one["url"] if not one["parameters"] else one["parameters"][1] for one in page["asked"]]
    first, second = [place for place, what in enumerate(order) if what == "confirm"]
    between = order[first:second]
    assert "/luci-static/resources/netpolicy/hang-up" in between
    assert [url for url in between if url.endswith("loading.svg")] == [
        "http://10.0.0.1/luci-static/resources/icons/loading.svg",
        "http://[fd00::1]/luci-static/resources/icons/loading.svg",
    ]
    assert "Generation 8 is in force." in words(page["html"])


def test_a_hang_up_has_a_body_and_no_credentials_because_that_is_what_ends_the_connection() -> None:
    page = show(APPLY, wait(3), job=AWAIT, confirm_anew=[{"!refused": OLD}, COMMITTED])
    (hung_up,) = [one for one in page["asked"] if one["url"].endswith("hang-up")]
    assert hung_up["credentials"] == "omit" and hung_up["parameters"] == []


def test_where_this_address_is_silent_another_one_is_tried_and_the_word_comes_by_the_old_connection() -> None:
    page = show(
        APPLY, wait(30), job=AWAIT, confirm_anew={"!silent": ""}, confirm=COMMITTED, answering=("http://10.0.0.1/",)
    )
    assert [one["credentials"] for one in asked(page, "confirm")] == ["omit", "same-origin"]
    assert "Generation 8 is in force." in words(page["html"])


def test_where_this_address_is_dead_the_word_goes_to_one_of_the_router_that_answers_and_to_no_other() -> None:
    page = show(
        APPLY, wait(20),
        job=[AWAIT, {"!silent": ""}], confirm_anew={"!silent": ""}, confirm={"!silent": ""},
        answering=("http://10.0.0.1/", "http://203.0.113.2/"),
    )  # fmt: skip
    blind = [one for one in asked(page, "confirm") if one["mode"] == "no-cors"]
    assert {one["url"] for one in blind} == {"http://10.0.0.1/ubus/"}
    assert not [one for one in page["asked"] if "203.0.113.2" in one["url"] or "fe80" in one["url"]]


def test_a_silent_router_is_waited_for_and_the_end_of_the_change_is_told() -> None:
    silent = {"!silent": ""}
    page = show(
        APPLY, wait(2), LOOK, wait(40), LOOK, wait(90),
        job=[JOB, {**AWAIT, "state": "applying"}, *[silent] * 20, REVERTED], confirm_anew=silent, confirm=silent,
    )  # fmt: skip
    assert "no new connection to this address gets through" in words(page["looks"][1])
    assert "taken back nobody confirmed it in time" in words(page["html"])


def test_a_router_that_is_silent_before_there_is_a_token_is_said_to_be_so() -> None:
    page = show(APPLY, wait(10), LOOK, job=[JOB, {"!silent": ""}])
    assert "The router does not answer." in words(page["looks"][0])
    assert asked(page, "confirm") == []


def test_a_person_may_confirm_wait_longer_or_take_it_back_when_the_page_shall_not_by_itself() -> None:
    page = show(
        ["check", "Confirm by itself as soon as a new connection gets through", False], APPLY, wait(20), LOOK,
        ["click", "Wait longer"], ["click", "Take back"], wait(2),
        job=[AWAIT], extend={**AWAIT, "seconds_left": 240}, abort={**REVERTED, "error": "aborted by root by web"},
    )  # fmt: skip
    assert asked(page, "confirm") == []
    assert "in force, not confirmed yet" in words(page["looks"][0])
    assert [one["parameters"][2] for one in asked(page, "extend")] == [{"id": "r12345678", "seconds": 240}]
    assert "taken back aborted by root by web" in words(page["html"])


def test_the_clock_runs_between_two_answers() -> None:
    silent = {"!silent": ""}
    page = show(
        APPLY, wait(3.5), LOOK, job=[AWAIT, silent], confirm_anew=silent, confirm=silent
    )  # fmt: skip
    assert "117 seconds until it is taken back" in words(page["looks"][0])


def test_force_is_offered_after_a_refusal_only_and_has_to_be_ticked() -> None:
    offer = "Apply in spite of the refusal: I know another way to this router"
    page = show(APPLY, wait(2), LOOK, APPLY, wait(1), job=REFUSED)
    assert offer in words(page["looks"][0])
    assert all("force" not in one["parameters"][2] for one in asked(page, "apply"))
    page = show(APPLY, wait(2), ["check", offer, True], APPLY, wait(2), job=REFUSED)
    assert [one["parameters"][2].get("force") for one in asked(page, "apply")] == [None, True]


def test_a_change_that_another_one_began_is_shown_and_never_confirmed_without_a_person() -> None:
    status = {"outbounds": [], "pending": {"id": "r12345678"}}
    page = show(wait(10), LOOK, status=status, job=AWAIT)
    assert "in force, not confirmed yet" in words(page["looks"][0])
    assert asked(page, "confirm") == [] and asked(page, "plan") == []
    page = show(wait(1), ["click", "Confirm now"], wait(5), status=status, job=AWAIT, confirm_anew=COMMITTED)
    assert [one["parameters"][2]["id"] for one in asked(page, "confirm")] == [TOKEN]


def test_a_service_that_started_anew_meanwhile_is_asked_what_the_journal_says() -> None:
    entry = {"event": "recovered", "outcome": "reverted", "detail": "r12345678 deadline"}
    page = show(
        APPLY, wait(5), job=[JOB, {"!unknown": "nothing was applied"}],
        history={"entries": [entry], "generations": [], "current": 7},
    )  # fmt: skip
    assert "taken back r12345678 deadline" in words(page["html"])


def test_a_generation_shows_its_difference_and_can_be_gone_back_to_but_not_the_confirmed_one() -> None:
    page = show(["click", "Difference"], LOOK, ["click", "Go back to it"], wait(5), confirm_anew=COMMITTED)
    assert [one["parameters"][2] for one in asked(page, "diff")] == [{"from": 0, "to": 7}]
    assert "- rule mail" in words(page["looks"][0])
    assert page["looks"][0].count(">Go back to it<") == 1
    assert [one["parameters"][2] for one in asked(page, "rollback")] == [{"message": "", "generation": 1}]


def test_drift_is_shown_and_put_right() -> None:
    drift = {"is_there": True, "last": {"seconds_ago": 4, "treatment": "alert", "changes": ["- rule 7000"]}}
    page = show(LOOK, ["click", "Put right"], drift=[drift, REPLIES["netpolicy.drift"]])
    assert "it is still so 4 seconds ago others changed what is ours. - rule 7000" in words(page["looks"][0])
    assert len(asked(page, "heal")) == 1
    assert "Nobody else changed what is ours." in words(page["html"])


def test_a_login_that_may_only_read_has_nothing_to_act_with() -> None:
    page = show(write=False, drift={"is_there": True, "last": {"changes": []}})
    buttons = set(re.findall(r"<button[^>]*>([^<]*)</button>", page["html"]))
    assert buttons == {"Plan anew", "Difference"}


def test_what_is_refused_is_told_in_the_words_of_the_service() -> None:
    page = show(APPLY, apply={"!refused": "change r1 is under way"})
    assert page["notes"] == [["change r1 is under way", "error"]]
    assert "not allowed" in words(show(status={"!denied": ""})["html"])
    assert "wrong line" in words(show(plan={"error": "wrong line"})["html"])


def test_names_with_markup_stay_text_everywhere() -> None:
    there = {"is_there": True, "last": {"seconds_ago": 1, "changes": [HOSTILE]}}
    page = show(
        ["click", "Difference"], APPLY, wait(1), LOOK, wait(4),
        plan=hostile(PLAN), drift=there, diff={"text": [HOSTILE]}, confirm_anew={"!refused": HOSTILE},
        history={"entries": hostile(ENTRIES), "generations": [1, 7], "current": 7},
        job=[AWAIT, AWAIT, AWAIT, {**hostile(REVERTED), "state": "reverted", "notes": [HOSTILE]}],
    )  # fmt: skip
    for html in (page["html"], *page["looks"]):
        assert "<img" not in html and html.count("&#60;img") > 8
    assert page["raw"] == []


def test_every_call_of_the_page_is_granted() -> None:
    group = json.loads(PERMISSIONS.read_text())["luci-app-netpolicy"]
    source = "".join(path.read_text() for path in (VIEW, *(RESOURCES / "netpolicy").glob("*.js")))
    called = set(re.findall(r"(?:\bcall|start|act)\('(?!netpolicy|network)(\w+)'|'netpolicy', '(\w+)'", source))
    called = {first or second for first, second in called}
    assert called == {"status", "plan", "history", "verify", "diff", "drift", "heal", "apply", "rollback", "job",
                      "confirm", "extend", "abort"}  # fmt: skip
    methods = group["read"]["ubus"]["netpolicy"] + group["write"]["ubus"]["netpolicy"]
    assert called <= set(methods)
    assert group["read"]["ubus"]["network.interface"] == ["dump"]
