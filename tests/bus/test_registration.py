"""What a served object and a listener do with what arrives, whatever arrives."""

from __future__ import annotations

import pytest

from netpolicy.bus import wire
from netpolicy.bus.blobmsg import encode_table
from netpolicy.bus.method import Caller, Method
from netpolicy.bus.registration import Events, Served
from netpolicy.bus.status import UbusError

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


def test_a_refusal_names_the_object():
    assert "thing" in str(UbusError(2, "ubus refused 'thing': is the name taken?"))
