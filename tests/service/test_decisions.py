"""The decision log: a line and an event for each packet that a rule of ours logged, for nothing else."""

from __future__ import annotations

import dataclasses

import pytest

from netpolicy.config.load import load_text
from netpolicy.dataplane.names import rule_chain
from netpolicy.flows.nflog import LoggedPacket
from netpolicy.service.anonymous import Shade
from netpolicy.service.decisions import DecisionLog
from tests.netns import needs_root
from tests.service.parts import CONFIG, House

pytestmark = [pytest.mark.kernel, needs_root]  # the engine opens its sockets


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    house.engine.ruleset = load_text(CONFIG).ruleset
    return house


def packet(prefix: str) -> LoggedPacket:
    given = {field.name: field.default for field in dataclasses.fields(LoggedPacket)}
    given.update(prefix=prefix, family=4, protocol=6, source="192.168.3.7", destination="203.0.113.5",
                 source_port=4000, destination_port=25)  # fmt: skip
    missing = {name: 0 for name, value in given.items() if value is dataclasses.MISSING}
    return LoggedPacket(**{**given, **missing})


def test_a_logged_packet_becomes_a_line_and_an_event(house):
    DecisionLog(house.engine).note(packet(rule_chain("mail")))
    flow = "tcp 192.168.3.7:4000 → 203.0.113.5:25"
    assert house.said("info") == [f"state=NORMAL rule=mail action=block reject {flow}"]
    assert house.events == [("netpolicy.decision", {"rule": "mail", "action": "block reject", "flow": flow})]


@pytest.mark.parametrize("prefix", ["", "r_unknown", "mail", "r_mail\n", "x" * 300])
def test_what_no_rule_of_ours_logged_is_nothing(house, prefix):
    DecisionLog(house.engine).note(packet(prefix))
    assert house.log.since(0, 10) == [] and house.events == []


def test_the_rules_of_now_are_asked_after_a_reload(house):
    log = DecisionLog(house.engine)
    log.note(packet(rule_chain("mail")))
    house.engine.ruleset = load_text(CONFIG.replace("'mail'", "'post'")).ruleset
    log.note(packet(rule_chain("mail")))
    log.note(packet(rule_chain("post")))
    assert [data["rule"] for _, data in house.events] == ["mail", "post"]


def test_whose_clients_are_not_to_be_shown_has_their_network_in_the_line_and_in_the_event(house):
    log = DecisionLog(house.engine, lambda: Shade(("clients",)))
    log.note(packet(rule_chain("mail")))
    log.note(dataclasses.replace(packet(rule_chain("mail")), source="203.0.113.5", destination="192.168.3.7"))
    told = [data["flow"] for _, data in house.events]
    assert told == ["tcp 192.168.3.0/24:4000 → 203.0.113.5:25", "tcp 203.0.113.5:4000 → 192.168.3.0/24:25"]
    assert all(flow in line for flow, line in zip(told, house.said("info"), strict=True))
    assert "192.168.3.7" not in "".join(house.said("info"))
