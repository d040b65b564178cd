"""Conntrack messages: all that they tell is read, garbage is skipped, requests are exact."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.flows import ctmessage
from netpolicy.flows.model import Flow
from netpolicy.flows.tracked import Tracked

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


def body(family: int, original: bytes, *rest: bytes) -> bytes:
    return ctmessage.NFGENMSG.pack(ctmessage.FAMILIES[family], 0, 0) + wire.nested(1, original) + b"".join(rest)


def ends(flow: Flow | None) -> tuple:
    assert flow is not None
    return flow.source, flow.destination, flow.protocol, flow.source_port, flow.destination_port


@pytest.mark.parametrize(
    ("family", "source", "destination"), [(4, "10.0.0.1", "192.0.2.7"), (6, V6["source"], V6["destination"])]
)
def test_a_usual_message_is_read_in_any_order_of_its_attributes(family, source, destination):
    ordered = ports(17, 40000, 443)
    for protocol in (ordered, [ordered[2], ordered[0], ordered[1]], [ordered[0], ordered[2], ordered[1]],
                     [*ordered, wire.attribute(99, b"new")]):  # fmt: skip
        message = body(family, tuple_bytes(family, source, destination, *protocol) + wire.attribute(3, b"\0\1"))
        for _ in range(2):  # walked, then as one that was seen before
            assert ends(ctmessage.flow(message)) == (source, destination, 17, 40000, 443)


def test_all_that_a_kernel_tells_is_read():
    counters = [wire.attribute(1, struct.pack(">Q", 1 << 40)), wire.attribute(2, struct.pack(">Q", 1 << 50))]
    number = struct.pack(">I", 0xFEDCBA98)
    message = body(
        4, tuple_bytes(4, "10.0.0.1", "192.0.2.7", *ports(6, 40000, 443)),
        wire.nested(2, tuple_bytes(4, "192.0.2.9", "203.0.113.1", *ports(6, 8443, 50000))),
        wire.attribute(ctmessage.STATUS, struct.pack(">I", 0x18E)), wire.attribute(ctmessage.MARK, number),
        wire.attribute(ctmessage.ID, number), wire.attribute(ctmessage.TIMEOUT, struct.pack(">I", 432000)),
        wire.nested(ctmessage.PROTOINFO, wire.nested(1, wire.attribute(1, b"\x03"), wire.attribute(2, b"\x07"))),
        wire.nested(ctmessage.COUNTERS_ORIGINAL, *counters), wire.nested(ctmessage.COUNTERS_REPLY, *counters),
        wire.attribute(ctmessage.ZONE, b"\0\5"),
    )  # fmt: skip
    assert ctmessage.flow(message) == Flow(
        0xFEDCBA98, 4, 6, "10.0.0.1", 40000, "192.0.2.7", 443, "192.0.2.9", 8443, "203.0.113.1", 50000, 0xFEDCBA98,
        1 << 41, 1 << 51, 0x18E, "ESTABLISHED", 432000, 0, 0, 0, 5,
    )  # fmt: skip
    assert ctmessage.tracked(message) == Tracked(
        6, b"\x0a\0\0\1", 40000, b"\xc0\0\2\7", 443, b"\xc0\0\2\x09", 8443, 0xFEDCBA98, 0x18E,
        1 << 40, 1 << 50, 1 << 40, 1 << 50, "ESTABLISHED",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "state", "word"),
    [(1, 0, "NONE"), (1, 2, "SYN_RECV"), (2, 4, "OPEN"), (3, 4, "ESTABLISHED"), (1, 77, ""), (9, 1, "")],
)
def test_the_state_is_a_word_of_the_protocol(kind, state, word):
    info = wire.nested(ctmessage.PROTOINFO, wire.nested(kind, wire.attribute(1, bytes((state,)))))
    message = body(4, tuple_bytes(4, "10.0.0.1", "192.0.2.7", *ports(6, 1, 2)), info)
    assert ctmessage.flow(message).state == ctmessage.tracked(message).state == word


def test_a_datagram_tells_its_events_whether_it_holds_one_or_several():
    message = body(4, tuple_bytes(4, "10.0.0.1", "192.0.2.7", *ports(6, 1, 2)))
    new = wire.message(ctmessage.NEW, wire.F_CREATE, 0, message)
    update, gone = wire.message(ctmessage.NEW, 0, 0, message), wire.message(ctmessage.DELETE, 0, 0, message)
    flow = ctmessage.flow(message)
    for data, kinds in ((new, ["new"]), (update, ["update"]), (gone, ["destroy"]),
                        (new + update + gone, ["new", "update", "destroy"]), (new + gone[:-1], ["new"])):  # fmt: skip
        assert [(one.kind, one.flow) for one in ctmessage.events(data)] == [(kind, flow) for kind in kinds]
    other = wire.message(77, 0, 0, message)
    assert ctmessage.events(other) == ctmessage.events(b"") == ctmessage.events(new[:-1]) == []
    assert ctmessage.events(wire.message(ctmessage.NEW, 0, 0, b"\x02\0\0\0")) == []


def test_a_message_without_addresses_is_no_flow():
    header = ctmessage.NFGENMSG.pack(2, 0, 0)
    assert ctmessage.flow(b"") is None
    assert ctmessage.flow(header) is None
    assert ctmessage.tracked(b"") is None
    assert ctmessage.tracked(header) is None
    assert ctmessage.flow(header + wire.nested(1, wire.nested(2, *ports(6, 1, 2)))) is None
    assert ctmessage.flow(body(4, tuple_bytes(4, "10.0.0.1", "192.0.2.7"))) is None  # no protocol
    assert ctmessage.flow(body(4, tuple_bytes(6, V6["source"], V6["destination"], *ports(6, 1, 2)))) is None
    bridge = ctmessage.NFGENMSG.pack(7, 0, 0)
    assert ctmessage.flow(bridge + wire.nested(1, tuple_bytes(4, "10.0.0.1", "10.0.0.2", *ports(6, 1, 2)))) is None


def test_attributes_of_a_wrong_size_are_left_out():
    message = body(4, tuple_bytes(4, "10.0.0.1", "10.0.0.2", *ports(6, 1, 2)))
    for kind in (ctmessage.MARK, ctmessage.ID, ctmessage.TIMEOUT, ctmessage.ZONE, ctmessage.COUNTERS_ORIGINAL,
                 ctmessage.PROTOINFO, ctmessage.STATUS):  # fmt: skip
        for value in (b"", b"\1", b"\1\2\3", bytes(9)):
            flow = ctmessage.flow(message + wire.attribute(kind, value))
            assert (flow.mark, flow.id, flow.timeout, flow.packets, flow.state, flow.status) == (0, 0, 0, 0, "", 0)


def test_a_delete_always_names_a_tuple():
    """Without one the kernel deletes every flow there is."""
    flow = Flow(7, 4, 47, "10.0.0.1", 0, "10.0.0.2", 0, "10.0.0.2", 0, "10.0.0.1", 0)
    message = ctmessage.encode_delete(flow)
    found = wire.attributes(message, 4)
    assert ends(ctmessage.flow(message)) == ("10.0.0.1", "10.0.0.2", 47, 0, 0)
    assert found[ctmessage.ID] == b"\0\0\0\7"


@given(st.binary(max_size=400))
def test_garbage_never_raises(data):
    for family in (2, 10):
        payload = bytes((family, 0, 0, 0)) + data
        ctmessage.flow(payload)
        ctmessage.tracked(payload)
        ctmessage.events(wire.message(ctmessage.NEW, 0, 0, payload))
    ctmessage.flow(data)
    ctmessage.events(data)


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
    original = tuple_bytes(6, V6["source"], V6["destination"], *ports(6, 1, 2))
    message = body(6, original, wire.nested(2, original))
    ctmessage.flow(message[:position])
    bent = bytearray(message)
    bent[position % len(bent)] = value
    ctmessage.flow(bytes(bent))
