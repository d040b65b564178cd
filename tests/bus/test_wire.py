"""Framing: any split of the stream gives the same messages; hostile streams only WireError."""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.bus import wire
from netpolicy.bus.wire import Message, Parser, WireError

ATTRIBUTES = {
    wire.ATTR_OBJID: 0xDEADBEEF,
    wire.ATTR_METHOD: "method",
    wire.ATTR_DATA: b"\0\1\2\3",
    wire.ATTR_NO_REPLY: True,
    wire.ATTR_ACTIVE: False,
}


def test_the_bytes_are_those_of_ubusmsg_h():
    data = wire.encode(wire.LOOKUP, 0x1234, 0xABCDEF01, {wire.ATTR_OBJPATH: "ab"})
    assert data.hex() == "00041234abcdef01" + "0000000c" + "02000007" + "61620000"


def test_attributes_come_back_in_their_python_form():
    [message] = Parser().feed(wire.encode(wire.INVOKE, 7, 9, ATTRIBUTES))
    assert message[:3] == (wire.INVOKE, 7, 9)
    assert message.attributes() == ATTRIBUTES


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=6), st.data())
def test_every_split_of_a_stream_gives_the_same_messages(parts, data):
    stream = b"".join(wire.frame(kind, 1, 2, body) for kind, body in parts)
    parser, found = Parser(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += parser.feed(stream[:size])
        stream = stream[size:]
    assert [(m.type, m.body) for m in found] == parts


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_any_bytes_give_messages_or_a_wire_error(chunks):
    parser = Parser()
    try:
        for chunk in chunks:
            for message in parser.feed(chunk):
                message.attributes()
    except WireError:
        pass


@given(st.binary(max_size=200))
def test_any_body_gives_attributes_or_a_wire_error(body):
    with contextlib.suppress(WireError):
        Message(wire.INVOKE, 0, 0, body).attributes()


def test_an_attribute_of_the_wrong_form_is_left_out():
    body = wire.attribute(wire.ATTR_OBJID, b"\1") + wire.attribute(wire.ATTR_METHOD, b"no end")
    assert Message(wire.INVOKE, 0, 0, body).attributes() == {}


@pytest.mark.parametrize(
    "head",
    [
        "01 04 0000 00000000 00000004",  # version 1
        "00 04 0000 00000000 00000003",  # shorter than its own header
        "00 04 0000 00000000 00100001",  # one byte above a mebibyte
        "00 04 0000 00000000 00ffffff",
    ],
)
def test_an_impossible_header_ends_the_stream_before_anything_is_collected(head):
    with pytest.raises(WireError):
        list(Parser().feed(bytes.fromhex(head)))


def test_the_largest_message_is_one_mebibyte_of_blob():
    data = wire.frame(wire.DATA, 0, 0, bytes(wire.MESSAGE_LIMIT - 4))
    assert len(list(Parser().feed(data))) == 1
    with pytest.raises(WireError, match="1048576"):
        wire.frame(wire.DATA, 0, 0, bytes(wire.MESSAGE_LIMIT - 3))


def test_an_endless_stream_of_large_messages_needs_room_for_one():
    data = wire.frame(wire.DATA, 0, 0, bytes(wire.MESSAGE_LIMIT - 4))
    parser = Parser()
    tracemalloc.start()
    try:
        for start in range(0, 20 * len(data), 65536):
            begin = start % len(data)
            for _ in parser.feed((data + data)[begin : begin + 65536]):
                pass
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_name_with_a_nul_is_refused():
    with pytest.raises(WireError):
        wire.encode(wire.LOOKUP, 0, 0, {wire.ATTR_OBJPATH: "a\0b"})
