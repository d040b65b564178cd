"""The netlink wire format and codec: nothing the socket delivers may raise, nothing is read past its end."""

from __future__ import annotations

import errno
import struct

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane import netlink_codec as codec
from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.state import Route, RoutingRule

attribute_lists = st.lists(st.tuples(st.integers(0, 40), st.binary(max_size=24)), max_size=12).map(
    lambda pairs: b"".join(wire.attribute(kind, value) for kind, value in pairs)
)


def test_messages_and_attributes_come_back_as_they_went():
    body = wire.attribute(1, b"abc") + wire.nested(2, wire.attribute(3, b"d"))
    (one, two) = wire.messages(wire.message(16, 5, 7, body) + wire.message(17, 0, 8, b""))
    assert (one.kind, one.flags, one.sequence) == (16, 5, 7)
    found = wire.attributes(one.payload)
    assert found[1] == b"abc"
    assert wire.attributes(found[2]) == {3: b"d"}
    assert two.payload == b""


def test_a_message_longer_than_its_datagram_is_left_out():
    whole = wire.message(16, 0, 1, b"12345678")
    assert list(wire.messages(whole + whole[:-1])) == list(wire.messages(whole))
    assert list(wire.messages(struct.pack("=IHHII", 3, 1, 0, 0, 0) * 3)) == []


def test_an_acknowledgement_carries_the_kernels_words():
    words = wire.attribute(wire.EXTACK_MESSAGE, b"Nexthop has invalid gateway\0")
    quoted = wire.message(24, 5, 9, b"x" * 12)
    capped = struct.pack("=i", -errno.ENETUNREACH) + quoted[:16] + words
    full = struct.pack("=i", -errno.ENETUNREACH) + quoted + words
    for flags, payload in ((wire.F_CAPPED | wire.F_ACK_TLVS, capped), (wire.F_ACK_TLVS, full)):
        answer = wire.Message(wire.ERROR, flags, 9, payload)
        assert wire.outcome(answer) == (errno.ENETUNREACH, "Nexthop has invalid gateway")
    assert wire.outcome(wire.Message(wire.DONE, 0, 9, b"")) == (0, "")


@given(st.binary(max_size=300))
def test_garbage_is_walked_without_raising(data):
    for message in wire.messages(data):
        wire.outcome(message)
        wire.attributes(message.payload)
    wire.attributes(data)


@given(st.binary(max_size=20), attribute_lists, st.binary(max_size=9))
def test_the_codec_never_raises(header, attributes, tail):
    for first in (2, 10):
        payload = bytes((first,)) + header + attributes + tail
        codec.link(payload)
        codec.rule(payload)
        for read in (codec.address, codec.neighbour, codec.route):
            read(payload, {1: "lo"})


@given(
    st.sampled_from(["unicast", "unreachable", "blackhole"]), st.integers(1, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF),
    st.integers(1, 255),
)  # fmt: skip
def test_an_encoded_route_decodes_to_itself(kind, table, metric, protocol):
    device = "wan" if kind == "unicast" else ""
    for family, destination in ((4, "10.0.0.0/8"), (6, "fd00::/8"), (4, "default")):
        route = Route(family, table, destination, kind, "", device, metric, protocol)
        body = codec.encode_route("test", route, 7 if device else 0)
        assert codec.route(body, {7: "wan"}) == route


@given(st.integers(0, 32767), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
def test_an_encoded_rule_decodes_to_itself(priority, table, mark, mask):
    rule = RoutingRule(6, priority, table, mark, mask, "unreachable")
    assert codec.rule(codec.encode_rule("test", rule)) == rule
