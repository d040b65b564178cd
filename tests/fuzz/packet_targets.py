"""Fuzzed: what the tiers without eBPF read: packets as a socket has them, and conntrack as messages and as text.

Functions of bytes as in `targets`. What must hold for every input is checked, too.
"""

from __future__ import annotations

from collections.abc import Callable

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.flows import ctlayout, ctmessage, packet_filter, proc
from netpolicy.flows.packet import PacketInspector
from netpolicy.flows.packet_filter import LAN, OUTGOING
from netpolicy.flows.packet_frame import parse
from netpolicy.flows.packet_ring import Captured
from netpolicy.flows.seen import BEGINNING, Measured, Payload
from tests.flows.bpf_machine import Packet, run
from tests.flows.test_packet_filter import ALL, NONE
from tests.flows.test_proc import TCP_LINE

from .packet_seeds import PROTOCOLS
from .wire_targets import Broken

FILTERS = {wanted: packet_filter.program(LAN, wanted) for wanted in (ALL, NONE._replace(flows=True))}
(TRACKED,) = proc.tracked_in(TCP_LINE.encode())
FAMILIES = {2: ctmessage._fields("4s", 1, 4), 10: ctmessage._fields("16s", 3, 7)}

_told: list[Payload | Measured] = []
_TIER = PacketInspector(_told.append, _told.append, ALL)


def packets(data: bytes) -> None:
    """Two bytes say how the packet came; then the packet."""
    if len(data) < 2:
        return
    protocol, outgoing, tagged = PROTOCOLS[data[0] % len(PROTOCOLS)], bool(data[1] & 1), bool(data[1] & 2)
    packet = data[2:]
    frame = parse(packet, protocol, outgoing, tagged)
    if frame is not None and not 0 <= frame.start <= frame.end <= len(packet):
        raise Broken("a payload that is not in the packet")
    for wanted, program in FILTERS.items():
        size = run(program, Packet(packet, protocol, OUTGOING if outgoing else 0))
        frame = parse(packet[:size], protocol, outgoing, tagged)
        if frame is not None and frame.end > frame.start and not wanted.tls and not tagged:
            raise Broken("payload was taken that nobody wanted")
        if wanted.tls and size:
            _take(Captured(packet[:size], protocol, outgoing, tagged, b"", len(data) / 100))


def _take(captured: Captured) -> None:
    """All inputs are those of one tier: it must neither fail nor grow, nor take a packet for another one's words."""
    del _told[:]
    _TIER._take(captured, 1, LAN)
    for one in _told:
        if (
            isinstance(one, Payload)
            and one.kind == BEGINNING
            and one.data[:2] != b"\x16\3"
            and one.data[:1] not in _FIRST
        ):
            raise Broken("words that the filter does not know")
    if len(_TIER._handshakes) > 4096:
        raise Broken("it grows")


_FIRST = {method[:1] for method in packet_filter.METHODS}


def conntrack(data: bytes) -> None:
    """What was learned of other messages changes nothing of what this one says."""
    ctmessage.events(data)
    for family, fields in FAMILIES.items():
        message = bytes((family,)) + data[1:]
        flow, tracked = ctmessage.flow(message), ctmessage.tracked(message)
        if (flow is None) != (tracked is None):
            raise Broken("the two forms of an entry do not agree")
        fresh = ctlayout.Layouts(fields, ctmessage.NFGENMSG.size)
        if fresh.read(message) != ctmessage._LAYOUTS[family][1].read(message) or fresh.read(message) != fresh.read(
            message
        ):
            raise Broken("a message is read otherwise the second time")
        ctmessage.events(wire.message(ctmessage.NEW, 0, 0, message))


def conntrack_text(data: bytes) -> None:
    """Whatever stands around it, a line that is right is read."""
    around = data + b"\n" + TCP_LINE.encode() + data
    if proc.parse(TCP_LINE) not in proc.flows_in(around) or TRACKED not in proc.tracked_in(around):
        raise Broken("a line that is right was not read")
    proc.parse(data.decode("utf-8", "replace"))


PACKET_TARGETS: dict[str, Callable[[bytes], object]] = {
    "packets": packets,
    "conntrack": conntrack,
    "conntrack-text": conntrack_text,
}
