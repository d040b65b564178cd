"""Builds a World again in an empty network namespace, with a candidate of ours in it.

Runs in a child that has left the router's namespace: it must never be called before. Every device is one end of a
cable; what comes in and goes out there is the business of `rehearsal_peers`. Order: links, addresses, routes, nft.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from netpolicy.dataplane import namespace, netlink_link, packed, script
from netpolicy.dataplane import netlink_codec as codec
from netpolicy.dataplane import netlink_records as records
from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane import rehearsal_replay as replay
from netpolicy.dataplane.names import TABLE
from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from netpolicy.dataplane.nft import NftError
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.rehearsal_foreign import by_index
from netpolicy.dataplane.rehearsal_world import Device, Port, World, run_nft
from netpolicy.dataplane.routing import Routing, in_order, rules_in_order
from netpolicy.dataplane.state import NetlinkError
from netpolicy.dataplane.table import Table

# A cable takes about a millisecond, and whoever has more devices has them for others than administrators.
MOST_DEVICES = 64
LONGEST_MTU = 65535
FAR_INDEX = 1_000_000  # far ends are numbered apart: equal numbers at both ends look like one device to the kernel
CARRIER_SECONDS = 3.0
LOOPBACK = "lo"

# Nobody else is on these cables: no addresses are made up, looked for twice, or asked of routers, and every
# refusal is to be seen.
QUIET = {
    "ipv6/conf/all/accept_dad": "0",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/dad_transmits": "0",
    "ipv6/conf/all/accept_ra": "0",
    "ipv6/conf/default/accept_ra": "0",
    "ipv6/conf/default/addr_gen_mode": "1",
    "ipv4/icmp_ratelimit": "0",
    "ipv6/icmp/ratelimit": "0",
}

ADD = wire.F_CREATE | wire.F_EXCL
APPEND = wire.F_CREATE | 0x800  # NLM_F_APPEND


class Refused(Exception):
    """The kernel or nft does not take the candidate; the text says what of it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A state of ours: the table (None: there is none) and the routes and rules. `text`: more for nft, after it."""

    table: Table | None
    routing: Routing = field(default_factory=Routing)
    text: str = ""


@dataclass(frozen=True, slots=True)
class Far:
    """Where the other ends of the cables are: a descriptor of the namespace, and a socket in it."""

    namespace: int
    kernel: KernelSocket


@dataclass(frozen=True, slots=True)
class End:
    """A device of the clone: the number of its far end, and its own MAC address. `talks`: it has neighbours to ask."""

    world: int
    device: str
    far_index: int
    mac: bytes
    talks: bool


@dataclass(slots=True)
class Clone:
    """One copy of the router. Its namespace lives as long as the process or these descriptors."""

    number: int
    namespace: int
    world: World
    ends: dict[str, End] = field(default_factory=dict)
    servers: list[socket.socket] = field(default_factory=list)  # of UDP, which somebody has to answer
    kept: list[socket.socket] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def build(
    world: World, candidate: Candidate, number: int, far: Far, needed: Collection[str], ports: Iterable[Port], nft: str
) -> Clone:
    """A clone; this process is in its namespace afterwards. `far`: where the other ends are.

    `needed`: devices that must be there. Raises NoNamespaces, Unrehearsable, Refused, NetlinkError.
    """
    clone = Clone(number, namespace.new(), world, notes=list(world.notes))
    kernel = KernelSocket(ROUTE)
    try:
        shared = [
            path for path in world.settings if path.split("/")[2:3] in (["all"], ["default"]) or "/conf/" not in path
        ]
        write_settings({path: world.settings[path] for path in shared} | QUIET)
        kernel.request("lo up", codec.NEWLINK, 0, netlink_link.change_flags(1, 1, 1))
        numbers = _cables(kernel, clone, far, _chosen(world, candidate, needed))
        write_settings({path: value for path, value in world.settings.items() if path not in shared})
        wait_for_carrier(kernel, [one.name for one in world.devices if one.carrier and one.name in clone.ends])
        clone.notes += replay.addresses(kernel, world.address_messages, numbers)
        wait_for_addresses(kernel)
        clone.notes += replay.routes(kernel, world.route_messages, numbers)
        clone.notes += replay.rules(kernel, world.rule_messages)
        clone.notes += _routing(kernel, candidate.routing, numbers, {one.index: one.name for one in world.devices})
    finally:
        kernel.close()
    _load(clone, candidate, nft)
    _serve(clone, {*ports, *world.listening})
    return clone


def wait_for_carrier(kernel: KernelSocket, names: Collection[str]) -> None:
    """Until these devices forward. The kernel tells their queues of a carrier a moment after it is there."""
    deadline = time.monotonic() + CARRIER_SECONDS
    waiting = set(names)
    while time.monotonic() < deadline:
        for message in kernel.dump("list links", codec.GETLINK, codec.IFINFOMSG.pack(0, 0, 0, 0, 0)):
            if message.kind != codec.NEWLINK:
                continue
            found = wire.attributes(message.payload, codec.IFINFOMSG.size)
            if wire.byte(found.get(netlink_link.IFLA_OPERSTATE)) == netlink_link.OPERSTATE_UP:
                waiting.discard(wire.text(found.get(codec.IFLA_IFNAME)))
        if not waiting:
            return
        time.sleep(0.001)


def wait_for_addresses(kernel: KernelSocket) -> None:
    """Until the router takes for its own what is sent to them. A worker of the kernel makes the routes of IPv6."""
    deadline = time.monotonic() + CARRIER_SECONDS
    family = records.FAMILIES[6]
    local = codec.RTMSG.pack(family, 0, 0, 0, replay.LOCAL_TABLE, 0, 0, 0, 0)
    try:
        there = kernel.dump("list addresses", codec.GETADDR, codec.IFADDRMSG.pack(family, 0, 0, 0, 0))
        waiting = {found.address for one in there if (found := codec.address(one.payload, {}))}
        while waiting and time.monotonic() < deadline:
            for one in kernel.dump("list routes", codec.GETROUTE, local):
                route = codec.route(one.payload, {})
                if route and route.kind == "local":
                    waiting.discard(route.destination.partition("/")[0])
            if waiting:
                time.sleep(0.001)
    except NetlinkError:
        return  # a kernel without IPv6


def _chosen(world: World, candidate: Candidate, needed: Collection[str]) -> list[Device]:
    """The devices that are built: those that carry addresses, and those that somebody asks for by number."""
    addressed = {address.device for address in world.addresses}
    routed = {name for route in (*world.main, *candidate.routing.routes) for name in route.devices}
    named = set().union(*[by_index(text) for text in world.tables], needed)

    def rank(device: Device) -> tuple[bool, bool, bool, int]:
        name = device.name
        return name not in named, name not in routed, name not in addressed, device.index

    useful = [one for one in world.devices if one.name != LOOPBACK and (not one.is_member or one.name in named)]
    return sorted(useful, key=rank)


def _cables(kernel: KernelSocket, clone: Clone, far: Far, devices: list[Device]) -> dict[int, int]:
    """Makes them; the number here by the number there."""
    for place, device in enumerate(devices[:MOST_DEVICES]):
        far_index = FAR_INDEX + clone.number * 1000 + place
        flags = (netlink_link.IFF_UP if device.up else 0) | (0 if device.mac else netlink_link.IFF_NOARP)
        mtu = min(max(device.mtu, 68), LONGEST_MTU)
        for index in (device.index, 0):
            body = netlink_link.veth(
                device.name, index, flags, mtu, device.mac, far_name(far_index), far_index,
                far.namespace,
            )  # fmt: skip
            try:
                kernel.request(f"add link {device.name}", codec.NEWLINK, ADD, body)
                if device.carrier:
                    far.kernel.request("far end up", codec.NEWLINK, 0, netlink_link.change_flags(far_index, 1, 1))
                clone.ends[device.name] = End(clone.number, device.name, far_index, b"", bool(device.mac))
                break
            except NetlinkError as error:
                # The kernel makes some tunnels' devices of itself in every namespace; one may sit on the number.
                if error.errno != errno.EEXIST or not index:
                    raise
    if len(devices) > MOST_DEVICES:
        clone.notes.append(f"{len(devices) - MOST_DEVICES} devices are left out, {MOST_DEVICES} are the most")
    found = _links(kernel)
    for name, end in clone.ends.items():
        clone.ends[name] = End(end.world, name, end.far_index, found[name][1], end.talks)
    return {one.index: found[one.name][0] for one in clone.world.devices if one.name in found}


def far_name(index: int) -> str:
    """What the other end is called."""
    return f"far{index}"


def _links(kernel: KernelSocket) -> dict[str, tuple[int, bytes]]:
    """Number and MAC address by name."""
    found = {}
    for message in kernel.dump("list links", codec.GETLINK, codec.IFINFOMSG.pack(0, 0, 0, 0, 0)):
        link = codec.link(message.payload) if message.kind == codec.NEWLINK else None
        if link is not None:
            found[link.name] = (link.index, bytes.fromhex(link.mac.replace(":", "")))
    return found


def _routing(kernel: KernelSocket, routing: Routing, numbers: Mapping[int, int], names: Mapping[int, str]) -> list[str]:
    """Sets our routes and rules; what the kernel refuses, as notes: it would refuse that of the router, too."""
    by_name = {name: numbers[index] for index, name in names.items() if index in numbers}
    notes: list[str] = []
    for route in in_order(routing.routes):
        with replay.noting(notes):
            operation = f"add route {route.destination} table {route.table}"
            if route.device and route.device not in by_name:
                notes.append(f"{operation}: there is no device {route.device}")
                continue
            body = codec.encode_route(operation, route, by_name.get(route.device, 0))
            kernel.request(operation, codec.NEWROUTE, wire.F_CREATE | wire.F_REPLACE, body)
    for rule in rules_in_order(routing.rules):
        with replay.noting(notes):
            operation = f"add rule priority {rule.priority}"
            kernel.request(operation, codec.NEWRULE, ADD, codec.encode_rule(operation, rule))
    return notes


def _load(clone: Clone, candidate: Candidate, nft: str) -> None:
    """All foreign tables at once, or each alone where that fails; then the candidate."""
    try:
        if clone.world.tables:
            run_nft(nft, "".join(clone.world.tables))
    except (ValueError, OSError, subprocess.TimeoutExpired):
        for text in clone.world.tables:
            try:
                run_nft(nft, text)
            except (ValueError, OSError, subprocess.TimeoutExpired) as error:
                clone.notes.append(f"{text.splitlines()[0].rstrip(' {')} is left out: {error}")
    try:
        text = script.full_text(candidate.table, script.MOST_AT_BOOT) if candidate.table else ""
        if text or candidate.text:
            run_nft(nft, text + candidate.text)
        if candidate.table:
            _fill(candidate.table)
    except (ValueError, OSError, NftError, subprocess.TimeoutExpired) as error:
        raise Refused(str(error)) from None


def _fill(table: Table) -> None:
    """Long lists: by netlink, as the daemon does it, because nft takes too much memory for them."""
    long = [one for one in table.sets if not script.holds_text(one, script.MOST_AT_BOOT)]
    if not long:
        return
    with NftLink(TABLE) as link:
        for one in long:
            for _ in link.load_steps(one.name, packed.pack(one, {})):
                pass


def _serve(clone: Clone, ports: Iterable[Port]) -> None:
    """Somebody listens on each port, so that what arrives is answered."""
    for protocol, family, number in sorted(ports):
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        with contextlib.suppress(OSError):  # a port that two ask for, a family that the kernel lacks
            server = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind | socket.SOCK_NONBLOCK)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == 6:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            server.bind(("0.0.0.0" if family == 4 else "::", number))  # noqa: S104 (a namespace of its own)
            if protocol == "tcp":
                server.listen(64)
                clone.kept.append(server)
            else:
                clone.servers.append(server)


def write_settings(settings: Mapping[str, str]) -> None:
    """Those that this kernel has."""
    for path, value in settings.items():
        with contextlib.suppress(OSError), open(f"/proc/sys/net/{path}", "r+", encoding="ascii") as file:
            if file.read().strip() != value:
                file.seek(0)
                file.write(value)
