"""Connections: the class tells the outbound, the rules are asked again, and what differs is shown."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from netpolicy.core.field import parse_field
from netpolicy.dataplane.learned_sets import base_name
from netpolicy.dataplane.policy import Tunnel
from netpolicy.dataplane.record import replace as replace_in
from netpolicy.flows.model import Flow, FlowEvent
from netpolicy.flows.table import FlowTable
from netpolicy.service import connections as module
from netpolicy.service import in_force
from netpolicy.service.connections import Connections
from tests.netns import needs_root, run
from tests.router import router
from tests.service.parts import CONFIG, House

pytestmark = [pytest.mark.kernel, needs_root]

DIRECT, WAN_A, WAN_B, REJECT = 0x40000000, 0x41000000, 0x42000000, 0x76000000
RULES = (
    CONFIG
    + """
config rule 'by_mac'
	option priority '50'
	list src_mac '02:00:00:00:00:09'
	option route 'wan_a'
"""
)
NAMED = """
config rule 'named'
	option priority '60'
	list domain 'video.example'
	option route 'wan_b'
"""
SEEN_REPLY = 2  # IPS_SEEN_REPLY


def flow(
    number: int, mark: int, source: str = "192.168.1.9", destination: str = "203.0.113.5", port: int = 443
) -> Flow:
    return Flow(number, 4, 6, source, 4000 + number, destination, port, destination, port, source, 4000, mark)


@pytest.fixture
async def house(tmp_path):
    with router():
        house = House(tmp_path)
        assert await house.load() == ""
        yield house


UDP = """
config rule 'udp'
	list proto 'udp'
	option route 'wan_b'
