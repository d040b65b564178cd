"""A line that dies in the middle of a review of twenty thousand connections: the kernel switches first.

Real nftables, real conntrack, entries made by ctnetlink. The order of events is asked for, not how long they take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from netpolicy.flows import ctnetlink
from netpolicy.flows.entry import Entry
from netpolicy.flows.marks import Conntrack
from netpolicy.flows.model import Flow
from tests.flows.crowd import client, fill
from tests.kernel.streams import LINES, place
from tests.netns import needs_root, run
from tests.service.open_flows import DIRECT, WAN_A, WAN_B, rule
from tests.service.parts import House, leads_to

pytestmark = [pytest.mark.kernel, needs_root]

MANY = 20_000
# What they have, and the port they go to; each of 200 clients has some of each.
MARKS = ((WAN_B, 443), (WAN_A, 25), (DIRECT, 80), (WAN_A, 5060))
VIDEO = rule("video", "+dest_port=443", "route=wan_b")
MAIL = rule("mail", "+dest_port=25", "route=wan_a")
CALLS = rule("calls", "+dest_port=5060", "switch_route=wan_a")
CALLS_BY_B = CALLS.replace("wan_a", "wan_b")
STOP = rule("stop", "+src_addr=192.168.1.20", "+dest_port=80", "block=reject", priority=90)


class Watched(Conntrack):
    """Says when the first entries of a reading are there."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.batches = 0

    def entries(self) -> Iterator[list[Entry]]:
        for batch in super().entries():
            self.batches += 1
            self.begun.set()
            yield batch


@pytest.fixture
def house(tmp_path) -> Iterator[House]:
    with place():
        built = House(tmp_path, LINES, door=Watched())
        fill(client(number, *MARKS[number // 200 % 4]) for number in range(MANY))
        yield built


def ends(flows: list[Flow], *ports: int) -> set[tuple[str, int]]:
    return {(one.source, one.source_port) for one in flows if one.destination_port in ports}


async def in_the_middle(house: House, *rules: str) -> asyncio.Task[str]:
    """These rules come into force; returns while the review reads its first entries."""
    assert isinstance(house.engine.flows, Watched)
    house.engine.flows.begun.clear()
    changing = asyncio.create_task(house.load(LINES + "".join(rules)))
    await house.engine.flows.begun.wait()
    assert not changing.done()
    return changing


async def test_the_switch_is_in_the_kernel_before_the_review_is_over(house):
    assert await house.load(LINES + VIDEO + MAIL) == ""
    before = ctnetlink.dump()
    reviewing = await in_the_middle(house, VIDEO, MAIL, STOP)
    video = leads_to("video")
    run("ip", "link", "set", "wanb", "down")
    assert await house.engine.reconcile("link") == ""
    assert not reviewing.done()
    assert video and leads_to("video") != video
    assert not ends(ctnetlink.dump(), 443)  # those of the line that died are free at once
    assert await reviewing == ""
    left = ctnetlink.dump()
    stopped = {one for one in ends(before, 80) if one[0] == "192.168.1.20"}
    assert len(stopped) == MANY // 800
    assert ends(left, 80) == ends(before, 80) - stopped
    assert ends(left, 25, 5060) == ends(before, 25, 5060)
    assert [text for text in house.said("info") if "decided again" in text] == [
        f"{len(stopped)} open connections are decided again by the new rules"
    ]


async def test_a_second_change_in_the_middle_of_a_review_loses_nothing_of_the_first(house):
    assert await house.load(LINES + VIDEO + MAIL + CALLS) == ""
    before = ctnetlink.dump()
    first = await in_the_middle(house, VIDEO, MAIL, CALLS, STOP)
    assert await house.load(LINES + VIDEO + MAIL + CALLS_BY_B + STOP) == ""
    assert await first == ""
    left = ctnetlink.dump()
    assert ends(left, 443, 25) == ends(before, 443, 25)
    assert not ends(left, 5060)
    assert ends(before, 80) - ends(left, 80) == {one for one in ends(before, 80) if one[0] == "192.168.1.20"}


async def test_a_change_that_is_taken_back_in_the_middle_cuts_nobody_afterwards(house):
    everybody = STOP.replace("\tlist src_addr '192.168.1.20'\n", "")
    assert await house.load(LINES + VIDEO + MAIL) == ""
    first = await in_the_middle(house, VIDEO, MAIL, everybody)
    assert await house.load(LINES + VIDEO + MAIL) == ""
    at_once = ctnetlink.dump()
    assert await first == ""
    assert len(ends(ctnetlink.dump(), 80)) == len(ends(at_once, 80))


async def test_all_kinds_of_connections_are_decided_once_each(house):
    """Not one by one: clients and ports repeat, and the second reading knows all answers."""
    assert await house.load(LINES + VIDEO + MAIL) == ""
    asked = 0

    def count(flow: Flow):
        nonlocal asked
        asked += 1
        return facts(flow)

    facts = house.engine.surroundings().facts
    house.engine._review._surroundings = lambda: count
    assert await house.load(LINES + VIDEO + MAIL + STOP) == ""
    assert 0 < asked < MANY / 20
