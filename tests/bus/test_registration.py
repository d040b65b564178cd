"""What a served object and a listener do with what arrives, whatever arrives."""

from __future__ import annotations

import asyncio

import pytest

from netpolicy.bus import wire
from netpolicy.bus.blobmsg import encode_table
from netpolicy.bus.link import open_link
from netpolicy.bus.method import Caller, Method
from netpolicy.bus.registration import Events, Served, Subscription
from netpolicy.bus.serving import Desk
from netpolicy.bus.status import NO_MEMORY, OK, UbusError

CALLER = Caller(1, "root", "root")


async def give_back(arguments, caller):
    return arguments


def call(method: str, data: bytes) -> dict:
    return {wire.ATTR_METHOD: method, wire.ATTR_DATA: data}


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        (call("echo", encode_table({"n": 1})), 0),
        (call("echo", b""), 0),
        ({wire.ATTR_METHOD: "echo"}, 0),
        (call("echo", b"\xff\xff\xff\xff"), 2),
        (call("other", b""), 3),
        ({}, 3),
    ],
)
async def test_every_call_gets_a_status(attributes, status):
    served = Served("thing", {"echo": Method(give_back, {"n": int})})
    assert (await served.run(attributes, CALLER, print))[0] == status


def test_an_argument_type_the_bus_does_not_know_is_a_mistake_of_ours():
    with pytest.raises(KeyError):
        Served("thing", {"m": Method(give_back, {"raw": bytes})})


def test_an_event_with_broken_data_is_reported_and_the_next_is_heard():
    reports: list[str] = []
    heard: list[tuple] = []
    events = Events(reports.append)
    events.patterns.append(("*", lambda *event: heard.append(event)))
    events.deliver(call("bad", b"\xff\xff\xff\xff"))
    events.deliver(call("good", encode_table({"n": 1})))
    assert heard == [("good", {"n": 1})]
    assert len(reports) == 1


OURS, THEIRS = 5000, 77


class Scripted:
    """A broker of which an object may leave in the very read that says that we are subscribed to it."""

    def __init__(self, then: bytes = b"", refusal: int = OK) -> None:
        self.then = then
        self.refusal = refusal
        self.subscribed = 0

    async def visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(wire.encode(wire.HELLO, 0, 0x1234))
        parser = wire.Parser()
        while data := await reader.read(65536):
            for asked in parser.feed(data):
                writer.write(self._answer(asked))
        writer.close()

    def _answer(self, asked: wire.Message) -> bytes:
        number = {wire.ADD_OBJECT: OURS, wire.LOOKUP: THEIRS}.get(asked.type)
        told = wire.encode(wire.DATA, asked.seq, 0, {wire.ATTR_OBJID: number}) if number else b""
        if asked.type != wire.SUBSCRIBE:
            return told + wire.encode(wire.STATUS, asked.seq, 0, {wire.ATTR_STATUS: OK})
        self.subscribed += 1
        ending = wire.encode(wire.STATUS, asked.seq, 0, {wire.ATTR_STATUS: self.refusal}) + self.then
        self.then, self.refusal = b"", OK
        return ending


async def subscribed(path: str, broker: Scripted) -> Subscription:
    """A subscription that was made, and made good once more, as when its object appears again."""
    server = await asyncio.start_unix_server(broker.visit, path)
    desk = Desk(print)
    ours = Subscription("theirs", print, print)
    desk.entries.append(ours)
    link = await open_link(path, desk.receive, lambda link: None)
    await desk.restore(link)
    assert ours.target == 0
    await desk.restore(link)
    link.close()
    server.close()
    return ours


async def test_an_object_that_leaves_while_we_are_told_that_we_are_subscribed_is_subscribed_to_again(tmp_path):
    gone = wire.encode(wire.UNSUBSCRIBE, 1, 0, {wire.ATTR_OBJID: OURS, wire.ATTR_TARGET: THEIRS})
    broker = Scripted(then=gone)
    assert (await subscribed(str(tmp_path / "s"), broker)).target == THEIRS
    assert broker.subscribed == 2


async def test_a_refused_subscription_is_asked_for_again(tmp_path):
    broker = Scripted(refusal=NO_MEMORY)
    assert (await subscribed(str(tmp_path / "s"), broker)).target == THEIRS
    assert broker.subscribed == 2


def test_a_refusal_names_the_object():
    assert "thing" in str(UbusError(2, "ubus refused 'thing': is the name taken?"))