"""


@pytest.fixture
def connections(house):
    return Connections(house.engine, FlowTable(10_000))


def begin(connections: Connections, *flows: Flow, now: float = 1.0) -> list[dict]:
    for one in flows:
        connections._table.apply(FlowEvent("new", one))
        connections.note_new(one, now)
    return connections.document(500, 0, "")["connections"]


@pytest.mark.parametrize(
    ("given", "rule", "outbound"),
    [
        (flow(1, WAN_B), "video", "wan_b"),  # forwarded
        (flow(2, WAN_B, source="192.0.2.2"), "video", "wan_b"),  # the router's own
        (flow(3, REJECT, source="192.168.3.4", port=25), None, "block"),  # from a subnet that nobody knows
        (flow(4, DIRECT, port=80), None, "direct"),
        (flow(5, WAN_B, source="203.0.113.9", destination="198.51.100.2", port=22), None, "wan_b"),  # came in by wan_b
        (flow(6, WAN_A, source="203.0.113.9", destination="192.0.2.2", port=443), None, "wan_a"),
    ],
)
async def test_rule_and_class_agree(connections, given, rule, outbound):
    [line] = begin(connections, given)
    assert (line["outbound"], line["agrees"]) == (outbound, True)
    assert line["rule"] == rule or outbound == "block"
    assert connections.disagreements == 0


async def test_a_mark_that_the_rules_do_not_explain_is_counted_and_told_once(connections, house):
    [line] = begin(connections, flow(1, WAN_A))
    assert (line["agrees"], line["outbound"], line["rule"]) == (False, "wan_a", "video")
    assert connections.disagreements == 1
    assert "the kernel chose wan_a, the rules say wan_b" in house.said("warning")[-1]
    assert connections.document(10, 0, "")["disagreements"] == 1


async def test_what_a_tunnel_sends_itself_is_expected_to_go_by_the_main_table(connections, house):
    assert await house.load(CONFIG + UDP) == ""
    house.engine.in_force.enforced_before = None  # those are asked too
    enforced = house.engine.enforced
    enforced.policy = replace_in(enforced.policy, tunnels=(Tunnel(4001, ("udp",), (2,)),))
    own = [replace(flow(number, DIRECT, source="192.0.2.2"), protocol=17) for number in (1, 2)]
    clients = replace(flow(3, DIRECT), source_port=4001, protocol=17)
    told = {line["id"]: line["agrees"] for line in begin(connections, *own, clients)}
    assert told == {1: True, 2: False, 3: False}


async def test_a_mark_tampered_with_later_is_shown_but_not_counted(connections):
    """`conntrack -U --mark`: an update, not a beginning."""
    begin(connections, flow(1, WAN_B))
    connections._table.apply(FlowEvent("update", flow(1, WAN_A)))
    [line] = connections.document(10, 0, "")["connections"]
    assert line["outbound"] == "wan_a" and connections.disagreements == 0


async def test_a_flow_older_than_our_look_is_never_called_wrong(connections):
    connections._table.apply(FlowEvent("new", flow(1, WAN_A)))
    [line] = connections.document(10, 0, "")["connections"]
    assert (line["rule"], line["agrees"], line["outbound"]) == (None, None, "wan_a")


async def test_a_flow_without_our_bit_is_not_judged(connections):
    [line] = begin(connections, flow(1, 0x00000001))
    assert (line["rule"], line["agrees"], line["class"]) == (None, None, 0)


async def test_what_began_under_the_rules_before_is_held_against_those(connections, house, monkeypatch):
    monkeypatch.setattr(in_force, "OVERLAP_SECONDS", 3600.0)
    assert await house.load(CONFIG.replace("option route 'wan_b'", "option route 'wan_a'")) == ""
    [line] = begin(connections, flow(1, WAN_B))
    assert (line["agrees"], connections.disagreements) == (True, 0)
    assert begin(connections, flow(2, WAN_A))[0]["agrees"] is True


async def test_a_client_that_came_after_the_last_look_is_found_by_its_mac(house):
    assert await house.load(RULES) == ""
    connections = Connections(house.engine, FlowTable(100))
    [line] = begin(connections, flow(1, WAN_A, port=80), now=1.0)
    assert (line["agrees"], line["rule"]) == (None, None)  # nobody knows its MAC yet
    run("ip", "neigh", "replace", "192.168.1.9", "lladdr", "02:00:00:00:00:09", "dev", "lan")
    line = begin(connections, flow(2, WAN_A, port=80), now=2.5)[0]
    assert (line["agrees"], line["rule"]) == (True, "by_mac")
    assert connections.disagreements == 0


async def test_where_the_device_cannot_be_told_nobody_is_blamed(connections):
    """Routed in from the internet to a client: conntrack does not keep by which line."""
    [line] = begin(connections, flow(1, WAN_B, source="203.0.113.9", destination="192.168.1.9", port=80))
    assert (line["agrees"], line["outbound"], connections.disagreements) == (None, "wan_b", 0)


async def test_a_storm_is_decided_for_a_part_of_each_second_only(house):
    """Each look at the watch costs a millisecond here, so a decision takes one."""
    ticks = itertools.count()
    connections = Connections(house.engine, FlowTable(10_000), lambda: next(ticks) / 1000)
    made = [connections.note_new(flow(number, WAN_B), 5.0 + number / 10_000) for number in range(200)]
    share = round(module.JUDGING_SECONDS * 1000)
    assert share <= sum(one is not None for one in made) <= share + 1
    assert connections.note_new(flow(1, WAN_B), 6.1) is not None


async def test_a_page_of_connections_nobody_decided_is_filled_up_by_and_by(house):
    ticks = itertools.count()
    connections = Connections(house.engine, FlowTable(10_000), lambda: next(ticks) / 1000)
    for number in range(1, 41):
        connections._table.apply(FlowEvent("new", flow(number, WAN_B)))
    told = []
    for _ in range(6):
        page = connections.document(500, 0, "")["connections"]
        told.append(sum(one["agrees"] is True for one in page))
    assert told == sorted(told)
    assert 0 < told[0] < 40 == told[-1]


async def test_judgements_go_with_their_flows(connections):
    one, other = flow(1, WAN_B), flow(2, WAN_B)
    begin(connections, one, other)
    connections.note_gone(one)
    connections.note_gone(one)
    connections._table.replace([one])
    connections.forget_ended()
    assert connections._judged == {}


async def test_pages_and_filters(connections):
    begin(
        connections,
        *(flow(number, WAN_B if number % 2 else DIRECT, port=443 if number % 2 else 80) for number in range(1, 41)),
    )
    whole = connections.document(500, 0, "")
    assert whole["total"] == 40 and [one["id"] for one in whole["connections"]] == list(range(40, 0, -1))
    page = connections.document(5, 10, "")
    assert page["total"] == 40 and [one["id"] for one in page["connections"]] == [30, 29, 28, 27, 26]
    assert connections.document(5, 0, "wan_b")["total"] == 20
    assert connections.document(5, 0, ":80")["total"] == 20
    assert connections.document(5, 100, "")["connections"] == []


@pytest.mark.parametrize("text", ["'; drop", "\x00", "%s" * 500, "(((", "\ud800", "x" * 1_000_000])
async def test_a_hostile_filter_finds_nothing_and_breaks_nothing(connections, text):
    begin(connections, flow(1, WAN_B))
    assert connections.document(10, 0, text) == {"total": 0, "disagreements": 0, "connections": []}


@pytest.mark.parametrize(("limit", "offset", "shown"), [(-1, 0, 0), (0, 0, 0), (2**40, -5, 3), (1, 2**62, 0)])
async def test_odd_numbers_are_put_within_bounds(connections, limit, offset, shown):
    begin(connections, *(flow(number, WAN_B) for number in range(3)))
    assert len(connections.document(limit, offset, "")["connections"]) == shown


async def test_a_class_that_nobody_has_now_is_shown_as_its_number(connections):
    assert begin(connections, replace(flow(1, 0x45000000), mark=0x45000000))[0]["outbound"] == "class 5"


class Door:
    """Takes what is to be forgotten."""

    def __init__(self) -> None:
        self.gone: list[Flow] = []

    def delete(self, flows):
        self.gone += flows
        return list(flows)


async def test_what_was_quicker_than_its_name_and_is_not_answered_is_decided_again(house):
    assert await house.load(CONFIG + NAMED) == ""
    connections, door = Connections(house.engine, FlowTable(10_000)), Door()
    house.engine.flows = door
    waits, answered = flow(1, DIRECT, port=80), replace(flow(2, DIRECT, port=80), status=SEEN_REPLY)
    elsewhere = flow(3, DIRECT, port=80, destination="203.0.113.6")
    begin(connections, waits, answered, elsewhere)
    assert connections.decide_again(frozenset({waits.destination})) == 0  # it is in no set that a rule asks
    base = base_name(parse_field("domain", ("video.example",)))
    house.engine.learned = lambda address: frozenset({base})
    connections._around = None
    assert connections.decide_again(frozenset({waits.destination})) == 1
    assert door.gone == [waits]
