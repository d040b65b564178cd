"""The standard-library adapter of `Netlink`: socket and struct, nothing else.

Never spawns a program, never imports ctypes or pyroute2; serves the light profile.
Wire format in `netlink_wire`, attributes in `netlink_codec`, words in `netlink_records`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import TypeVar

from netpolicy.dataplane import netlink_codec as codec
from netpolicy.dataplane import netlink_records as records
from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from netpolicy.dataplane.state import Address, Link, Neighbour, NetlinkError, Route, RoutingRule

Record = TypeVar("Record")

ADD = wire.F_CREATE | wire.F_EXCL
REPLACE = wire.F_CREATE | wire.F_REPLACE


class BuiltinNetlink:
    """See `netlink.Netlink` for what each method promises."""

    def __init__(self) -> None:
        self._kernel = KernelSocket(ROUTE)

    def close(self) -> None:
        self._kernel.close()

    def links(self) -> tuple[Link, ...]:
        answers = self._kernel.dump("list links", codec.GETLINK, codec.IFINFOMSG.pack(0, 0, 0, 0, 0))
        return tuple(one for one in map(codec.link, _payloads(answers, codec.NEWLINK)) if one)

    def addresses(self) -> tuple[Address, ...]:
        body = codec.IFADDRMSG.pack(0, 0, 0, 0, 0)
        return self._named("list addresses", codec.GETADDR, codec.NEWADDR, [body], codec.address)

    def neighbours(self) -> tuple[Neighbour, ...]:
        bodies = [codec.NDMSG.pack(family, 0, 0, 0, 0) for family in records.OUR_FAMILY]
        return self._named("list neighbours", codec.GETNEIGH, codec.NEWNEIGH, bodies, codec.neighbour)

    def routes(self, table: int | None = None) -> tuple[Route, ...]:
        # A newer kernel filters by table itself, an older one ignores the wish: so we look again.
        wish = b"" if table is None else wire.attribute(codec.RTA_TABLE, wire.U32.pack(table))
        bodies = [codec.RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0) + wish for family in records.OUR_FAMILY]
        found = self._named("list routes", codec.GETROUTE, codec.NEWROUTE, bodies, codec.route)
        return found if table is None else tuple(route for route in found if route.table == table)

    def rules(self) -> tuple[RoutingRule, ...]:
        found: list[RoutingRule] = []
        for family in records.OUR_FAMILY:
            body = codec.FIBRULE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
            answers = self._kernel.dump("list rules", codec.GETRULE, body)
            found += [one for one in map(codec.rule, _payloads(answers, codec.NEWRULE)) if one]
        return tuple(found)

    def add_route(self, route: Route) -> None:
        self._write_route("add route", codec.NEWROUTE, ADD, route)

    def replace_route(self, route: Route) -> None:
        self._write_route("replace route", codec.NEWROUTE, REPLACE, route)

    def delete_route(self, route: Route) -> None:
        exact = records.stored(route)
        if records.is_ambiguous(exact) and exact not in self.routes(exact.table):
            raise records.absent(f"delete route {records.describe_route(route)}", errno.ESRCH)
        self._write_route("delete route", codec.DELROUTE, 0, exact)

    def add_rule(self, rule: RoutingRule) -> None:
        operation = f"add rule {records.describe_rule(rule)}"
        self._kernel.request(operation, codec.NEWRULE, ADD, codec.encode_rule(operation, rule))

    def delete_rule(self, rule: RoutingRule) -> None:
        operation = f"delete rule {records.describe_rule(rule)}"
        body = codec.encode_rule(operation, rule)
        records.require_exact_rule(operation, rule, self.rules())
        self._kernel.request(operation, codec.DELRULE, 0, body)

    def _write_route(self, verb: str, kind: int, flags: int, route: Route) -> None:
        operation = f"{verb} {records.describe_route(route)}"
        if kind == codec.NEWROUTE:
            records.require_writable(operation, route)
        index = self._index(operation, route.device) if route.device else 0
        self._kernel.request(operation, kind, flags, codec.encode_route(operation, route, index))

    def _index(self, operation: str, device: str) -> int:
        """Ask the socket's own namespace, which need not be the caller's."""
        records.check_device(operation, device)
        body = codec.IFINFOMSG.pack(0, 0, 0, 0, 0) + wire.attribute(codec.IFLA_IFNAME, wire.string(device))
        for payload in _payloads(self._kernel.request(operation, codec.GETLINK, 0, body), codec.NEWLINK):
            found = codec.link(payload)
            if found:
                return found.index
        raise records.absent(operation, errno.ENODEV)

    def _named(
        self,
        operation: str,
        ask: int,
        answer: int,
        bodies: list[bytes],
        read: Callable[[bytes, Mapping[int, str]], Record | None],
    ) -> tuple[Record, ...]:
        """Dumps whose records name devices: the names are read after them, so that new devices have one."""
        payloads = [one for body in bodies for one in _payloads(self._dump(operation, ask, body), answer)]
        names = {link.index: link.name for link in self.links()}
        return tuple(record for payload in payloads if (record := read(payload, names)) is not None)

    def _dump(self, operation: str, ask: int, body: bytes) -> list[wire.Message]:
        try:
            return self._kernel.dump(operation, ask, body)
        except NetlinkError as error:
            if error.errno == errno.ENOENT:  # a table that was never used
                return []
            raise


def _payloads(answers: list[wire.Message], kind: int) -> list[bytes]:
    return [answer.payload for answer in answers if answer.kind == kind]
