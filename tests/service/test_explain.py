"""Why a connection is where it is: one document with the facts, the rules and the kernel side by side."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from netpolicy.flows.model import OFFLOADED, FlowEvent
from netpolicy.flows.watch import FlowWatch
from netpolicy.service.api import NotThere, Refused, Service
from netpolicy.service.connections import Connections
from tests.netns import needs_root
from tests.router import router
from tests.service.open_flows import UNDECIDED, WAN_A, WAN_B, flow
from tests.service.parts import CONFIG, House

pytestmark = [pytest.mark.kernel, needs_root]

MAC_RULE = "config rule 'kid'\n\toption priority '99'\n\tlist src_mac '02:00:00:00:00:09'\n\toption route 'wan_a'\n"


class Table:
    """A service whose connections are those that a test puts there."""

    def __init__(self, house: House) -> None:
        self.watch = FlowWatch()
        self.connections = Connections(house.engine, self.watch.table, clock=lambda: 1000.0)
        self.service = Service(house.engine, self.connections, self.watch)
        self.watch.refresh = lambda: None  # type: ignore[method-assign]

    def add(self, *flows, begin: bool = True) -> None:
        for one in flows:
            self.watch.table.apply(FlowEvent("new", one))
            if begin:
                self.connections.note_new(one, 1.0)


@pytest.fixture
async def house(tmp_path):
    with router():
        house = House(tmp_path)
        assert await house.load() == ""
        yield house


@pytest.fixture
def table(house):
    return Table(house)


async def test_a_plain_case_shows_everything_and_agrees(table):
    table.add(flow(WAN_B, number=9))
    found = await table.service.explain("tcp 192.168.1.9:40000 203.0.113.5:443")
    assert found["facts"] == {
        "src_iface": "lan", "src_addr": "192.168.1.9", "src_port": "40000", "dest_addr": "203.0.113.5",
        "dest_port": "443", "proto": "tcp", "family": "ipv4",
    }  # fmt: skip
    assert (found["decision"]["rule"], found["decision"]["outbound"]) == ("video", "wan_b")
    assert [one["rule"] for one in found["decision"]["runners_up"]] == ["mail"]
    assert {key: found["kernel"][key] for key in ("class", "outbound", "mark", "classified", "offloaded", "rule")} == {
        "class": 2, "outbound": "wan_b", "mark": "0x42000000", "classified": True, "offloaded": False, "rule": "video",
    }  # fmt: skip
    assert (found["kernel"]["hits"], found["matches"], found["hidden"]) == (0, 1, [])
    assert (found["agrees"], found["verdict"], found["reason"]) == (True, "the kernel did what the rules say", "")
    assert (found["judged"]["rule"], found["judged"]["agrees"], found["judged"]["time"]) == ("video", True, 1000.0)
    assert found["judged"]["age"] > 0
    assert found["connection"]["by"] == "decided again"
    json.dumps(found)


async def test_a_disagreement_is_shown_and_counted(table):
    table.add(flow(WAN_A, number=9))
    found = await table.service.explain("9")
    assert (found["agrees"], found["kernel"]["outbound"], found["decision"]["outbound"]) == (False, "wan_a", "wan_b")
    assert "something else set its mark" in found["reason"]
    assert table.service.status()["inspector"]["disagreements"] == 1
    assert table.service.connections()["disagreements"] == 1


async def test_a_connection_older_than_a_rule_differs_and_the_first_judgement_is_there(table, house):
    table.add(flow(WAN_B, number=9))
    assert await house.load(CONFIG.replace("option route 'wan_b'", "option route 'wan_a'")) == ""
    found = await table.service.explain("9")
    assert (found["agrees"], found["judged"]["agrees"]) == (False, True)
    assert "a route is for new connections" in found["reason"]
    assert table.connections.disagreements == 0


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (flow(UNDECIDED), "no rule has seen it"),
        (replace(flow(WAN_A), source="203.0.113.9", destination="192.168.1.9"), "by which line it came in"),
    ],
)
async def test_what_cannot_be_told_is_said_with_the_reason(table, given, reason):
    table.add(given)
    found = await table.service.explain("1")
    assert found["agrees"] is None and found["verdict"].endswith("cannot be told")
    assert reason in found["reason"]


async def test_a_hidden_fact_is_named(table, house):
    assert await house.load(CONFIG + MAC_RULE) == ""
    table.add(flow(WAN_A, number=9, source="192.168.1.77", port=80))
    found = await table.service.explain("9")
    assert found["hidden"] == ["src_mac"] and found["agrees"] is None
    assert found["reason"] == "conntrack does not keep its src_mac"
    assert found["connection"]["by"] == "mark"


async def test_where_nothing_is_enforced_it_says_so(table, house):
    assert await house.load(CONFIG.replace("enforce", "observe")) == ""
    table.add(flow(UNDECIDED))
    found = await table.service.explain("1")
    assert (found["agrees"], found["reason"], found["judged"]) == (None, "nothing is enforced now", None)
    assert found["decision"]["rule"] == "video"


async def test_of_several_the_newest_is_explained_and_the_others_are_counted(table):
    table.add(*(flow(WAN_B, number=number) for number in (3, 4, 5)))
    found = await table.service.explain("192.168.1.9 203.0.113.5")
    assert (found["connection"]["id"], found["matches"]) == (5, 3)


async def test_an_offloaded_connection_is_called_so(table):
    table.add(replace(flow(WAN_B), status=OFFLOADED))
    assert (await table.service.explain("1"))["kernel"]["offloaded"] is True


async def test_what_is_not_there_and_what_cannot_be_read_is_refused_in_words(table):
    with pytest.raises(NotThere, match="no open connection '17'"):
        await table.service.explain("17")
    with pytest.raises(Refused, match=r"does not name two ends.*for example"):
        await table.service.explain("tcp")
