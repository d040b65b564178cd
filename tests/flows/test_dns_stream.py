"""Messages of DNS over TCP, however the stream is cut."""

from __future__ import annotations

import struct

import pytest

from netpolicy.flows import names
from netpolicy.flows.dns_stream import AGE_SECONDS, MessageStreams
from netpolicy.flows.names import Refused
from netpolicy.flows.seen import DNS_ANSWERING, Payload

from .seen_flows import flow, payload

ONE, TWO = b"first message", b"the second message"


def framed(*messages: bytes) -> bytes:
    return b"".join(struct.pack(">H", len(message)) + message for message in messages)


def piece(data: bytes, offset: int = 0, **more: object) -> Payload:
    return payload(data, DNS_ANSWERING, offset=offset, **more)


def test_messages_come_out_once_and_however_they_are_cut() -> None:
    stream = framed(ONE, TWO)
    for cut in range(1, len(stream)):
        streams = MessageStreams()
        found = streams.add(piece(stream[:cut]))
        found += streams.add(piece(stream[cut:], cut))
        assert found == [ONE, TWO], cut
        assert streams.add(piece(stream[cut:], cut)) == []  # repeated


def test_pieces_out_of_order_wait_for_the_one_between() -> None:
    stream, streams = framed(ONE, TWO), MessageStreams()
    assert streams.add(piece(stream[20:], 20, first=True)) == []
    assert streams.add(piece(stream[:9], first=False)) == []
    assert streams.add(piece(stream[9:20], 9)) == [ONE, TWO]


def test_a_new_connection_with_the_same_ports_begins_anew() -> None:
    streams = MessageStreams()
    assert streams.add(piece(framed(ONE)[:-1])) == []
    assert streams.add(piece(framed(TWO))) == [TWO]


def test_a_length_that_no_message_has_ends_the_reading() -> None:
    streams = MessageStreams()
    with pytest.raises(Refused) as refused:
        streams.add(piece(framed(ONE) + b"\0\x0b" + bytes(11)))
    assert refused.value.reason == names.MALFORMED and not streams.held


def test_what_never_becomes_whole_is_told_and_what_is_whole_is_not() -> None:
    streams = MessageStreams()
    streams.add(piece(framed(ONE), number=1))
    streams.add(piece(framed(ONE, TWO)[:-1], number=2))
    streams.add(piece(TWO, 20, number=3))
    assert streams.expire(AGE_SECONDS - 1) == []
    assert streams.expire(AGE_SECONDS) == [flow(2, 53), flow(3, 53)] and not streams.held


def test_connections_and_bytes_are_bounded() -> None:
    streams = MessageStreams(flows=4, flow_bytes=100)
    for number in range(10):
        streams.add(piece(framed(ONE), number=number))
    assert streams.counters["evicted"] == 6
    assert streams.add(piece(framed(bytes(200)), number=20)) == []
    assert streams.counters["beyond"] == 1
