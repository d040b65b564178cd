"""The door to routes, rules, links, addresses and neighbours: one interface, two adapters.

Decides only which adapter serves; never imports pyroute2 unless it was asked for by name (16 MB).
Both adapters pass one contract suite; field meanings: rtnetlink(7), `netpolicy.dataplane.state`.
"""

from __future__ import annotations

import errno
import typing

from netpolicy.dataplane.state import Address, Link, Neighbour, NetlinkError, Route, RoutingRule

CHOICES = ("auto", "pyroute2", "builtin")


class Netlink(typing.Protocol):
    """Kernel networking state, read and written. Every method may raise NetlinkError.

    Reads answer with the whole table. A device whose name is gone reads as "index:7", which
    no device can be called. Writes are acknowledged by the kernel before they return.
    """

    def links(self) -> tuple[Link, ...]:
        """All network devices."""

    def addresses(self) -> tuple[Address, ...]:
        """All addresses of both families."""

    def neighbours(self) -> tuple[Neighbour, ...]:
        """Entries with a known link-layer address, both families; multicast mappings left out."""

    def routes(self, table: int | None = None) -> tuple[Route, ...]:
        """Routes of both families, of one table or of all.

        A route with several next hops has kind "multipath" and the first of them, `others` has the rest. Routes that
        refuse (unreachable, …) have no device. IPv6 has no scopes: always "global".
        """

    def rules(self) -> tuple[RoutingRule, ...]:
        """Policy rules of both families in the order of evaluation."""

    def add_route(self, route: Route) -> None:
        """Add; EEXIST where destination and metric are taken. An IPv6 metric of 0 becomes 1024."""

    def replace_route(self, route: Route) -> None:
        """Add, or take the place of the route with the same destination and metric, in one step."""

    def delete_route(self, route: Route) -> None:
        """Delete exactly this route, never a similar one; ESRCH where it is absent."""

    def add_rule(self, rule: RoutingRule) -> None:
        """Add; EEXIST where an equal rule exists."""

    def delete_rule(self, rule: RoutingRule) -> None:
        """Delete exactly this rule, never a similar one; ENOENT where it is absent."""

    def close(self) -> None:
        """Give sockets back; may be repeated."""


def open_netlink(choice: str = "auto") -> Netlink:
    """The adapter by the word of `option netlink`. ValueError for another word, NetlinkError otherwise.

    "auto" is the built-in one: both say and do the same, and pyroute2 would nearly double the daemon.
    """
    if choice not in CHOICES:
        raise ValueError(f"netlink: {choice!r} is not one of {', '.join(CHOICES)}")
    if choice == "pyroute2":
        from netpolicy.dataplane.netlink_pyroute2 import Pyroute2Netlink

        return Pyroute2Netlink()
    from netpolicy.dataplane.netlink_builtin import BuiltinNetlink

    return BuiltinNetlink()


def is_absent(error: NetlinkError) -> bool:
    """What was to be deleted does not exist (or its device does not)."""
    return error.errno in (errno.ESRCH, errno.ENOENT, errno.ENODEV)


def is_present(error: NetlinkError) -> bool:
    """What was to be added exists already."""
    return error.errno == errno.EEXIST
