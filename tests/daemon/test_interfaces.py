"""What netifd says, over a real bus with a stand-in for it: it is heard, and nobody waits for a silent one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from netpolicy.bus.broker import Broker
from netpolicy.bus.client import Method, UbusClient
from netpolicy.daemon import interfaces
from netpolicy.daemon.interfaces import Interfaces

SEEN = json.loads((Path(__file__).parents[1] / "data/netifd.json").read_text())


@pytest.fixture(autouse=True)
def _patient(monkeypatch) -> None:
    """The machine may be busy: an answer that is late makes another turn, which is a test of its own."""
    monkeypatch.setattr(interfaces, "PATIENCE_SECONDS", 20.0)


class Netifd:
    """The object of netifd; `entries` is what it says, once `speaks` is set."""

    def __init__(self, client: UbusClient) -> None:
        self.client = client
        self.entries = [SEEN["static"]]
        self.asked = 0
        self.speaks = asyncio.Event()
        self.speaks.set()

    async def start(self) -> None:
        await self.client.add_object("network.interface", {"dump": Method(self.dump)})

    async def dump(self, *_: object) -> dict[str, object]:
        self.asked += 1
        await self.speaks.wait()
        return {"interface": self.entries}


class Asker:
    """Our side, and what it asked turns for."""

    def __init__(self, client: UbusClient) -> None:
        self.causes: list[str] = []
        self.interfaces = Interfaces(client, self.causes.append)

    async def gateway(self, name: str = "wan") -> str:
        found = (await self.interfaces.ask()).get(name)
        return found.gateways.get(4, "") if found else "unknown"


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[tuple[Netifd, Asker]]:
    path = str(folder / "bus.sock")
    broker, theirs, ours = Broker(path), UbusClient(path), UbusClient(path)
    await broker.start()
    asker = Asker(ours)
    try:
        await theirs.connect()
        await ours.connect()
        yield Netifd(theirs), asker
    finally:
        await asker.interfaces.close()
        await ours.close()
        await theirs.close()
        await broker.close()


async def until(condition) -> None:
    async def wait() -> None:
        while not condition():  # noqa: ASYNC110 - what a callback does is awaited
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), 30)


async def test_what_it_said_last_holds_while_it_is_away_and_while_it_knows_nothing_yet(tmp_path):
    async with world(tmp_path) as (netifd, asker):
        await asker.interfaces.open()
        assert await asker.gateway() == "unknown"
        await netifd.start()
        assert await asker.gateway() == "203.0.113.1"
        netifd.entries = []
        assert await asker.gateway() == "203.0.113.1"
        await netifd.client.remove_object("network.interface")
        assert await asker.gateway() == "203.0.113.1"
        netifd.entries = [SEEN["lease"]]
        await netifd.start()
        assert (await asker.gateway(), await asker.gateway("wanb")) == ("unknown", "198.51.100.1")


@pytest.mark.parametrize("way", ["notification", "event"])
async def test_its_word_asks_for_a_turn(tmp_path, way):
    """Of a change without a kernel's (a route that stays inactive) it sends the notification alone."""
    async with world(tmp_path) as (netifd, asker):
        await asker.interfaces.open()
        await netifd.start()
        await asker.gateway()  # by now the subscription to the object that appeared is made
        if way == "event":
            await netifd.client.send_event("network.interface", {"action": "ifup", "interface": "wan"})
        else:
            await netifd.client.notify("network.interface", "interface.update", SEEN["static"])
        await until(lambda: asker.causes == ["netifd reports a change"])


async def test_nobody_waits_for_one_that_hangs_and_its_late_answer_asks_for_a_turn(tmp_path, monkeypatch):
    async with world(tmp_path) as (netifd, asker):
        await asker.interfaces.open()
        await netifd.start()
        assert await asker.gateway() == "203.0.113.1"
        netifd.speaks.clear()
        monkeypatch.setattr(interfaces, "PATIENCE_SECONDS", 0.05)
        assert await asker.gateway() == "203.0.113.1"
        await until(lambda: netifd.asked == 2)
        assert [await asker.gateway() for _ in range(3)] == ["203.0.113.1"] * 3
        assert netifd.asked == 2, "one question at a time"
        monkeypatch.setattr(interfaces, "PATIENCE_SECONDS", 20.0)
        netifd.entries = [SEEN["lease"]]
        assert asker.causes == []
        netifd.speaks.set()
        await until(lambda: asker.causes == ["netifd answers again"])
        assert await asker.gateway("wanb") == "198.51.100.1"


async def test_what_it_tells_nobody_is_found_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(interfaces, "POLL_SECONDS", 0.02)
    async with world(tmp_path) as (netifd, asker):
        await asker.interfaces.open()
        await netifd.start()
        await asker.gateway()
        asker.interfaces.keep()
        await until(lambda: netifd.asked >= 4)
        assert asker.causes == [], "it says the same"
        netifd.entries = [SEEN["lease, defaultroute 0"]]
        await until(lambda: asker.causes)
        before = netifd.asked
        await until(lambda: netifd.asked > before + 1)
        assert asker.causes == ["netifd says otherwise"]


async def test_the_first_turn_waits_for_its_first_word_and_not_for_ever(tmp_path, monkeypatch):
    async with world(tmp_path) as (netifd, asker):
        await asker.interfaces.open()
        meeting = asyncio.get_running_loop().create_task(asker.interfaces.meet(asyncio.Event()))
        await asyncio.sleep(0.05)
        assert not meeting.done()
        await netifd.start()
        await asyncio.wait_for(meeting, 30)
        assert await asker.gateway() == "203.0.113.1"
    ended = asyncio.Event()
    ended.set()
    monkeypatch.setattr(interfaces, "MEETING_SECONDS", 0.05)
    silent = Interfaces(UbusClient(str(tmp_path / "none")), print)
    await asyncio.wait_for(silent.meet(ended), 30)
    await asyncio.wait_for(silent.meet(asyncio.Event()), 30)


async def test_where_it_is_not_heard_it_is_not_asked(tmp_path):
    """On a bus of our own there is no netifd."""
    async with world(tmp_path) as (netifd, asker):
        await netifd.start()
        assert (await asker.gateway(), netifd.asked) == ("unknown", 0)
