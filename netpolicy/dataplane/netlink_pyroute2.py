"""The pyroute2 adapter of `Netlink` (0.7.9 to 0.9): the library encodes, decodes and keeps the socket.

Never imported unless chosen: the library costs 22 MB. Never touched from the caller's thread:
since 0.9 its synchronous calls drive an asyncio loop and fail where one is running already.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pyroute2
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted
from pyroute2.netlink.exceptions import NetlinkError as LibraryError
from pyroute2.netlink.rtnl.fibmsg import fibmsg

from netpolicy.dataplane import netlink_records as records
from netpolicy.dataplane.netlink_socket import DUMP_TRIES, refusal
from netpolicy.dataplane.state import IPV4, IPV6, Address, Link, Neighbour, NetlinkError, Route, RoutingRule

Value = TypeVar("Value")
Record = TypeVar("Record")

DUMP_INTR = 0x10  # not named by the library before 0.9

# Attributes a rule of ours has; the numbers of the others are told as selectors.
PLAIN_RULE = frozenset(
    "FRA_" + word
    for word in (
        "DST", "SRC", "IIFNAME", "PRIORITY", "FWMARK", "SUPPRESS_IFGROUP", "SUPPRESS_PREFIXLEN", "TABLE",
        "FWMASK", "OIFNAME", "PAD", "L3MDEV", "PROTOCOL",
    )
)  # fmt: skip


class Pyroute2Netlink:
    """See `netlink.Netlink` for what each method promises."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pyroute2")
        try:
            self._library: Any = self._call("open a netlink socket", pyroute2.IPRoute)
        except NetlinkError:
            self._worker.shutdown()
            raise

    def close(self) -> None:
        if self._library is not None:
            self._call("close the netlink socket", self._library.close)
            self._library = None
            self._worker.shutdown()

    def links(self) -> tuple[Link, ...]:
        found = (_link(message) for message in self._dump("list links", lambda: self._library.get_links()))
        return tuple(link for link in found if link.name)

    def addresses(self) -> tuple[Address, ...]:
        return self._named("list addresses", lambda: self._library.get_addr(), _address)

    def neighbours(self) -> tuple[Neighbour, ...]:
        dump = self._both(lambda family: self._library.get_neighbours(family))
        return self._named("list neighbours", dump, _neighbour)

    def routes(self, table: int | None = None) -> tuple[Route, ...]:
        # the library filters by table in Python as well, later than we can
        dump = self._both(lambda family: self._library.get_routes(family=family))
        found = self._named("list routes", dump, _route)
        return found if table is None else tuple(route for route in found if route.table == table)

    def rules(self) -> tuple[RoutingRule, ...]:
        return tuple(map(_rule, self._dump("list rules", self._both(lambda f: self._library.get_rules(f)))))

    def add_route(self, route: Route) -> None:
        operation = f"add route {records.describe_route(route)}"
        records.require_writable(operation, route)
        self._write_route(operation, "add", route)

    def replace_route(self, route: Route) -> None:
        operation = f"replace route {records.describe_route(route)}"
        records.require_writable(operation, route)
        self._write_route(operation, "replace", route)

    def delete_route(self, route: Route) -> None:
        operation = f"delete route {records.describe_route(route)}"
        exact = records.stored(route)
        if records.is_ambiguous(exact) and exact not in self.routes(exact.table):
            raise records.absent(operation, errno.ESRCH)
        self._write_route(operation, "del", exact)

    def add_rule(self, rule: RoutingRule) -> None:
        operation = f"add rule {records.describe_rule(rule)}"
        fields = _rule_fields(operation, rule)
        self._call(operation, lambda: self._library.rule("add", **fields))

    def delete_rule(self, rule: RoutingRule) -> None:
        operation = f"delete rule {records.describe_rule(rule)}"
        fields = _rule_fields(operation, rule)
        records.require_exact_rule(operation, rule, self.rules())
        self._call(operation, lambda: self._library.rule("del", **fields))

    def _write_route(self, operation: str, verb: str, route: Route) -> None:
        fields = _route_fields(operation, route)
        if route.device and route.kind != records.MULTIPATH:
            fields["oif"] = self._index(operation, route.device)
        self._call(operation, lambda: self._library.route(verb, **fields))

    def _index(self, operation: str, device: str) -> int:
        for link in self.links():
            if link.name == device:
                return link.index
        raise records.absent(operation, errno.ENODEV)

    def _both(self, dump: Callable[[int], Any]) -> Callable[[], list[Any]]:
        """One dump per family: a question for all families also dumps multicast routing."""
        return lambda: [message for family in records.OUR_FAMILY for message in dump(family)]

    def _named(
        self,
        operation: str,
        dump: Callable[[], Any],
        read: Callable[[Any, Mapping[int, str]], Record | None],
    ) -> tuple[Record, ...]:
        messages = self._dump(operation, dump)
        names = {link.index: link.name for link in self.links()}
        return tuple(record for message in messages if (record := read(message, names)) is not None)

    def _dump(self, operation: str, dump: Callable[[], Any]) -> list[Any]:
        """A consistent table: read again where it changed meanwhile."""
        for _ in range(DUMP_TRIES):
            try:
                messages: list[Any] = self._call(operation, lambda: list(dump()))
            except NetlinkError as error:
                if error.errno != errno.EINTR:
                    raise
            else:
                if not any(message["header"]["flags"] & DUMP_INTR for message in messages):
                    return messages
        raise refusal(operation, errno.EINTR)

    def _call(self, operation: str, work: Callable[[], Value]) -> Value:
        """Run in the worker; the library's errors become ours."""
        try:
            return self._worker.submit(work).result()
        except NetlinkDumpInterrupted:  # its code is -1, which is no errno
            raise refusal(operation, errno.EINTR) from None
        except LibraryError as error:  # before OSError: it may be one
            raise refusal(operation, abs(int(error.code)) or errno.EIO) from None
        except OSError as error:
            raise refusal(operation, error.errno or errno.EIO) from None


