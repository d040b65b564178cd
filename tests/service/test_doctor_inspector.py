"""The area of the inspector: what is below the best is said with its reason."""

from __future__ import annotations

from typing import Any

from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Rule, Ruleset, Settings
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_inspector import ACCOUNTING, JIT, examine
from tests.service.doctoring import Machine, seen


def told(tier: str = "ebpf", reason: str = "", setting: str = "auto", **counters: int) -> dict[str, Any]:
    device = {"name": "br-lan", "tier": tier, "way": "tcx", "reason": reason}
    return {"setting": setting, "devices": [device], "counters": counters}


def levels(inspector: dict[str, Any] | None, **files: str) -> dict[str, str]:
    return seen(examine(Machine(files), Given(inspector=inspector)))


def test_without_a_daemon_only_the_kernel_is_looked_at() -> None:
    assert levels(None) == {"ND973": "ok", "ND974": "ok"}


def test_the_best_tier_is_fine() -> None:
    assert set(levels(told()).values()) == {"ok"}


def test_less_than_the_best_is_said_and_what_somebody_chose_is_not() -> None:
    assert levels(told("packet", "ebpf: not permitted"))["ND971"] == "info"
    assert levels(told("packet", setting="packet"))["ND971"] == "ok"
    assert levels(told("conntrack", "packet: no", setting="packet"))["ND971"] == "info"
    assert levels(told("conntrack", setting="conntrack"))["ND971"] == "ok"


def test_a_qdisc_of_others_is_named() -> None:
    found = examine(Machine(), Given(inspector=told("packet", "clsact: br-lan has an ingress qdisc")))
    assert seen(found)["ND972"] == "info"
    assert next(one for one in found if one.code == "ND972").command == "tc qdisc show dev br-lan"


def test_programs_that_somebody_took_off_are_told_though_they_are_back() -> None:
    inspector = told()
    assert levels(inspector)["ND977"] == "ok"
    inspector["devices"] = [{**inspector["devices"][0], "taken_off": 1}, {**told()["devices"][0], "name": "guest"},
                            {**told()["devices"][0], "name": "lan3", "taken_off": 4}]  # fmt: skip
    found = next(one for one in examine(Machine(), Given(inspector=inspector)) if one.code == "ND977")
    assert (found.level, found.details) == ("info", "br-lan, once; lan3, 4 times")


def test_more_than_one_in_a_hundred_lost_is_a_warning() -> None:
    assert levels(told(events=1000, lost=9, full=1))["ND975"] == "ok"
    assert levels(told(events=1000, lost=10, full=1))["ND975"] == "warning"
    assert levels(told(events=1000, begun=500, evicted=5))["ND975"] == "ok"
    assert levels(told(events=1000, begun=500, evicted=6))["ND975"] == "warning"  # a scan, perhaps


def test_the_two_switches_of_the_kernel_are_told() -> None:
    machine = Machine({JIT: "0\n", ACCOUNTING: "0\n"})
    assert seen(examine(machine, Given())) == {"ND973": "info", "ND974": "info"}


def test_clients_that_ask_elsewhere_in_secret_are_named_until_it_is_refused() -> None:
    one = {"client": "192.168.1.7", "by": "tls", "server": "9.9.9.9", "age": 5.0}
    inspector = {**told(), "bypasses": [one, {**one, "server": "dns.google"}, {**one, "age": 1e6, "client": "old"}]}
    found = next(item for item in examine(Machine(), Given(inspector=inspector)) if item.code == "ND976")
    assert (found.level, found.details) == ("info", "192.168.1.7 asks 9.9.9.9, dns.google")
    named = Rule("video", 1, (parse_field("domain", ("video.example",)),), Action("route", "direct"))
    given = Given(Ruleset((named,)), inspector=inspector)
    assert seen(examine(Machine(), given))["ND976"] == "warning"
    guarded = Given(Ruleset((named,), settings=Settings(dns_guard=True)), inspector=inspector)
    assert seen(examine(Machine(), guarded))["ND976"] == "ok"
