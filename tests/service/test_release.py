"""Which conntrack entries are forgotten, and when: with a door that writes down what it is asked."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import replace

from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows.model import Flow
from netpolicy.observe.ring import Ring
from netpolicy.service.affected import Affected
from netpolicy.service.release import PASSES, Release
from tests.service.open_flows import AROUND, DIRECT, WAN_A, compiled, flow, rule

MARKS = Marks(0x77000000)


class Door:
    """Writes down what it is asked. `table` is what conntrack holds; each list is one reading of it."""

    def __init__(self, refuses: bool = False, readings: list[list[Flow]] | None = None) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.readings = readings or []
        self._refuses = refuses

    def forget(self, mark: int, mask: int) -> int:
        return self._note("forget", mark, mask)

    def clear_marks(self, mask: int) -> int:
        return self._note("clear", 0, mask)

    def batches(self) -> Iterator[list[Flow]]:
        self._note("read")
        found = self.readings.pop(0) if self.readings else []
        return iter([found[start : start + 100] for start in range(0, len(found), 100)])

    def delete(self, flow: Flow) -> bool:
        return bool(self._note("delete", flow.id))

    def set_mark(self, flow: Flow, mark: int, mask: int) -> bool:
        return bool(self._note("set", flow.id, mark, mask))

    def _note(self, *what: object) -> int:
        if self._refuses:
            raise NetlinkError("delete connection", 1, "not permitted")
        self.asked.append(what)
        return 1


def release(door: Door | None) -> tuple[Release, list[str]]:
    said: list[str] = []
    return Release(door, Ring(lambda: 0.0, lambda entry: said.append(entry.message))), said


async def test_what_is_due_is_forgotten_once() -> None:
    door = Door()
    flows, _ = release(door)
    flows.note([2, 1])
    flows.note([2])
    await flows.settle(MARKS)
    await flows.settle(MARKS)
    assert door.asked == [("forget", 0x41000000, 0x77000000), ("forget", 0x42000000, 0x77000000)]


async def test_under_another_mask_everything_that_carries_the_old_done_bit_goes() -> None:
    door = Door()
    flows, _ = release(door)
    await flows.settle(MARKS)
    flows.note([1])
    await flows.settle(Marks(0x7E000000))
    assert door.asked == [("forget", MARKS.done, MARKS.done)]


async def test_clearing_takes_our_bits_and_what_was_due_with_them() -> None:
    door = Door()
    flows, _ = release(door)
    flows.note([1])
    await flows.clear(MARKS)
    await flows.settle(MARKS)
    assert door.asked == [("clear", 0, 0x77000000)]


async def test_connections_that_nobody_decided_are_those_without_the_done_bit() -> None:
    door = Door()
    flows, _ = release(door)
    await flows.undecided(MARKS)
    assert door.asked == [("forget", 0, MARKS.done)]


async def test_a_refusal_is_said_and_stops_nothing() -> None:
    flows, said = release(Door(refuses=True))
    flows.note([1])
    await flows.settle(MARKS)
    await flows.clear(MARKS)
    assert len(said) == 2 and all("not permitted" in message for message in said)


async def test_without_conntrack_nothing_is_asked() -> None:
    flows, said = release(None)
    flows.note([1])
    await flows.settle(MARKS)
    await flows.clear(MARKS)
    assert said == []


BLOCK = Affected(compiled(), compiled(rule("stop", "+dest_port=443", "block=reject")))


async def test_what_is_concerned_is_deleted_one_by_one_until_a_reading_finds_nothing() -> None:
    """Between the first reading and the second a connection came that the old rules had decided."""
    first = [flow(DIRECT, port, number=number) for number, port in enumerate((443, 80, 443), 1)]
    door = Door(readings=[first, [flow(DIRECT, 443, number=4)], [flow(DIRECT, 80, number=2)]])
    flows, said = release(door)
    assert await flows.decide_again(BLOCK, AROUND.facts) == 3
    assert [what for what in door.asked if what[0] == "delete"] == [("delete", 1), ("delete", 3), ("delete", 4)]
    assert [what for what in door.asked if what[0] == "read"] == [("read",)] * 3
    assert said == ["3 open connections are decided again by the new rules"]


async def test_what_comes_for_ever_does_not_keep_us_for_ever() -> None:
    door = Door(readings=[[flow(DIRECT, number=number)] for number in range(99)])
    assert await release(door)[0].decide_again(BLOCK, AROUND.facts) == PASSES


async def test_nothing_to_do_says_nothing() -> None:
    flows, said = release(Door(readings=[[flow(DIRECT, port=80)]]))
    assert await flows.decide_again(BLOCK, AROUND.facts) == 0 and said == []
    assert await release(None)[0].decide_again(BLOCK, AROUND.facts) == 0


async def test_a_refusal_leaves_connections_as_they_are_and_is_said() -> None:
    flows, said = release(Door(refuses=True))
    assert await flows.decide_again(BLOCK, AROUND.facts) == 0
    assert len(said) == 1 and "open connections keep the way they have" in said[0]


async def test_a_forgotten_connection_that_comes_back_turned_round_is_known_and_given_its_class() -> None:
    door = Door(readings=[[flow(DIRECT, number=1)]])
    flows, _ = release(door)
    await flows.decide_again(BLOCK, AROUND.facts)
    back = replace(
        flow(WAN_A, number=2),
        source="203.0.113.5",
        source_port=443,
        destination="192.168.1.9",
        destination_port=40000,
        reply_source="192.168.1.9",
        reply_source_port=40000,
        reply_destination="203.0.113.5",
        reply_destination_port=443,
    )
    found = flows.original(back)
    assert found is not None and found.id == 1
    flows.give(back, 30, MARKS)
    assert door.asked[-1] == ("set", 2, 0x76000000, 0x77000000)


class LongDoor(Door):
    """A table of sixty thousand, read once; every thousandth is concerned."""

    def batches(self) -> Iterator[list[Flow]]:
        self._note("read")
        if len([what for what in self.asked if what == ("read",)]) > 1:
            return
        for start in range(0, 60_000, 100):
            yield [flow(DIRECT, port=80 if number % 1000 else 443, number=number)
                   for number in range(start, start + 100)]  # fmt: skip


async def test_sixty_thousand_connections_never_hold_the_loop_for_long() -> None:
    """The longest time between two turns of another task, while every connection is looked at."""
    flows, _ = release(LongDoor())
    turns: list[float] = []

    async def others() -> None:
        while True:
            turns.append(time.thread_time())  # of this thread: other programs may take the processor away
            await asyncio.sleep(0)

    watching = asyncio.create_task(others())
    assert await flows.decide_again(BLOCK, AROUND.facts) == 60
    watching.cancel()
    assert max(later - earlier for earlier, later in itertools.pairwise(turns)) < 0.01
