"""The first bytes of an IP packet: addresses, protocol, ports.

Pure, and never raises: a packet cut short tells what it can, or nothing.
Formats: RFC 791, RFC 8200 (extension headers), RFC 9293, RFC 768.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from netpolicy.flows.model import DCCP, SCTP, TCP, UDP, UDPLITE

HAS_PORTS = (TCP, UDP, UDPLITE, SCTP, DCCP)

HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS = 0, 43, 44, 51, 60
# More extension headers than this is an attack or a test, and both fit into the logged bytes rarely.
EXTENSION_LIMIT = 6


class Header(NamedTuple):
    """What the first bytes tell; ports are 0 for fragments and protocols without."""

    family: int
    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    length: int  # of the whole packet in bytes, as its header says


def parse(packet: bytes) -> Header | None:
    """The header of a packet that begins with IP; None where it does not."""
    version = packet[0] >> 4 if packet else 0
    if version == 4:
        return _ipv4(packet)
    return _ipv6(packet) if version == 6 else None


def _ipv4(packet: bytes) -> Header | None:
    size = (packet[0] & 15) * 4
    if size < 20 or len(packet) < 20:
        return None
    length, fragment, protocol = struct.unpack_from(">2xH2xHxB", packet)
    first = not fragment & 0x1FFF
    sport, dport = _ports(packet, size, protocol) if first else (0, 0)
    source, destination = (socket.inet_ntop(socket.AF_INET, packet[at : at + 4]) for at in (12, 16))
    return Header(4, protocol, source, sport, destination, dport, length)


def _ipv6(packet: bytes) -> Header | None:
    if len(packet) < 40:
        return None
    length, protocol = struct.unpack_from(">4xHB", packet)
    protocol, offset = _skip_extensions(packet, protocol)
    sport, dport = _ports(packet, offset, protocol) if offset else (0, 0)
    source, destination = (socket.inet_ntop(socket.AF_INET6, packet[at : at + 16]) for at in (8, 24))
    return Header(6, protocol, source, sport, destination, dport, length + 40)


def _skip_extensions(packet: bytes, protocol: int) -> tuple[int, int]:
    """The upper protocol and where it begins; 0 where the packet ends before, or is a later fragment."""
    offset = 40
    for _ in range(EXTENSION_LIMIT):
        if protocol not in (HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS):
            return protocol, offset
        if len(packet) < offset + 8:
            break
        following, units, fragment = struct.unpack_from(">BBH", packet, offset)
        if protocol == FRAGMENT:
            if fragment & 0xFFF8:
                return following, 0
            offset += 8
        else:
            offset += (units + 2) * 4 if protocol == AUTHENTICATION else (units + 1) * 8
        protocol = following
    return protocol, 0


def _ports(packet: bytes, offset: int, protocol: int) -> tuple[int, int]:
    if protocol not in HAS_PORTS or len(packet) < offset + 4:
        return 0, 0
    sport, dport = struct.unpack_from(">HH", packet, offset)
    return sport, dport
