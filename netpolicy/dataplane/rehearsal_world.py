"""What this network namespace looks like, in the form in which it can be built again elsewhere.

Reads only. Routes, rules and addresses are kept as the kernel's own messages, so that nothing of them is lost on
the way. Ours are left out: a candidate brings its own. Sources: rtnetlink(7), /proc/sys/net, /proc/net, nft(8).
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from netpolicy.dataplane import names, namespace, netlink_link
from netpolicy.dataplane import netlink_codec as codec
from netpolicy.dataplane import netlink_records as records
from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane import rehearsal_foreign as foreign
from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from netpolicy.dataplane.state import LEADING, MAIN_TABLE, PROTOCOL, Address, NetlinkError, Route

# Beyond these a rehearsal would take longer than anybody waits, or more memory than a router has.
MOST_ROUTES = 20000
MOST_TEXT = 8 << 20
MOST_TABLES = 64
MOST_PORTS = 256
NFT_SECONDS = 8.0

# Per device, and `all` and `default`: what decides where a packet goes and whether it is taken.
OF_DEVICES = {
    "ipv4": (
        "forwarding", "rp_filter", "accept_local", "route_localnet", "src_valid_mark", "ignore_routes_with_linkdown",
    ),
    "ipv6": ("forwarding", "disable_ipv6", "ignore_routes_with_linkdown"),
}  # fmt: skip
OF_ALL = (
    "ipv4/ip_forward", "ipv4/fwmark_reflect", "ipv4/tcp_fwmark_accept", "ipv4/fib_multipath_hash_policy",
    "ipv4/icmp_echo_ignore_all", "ipv6/fwmark_reflect", "ipv6/fib_multipath_hash_policy",
    "netfilter/nf_conntrack_tcp_loose",
)  # fmt: skip

# /proc/net: the state of a TCP socket that listens, of a UDP socket that has no peer.
PORTS = (("tcp", 4, "tcp", "0A"), ("tcp", 6, "tcp6", "0A"), ("udp", 4, "udp", "07"), ("udp", 6, "udp6", "07"))

NO_MASTER = ""  # nor is a device of an unknown kind one; what is in a VRF has its packets for itself

Port = tuple[str, int, int]  # "tcp" or "udp", family, number


class Unrehearsable(Exception):
    """A rehearsal is not possible here; the text says why. The rules may be good all the same."""


@dataclass(frozen=True, slots=True)
class Device:
    """A network device. `mac` b"" where it has none; `is_member`: its packets are those of a bridge or bond."""

    index: int
    name: str
    up: bool
    carrier: bool
    mac: bytes
    mtu: int
    kind: str
    is_member: bool


@dataclass(frozen=True, slots=True)
class World:
    """One moment. Messages are bodies of RTM_NEWADDR, RTM_NEWROUTE and RTM_NEWRULE."""

    devices: tuple[Device, ...]
    address_messages: tuple[bytes, ...]
    route_messages: tuple[bytes, ...]
    rule_messages: tuple[bytes, ...]
    addresses: tuple[Address, ...]
    main: tuple[Route, ...]
    neighbours: Mapping[tuple[str, str], str]  # (device, address): MAC address
    settings: Mapping[str, str]  # below /proc/sys/net
    tables: tuple[str, ...]  # nft texts that load
    listening: frozenset[Port]
    notes: tuple[str, ...]

    def nearest(self, address: str, device: str) -> str:
        """Who brings packets of that address in by that device: itself, or the gateway that main knows for it.

        "" where main knows nobody: then some gateway does.
        """
        family = 6 if ":" in address else 4
        found = [
            (int(route.destination.partition("/")[2] or 0), -route.metric, gateway)
            for route in self.main
            if route.family == family and _covers(route, address)
            for gateway, leads_by in route.hops
            if leads_by == device
        ]
        return max(found)[2] or address if found else ""


def read(nft: str = "nft") -> World:
    """The world of this namespace. Raises Unrehearsable, NetlinkError."""
    kernel = KernelSocket(ROUTE)
    try:
        devices = _devices(kernel)
        by_index = {device.index: device.name for device in devices}
        addresses = _dump(kernel, "addresses", codec.GETADDR, codec.NEWADDR, codec.IFADDRMSG.pack(0, 0, 0, 0, 0))
        routes = [
            one for one in _both(kernel, "routes", codec.GETROUTE, codec.NEWROUTE, codec.RTMSG) if _is_foreign(one)
        ]
        rules = _both(kernel, "rules", codec.GETRULE, codec.NEWRULE, codec.FIBRULE)
        neighbours = [
            codec.neighbour(one, by_index)
            for family in records.OUR_FAMILY
            for one in _dump(kernel, "neighbours", codec.GETNEIGH, codec.NEWNEIGH, codec.NDMSG.pack(family, 0, 0, 0, 0))
        ]
    finally:
        kernel.close()
    if len(routes) > MOST_ROUTES:
        raise Unrehearsable(f"there are more than {MOST_ROUTES} routes")
    tables, notes = _tables(nft)
    if os.path.exists("/proc/net/ip_tables_names") and _lines("/proc/net/ip_tables_names"):
        notes.append("rules of iptables (the legacy one) are left out")
    parsed = [codec.route(one, by_index) for one in routes]
    return World(
        devices=devices,
        address_messages=tuple(addresses),
        route_messages=tuple(routes),
        rule_messages=tuple(one for one in rules if _protocol_of_rule(one) != PROTOCOL),
        addresses=tuple(found for one in addresses if (found := codec.address(one, by_index))),
        main=tuple(one for one in parsed if one and one.table == MAIN_TABLE and one.kind in LEADING),
        neighbours={(one.device, one.address): one.mac for one in neighbours if one},
        settings=_settings([device.name for device in devices]),
        tables=tuple(tables),
        listening=frozenset(_listening()),
        notes=tuple(notes),
    )


def run_nft(nft: str, text: str) -> str:
    """Gives nft a text; what it printed. Raises OSError, ValueError with its complaint, subprocess.TimeoutExpired."""
    done = subprocess.run(
        [nft, "-f", "-"],
        input=text.encode("utf-8", "surrogateescape"),
        capture_output=True,
        timeout=NFT_SECONDS,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
        # This process has one thread; without it nft would outlive a rehearsal that is killed.
        preexec_fn=_before_nft,
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        told = [line for line in lines if "rror" in line] or lines
        raise ValueError(told[0][:300] if told else f"nft ended with status {done.returncode}")
    return done.stdout.decode("utf-8", "surrogateescape")


def _before_nft() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    namespace.die_with_parent()


def _devices(kernel: KernelSocket) -> tuple[Device, ...]:
    messages = _dump(kernel, "links", codec.GETLINK, codec.NEWLINK, codec.IFINFOMSG.pack(0, 0, 0, 0, 0))
    links = [(codec.link(one), wire.attributes(one, codec.IFINFOMSG.size)) for one in messages]
    kinds = {link.index: link.kind for link, _ in links if link}
    found = []
    for link, attributes in links:
        if link is None:
            continue
        master = kinds.get(wire.number(attributes.get(netlink_link.IFLA_MASTER)), NO_MASTER)
        mtu = wire.number(attributes.get(netlink_link.IFLA_MTU), 1500)
        mac = bytes.fromhex(link.mac.replace(":", ""))
        found.append(
            Device(link.index, link.name, link.up, link.carrier, mac, mtu, link.kind, master not in (NO_MASTER, "vrf"))
        )
    return tuple(found)


def _both(kernel: KernelSocket, what: str, ask: int, answer: int, head: struct.Struct) -> list[bytes]:
    """Of both families."""
    bodies = [head.pack(family, 0, 0, 0, 0, 0, 0, 0, 0) for family in records.OUR_FAMILY]
    return [one for body in bodies for one in _dump(kernel, what, ask, answer, body)]


def _dump(kernel: KernelSocket, what: str, ask: int, answer: int, body: bytes) -> list[bytes]:
    try:
        return [one.payload for one in kernel.dump(f"list {what}", ask, body) if one.kind == answer]
    except NetlinkError as error:
        if body[0] == records.FAMILIES[6]:  # a kernel without IPv6
            return []
        raise Unrehearsable(str(error)) from None


def _is_foreign(message: bytes) -> bool:
    """Whether it is a route somebody else made, and none from a cache."""
    return message[5] != PROTOCOL and not codec.RTMSG.unpack_from(message)[8] & records.ROUTE_CLONED


def _protocol_of_rule(message: bytes) -> int:
    return wire.byte(wire.attributes(message, codec.FIBRULE.size).get(codec.FRA_PROTOCOL))


def _covers(route: Route, address: str) -> bool:
    if route.destination == "default":
        return True
    network, _, length = route.destination.partition("/")
    own, asked = (int.from_bytes(records.packed_address("", route.family, one), "big") for one in (network, address))
    hosts = records.BITS[route.family] - int(length or records.BITS[route.family])
    return own >> hosts == asked >> hosts


def _settings(devices: list[str]) -> dict[str, str]:
    paths = [
        f"{family}/conf/{device}/{name}"
        for family, of_device in OF_DEVICES.items()
        for device in ("all", "default", *devices)
        for name in of_device
    ]
    found = {}
    for path in (*OF_ALL, *paths):
        text = _lines(f"/proc/sys/net/{path}")
        if text:
            found[path] = text[0].strip()
    return found


def _tables(nft: str) -> tuple[list[str], list[str]]:
    """The texts of foreign tables that load, and what was left out. Raises Unrehearsable."""
    texts, notes = [], []
    for listing in _listings(nft):
        text, left_out = foreign.loadable(listing)
        texts += [text] if text else []
        notes += left_out
    return texts, notes


def _listings(nft: str) -> Iterator[str]:
    """Each foreign table as nft lists it, with elements. Ours, which may be long, is not asked for."""
    ours = f"table {names.FAMILY} {names.TABLE}"
    try:
        tables = [line for line in run_nft(nft, "list tables\n").splitlines() if line.startswith("table ")]
        wanted = [line for line in tables if line != ours and line.split()[1] not in foreign.LEFT_OUT_FAMILIES]
        room = MOST_TEXT
        for line in wanted[:MOST_TABLES]:  # one by one: nft 1.0.6 lists one table in a run
            text = run_nft(nft, f"list {line}\n")
            room -= len(text)
            if room < 0:
                raise Unrehearsable(f"the nft tables of others are longer than {MOST_TEXT >> 20} MiB")
            yield text
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise Unrehearsable(f"the tables of others cannot be listed: {error}") from None
    if len(wanted) > MOST_TABLES:
        raise Unrehearsable(f"there are more than {MOST_TABLES} nft tables of others")


def _listening() -> Iterator[Port]:
    """Ports that somebody serves on more than the loopback."""
    count = 0
    for protocol, family, file, state in PORTS:
        for line in _lines(f"/proc/net/{file}")[1:]:
            words = line.split()
            address, _, port = words[1].partition(":") if len(words) > 3 else ("", "", "")
            if not port or words[3] != state or _is_loopback(address) or count >= MOST_PORTS:
                continue
            count += 1
            yield protocol, family, int(port, 16)
            if family == 6 and not address.strip("0"):  # "::" takes IPv4 as well, mostly
                yield protocol, 4, int(port, 16)


def _is_loopback(address: str) -> bool:
    """As /proc/net writes it: 32-bit words in the machine's byte order."""
    return address in ("0100007F", "7F000001", "00000000000000000000000001000000", "00000000000000000000000000000001")


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(1 << 20).splitlines()
    except OSError:
        return []
