"""The asyncio client over both brokers: restarts, slow handlers, many clients, rude peers."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import time
from contextlib import asynccontextmanager

import pytest

from netpolicy.bus import wire
from netpolicy.bus.client import Method, UbusClient, UbusError

from .world import PATIENCE, BrokerProgram


class Watched:
    """A client and what it told about itself."""

    def __init__(self, path: str) -> None:
        self.states: asyncio.Queue[bool] = asyncio.Queue()
        self.errors: asyncio.Queue[str] = asyncio.Queue()
        self.client = UbusClient(path, on_state=self.states.put_nowait, on_error=self.errors.put_nowait)

    async def state(self, expected: bool) -> None:
        assert await asyncio.wait_for(self.states.get(), PATIENCE) is expected


@asynccontextmanager
async def connected(path: str):
    watched = Watched(path)
    await watched.client.connect(timeout=PATIENCE)
    await watched.state(True)
    try:
        yield watched
    finally:
        await watched.client.close()


async def answer(arguments, caller):
    return {"answer": 42}


# -- ubusd goes away ----------------------------------------------------------------------


async def test_after_kill_9_of_the_broker_object_listener_and_subscription_are_back(bus, record_property):
    async with connected(bus.path) as ours:
        heard: asyncio.Queue = asyncio.Queue()
        await ours.client.add_object("thing", {"ask": Method(answer)})
        await ours.client.listen("news.*", lambda *event: heard.put_nowait(event))
        await ours.client.subscribe("other", lambda *note: heard.put_nowait(note))

        await asyncio.to_thread(bus.kill)
        await ours.state(False)
        assert not ours.client.connected
        with pytest.raises(UbusError) as raised:
            await ours.client.call("thing", "ask")
        assert raised.value.status == 10

        await asyncio.to_thread(bus.start)
        started = time.monotonic()
        await ours.state(True)
        record_property("seconds until registered again", round(time.monotonic() - started, 3))
        async with connected(bus.path) as theirs:
            assert await theirs.client.call("thing", "ask") == {"answer": 42}
            await theirs.client.send_event("news.back", {"n": 1})
            assert await asyncio.wait_for(heard.get(), PATIENCE) == ("news.back", {"n": 1})
            await theirs.client.add_object("other", {})
            await notified(theirs.client, "other", heard)


async def notified(client: UbusClient, name: str, heard: asyncio.Queue) -> None:
    """Notify until the subscription, made in reaction to an event, is seen to work."""
    while heard.empty():
        await client.notify(name, "ping", {"n": 2})
        await asyncio.sleep(0.01)
    assert await heard.get() == ("ping", {"n": 2})


async def test_a_client_may_start_before_the_broker(tmp_path):
    bus = BrokerProgram("embedded", str(tmp_path / "ubus.sock"))
    ours = Watched(bus.path)
    await ours.client.add_object("early", {"ask": Method(answer)})
    with pytest.raises(UbusError, match="No such file"):
        await ours.client.connect(timeout=0.1)
    try:
        await asyncio.to_thread(bus.start)
        await ours.state(True)
        assert await ours.client.call("early", "ask") == {"answer": 42}
    finally:
        await ours.client.close()
        bus.kill()


async def test_an_object_added_while_the_connection_is_being_restored_is_not_forgotten(bus):
    ours = Watched(bus.path)
    for number in range(20):
        await ours.client.add_object(f"many.{number}", {"ask": Method(answer)})
    ours.client.start()
    while ours.client._link is None:  # noqa: ASYNC110 - the moment between hello and registration
        await asyncio.sleep(0)
    await ours.client.add_object("late", {"ask": Method(answer)})
    try:
        await ours.state(True)
        assert [info.path for info in await ours.client.lookup("late")] == ["late"]
    finally:
        await ours.client.close()


async def test_a_taken_name_is_refused_and_another_connection_takes_it_over_later(bus):
    async with connected(bus.path) as first:
        await first.client.add_object("unique", {"ask": Method(answer)})
        async with connected(bus.path) as second:
            with pytest.raises(UbusError) as raised:
                await second.client.add_object("unique", {"ask": Method(answer)})
            assert raised.value.status == 2
            assert "taken" in raised.value.text
        heir = Watched(bus.path)
        await heir.client.add_object("unique", {"ask": Method(answer)})
        heir.client.start()
        assert "taken" in await asyncio.wait_for(heir.errors.get(), PATIENCE)
        await first.client.remove_object("unique")
        while not await first.client.lookup("unique"):  # noqa: ASYNC110 - the bus must be asked
            await asyncio.sleep(0.02)
        await heir.client.close()


# -- calls --------------------------------------------------------------------------------


async def echo(arguments, caller):
    return {"value": arguments["value"]}


class Slow:
    """A handler that answers when its gate is opened."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, arguments, caller):
        self.begun.put_nowait(None)
        await self.gate.wait()
        return {"value": "late"}


