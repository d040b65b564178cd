"""Which conntrack entries are forgotten, and when: with a door that writes down what it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows.entry import Entry
from netpolicy.flows.model import Flow
from netpolicy.observe.ring import Ring
from netpolicy.service.release import Release
from tests.service.open_flows import DIRECT, WAN_A, flow

MARKS = Marks(0x77000000)


class Door:
    """Writes down what it is asked."""

    def __init__(self, refuses: bool = False) -> None:
        self.asked: list[tuple[object, ...]] = []
        self._refuses = refuses

    def forget(self, mark: int, mask: int) -> None:
        self._note("forget", mark, mask)

    def clear_marks(self, mask: int) -> int:
        return self._note("clear", 0, mask)

    def entries(self) -> Iterator[list[Entry]]:
        return iter(())

    def delete(self, flows: Sequence[Flow]) -> list[Flow]:
        return list(flows)

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


async def test_a_forgotten_connection_that_comes_back_turned_round_is_known_and_given_its_class() -> None:
    door = Door()
    flows, _ = release(door)
    flows.forgotten(flow(DIRECT, number=1))
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


async def test_connections_of_a_pair_that_goes_get_the_class_of_its_line_and_others_stay() -> None:
    door = Door()
    flows, _ = release(door)
    await flows.settle(MARKS)
    messages = [flow(mark, number=number) for number, mark in ((1, 0x43000000), (2, 0x42000000), (3, 0x03000000))]
    door.entries = lambda: iter([[Told(one) for one in messages]])  # type: ignore[method-assign, return-value]
    await flows.hand_on({3: 1}, MARKS)
    assert door.asked == [("set", 1, 0x41000000, 0x77000000)]
    await flows.hand_on({3: 1}, Marks(0x7E000000))  # the mask changes: all are forgotten
    assert len(door.asked) == 1


class Told:
    """An entry that is read already."""

    def __init__(self, read: Flow) -> None:
        self.flow = read
