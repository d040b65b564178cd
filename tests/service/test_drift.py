"""What others do to our kernel state: found, told, put right or left, and never fought over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netpolicy.dataplane.plan import Plan
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.routing import Routing, RoutingChange
from netpolicy.dataplane.staging import Difference
from netpolicy.dataplane.state import Route, RoutingRule
from netpolicy.dataplane.table import build
from netpolicy.service import documents
from netpolicy.service.drift import ALERT, HEAL, LEAVE, MOST_HEALS, PAUSED, WINDOW_SECONDS, Drift
from tests.netns import needs_root, run
from tests.router import everything, router
from tests.service.parts import CONFIG, House

POLICY = Policy()
RULE = RoutingRule(4, 7001, 7001)
ROUTE = Route(4, 7001, "default", "unicast", "192.0.2.1", "wana")
NOTHING = RoutingChange((), (), (), ())
MISSING_RULE = RoutingChange((), (RULE,), (), ())
MISSING_ROUTE = RoutingChange((ROUTE,), (), (), ())
WANTED = Routing(frozenset((ROUTE,)), frozenset((RULE,)))


def plan(routing: RoutingChange = NOTHING, rebuild: bool = False, policy: Policy = POLICY) -> Plan:
    return Plan(policy, build(policy), Difference(rebuild=rebuild), routing, (), WANTED)


def followed() -> Drift:
    drift = Drift()
    drift.followed(plan())
    return drift


def treatment(drift: Drift, found: Plan, mode: str = HEAL, now: float = 0.0) -> str:
    judged = drift.judge(found, mode, now)
    return judged.treatment if judged else ""


def test_only_what_was_in_force_and_is_still_wanted_can_drift() -> None:
    assert treatment(Drift(), plan(rebuild=True)) == ""
    assert treatment(followed(), plan()) == ""
    assert treatment(followed(), plan(rebuild=True)) == HEAL
    assert treatment(followed(), plan(MISSING_RULE)) == HEAL
    other = replace(plan(MISSING_RULE), wanted=Routing())
    assert treatment(followed(), other) == ""
    drift = followed()
    drift.lost()
    assert treatment(drift, plan(rebuild=True)) == ""


def test_routes_that_went_with_their_device_are_nobodys_doing() -> None:
    drift = followed()
    assert treatment(drift, plan(MISSING_ROUTE)) == HEAL
    drift = followed()
    drift.network_changed()
    assert treatment(drift, plan(MISSING_ROUTE)) == ""
    assert treatment(drift, plan(MISSING_RULE)) == HEAL  # no device takes a rule with it
    drift.look()
    drift.followed(plan())
    assert treatment(drift, plan(MISSING_ROUTE)) == HEAL


def test_a_device_that_changes_after_the_kernel_was_read_belongs_to_the_next_turn() -> None:
    drift = followed()
    drift.look()
    drift.network_changed()
    drift.followed(plan())
    assert treatment(drift, plan(MISSING_ROUTE)) == ""


@pytest.mark.parametrize("mode", [ALERT, LEAVE])
def test_as_configured_it_is_not_healed(mode: str) -> None:
    assert [treatment(followed(), plan(rebuild=True), mode) for _ in range(5)] == [mode] * 5


def test_two_heals_in_ten_minutes_then_it_stops_until_they_are_old_or_somebody_insists() -> None:
    drift = followed()
    for moment in range(MOST_HEALS):
        assert treatment(drift, plan(rebuild=True), now=float(moment)) == HEAL
        drift.followed(plan())
    assert treatment(drift, plan(rebuild=True), now=10.0) == PAUSED
    assert drift.resumes_in(10.0) == WINDOW_SECONDS - 10.0
    assert treatment(drift, plan(rebuild=True), now=WINDOW_SECONDS - 0.1) == PAUSED
    assert treatment(drift, plan(rebuild=True), now=WINDOW_SECONDS) == HEAL
    assert treatment(drift, plan(rebuild=True), now=WINDOW_SECONDS + 0.5) == PAUSED  # one is still young
    drift.insist()
    assert treatment(drift, plan(rebuild=True), now=WINDOW_SECONDS + 0.5) == HEAL


def test_the_same_drift_looked_at_again_counts_once() -> None:
    drift = followed()
    for _ in range(3):
        treatment(drift, plan(MISSING_RULE), ALERT)
    assert (drift.count, drift.is_there) == (1, True)
    treatment(drift, plan(rebuild=True), ALERT)
    assert drift.count == 2
    drift.followed(plan())
    assert not drift.is_there


# -- in a router -------------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path):
    with router():
        yield House(tmp_path)


DAMAGES = {
    "table": ("nft", "delete", "table", "inet", "netpolicy"),
    "chains": ("nft", "flush", "table", "inet", "netpolicy"),
    "rules": ("ip", "-4", "rule", "flush", "protocol", "78"),
    "routes": ("ip", "-4", "route", "flush", "table", "7001", "protocol", "78"),
}


@pytest.mark.kernel
@needs_root
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_damage_is_put_right_twice_and_then_only_told(house, damage) -> None:
    assert await house.load() == ""
    before = everything()
    for _ in range(MOST_HEALS):
        run(*damage)
        assert everything() != before
        assert await house.engine.reconcile("seen") == ""
        assert everything() == before
    run(*damage)
    broken = everything()
    assert await house.engine.reconcile("seen") == ""
    assert everything() == broken
    status = documents.status(house.engine, {})
    assert not status["kernel"]["in_sync"]
    assert [text for text in house.said("warning") if "twice in ten minutes" in text]
    assert [one["code"] for one in status["warnings"]] == ["NP906"]
    assert [data["treatment"] for name, data in house.events if name == "netpolicy.drift"] == [HEAL, HEAL, PAUSED]
    house.engine.drift.insist()
    assert await house.engine.reconcile("told to") == ""
    assert everything() == before


@pytest.mark.kernel
@needs_root
async def test_a_change_of_rules_is_followed_whatever_others_did(house) -> None:
    assert await house.load(CONFIG.replace("option enabled '1'", "option enabled '1'\n\toption drift 'alert'")) == ""
    run(*DAMAGES["table"])
    assert await house.engine.reconcile("seen") == ""
    assert not documents.status(house.engine, {})["kernel"]["in_sync"]
    assert "inet netpolicy" not in run("nft", "list", "tables")
    other = CONFIG.replace("option enabled '1'", "option enabled '1'\n\toption drift 'alert'").replace("443", "444")
    assert await house.load(other) == ""
    assert documents.status(house.engine, {})["kernel"]["in_sync"]
    assert "inet netpolicy" in run("nft", "list", "tables")


def _routes_of_wanb() -> str:
    return run("ip", "-4", "route", "show", "table", "all", "protocol", "78", "dev", "wanb")


@pytest.mark.kernel
@needs_root
async def test_a_line_that_flaps_is_no_drift_however_often(house) -> None:
    assert await house.load() == ""
    lost = _routes_of_wanb()
    for _ in range(MOST_HEALS + 2):
        run("ip", "link", "set", "wanb", "down")
        assert _routes_of_wanb() == ""
        run("ip", "link", "set", "wanb", "up")
        house.engine.drift.network_changed()
        assert await house.engine.reconcile("link wanb changed") == ""
        assert _routes_of_wanb() == lost
    assert house.engine.drift.count == 0


def flap() -> None:
    run("ip", "link", "set", "wanb", "down")
    run("ip", "link", "set", "wanb", "up")


@pytest.mark.kernel
@needs_root
async def test_a_line_that_flaps_while_a_turn_ends_is_no_drift(house, monkeypatch) -> None:
    flap()  # its IPv6 address goes the first time, and with that what is wanted
    assert await house.load() == ""
    lost, plan = _routes_of_wanb(), house.engine.kernel.plan

    async def flaps_then(policy):
        found = await plan(policy)
        flap()
        house.engine.drift.network_changed()
        return found

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(house.engine.kernel, "plan", flaps_then)
        assert await house.engine.reconcile("something else") == ""
    assert _routes_of_wanb() == ""
    assert await house.engine.reconcile("link wanb changed") == ""
    assert _routes_of_wanb() == lost and house.engine.drift.count == 0


@pytest.mark.kernel
@needs_root
async def test_what_the_kernel_has_told_already_is_heard_before_it_is_judged(house) -> None:
    flap()
    assert await house.load() == ""
    lost = _routes_of_wanb()
    house.engine.hear = house.engine.drift.network_changed
    flap()
    assert await house.engine.reconcile("something else") == ""
    assert _routes_of_wanb() == lost and house.engine.drift.count == 0


@pytest.mark.kernel
@needs_root
async def test_ip_rule_flush_by_hand_is_healed_for_ours_and_told_with_its_cure_for_the_kernels(house) -> None:
    assert await house.load() == ""
    assert not documents.status(house.engine, {})["warnings"]
    for family in ("-4", "-6"):
        run("ip", family, "rule", "flush")
    assert await house.engine.reconcile("seen") == ""
    assert run("ip", "rule").count("proto 78") > 0
    found = [one for one in documents.status(house.engine, {})["warnings"] if one["code"] == "NP907"]
    assert len(found) == 3
    for one in found:
        run(*one["hint"].split())
    assert await house.engine.reconcile("cured") == ""
    assert not documents.status(house.engine, {})["warnings"]
