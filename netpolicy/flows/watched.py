"""Which devices an inspector watches: those behind which clients are, where their packets can be seen.

Pure. Never a device of an outbound or of a default route, never the loopback: those are refused with the reason.
With flow offload packets of open connections bypass the bridge, and its ports are watched in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from netpolicy.dataplane.state import Link
from netpolicy.flows.inside import Subnet

BRIDGE = "bridge"

CLIENTS = "clients are behind it"
PORT = "a port of {}, whose open connections bypass it (flow offload)"

LOOPBACK = "the loopback device"
OUTBOUND = "an outbound or a default route leads out by it"
NO_CLIENTS = "no network of clients is behind it"
PORTS = "its ports are watched in its place (flow offload)"
DOWN = "it is down"


class Watched(NamedTuple):
    """A device that is to be watched, or not; `why` in words."""

    name: str
    wanted: bool
    why: str


def choose(
    links: Iterable[Link], inside: Iterable[Subnet], outside: Collection[str], offload: bool
) -> tuple[Watched, ...]:
    """A word about each device. `outside`: devices of outbounds and of default routes; `inside` is `inside.subnets`."""
    links = tuple(links)
    homes = {subnet.device for subnet in inside}
    names = {link.index: link.name for link in links}
    bridges = {link.index for link in links if link.kind == BRIDGE and link.name in homes - set(outside)}
    by_port = {link.master for link in links if link.master in bridges and link.up} if offload else set()
    return tuple([_word(link, homes, outside, by_port, names) for link in links])


def _word(
    link: Link, homes: Collection[str], outside: Collection[str], by_port: Collection[int], names: dict[int, str]
) -> Watched:
    if link.name == "lo":
        return Watched(link.name, False, LOOPBACK)
    if link.name in outside:
        return Watched(link.name, False, OUTBOUND)
    if link.master in by_port and link.master:
        return Watched(link.name, link.up, PORT.format(names[link.master]) if link.up else DOWN)
    if link.name not in homes:
        return Watched(link.name, False, NO_CLIENTS)
    if link.index in by_port:
        return Watched(link.name, False, PORTS)
    return Watched(link.name, link.up, CLIENTS if link.up else DOWN)
