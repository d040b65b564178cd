"""Conntrack messages: the fast path and the walk agree, garbage is skipped, requests are exact."""

from __future__ import annotations

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.flows import ctmessage
from netpolicy.flows.model import Flow

V6 = {"source": "2001:db8::1", "destination": "fd00::2"}


def tuple_bytes(family: int, source: str, destination: str, *protocol: bytes) -> bytes:
    first, number = (1, socket.AF_INET) if family == 4 else (3, socket.AF_INET6)
    ends = [socket.inet_pton(number, one) for one in (source, destination)]
    ip = wire.nested(1, *(wire.attribute(first + n, end) for n, end in enumerate(ends)))
    return ip + wire.nested(2, *protocol)


def ports(protocol: int, source: int, destination: int) -> list[bytes]:
    return [
        wire.attribute(1, bytes((protocol,))),
        wire.attribute(2, struct.pack(">H", source)),
        wire.attribute(3, struct.pack(">H", destination)),
    ]


def test_the_fast_path_is_taken_for_usual_tuples_and_agrees_with_the_walk():
    for family, source, destination in ((4, "10.0.0.1", "192.0.2.7"), (6, V6["source"], V6["destination"])):
        data = tuple_bytes(family, source, destination, *ports(6, 40000, 443))
        fast = ctmessage._fixed_tuple(family, data)
        assert fast == ctmessage._walked_tuple(family, data) == (source, destination, 6, 40000, 443, 0, 0, 0)


def test_another_order_or_unknown_attributes_take_the_walk():
    ordered = ports(17, 1, 2)
    data = tuple_bytes(4, "10.0.0.1", "192.0.2.7", ordered[2], ordered[0], ordered[1])
    assert ctmessage._tuple(4, data) == ("10.0.0.1", "192.0.2.7", 17, 1, 2, 0, 0, 0)
    data = tuple_bytes(4, "10.0.0.1", "192.0.2.7", *ordered, wire.attribute(99, b"new")) + wire.attribute(3, b"\0\1")
    assert ctmessage._tuple(4, data) == ("10.0.0.1", "192.0.2.7", 17, 1, 2, 0, 0, 0)
    # the same size as the usual layout, but other types inside
    swapped = tuple_bytes(4, "10.0.0.1", "192.0.2.7", ordered[0], ordered[2], ordered[1])
    assert ctmessage._tuple(4, swapped) == ("10.0.0.1", "192.0.2.7", 17, 1, 2, 0, 0, 0)


def test_a_message_without_addresses_is_no_flow():
    header = ctmessage.NFGENMSG.pack(2, 0, 0)
    assert ctmessage.flow(b"") is None
    assert ctmessage.flow(header) is None
    assert ctmessage.flow(header + wire.nested(1, wire.nested(2, *ports(6, 1, 2)))) is None
    bridge = ctmessage.NFGENMSG.pack(7, 0, 0)
    assert ctmessage.flow(bridge + wire.nested(1, tuple_bytes(4, "10.0.0.1", "10.0.0.2", *ports(6, 1, 2)))) is None


def test_attributes_of_a_wrong_size_are_left_out():
    body = ctmessage.NFGENMSG.pack(2, 0, 0) + wire.nested(1, tuple_bytes(4, "10.0.0.1", "10.0.0.2", *ports(6, 1, 2)))
    for kind in (ctmessage.MARK, ctmessage.ID, ctmessage.TIMEOUT, ctmessage.ZONE, ctmessage.COUNTERS_ORIGINAL,
                 ctmessage.PROTOINFO, ctmessage.STATUS):  # fmt: skip
        for value in (b"", b"\1", b"\1\2\3", bytes(9)):
            flow = ctmessage.flow(body + wire.attribute(kind, value))
            assert (flow.mark, flow.id, flow.timeout, flow.packets, flow.state, flow.status) == (0, 0, 0, 0, "", 0)


def test_a_delete_always_names_a_tuple():
    """Without one the kernel deletes every flow there is."""
    flow = Flow(7, 4, 47, "10.0.0.1", 0, "10.0.0.2", 0, "10.0.0.2", 0, "10.0.0.1", 0)
    found = wire.attributes(ctmessage.encode_delete(flow), 4)
    assert ctmessage._tuple(4, found[ctmessage.ORIGINAL]) == ("10.0.0.1", "10.0.0.2", 47, 0, 0, 0, 0, 0)
    assert found[ctmessage.ID] == b"\0\0\0\7"


@given(st.binary(max_size=400))
def test_garbage_never_raises(data):
    for family in (2, 10):
        payload = bytes((family, 0, 0, 0)) + data
        ctmessage.flow(payload)
        ctmessage.event(wire.Message(ctmessage.NEW, 0, 0, payload))
    ctmessage.flow(data)


attribute_trees = st.recursive(
    st.binary(max_size=20),
    lambda inner: st.lists(st.tuples(st.integers(0, 30), inner), max_size=6).map(
        lambda pairs: b"".join(wire.attribute(kind, value) for kind, value in pairs)
    ),
    max_leaves=20,
)


@given(attribute_trees, st.sampled_from([2, 10]))
def test_well_formed_nonsense_never_raises(data, family):
    flow = ctmessage.flow(bytes((family, 0, 0, 0)) + data)
    assert flow is None or flow.family in (4, 6)


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_cut_or_bent_message_never_raises(position, value):
    body = ctmessage.NFGENMSG.pack(10, 0, 0) + b"".join(
        wire.nested(kind, tuple_bytes(6, V6["source"], V6["destination"], *ports(6, 1, 2))) for kind in (1, 2)
    )
    ctmessage.flow(body[:position])
    bent = bytearray(body)
    bent[position % len(bent)] = value
    ctmessage.flow(bytes(bent))
