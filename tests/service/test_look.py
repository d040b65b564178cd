"""A look at many entries: each kind asked once, none mistaken for another."""

from __future__ import annotations

import pytest

from netpolicy.service import look
from netpolicy.service.affected import Affected
from netpolicy.service.look import Look
from tests.flows.crowd import client, told
from tests.service.open_flows import AROUND, WAN_A, WAN_B, compiled, rule

BLOCK = rule("stop", "+dest_port=443", "block=reject")


def ports(number: int) -> int:
    return 443 if number % 3 else 80


def look_for(*rules: str) -> Look:
    return Look(Affected(compiled(), compiled(*rules)), AROUND.facts)


def test_of_a_thousand_connections_each_kind_is_asked_once():
    crowd = [client(number, WAN_A, ports(number)) for number in range(3000)]
    looking = look_for(BLOCK)
    found = [flow for flow in (looking.concerned(told(one)) for one in crowd) if flow is not None]
    assert [flow.key for flow in found] == [one.key for one in crowd if one.destination_port == 443]
    assert looking.asked == 400  # 200 clients, two ports each


def test_the_class_and_the_state_make_a_difference():
    looking = look_for(rule("calls", "+dest_port=443", "switch_route=wan_b"))
    assert looking.concerned(told(client(1, WAN_A))) is not None
    assert looking.concerned(told(client(1, WAN_B))) is None
    assert looking.concerned(told(client(1, WAN_A))) is not None


def test_a_rule_for_a_source_port_is_asked_for_each_of_them():
    looking = look_for(rule("game", "+src_port=10003", "block=drop"))
    found = [looking.concerned(told(client(number, WAN_A))) for number in range(0, 2000, 200)]
    assert [flow.source_port for flow in found if flow is not None] == [10003]


def test_no_more_outcomes_are_kept_than_fit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(look, "KEPT", 50)
    looking = look_for(BLOCK)
    for _ in range(2):
        assert all(looking.concerned(told(client(number, WAN_A))) for number in range(200))
    assert looking.asked == 400 and len(looking._known) <= 50