async def test_a_slow_handler_does_not_hold_up_the_others(bus):
    async with connected(bus.path) as server, connected(bus.path) as ours:
        wait = Slow()
        await server.client.add_object("here", {"slow": Method(wait), "echo": Method(echo, {"value": int})})
        slow = [asyncio.create_task(ours.client.call("here", "slow")) for _ in range(5)]
        for _ in slow:  # each of them, and none waits for another's end
            await asyncio.wait_for(wait.begun.get(), PATIENCE)
        for number in range(20):
            assert await ours.client.call("here", "echo", {"value": number}) == {"value": number}
        assert not any(task.done() for task in slow)
        wait.gate.set()
        assert await asyncio.gather(*slow) == [{"value": "late"}] * 5


async def test_a_call_that_takes_too_long_is_status_7_and_its_late_answer_confuses_nobody(bus):
    async with connected(bus.path) as server, connected(bus.path) as ours:
        wait = Slow()
        await server.client.add_object("here", {"slow": Method(wait), "echo": Method(echo, {"value": int})})
        while wait.begun.empty():  # the time may be over before its owner has the call: then nothing comes late
            with pytest.raises(UbusError) as raised:
                await ours.client.call("here", "slow", timeout=0.1)
            assert raised.value.status == 7
        wait.gate.set()
        for number in range(30):
            assert await ours.client.call("here", "echo", {"value": number}) == {"value": number}


async def test_more_calls_than_places_are_refused_with_status_11_not_collected(bus):
    gate = asyncio.Event()

    async def wait(arguments, caller):
        await gate.wait()

    async with connected(bus.path) as server, connected(bus.path) as ours:
        await server.client.add_object("busy", {"wait": Method(wait), "ask": Method(answer)})
        calls = [asyncio.create_task(ours.client.call("busy", "wait")) for _ in range(400)]
        refused, waiting = set(), set(calls)
        while len(refused) < 400 - 288:  # all that have no place: after the gate opened there is room again
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
            assert done and all(task.exception().status == 11 for task in done)
            refused |= done
        gate.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(result == {} for result in results) == 288
        assert await ours.client.call("busy", "ask") == {"answer": 42}


async def test_not_more_than_the_allowed_number_of_handlers_run_at_once(bus):
    running = most = 0
    gate, full = asyncio.Event(), asyncio.Event()

    async def work(arguments, caller):
        nonlocal running, most
        running += 1
        most = max(most, running)
        if most == 32:
            full.set()
        await gate.wait()
        running -= 1

    async with connected(bus.path) as server, connected(bus.path) as ours:
        await server.client.add_object("busy", {"work": Method(work)})
        calls = [asyncio.create_task(ours.client.call("busy", "work")) for _ in range(100)]
        await asyncio.wait_for(full.wait(), PATIENCE)
        await asyncio.wait(calls, timeout=0.3)  # more of them, if there were more
        gate.set()
        await asyncio.gather(*calls)
        assert most == 32


