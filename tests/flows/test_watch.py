"""The flow watch on a real loop and kernel: true after events, losses, failures and recoveries."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import struct

import pytest

from netpolicy.flows import ctnetlink, proc
from netpolicy.flows.marks import Conntrack
from netpolicy.flows.model import FlowEvent
from netpolicy.flows.watch import FlowWatch, snapshot
from tests.flows.crowd import client, fill
from tests.flows.street import MARK, street
from tests.netns import needs_root
from tests.own_process import open_now

pytestmark = [pytest.mark.kernel, needs_root]

needs_proc = pytest.mark.skipif(
    not os.path.exists(proc.PATH), reason="this kernel has no /proc/net/nf_conntrack (CONFIG_NF_CONNTRACK_PROCFS)"
)

CAP_NET_ADMIN = 12
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def without_net_admin():
    """Take CAP_NET_ADMIN from this thread for a while: a real failure of ctnetlink, /proc still readable."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0))
    data = ctypes.create_string_buffer(24)
    assert _libc.capget(header, data) == 0
    words = list(struct.unpack("=6I", data.raw))
    fewer = [words[0] & ~(1 << CAP_NET_ADMIN), *words[1:]]
    assert _libc.capset(header, ctypes.create_string_buffer(struct.pack("=6I", *fewer), 24)) == 0
    try:
        yield
    finally:
        assert _libc.capset(header, ctypes.create_string_buffer(struct.pack("=6I", *words), 24)) == 0


class Listener:
    """Collects what `on_change` says and lets a test wait for a condition."""

    def __init__(self, watch: FlowWatch) -> None:
        self.watch = watch
        self.heard: list[FlowEvent] = []
        self.changed = asyncio.Event()
        watch.attach(asyncio.get_running_loop(), self._take)

    def _take(self, events: list[FlowEvent]) -> None:
        self.heard += events
        self.changed.set()

    async def until(self, condition) -> None:
        async def wait() -> None:
            while not condition():
                self.changed.clear()
                await self.changed.wait()

        await asyncio.wait_for(wait(), 30)

    def ports(self) -> list[int]:
        return [flow.destination_port for flow in self.watch.table if flow.destination_port]


@pytest.fixture
def place():
    with street() as built:
        yield built


async def test_flows_from_before_and_after_the_start_are_known(place):
    place.udp(4, 5000)
    watch = FlowWatch()
    listener = Listener(watch)
    await listener.until(lambda: 5000 in listener.ports())
    assert (watch.tier, watch.reason) == ("ctnetlink", "")
    place.tcp(6, 443)
    await listener.until(lambda: any(flow.state == "ESTABLISHED" for flow in watch.table))
    newest = next(iter(watch.table))
    assert (newest.destination_port, newest.mark) == (443, MARK)
    Conntrack().delete([newest])
    await listener.until(lambda: 443 not in listener.ports())
    watch.close()
    assert watch.fileno() == -1


async def test_counters_grow_and_unheard_ends_are_noticed_with_each_reading(place):
    near, far = place.tcp(4, 443)
    place.udp(4, 5000)
    watch = FlowWatch(refresh_seconds=0.05)
    listener = Listener(watch)
    await listener.until(lambda: len(listener.ports()) == 2)
    near.sendall(b"x" * 4000)
    while far.recv(8192):
        if any(flow.bytes > 4000 for flow in ctnetlink.dump()):
            break
    await listener.until(lambda: any(flow.bytes > 4000 for flow in watch.table))
    # older than the subscription: the kernel tells nobody that it ends
    Conntrack().delete([next(flow for flow in watch.table if flow.destination_port == 5000)])
    await listener.until(lambda: listener.ports() == [443])
    watch.close()


async def test_what_ends_while_the_table_is_read_is_gone_afterwards(place):
    listening = ctnetlink.Events()  # so that the kernel tells the ends of these flows
    for port in range(6000, 6400):
        place.udp(4, port)
    watch = FlowWatch()
    listener = Listener(watch)
    while not watch._collected:  # noqa: ASYNC110 — one turn of the loop is one batch
        await asyncio.sleep(0)
    early = next(iter(watch._collected.values()))
    assert len(watch._collected) < 400
    assert Conntrack().delete([early])
    await listener.until(lambda: watch.tier == "ctnetlink" and len(watch.table) >= 399)
    await listener.until(lambda: any(event.kind == "destroy" for event in listener.heard))
    assert early.destination_port not in listener.ports()
    watch.close()
    listening.close()


async def test_after_lost_events_the_table_equals_the_kernel(place):
    watch = FlowWatch(receive_buffer=2048)
    listener = Listener(watch)
    await listener.until(lambda: watch.tier == "ctnetlink")
    for port in range(6000, 6300):
        place.udp(4, port)
    await listener.until(lambda: any(event.kind == "overrun" for event in listener.heard))
    await listener.until(lambda: not watch.table.needs_resync and len(listener.ports()) == 300)
    assert sorted(listener.ports()) == list(range(6000, 6300))
    assert watch.table.counters["overrun"] >= 1 and watch.table.counters["resync"] >= 2
    watch.close()


