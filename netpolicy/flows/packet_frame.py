"""What a captured packet says of its connection: ends, TCP flags, and where its payload stands.

Pure, and never raises: what is no whole TCP or UDP header, and every fragment, is nothing. Offset 0 is the network
header, as the packet socket has it, and the filter's rules apply. Formats: RFC 791, 8200, 9293, 768, 2516, 802.1Q.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from netpolicy.flows.packet_filter import (
    DESTINATION_OPTIONS,
    EXTENSIONS,
    FRAGMENT,
    HOP_BY_HOP,
    IPV4,
    IPV6,
    PPP_IPV4,
    PPP_IPV6,
    PPPOE,
    PPPOE_SIZE,
    PROVIDER_VLAN,
    ROUTING,
    TCP,
    UDP,
    VLAN,
    VLAN_SIZE,
)
from netpolicy.flows.seen import MAPPED

TAGS = (VLAN, PROVIDER_VLAN)
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

_IPV4 = struct.Struct(">2xH2xHBB2x4s4s")  # length, fragment, TTL, protocol, addresses
_IPV6 = struct.Struct(">4xHBB16s16s")  # length, next header, hop limit, addresses
_TCP = struct.Struct(">HHIIBB6x")  # ports, sequence, acknowledged, size of the header, flags
_UDP = struct.Struct(">HHH2x")
# Most packets: IPv4 without options, TCP.
_USUAL = struct.Struct(">BxH2xHBB2x4s4sHHIIBB")


class Frame(NamedTuple):
    """A TCP or UDP packet. Addresses have 16 bytes, as in `seen`."""

    source: bytes
    destination: bytes
    protocol: int
    source_port: int
    destination_port: int
    ttl: int
    flags: int  # of TCP
    sequence: int
    acknowledged: int
    start: int  # payload that was captured: from here
    end: int  # … to here


class _Packet(NamedTuple):
    """An IP packet: what it carries, and from where to where in the captured bytes."""

    source: bytes
    destination: bytes
    protocol: int
    ttl: int
    start: int
    end: int


def parse(data: bytes, protocol: int, outgoing: bool, tagged: bool = False) -> Frame | None:
    """`protocol`: the Ethernet type that came with the packet; `tagged`: it had a VLAN tag, which is not in `data`."""
    if protocol == IPV4 and not tagged and len(data) >= 40 and data[0] == 0x45 and data[9] == TCP:
        return _usual(data)
    base, protocol = _network(data, protocol, outgoing, tagged)
    packet = _ipv4(data, base) if protocol == IPV4 else _ipv6(data, base) if protocol == IPV6 else None
    if packet is None:
        return None
    if packet.protocol == TCP:
        return _tcp(data, packet)
    return _udp(data, packet) if packet.protocol == UDP else None


def _usual(data: bytes) -> Frame | None:
    """By one unpack what the functions below say in four."""
    (_, length, fragment, ttl, protocol, source, destination, sport, dport, sequence, acknowledged,
     size, flags) = _USUAL.unpack_from(data)  # fmt: skip
    end = min(length, len(data)) if length else len(data)
    header = (size >> 4) * 4
    if fragment & 0x3FFF or end < 40 or header < 20:
        return None
    start = min(20 + header, end)
    return Frame(
        MAPPED + source, MAPPED + destination, protocol, sport, dport, ttl, flags, sequence, acknowledged, start, end
    )


def _network(data: bytes, protocol: int, outgoing: bool, tagged: bool) -> tuple[int, int]:
    """Where IP begins, and its Ethernet type. Linux told the type of a second tag; since 6.10 what that tag holds."""
    inner = int.from_bytes(data[VLAN_SIZE - 2 : VLAN_SIZE], "big")
    if outgoing and protocol in TAGS:
        return 0, {4: IPV4, 6: IPV6}.get(data[0] >> 4 if data else 0, 0)
    if not outgoing and (protocol in TAGS or (tagged and inner == protocol and _begins(data, VLAN_SIZE, inner))):
        return VLAN_SIZE, inner
    if protocol == PPPOE:
        inner = int.from_bytes(data[PPPOE_SIZE - 2 : PPPOE_SIZE], "big")
        return PPPOE_SIZE, {PPP_IPV4: IPV4, PPP_IPV6: IPV6}.get(inner, 0)
    return 0, protocol


def _begins(data: bytes, at: int, protocol: int) -> bool:
    """Whether IP may begin there: else its length is by chance what a tag would say."""
    version = {IPV4: 4, IPV6: 6}.get(protocol, 0)
    return len(data) > at and data[at] >> 4 == version


def _ipv4(data: bytes, base: int) -> _Packet | None:
    if len(data) < base + _IPV4.size:
        return None
    length, fragment, ttl, protocol, source, destination = _IPV4.unpack_from(data, base)
    size = (data[base] & 15) * 4
    if data[base] >> 4 != 4 or size < 20 or fragment & 0x3FFF:
        return None
    end = _end(data, base + length if length else 0)
    return _Packet(MAPPED + source, MAPPED + destination, protocol, ttl, base + size, end)


def _ipv6(data: bytes, base: int) -> _Packet | None:
    if len(data) < base + _IPV6.size or data[base] >> 4 != 6:
        return None
    length, protocol, ttl, source, destination = _IPV6.unpack_from(data, base)
    end, start = _end(data, base + _IPV6.size + length if length else 0), base + _IPV6.size
    for _ in range(EXTENSIONS):
        if protocol not in (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS):
            break
        if len(data) < start + 8 or (protocol == FRAGMENT and (data[start + 2] or data[start + 3] & 0xF9)):
            return None
        protocol, start = data[start], start + 8 * (data[start + 1] + 1)
    return _Packet(source, destination, protocol, ttl, start, end)


def _end(data: bytes, told: int) -> int:
    """Where the packet ends in what was captured: behind it there may be padding. 0: it is too long to say."""
    return min(told, len(data)) if told else len(data)


def _tcp(data: bytes, packet: _Packet) -> Frame | None:
    source, destination, protocol, ttl, start, end = packet
    if end < start + 20:
        return None
    sport, dport, sequence, acknowledged, size, flags = _TCP.unpack_from(data, start)
    header = (size >> 4) * 4
    if header < 20:
        return None
    first = min(start + header, end)
    return Frame(source, destination, protocol, sport, dport, ttl, flags, sequence, acknowledged, first, end)


def _udp(data: bytes, packet: _Packet) -> Frame | None:
    source, destination, protocol, ttl, start, end = packet
    if end < start + _UDP.size:
        return None
    sport, dport, length = _UDP.unpack_from(data, start)
    if length >= _UDP.size:  # else it is merged from more than it can say
        end = min(end, start + length)
    return Frame(source, destination, protocol, sport, dport, ttl, 0, 0, 0, start + _UDP.size, end)