async def test_a_call_above_the_limit_is_status_2_and_the_connection_lives(demo):
    async with connected(demo.path) as ours:
        with pytest.raises(UbusError) as raised:
            await ours.client.call("demo", "echo", {"value": "x" * 2**20})
        assert raised.value.status == 2
        assert "1048576" in raised.value.text
        assert await ours.client.call("demo", "echo", {"value": 1}) == {"value": 1}


async def test_a_call_at_the_limit_harms_nobody(demo):
    async with connected(demo.path) as ours:
        reply = await ours.client.call("demo", "typed", {"text": "x" * 1_000_000})
        assert len(reply["got"]["text"]) == 1_000_000
        # With the caller's names that the broker adds, the forwarded call is above the limit:
        # ubusd sends it all the same, the embedded broker says so.
        largest = ours.client.call("demo", "typed", {"text": "x" * (2**20 - 60)})
        if demo.kind == "ubusd":
            assert len((await largest)["got"]["text"]) == 2**20 - 60
        else:
            with pytest.raises(UbusError) as raised:
                await largest
            assert raised.value.status == 2
        assert await ours.client.call("demo", "echo", {"value": 1}) == {"value": 1}


async def test_a_hundred_clients_call_at_once(demo):
    async def one(number: int) -> None:
        async with connected(demo.path) as ours:
            assert await ours.client.call("demo", "echo", {"value": number}) == {"value": number}

    await asyncio.gather(*(one(number) for number in range(100)))


async def test_a_call_in_flight_fails_at_once_when_the_broker_dies(bus):
    async def wait(arguments, caller):
        await asyncio.Event().wait()

    async with connected(bus.path) as server, connected(bus.path) as ours:
        await server.client.add_object("stuck", {"wait": Method(wait)})
        pending = asyncio.create_task(ours.client.call("stuck", "wait"))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(bus.kill)
        with pytest.raises(UbusError) as raised:
            await asyncio.wait_for(pending, PATIENCE)
        assert raised.value.status == 10


# -- events and notifications -------------------------------------------------------------


async def test_our_own_events_do_not_come_back_and_a_broken_listener_silences_nobody(bus):
    async with connected(bus.path) as ours, connected(bus.path) as theirs:
        heard: asyncio.Queue = asyncio.Queue()

        def broken(name, data):
            raise ValueError("listener bug")

        await ours.client.listen("x*", broken)
        await ours.client.listen("*", lambda *event: heard.put_nowait(event))
        await ours.client.send_event("x.own")
        await theirs.client.send_event("x.theirs")
        assert await asyncio.wait_for(heard.get(), PATIENCE) == ("x.theirs", {})
        assert "listener bug" in await asyncio.wait_for(ours.errors.get(), PATIENCE)


async def test_a_subscriber_hears_notifications_also_of_an_object_that_comes_again(bus):
    async with connected(bus.path) as ours, connected(bus.path) as theirs:
        heard: asyncio.Queue = asyncio.Queue()
        await ours.client.subscribe("network.interface", lambda *note: heard.put_nowait(note))
        for _ in range(2):
            await theirs.client.add_object("network.interface", {})
            await notified(theirs.client, "network.interface", heard)
            await theirs.client.remove_object("network.interface")
            while not heard.empty():
                heard.get_nowait()


async def test_a_subscription_that_worked_works_again_after_kill_9_of_the_broker(bus):
    async with connected(bus.path) as ours, connected(bus.path) as theirs:
        heard: asyncio.Queue = asyncio.Queue()
        await theirs.client.add_object("network.interface", {})
        await ours.client.subscribe("network.interface", lambda *note: heard.put_nowait(note))
        await notified(theirs.client, "network.interface", heard)
        await asyncio.to_thread(bus.kill)
        await asyncio.gather(ours.state(False), theirs.state(False))
        while not heard.empty():
            heard.get_nowait()
        await asyncio.to_thread(bus.start)
        await asyncio.gather(ours.state(True), theirs.state(True))
        await asyncio.wait_for(notified(theirs.client, "network.interface", heard), PATIENCE)


# -- rude peers ---------------------------------------------------------------------------


