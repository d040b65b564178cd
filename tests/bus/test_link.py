"""One connection: limits of what may wait, and the moment an answer counts."""

from __future__ import annotations

import asyncio

import pytest

from netpolicy.bus import wire
from netpolicy.bus.link import IN_FLIGHT_LIMIT, open_link
from netpolicy.bus.status import UbusError

HELLO = wire.encode(wire.HELLO, 0, 0x1234)


async def serve(path: str, respond) -> asyncio.AbstractServer:
    """A broker of one function: what was read gives what is written."""

    async def visit(reader, writer):
        writer.write(HELLO)
        while data := await reader.read(65536):
            writer.write(respond(data))
        writer.close()

    return await asyncio.start_unix_server(visit, path)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "s")


async def test_an_answer_is_seen_before_the_message_that_follows_it(path):
    """A call to a new object may come in the same read as the number of that object."""
    order: list[str] = []
    together = (
        wire.encode(wire.DATA, 1, 0, {wire.ATTR_OBJID: 5000})
        + wire.encode(wire.STATUS, 1, 0, {wire.ATTR_STATUS: 0})
        + wire.encode(wire.INVOKE, 9, 7, {wire.ATTR_OBJID: 5000})
    )
    server = await serve(path, lambda data: together)
    link = await open_link(path, lambda link, message: order.append("call"), lambda link: None)
    await link.request(wire.ADD_OBJECT, 0, {}, 5, lambda answer: order.append("number"))
    assert order == ["number", "call"]
    link.close()
    server.close()


async def test_only_so_many_requests_wait_at_once(path):
    server = await serve(path, lambda data: b"")
    link = await open_link(path, lambda link, message: None, lambda link: None)
    waiting = [asyncio.create_task(link.request(wire.PING, 0, {}, 30)) for _ in range(IN_FLIGHT_LIMIT)]
    await asyncio.sleep(0)
    with pytest.raises(UbusError) as raised:
        await link.request(wire.PING, 0, {}, 30)
    assert raised.value.status == 11
    link.close()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(r, UbusError) and r.status == 10 for r in results)
    server.close()


async def test_a_request_that_timed_out_leaves_nothing_behind(path):
    server = await serve(path, lambda data: b"")
    link = await open_link(path, lambda link, message: None, lambda link: None)
    with pytest.raises(UbusError) as raised:
        await link.request(wire.PING, 0, {}, 0.01)
    assert raised.value.status == 7
    assert link._pending == {}
    link.close()
    server.close()


async def test_a_broker_that_never_reads_does_not_make_the_client_grow(path):
    async def visit(reader, writer):
        writer.write(HELLO)
        await asyncio.Event().wait()

    server = await asyncio.start_unix_server(visit, path, limit=1)
    link = await open_link(path, lambda link, message: None, lambda link: None)
    for _ in range(100):
        link.post(wire.frame(wire.STATUS, 0, 0, bytes(200_000)))
    assert link._transport.get_write_buffer_size() < 5 << 20
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not link.is_open
    server.close()


async def test_something_silent_is_no_broker(path, monkeypatch):
    monkeypatch.setattr("netpolicy.bus.link.HELLO_SECONDS", 0.05)
    kept: list[object] = []
    server = await asyncio.start_unix_server(lambda *streams: kept.append(streams), path)
    with pytest.raises(UbusError, match="does not speak ubus"):
        await open_link(path, lambda link, message: None, lambda link: None)
    server.close()
