"""Which conntrack entries are forgotten, and when: with a door that writes down what it is asked."""

from __future__ import annotations

from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.state import NetlinkError
from netpolicy.observe.ring import Ring
from netpolicy.service.release import Release

MARKS = Marks(0x77000000)


class Door:
    def __init__(self, refuses: bool = False) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self._refuses = refuses

    def forget(self, mark: int, mask: int) -> int:
        return self._note("forget", mark, mask)

    def clear_marks(self, mask: int) -> int:
        return self._note("clear", 0, mask)

    def _note(self, word: str, mark: int, mask: int) -> int:
        if self._refuses:
            raise NetlinkError("delete connection", 1, "not permitted")
        self.asked.append((word, mark, mask))
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
    assert door.asked == [("forget", 0x01000000, 0x37000000), ("forget", 0x02000000, 0x37000000)]


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
