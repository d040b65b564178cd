"""The sampler over a real kernel: a hit is seen, written down, and nothing is read while nothing is enforced."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from netpolicy.service import sampler as module
from netpolicy.service.sampler import Sampler
from netpolicy.service.usage import CLOCK_IS_SET, FILE, Usage
from tests.netns import needs_root, run
from tests.router import router
from tests.service.parts import CONFIG, House

pytestmark = [pytest.mark.kernel, needs_root]

NOW = CLOCK_IS_SET + 5000.0


@pytest.fixture
def house(tmp_path):
    with router():
        yield House(tmp_path)


@pytest.fixture
def sampler(house):
    return Sampler(house.engine, Usage(str(house.state)), lambda: NOW)


def hit(port: int) -> None:
    """A connection of the router's own."""
    run("ip", "neigh", "replace", "198.51.100.1", "lladdr", "02:00:00:00:02:02", "dev", "wanb")
    with socket.socket() as asking:
        asking.setblocking(False)
        with pytest.raises(BlockingIOError):
            asking.connect(("203.0.113.5", port))


async def test_a_hit_is_known_and_outlives_the_process(house, sampler):
    await house.load()
    await sampler.look()
    assert sampler.usage.of(0, house.engine.ruleset.rules[0]) == (None, NOW)
    hit(443)
    await sampler.close()
    assert sampler.usage.of(0, house.engine.ruleset.rules[0]) == (NOW, NOW)
    assert (house.state / FILE).exists()


async def test_a_hit_before_the_first_look_is_known_and_a_restart_makes_none(house, sampler, tmp_path):
    await house.load()
    hit(443)
    run("nft", "add", "element", "inet", "netpolicy", "restore", "{ 0x75000000 : accept }")
    await house.engine.reconcile("what somebody did is read, and what was counted with it")
    await sampler.look()
    assert sampler.usage.of(0, house.engine.ruleset.rules[0]) == (NOW, NOW)
    for hits, last in ((0, None), (1, NOW)):  # no file knows of the hits that the successor finds
        successor = House(tmp_path)
        later = Sampler(successor.engine, Usage(str(tmp_path / "nowhere")), lambda: NOW)
        await successor.load()
        for _ in range(hits):
            hit(443)
        await later.look()
        assert later.usage.of(0, successor.engine.ruleset.rules[0]) == (last, NOW)


async def test_it_looks_by_itself(house, sampler, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.01)
    await house.load()
    noted = asyncio.Event()
    note = sampler.usage.note

    def heard(*given):
        note(*given)
        loop.call_soon_threadsafe(noted.set)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(sampler.usage, "note", heard)
    sampler.start()
    await asyncio.wait_for(noted.wait(), 30)
    await sampler.close()


async def test_the_last_look_waits_for_the_one_under_way(house, sampler, monkeypatch):
    """Two workers that compare the same counters would each know but half."""
    monkeypatch.setattr(module, "SECONDS", 0.0)
    await house.load()
    begun, goes_on, at_once = threading.Event(), threading.Event(), []
    note = sampler.usage.note

    def slow(*given):
        at_once.append(begun.is_set() and not goes_on.is_set())
        begun.set()
        goes_on.wait(30)
        note(*given)

    monkeypatch.setattr(sampler.usage, "note", slow)
    sampler.start()
    assert await asyncio.to_thread(begun.wait, 30)
    closing = asyncio.create_task(sampler.close())
    await asyncio.wait([closing], timeout=0.1)
    goes_on.set()
    await closing
    assert len(at_once) > 1 and not any(at_once)


@pytest.mark.parametrize("text", [CONFIG.replace("enforce", "observe"), CONFIG.replace("enabled '1'", "enabled '0'")])
async def test_nothing_is_read_while_nothing_is_enforced(house, sampler, monkeypatch, text):
    await house.load(text)
    monkeypatch.setattr(type(house.engine.kernel), "counters", None)
    await sampler.look()
    await sampler.take({})
    assert sampler.usage.of(0, house.engine.ruleset.rules[0]).in_force_since is None


async def test_what_cannot_be_read_or_written_is_said_once(house, sampler, monkeypatch, tmp_path):
    await house.load()
    (house.state / FILE).mkdir()
    await sampler.look()
    await sampler.look()
    assert len([text for text in house.said("warning") if "last hits" in text]) == 1
