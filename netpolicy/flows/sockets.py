"""The TCP sockets of the router itself, as /proc/net/tcp and tcp6 list them.

Never says whose they are or what they mean; a line that cannot be read is left out.
Line format: Documentation/networking/proc_net_tcp.rst; addresses are words in the host's byte order.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from netpolicy.core.address import V4, V6, format_address

PATHS = ("/proc/net/tcp", "/proc/net/tcp6")

# Longer lines are not the kernel's: those of IPv6 have some 180 characters.
LINE_LIMIT = 500

ESTABLISHED, HALF_OPEN, HALF_CLOSED, LISTEN = 0x01, 0x03, 0x08, 0x0A  # TCP_… in <net/tcp_states.h>

MAPPED = 0xFFFF  # the upper 96 bits of ::ffff:192.0.2.1
ADDRESS_SIZES = {8: V4, 32: V6}


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """One socket. Addresses in canonical text, IPv4 also where the socket is an IPv6 one that speaks IPv4."""

    local: str
    local_port: int
    remote: str
    remote_port: int
    state: int
    inode: int  # 0: no program has it (yet, or any more)

    @property
    def ends(self) -> tuple[str, int, str, int]:
        """What tells it from every other one that is open: remote first, as the kernel's original direction."""
        return self.remote, self.remote_port, self.local, self.local_port


def read(ports: Collection[int] = (), states: Collection[int] = ()) -> Iterator[TcpSocket]:
    """The sockets of this network namespace with one of the local ports and states (none named: any).

    O(sockets). OSError where the kernel shows no table; a kernel without IPv6 has no second one.
    """
    for path in PATHS:
        try:
            with open(path, encoding="ascii", errors="replace") as lines:
                yield from chosen(lines, ports, states)
        except FileNotFoundError:
            if path == PATHS[0]:
                raise


def chosen(lines: Iterable[str], ports: Collection[int] = (), states: Collection[int] = ()) -> Iterator[TcpSocket]:
    """Those of the lines that can be read and are asked for."""
    endings = tuple(f":{port:04X}" for port in ports)
    words = tuple(f" {state:02X} " for state in states)
    for line in lines:
        # Looked at before it is taken apart: a router has thousands of sockets and a handful of these.
        if words and not any(word in line for word in words):
            continue
        if endings and not line[:LINE_LIMIT].lstrip().partition(" ")[2].partition(" ")[0].endswith(endings):
            continue
        found = parse(line)
        if found is not None and (not states or found.state in states):
            yield found


def parse(line: str) -> TcpSocket | None:
    """The socket of one line, or None.

    0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 …
    """
    words = line.split() if len(line) <= LINE_LIMIT else []
    if len(words) < 10:
        return None
    local, remote, state = _end(words[1]), _end(words[2]), _hexadecimal(words[3], 2)
    inode = int(words[9]) if words[9].isascii() and words[9].isdigit() and len(words[9]) < 20 else None
    if local is None or remote is None or state is None or inode is None:
        return None
    return TcpSocket(*local, *remote, state, inode)


def canonical(family: int, number: int) -> str:
    """The text of an address; an IPv4 one that was mapped into IPv6 is told as what it is."""
    if family == V6 and number >> 32 == MAPPED:
        return format_address(V4, number & 0xFFFFFFFF)
    return format_address(family, number)


def _end(text: str) -> tuple[str, int] | None:
    address, _, port_text = text.partition(":")
    family = ADDRESS_SIZES.get(len(address))
    port = _hexadecimal(port_text, 4)
    if family is None or port is None:
        return None
    number = 0
    for start in range(0, len(address), 8):
        word = _hexadecimal(address[start : start + 8], 8)
        if word is None:
            return None
        # printed as a number, but its bytes are the address: on little machines they come the other way round
        number = number << 32 | int.from_bytes(word.to_bytes(4, sys.byteorder), "big")
    return canonical(family, number), port


def _hexadecimal(text: str, digits: int) -> int | None:
    if len(text) != digits or not all(c in "0123456789abcdefABCDEF" for c in text):
        return None
    return int(text, 16)
