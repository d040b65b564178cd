"""Interfaces of netifd by device: what a rule calls "home" arrives by the device behind it."""

from __future__ import annotations

import pytest

from netpolicy.core.facts import Facts
from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Rule
from netpolicy.flows.model import Flow, FlowEvent
from netpolicy.flows.watch import FlowWatch
from netpolicy.outbounds.lines import LogicalInterface
from netpolicy.service.api import Service
from netpolicy.service.connections import Connections
from netpolicy.service.devices import by_device, facts_by_device
from tests.netns import needs_root
from tests.router import router
from tests.service.parts import CONFIG, House

DEVICES = {"home": "br-lan", "lo": "nonsense"}


def rule(*interfaces: str) -> Rule:
    fields = (parse_field("src_iface", interfaces),) if interfaces else ()
    return Rule("r", 100, fields, Action("route", "wan_b"), when=("NORMAL",), title="R", position="f:1")


@pytest.mark.parametrize(
    ("interfaces", "seen", "matches"),
    [
        (("home",), "br-lan", True),
        (("br-lan",), "br-lan", True),
        (("home",), "br-guest", False),
        (("!home",), "br-lan", False),
        (("! home",), "br-guest", True),
        (("lo",), "lo", True),
        (("home", "!br-lan"), "br-lan", False),
    ],
)
def test_a_rule_means_the_device_behind_its_interface(interfaces, seen, matches):
    [meant] = by_device([rule(*interfaces)], DEVICES)
    assert meant.fields[0].matches(seen) is matches
    assert meant.match_text == rule(*interfaces).match_text  # in the words of its owner


def test_everything_else_of_a_rule_stays():
    plain, named = rule(), rule("home")
    assert by_device([plain], DEVICES)[0] is plain
    [meant] = by_device([named], DEVICES)
    assert all(getattr(meant, slot) == getattr(named, slot) for slot in Rule.__slots__ if slot != "fields")


def test_a_fact_may_name_the_interface_or_its_device_or_be_unknown():
    facts = Facts()
    assert facts_by_device(facts, DEVICES).src_iface is None
    for name in ("home", "br-lan"):
        facts.src_iface = name
        assert facts_by_device(facts, DEVICES).src_iface == "br-lan"


GUESTS = CONFIG + "\nconfig rule 'guests'\n\toption priority '90'\n\tlist src_iface 'home'\n\toption route 'wan_a'\n"


@pytest.mark.kernel
@needs_root
async def test_decide_and_connections_know_the_interface_as_the_kernel_does(tmp_path):
    async def netifd() -> dict[str, LogicalInterface]:
        return {"home": LogicalInterface("lan", True)}

    with router():
        house = House(tmp_path)
        house.engine.ask_netifd = netifd
        assert await house.load(GUESTS) == ""
        watch = FlowWatch()
        connections = Connections(house.engine, watch.table)
        service = Service(house.engine, connections, watch)
        for name in ("home", "lan"):
            assert service.decide({"src_iface": name, "proto": "udp"})["rule"] == "guests"
        source, server = ("192.168.1.9", 4000), ("203.0.113.5", 53)
        begun = Flow(1, 4, 17, *source, *server, *server, *source, 0x41000000)
        watch.table.apply(FlowEvent("new", begun))
        connections.note_new(begun, 1.0)
        [line] = connections.document(10, 0, "")["connections"]
    assert (line["rule"], line["agrees"], connections.disagreements) == ("guests", True, 0)
