"""Which name servers are known beyond this router, from the files that name them.

Opens files only in `known`; never asks a server. Formats: resolv.conf(5); netifd's file has a comment
"# Interface wan" before the servers of each interface.
"""

from __future__ import annotations

from netpolicy.core.address import parse_address
from netpolicy.core.value import ValueProblem

# What netifd learned (by the version of OpenWrt), then what everybody has.
FILES = ("/tmp/resolv.conf.d/resolv.conf.auto", "/tmp/resolv.conf.auto", "/etc/resolv.conf")  # noqa: S108 (OpenWrt's)
SIZE_LIMIT = 65536
SERVER_LIMIT = 3  # as many as the C library asks
ANY_INTERFACE = ""


def known(interface: str = ANY_INTERFACE, files: tuple[str, ...] = FILES) -> tuple[str, ...]:
    """Servers of that netifd interface, else those of any; of the first file that has some. () for none."""
    for path in files:
        try:
            with open(path, encoding="utf-8", errors="replace") as text:
                servers = by_interface(text.read(SIZE_LIMIT))
        except OSError:
            continue
        found = servers.get(interface) or [one for group in servers.values() for one in group]
        if found:
            return tuple(dict.fromkeys(found))[:SERVER_LIMIT]
    return ()


def by_interface(text: str) -> dict[str, list[str]]:
    """The servers by interface, "" before the first comment. Loopbacks are this router itself: left out."""
    found: dict[str, list[str]] = {}
    interface = ANY_INTERFACE
    for line in text.splitlines():
        words = line.split()
        if words[:2] == ["#", "Interface"] and len(words) == 3:
            interface = words[2]
        elif len(words) >= 2 and words[0] == "nameserver":
            address = words[1].partition("%")[0]  # its zone is the device of the line that it is asked by
            if _is_beyond(address):
                found.setdefault(interface, []).append(address)
    return found


def _is_beyond(address: str) -> bool:
    try:
        family, number = parse_address(address)
    except ValueProblem:
        return False
    return number != 0 and (number >> 24 != 127 if family == 4 else number != 1)
