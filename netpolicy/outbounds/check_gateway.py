"""Whether the next router of a line is there: it must answer for its address now, not have answered once.

Asks itself, by ARP (RFC 826) or neighbour discovery (RFC 4861), and leaves the kernel's neighbour table alone:
an entry there is believed for minutes, and making it doubtful would stop the packets of others. Needs CAP_NET_RAW.
"""

from __future__ import annotations

import fcntl
import socket
import struct

from netpolicy.outbounds.check_line import (
    NO_SUPPORT,
    NO_WAY,
    PASSED,
    UNKNOWN,
    Answer,
    Line,
    Unsendable,
    opened,
    repeated,
)

SIOCGIFADDR, SIOCGIFHWADDR = 0x8915, 0x8927  # <linux/sockios.h>
ETHERNET = 1  # ARPHRD_ETHER; bridges, VLANs and Wi-Fi have it too
ETH_P_ARP = 0x0806
BROADCAST = b"\xff" * 6

ARP = struct.Struct("!HHBBH6s4s6s4s")  # hardware, protocol, their sizes, operation, sender, target
ARP_REQUEST, ARP_REPLY = 1, 2

SOLICITATION, ADVERTISEMENT = 135, 136
SOURCE_LINK_ADDRESS = 1
HOPS = 255  # a lower number has come through a router and is not believed


async def gateway(line: Line, address: str) -> Answer:
    """Passed when the gateway answers for its address. Waits for ever otherwise: put a limit around it."""
    mac = _hardware(line.device)
    if ":" in address:
        await _discover(line, address, mac)
    else:
        await _resolve(line, address, mac)
    return Answer(PASSED, text=f"{address} answers on {line.device}")


def arp_request(mac: bytes, own: bytes, wanted: bytes) -> bytes:
    """Who has `wanted`? `own` of zeros where the device has no IPv4 address (RFC 5227)."""
    return ARP.pack(ETHERNET, 0x0800, 6, 4, ARP_REQUEST, mac, own, bytes(6), wanted)


def is_arp_reply(data: bytes, wanted: bytes) -> bool:
    """Whether that address answers for itself here."""
    if len(data) < ARP.size:
        return False
    hardware, protocol, mac_size, ip_size, operation, _, sender, _, _ = ARP.unpack_from(data)
    shape = (hardware, protocol, mac_size, ip_size, operation)
    return shape == (ETHERNET, 0x0800, 6, 4, ARP_REPLY) and sender == wanted


def solicitation(mac: bytes, wanted: bytes) -> bytes:
    """The same question in IPv6; the kernel writes the checksum."""
    option = bytes((SOURCE_LINK_ADDRESS, 1)) + mac
    return struct.pack("!BBHI", SOLICITATION, 0, 0, 0) + wanted + option


def is_advertisement(data: bytes, wanted: bytes) -> bool:
    """Whether that address answers for itself here."""
    return len(data) >= 24 and data[0] == ADVERTISEMENT and data[1] == 0 and data[8:24] == wanted


def solicited(wanted: bytes) -> str:
    """The multicast address that the owner of an address listens to."""
    return socket.inet_ntop(socket.AF_INET6, bytes.fromhex("ff0200000000000000000001ff") + wanted[13:])


async def _resolve(line: Line, address: str, mac: bytes) -> None:
    wanted = socket.inet_pton(socket.AF_INET, address)
    request = arp_request(mac, _own_address(line.device), wanted)
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    # Of no protocol before it has its device: else it hears what others answer, by lines with the same gateway.
    with socket.socket(socket.AF_PACKET, kind, 0) as made:
        made.bind((line.device, ETH_P_ARP))
        to = (line.device, ETH_P_ARP, 0, 0, BROADCAST)
        await repeated(made, lambda: made.sendto(request, to), lambda data: is_arp_reply(data, wanted) or None)


async def _discover(line: Line, address: str, mac: bytes) -> None:
    wanted = socket.inet_pton(socket.AF_INET6, address)
    index = _index(line.device)
    # Without the mark: neighbours are found on the device, whatever the tables say.
    bare = Line(line.outbound, line.device)
    with opened(bare, 6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as made:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOPS)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        to = (solicited(wanted), 0, 0, index)
        packet = solicitation(mac, wanted)
        await repeated(made, lambda: made.sendto(packet, to), lambda data: is_advertisement(data, wanted) or None)


def _hardware(device: str) -> bytes:
    """The device's Ethernet address. Unsendable: a tunnel or a point-to-point line has no neighbours."""
    answer = _asked(device, SIOCGIFHWADDR)
    if answer is None:
        raise Unsendable(Answer(UNKNOWN, NO_WAY, f"there is no device {device}"))
    if struct.unpack_from("=H", answer, 16)[0] != ETHERNET:
        raise Unsendable(Answer(UNKNOWN, NO_SUPPORT, f"{device} has no neighbours to ask for"))
    return answer[18:24]


def _own_address(device: str) -> bytes:
    answer = _asked(device, SIOCGIFADDR)
    return answer[20:24] if answer is not None else bytes(4)


def _asked(device: str, question: int) -> bytes | None:
    """struct ifreq as the kernel fills it; None where it refuses: no such device, no such address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        try:
            return fcntl.ioctl(asking, question, struct.pack("16s24x", device.encode()[:15]))
        except OSError:
            return None


def _index(device: str) -> int:
    try:
        return socket.if_nametoindex(device)
    except OSError:
        raise Unsendable(Answer(UNKNOWN, NO_WAY, f"there is no device {device}")) from None