async def test_a_burst_that_the_queue_does_not_hold_is_noticed_and_the_table_read_again(place):
    """Four thousand connections while the daemon was busy with something else for a moment."""
    watch = FlowWatch(receive_buffer=1 << 18)
    listener = Listener(watch)
    await listener.until(lambda: watch.tier == "ctnetlink")
    fill(client(number, MARK) for number in range(4000))  # the loop stands still
    await listener.until(lambda: any(event.kind == "overrun" for event in listener.heard))
    assert 100 < len(watch.table) < 4000
    await listener.until(lambda: not watch.table.needs_resync and watch.table.counters["resync"] >= 2)
    assert {flow.key for flow in watch.table} == {flow.key for flow in ctnetlink.dump()}
    assert len(watch.table) >= 4000
    watch.close()


async def test_a_loss_is_repaired_while_new_flows_keep_coming(place):
    watch = FlowWatch(receive_buffer=2048)
    listener = Listener(watch)
    await listener.until(lambda: watch.tier == "ctnetlink")
    for port in range(6000, 6300):
        place.udp(4, port)
    await listener.until(lambda: any(event.kind == "overrun" for event in listener.heard))

    async def traffic() -> None:
        for port in range(7000, 9000):
            place.udp(4, port)
            await asyncio.sleep(0.1)  # the pace of the traffic, far below the pause before a repair

    busy = asyncio.get_running_loop().create_task(traffic())
    try:
        await listener.until(lambda: len([port for port in listener.ports() if port < 7000]) == 300)
    finally:
        busy.cancel()
    watch.close()


@needs_proc
async def test_a_failure_at_run_time_falls_to_proc_and_comes_back(place):
    said = []
    watch = FlowWatch(
        refresh_seconds=0.05, poll_seconds=0.05, retry_seconds=0.2, say=lambda level, text: said.append((level, text))
    )
    listener = Listener(watch)
    await listener.until(lambda: watch.tier == "ctnetlink")
    assert not said
    with without_net_admin():
        await listener.until(lambda: watch.tier == "proc")
        assert watch.fileno() == -1
        ((level, text),) = said  # the reason may be another one by now: to listen was tried again, and is refused too
        assert level == "warning" and text.startswith("connections are seen late: list connections: not permitted")
        assert text.endswith("reading /proc/net/nf_conntrack every 0.05 s instead")
        assert watch.reason.endswith("reading /proc/net/nf_conntrack every 0.05 s instead")
    place.udp(4, 5000)
    await listener.until(lambda: 5000 in listener.ports())
    await listener.until(lambda: watch.tier == "ctnetlink" and watch.reason == "")
    place.udp(4, 5001)
    await listener.until(lambda: any(event.kind == "new" for event in listener.heard))
    # however often it was tried in between
    assert [level for level, _ in said] == ["warning", "info"] and "ctnetlink again" in said[1][1]
    watch.close()


@needs_proc
async def test_without_ctnetlink_from_the_start_proc_is_polled(place):
    place.udp(4, 5000)
    with without_net_admin():
        watch = FlowWatch(poll_seconds=0.05)
        listener = Listener(watch)
        await listener.until(lambda: watch.tier == "proc" and listener.ports() == [5000])
        flows, tier, reason = snapshot()
        assert ([flow.destination_port for flow in flows], tier) == ([5000], "proc")
        assert "not permitted" in reason
        watch.close()


async def test_without_any_source_it_says_so_and_goes_on_trying(place, monkeypatch):
    monkeypatch.setattr(proc, "PATH", "/proc/net/absent")
    with without_net_admin():
        said = []
        watch = FlowWatch(poll_seconds=0.05, retry_seconds=0.05, say=lambda *words: said.append(words))
        listener = Listener(watch)
        for _ in range(3000):
            await asyncio.sleep(0.01)
            if "/proc/net/absent" in watch.reason:
                break
        assert watch.tier == "none"
        assert "/proc/net/absent: No such file or directory; is the nf_conntrack module loaded?" in watch.reason
        assert snapshot()[1] == "none"
        assert said == [("warning", f"connections cannot be read: {watch.reason}")]
    await listener.until(lambda: watch.tier == "ctnetlink")
    watch.close()


async def test_a_full_table_keeps_its_limit(place):
    watch = FlowWatch(limit=5, refresh_seconds=0.05)
    listener = Listener(watch)
    await listener.until(lambda: watch.tier == "ctnetlink")
    for port in range(6000, 6020):
        place.udp(4, port)
    await listener.until(lambda: watch.table.counters["dropped"] > 0)
    assert len(watch.table) == 5
    watch.close()


async def test_closing_gives_everything_back_even_twice_and_half_way(place):
    before = open_now()
    watch = FlowWatch()
    watch.attach(asyncio.get_running_loop(), lambda events: None)
    await asyncio.sleep(0)
    watch.close()
    watch.close()
    assert open_now() <= before
    assert (watch.tier, watch.reason) == ("none", "closed")
