"""How the parts of a change tell what happens, and in which order it ends."""

from __future__ import annotations

import asyncio
import errno
import threading
from dataclasses import replace

import pytest

from netpolicy.service import change_tools
from netpolicy.service.change import AWAITING, COMMITTED, REFUSED, UNCHANGED, Change, Request
from tests.netns import needs_root
from tests.router import router
from tests.service.changing import ChangingHouse

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.fixture
def house(tmp_path):
    with router():
        yield ChangingHouse(tmp_path)


async def test_the_journal_knows_the_end_before_anybody_is_told_and_before_the_record_of_the_change_goes(house) -> None:
    order: list[str] = []

    class Told:
        def append(self, entry: dict) -> None:
            order.append(f"{entry['outcome']}, {change.state}")

        async def finish(self) -> None:
            order.append(f"finish, {change.state}")

    tools = replace(house.guarded._tools, journal=Told(), guard=Told())
    change = Change("r00000001", Request(), AWAITING)
    await tools.conclude(change, COMMITTED)
    assert order == ["committed, await", "finish, committed"]


async def test_a_journal_that_cannot_be_written_is_told_and_stops_nothing(house) -> None:
    tools = house.guarded._tools

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/store/history.jsonl")

    tools.journal.append = full
    await tools.note(Change("r00000001", Request()), REFUSED)
    assert [text for text in house.said("error") if "/store/history.jsonl: No space left" in text]
    await tools.note(Change("r00000001", Request()), UNCHANGED)
    assert len(house.said("error")) == 1


async def test_what_a_full_disk_did_not_take_is_written_when_there_is_room_again(house, monkeypatch) -> None:
    monkeypatch.setattr(change_tools, "RETRY_FIRST_SECONDS", 0.01)
    tools = house.guarded._tools
    written = tools.journal.append
    room = [False, False, True]
    done = asyncio.Event()

    def append(entry: dict) -> None:
        if not room.pop(0):
            raise OSError(errno.ENOSPC, "No space left on device", "/store/history.jsonl")
        room.insert(0, True)
        written(entry)
        loop.call_soon_threadsafe(done.set)

    loop = asyncio.get_running_loop()
    tools.journal.append = append
    await tools.note(Change("r00000001", Request()), REFUSED)
    assert house.entries() == []
    await asyncio.wait_for(done.wait(), 30)
    assert [row["id"] for row in house.entries()] == ["r00000001"]
    assert len(house.said("error")) == 1  # once, not at every try


async def test_of_more_than_can_wait_the_oldest_go_and_no_other(house) -> None:
    tools = house.guarded._tools
    written: list[object] = []
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def append(entry: dict) -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(30)
        written.append(entry["number"])

    tools.journal.append = append
    tools._unwritten.extend({"number": number} for number in range(change_tools.MOST_UNWRITTEN - 1))
    writing = asyncio.ensure_future(tools.write({"number": change_tools.MOST_UNWRITTEN - 1}))
    await begun.wait()  # the first is being written, and as many wait as may
    more = asyncio.ensure_future(tools.write({"number": change_tools.MOST_UNWRITTEN}))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(writing, more)
    assert written == list(range(change_tools.MOST_UNWRITTEN + 1))