def _link(message: Any) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    kind = (info.get_attr("IFLA_INFO_KIND") if info else "") or ""
    mac = message.get_attr("IFLA_ADDRESS") or ""
    name = message.get_attr("IFLA_IFNAME") or ""
    return records.link(message["index"], name, message["flags"], mac, kind, message.get_attr("IFLA_MASTER") or 0)


def _address(message: Any, names: Mapping[int, str]) -> Address | None:
    family = records.OUR_FAMILY.get(message["family"])
    own = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    if family is None or not own:
        return None
    flags = message.get_attr("IFA_FLAGS")
    tentative = bool((message["flags"] if flags is None else flags) & records.IFA_TENTATIVE)
    device = records.device_name(message["index"], names)
    return Address(family, device, own, message["prefixlen"], records.scope(message["scope"]), tentative)


def _neighbour(message: Any, names: Mapping[int, str]) -> Neighbour | None:
    family = records.OUR_FAMILY.get(message["family"])
    ip, mac = message.get_attr("NDA_DST"), message.get_attr("NDA_LLADDR")
    state = message["state"]
    if family is None or not state or state & records.NEIGHBOUR_UNKNOWN or not ip or len(mac or "") != 17:
        return None
    return Neighbour(family, records.device_name(message["ifindex"], names), ip, mac)


def _route(message: Any, names: Mapping[int, str]) -> Route | None:
    family = records.OUR_FAMILY.get(message["family"])
    if family is None or message["flags"] & records.ROUTE_CLONED:
        return None
    table = message.get_attr("RTA_TABLE")
    several = message.get_attr("RTA_MULTIPATH")
    hops = [(_gateway(hop), hop["oif"]) for hop in several or ()]
    return records.route(
        family,
        message["table"] if table is None else table,
        records.prefix(message.get_attr("RTA_DST") or "", message["dst_len"]),
        message["type"],
        message["scope"],
        message["proto"],
        message.get_attr("RTA_PRIORITY") or 0,
        message.get_attr("RTA_PREFSRC") or "",
        hops or [(_gateway(message), message.get_attr("RTA_OIF") or 0)],
        names,
    )


def _gateway(message: Any) -> str:
    via = message.get_attr("RTA_VIA")
    return str(via["addr"] if via else message.get_attr("RTA_GATEWAY") or "")