@asynccontextmanager
async def fake_broker(path: str, speech: bytes, registers: bool = False):
    """Something that says `speech`, what follows its hello only after a first request if the client registers."""
    visits: asyncio.Queue = asyncio.Queue()

    async def serve(reader, writer):
        visits.put_nowait(time.monotonic())
        if speech.startswith(HELLO):
            writer.write(HELLO)
            if registers:
                await reader.read(1)
        writer.write(speech.removeprefix(HELLO))
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield visits
    finally:
        server.close()


HELLO = wire.encode(wire.HELLO, 0, 0x1234)


@pytest.mark.parametrize(
    "speech",
    [
        b"\xff" * 100,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        HELLO + b"\1" * 20,
        HELLO + wire.frame(wire.STATUS, 1, 0, b"\xff\xff\xff\xff"),
    ],
    ids=["noise", "web server", "noise after hello", "broken status"],
)
async def test_a_malformed_stream_ends_the_connection_and_is_retried_with_growing_pauses(tmp_path, speech, monkeypatch):
    # On a machine that stood still for a second this must not count as a connection that was good.
    monkeypatch.setattr("netpolicy.bus.client.RETRY_MOST_SECONDS", 60.0)
    path = str(tmp_path / "fake.sock")
    async with fake_broker(path, speech, registers=True) as visits:
        ours = Watched(path)
        await ours.client.add_object("thing", {})  # so that a request waits for the broken status
        ours.client.start()
        first, second, third = [await asyncio.wait_for(visits.get(), PATIENCE) for _ in range(3)]
        await ours.client.close()
        assert second - first >= 0.05
        assert third - second >= 0.1


async def test_calls_to_numbers_that_are_not_ours_and_broken_data_are_answered_or_dropped(tmp_path):
    path = str(tmp_path / "fake.sock")
    speech = HELLO + b"".join(
        [
            wire.encode(wire.INVOKE, 5, 77, {wire.ATTR_OBJID: 4242, wire.ATTR_METHOD: "m"}),
            wire.frame(wire.INVOKE, 6, 77, b"\xff\xff\xff\xff"),
            wire.encode(wire.UNSUBSCRIBE, 7, 0, {}),
            wire.encode(wire.NOTIFY, 8, 0, {wire.ATTR_OBJID: 1}),
            wire.encode(200, 9, 0, {}),
            wire.encode(wire.DATA, 10, 0, {}),
        ]
    )
    async with fake_broker(path, speech):
        ours = Watched(path)
        await ours.client.connect()
        assert "malformed" in await asyncio.wait_for(ours.errors.get(), PATIENCE)
        assert ours.client.connected
        await ours.client.close()


async def test_a_file_descriptor_that_comes_with_a_message_is_closed(tmp_path):
    path = str(tmp_path / "fake.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    heard: asyncio.Queue = asyncio.Queue()
    async with asyncio_thread_closed(listener):
        ours = Watched(path)
        ours.client.start()
        server, _ = await asyncio.to_thread(listener.accept)
        server.sendall(HELLO)
        await ours.state(True)
        gc.collect()  # what an earlier test left must not go in the middle of this one
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(50):
            socket.send_fds(server, [wire.encode(wire.NOTIFY, 0, 0, {})], [server.fileno()])
        server.sendall(wire.frame(wire.NOTIFY, 1, 0, b"\xff\xff\xff\xff"))
        heard = ours.errors
        await asyncio.wait_for(heard.get(), PATIENCE)
        assert len(os.listdir("/proc/self/fd")) == before
        await ours.client.close()
        server.close()


@asynccontextmanager
async def asyncio_thread_closed(listener: socket.socket):
    try:
        yield
    finally:
        listener.close()


async def test_the_loss_of_a_half_closed_connection_is_noticed(bus):
    async with connected(bus.path) as ours:
        await ours.client.add_object("half", {"ask": Method(answer)})
        ours.client._link._transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        await ours.state(False)
        await ours.state(True)
        async with connected(bus.path) as theirs:
            assert await theirs.client.call("half", "ask") == {"answer": 42}