def _rule(message: Any) -> RoutingRule:
    table = message.get_attr("FRA_TABLE")
    return RoutingRule(
        records.OUR_FAMILY[message["family"]],
        message.get_attr("FRA_PRIORITY") or 0,
        message["table"] if table is None else table,
        message.get_attr("FRA_FWMARK") or 0,
        message.get_attr("FRA_FWMASK") or 0,
        records.ACTIONS.get(message["action"], str(message["action"])),
        message.get_attr("FRA_PROTOCOL") or 0,
        _selectors(message),
        message.get_attr("FRA_OIFNAME") or "",
    )


def _selectors(message: Any) -> str:
    from_length, to_length = message["src_len"], message["dst_len"]
    return records.selectors(
        inverted=bool(message["flags"] & records.RULE_INVERT),
        source=records.prefix(message.get_attr("FRA_SRC") or "", from_length) if from_length else "",
        target=records.prefix(message.get_attr("FRA_DST") or "", to_length) if to_length else "",
        tos=message["tos"],
        iif=message.get_attr("FRA_IIFNAME") or "",
        suppress_prefixlength=_unless_unset(message.get_attr("FRA_SUPPRESS_PREFIXLEN")),
        suppress_group=_unless_unset(message.get_attr("FRA_SUPPRESS_IFGROUP")),
        l3mdev=bool(message.get_attr("FRA_L3MDEV")),
        others=sorted(_attribute_number(name) for name, _ in message["attrs"] if name not in PLAIN_RULE),
    )


def _attribute_number(name: str) -> int:
    """The library's name back to the kernel's number; what it does not know it calls UNKNOWN."""
    return next((number for number, known, _ in fibmsg.nla_map if known == name), 0)


def _unless_unset(value: int | None) -> int | None:
    return None if value is None or value in (-1, 0xFFFFFFFF) else value


def _route_fields(operation: str, wanted: Route) -> dict[str, Any]:
    """The library's keywords; words are checked here so that both adapters refuse alike."""
    records.check_range(operation, table=wanted.table, metric=wanted.metric)
    _, length = records.destination(operation, wanted.family, wanted.destination)
    fields: dict[str, Any] = {
        "family": records.FAMILIES[wanted.family],
        "table": wanted.table,
        "proto": wanted.protocol,
        "scope": records.number_of(operation, wanted.scope, records.SCOPE_NUMBERS),
        "type": records.number_of(operation, wanted.kind, records.KIND_NUMBERS),
    }
    if length:
        fields |= {"dst": wanted.destination.partition("/")[0], "dst_len": length}
    if wanted.metric:
        fields["priority"] = wanted.metric
    if wanted.gateway and wanted.kind != records.MULTIPATH:
        fields |= _gateway_field(operation, wanted)
    if wanted.source:
        records.packed_address(operation, wanted.family, wanted.source)
        fields["prefsrc"] = wanted.source
    return fields


def _gateway_field(operation: str, wanted: Route) -> dict[str, Any]:
    if wanted.family == IPV4 and ":" in wanted.gateway:
        records.packed_address(operation, IPV6, wanted.gateway)
        return {"via": {"family": records.FAMILIES[IPV6], "addr": wanted.gateway}}
    records.packed_address(operation, wanted.family, wanted.gateway)
    return {"gateway": wanted.gateway}


def _rule_fields(operation: str, wanted: RoutingRule) -> dict[str, Any]:
    records.check_range(operation, table=wanted.table, priority=wanted.priority, mark=wanted.mark, mask=wanted.mask)
    _, length, suppress = records.writable_selectors(operation, wanted)
    records.check_device(operation, wanted.oif)
    fields: dict[str, Any] = {
        "family": records.FAMILIES[wanted.family],
        "priority": wanted.priority,
        "table": wanted.table,
        "action": records.number_of(operation, wanted.action, records.ACTION_NUMBERS),
        "protocol": wanted.protocol,
    }
    if wanted.mark or wanted.mask:
        fields |= {"fwmark": wanted.mark, "fwmask": wanted.mask}
    if wanted.oif:
        fields["oifname"] = wanted.oif
    if length:
        fields |= {"src": wanted.selectors.split()[1].partition("/")[0], "src_len": length}
    if suppress is not None:
        fields["FRA_SUPPRESS_PREFIXLEN"] = suppress
    return fields
