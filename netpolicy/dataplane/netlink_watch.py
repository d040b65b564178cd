"""Tell that links, addresses, routes, rules, traffic control or nft tables changed, whoever changed them.

Never says what the state is now: after a change, read it. Never blocks; what the kernel had to drop is
one "overrun". Groups: <linux/rtnetlink.h>, <linux/netfilter/nfnetlink.h>; nft: <linux/netfilter/nf_tables.h>.
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from netpolicy.dataplane import netlink_codec as codec
from netpolicy.dataplane import netlink_records as records
from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane import nft_notice as notice
from netpolicy.dataplane.limits import MAJOR
from netpolicy.dataplane.netlink_socket import (
    ADD_MEMBERSHIP,
    NETFILTER,
    READ_SIZE,
    ROUTE,
    SOL_NETLINK,
    open_socket,
    refusal,
    set_receive_buffer,
)
from netpolicy.dataplane.netlink_tc import DELQDISC, ROOT, TCMSG
from netpolicy.dataplane.state import PROTOCOL

# RTNLGRP_LINK, TC, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, IPV6_RULE
ROUTE_GROUPS = (1, 4, 5, 7, 8, 9, 11, 19)
# RTM_NEWQDISC, _DELQDISC, _NEWTFILTER, _DELTFILTER
TRAFFIC_CONTROL = (36, 37, 44, 45)
NFTABLES_GROUP = 7  # NFNLGRP_NFTABLES

# A list of 100,000 elements loaded by somebody is a burst of megabytes; unread it costs nothing.
RECEIVE_BUFFER = 4 << 20
# Datagrams per read: the loop gets its turn between them. One of nft has some thirty messages, a set that is filled
# some hundred datagrams.
READ_LIMIT = 32

# Notifications of learned sets that wait to be taken.
MOST_LEARNED = 4096

# Tables and what happens to them, of which the words are kept.
KNOWN_NOTICES = 256

NFT_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
NFT_OBJECTS = {
    0: "table added", 2: "table deleted", 3: "chain added", 5: "chain deleted", 6: "rule added",
    8: "rule deleted", 9: "set added", 11: "set deleted", 12: "elements added", 14: "elements deleted",
    18: "object added", 20: "object deleted", 22: "flowtable added", 24: "flowtable deleted",
}  # fmt: skip

OVERRUN_TEXT = "the kernel dropped notifications: read everything again"


@dataclass(frozen=True, slots=True)
class Change:
    """Something changed. `kind` is link, address, route, rule, tc (qdiscs and filters), queue, nft, table or overrun.

    A table is our own one of nft, and was deleted. A queue is what stood on a device as a whole, and is gone:
    adjusting one is tc.

    `own` says whose object it is (our protocol number, our nft table), not who changed it.
    """

    kind: str
    own: bool
    text: str
    device: str = ""  # of tc: a shaper that adjusts itself tells of its device several times a second


class Watch:
    """A descriptor for the event loop, readable when something changed. Not for several threads at once."""

    def __init__(self, own_table: str = "netpolicy", receive_buffer: int = RECEIVE_BUFFER) -> None:
        """Subscribe; NetlinkError where the kernel refuses. nft is left out where there is none (`nft`)."""
        self._own_table = own_table
        self._notices: dict[tuple[int, bytes], Change] = {}
        self._learned: list[wire.Message] = []
        self._poll = select.epoll()
        self._sockets: list[socket.socket] = []
        try:
            self._open(ROUTE, ROUTE_GROUPS, receive_buffer)
        except OSError as error:
            self.close()
            raise refusal("watch network changes", error.errno or errno.EIO) from None
        self.nft = True  # changes of nft tables are told too
        try:
            self._open(NETFILTER, (NFTABLES_GROUP,), receive_buffer)
        except OSError:
            self.nft = False

    def fileno(self) -> int:
        """For loop.add_reader, select and poll."""
        return self._poll.fileno()

    def read(self) -> list[Change]:
        """What changed since the last read, equal changes once; [] when nothing did. Never raises.

        A busy kernel may leave more behind: the descriptor then stays readable.
        """
        changes: dict[Change, None] = {}
        for _ in range(READ_LIMIT):
            if not self._read_one(changes):
                break
        return list(changes)

    def close(self) -> None:
        """Unsubscribe; may be repeated. Remove the reader from the loop first."""
        for opened in self._sockets:
            opened.close()
        self._sockets.clear()
        self._poll.close()

    def _open(self, protocol: int, groups: tuple[int, ...], receive_buffer: int) -> None:
        opened = open_socket(protocol, socket.SOCK_NONBLOCK)
        self._sockets.append(opened)
        set_receive_buffer(opened, receive_buffer)
        for group in groups:
            opened.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
        self._poll.register(opened.fileno(), select.EPOLLIN)

    def _read_one(self, changes: dict[Change, None]) -> bool:
        """One datagram of each socket; False when there was none."""
        progress = False
        for opened, describe in zip(self._sockets, (self._route_change, self._nft_change), strict=False):
            try:
                data, sender = opened.recvfrom(READ_SIZE)
            except BlockingIOError:
                continue
            except OSError:  # ENOBUFS, or a socket that died: either way the picture has holes
                changes[Change("overrun", False, OVERRUN_TEXT)] = None
                continue
            progress = True
            if sender[0] == 0:  # only the kernel is believed
                found = [describe(message) for message in wire.messages(data)]
                changes.update(dict.fromkeys(change for change in found if change))
        return progress

    def _route_change(self, message: wire.Message) -> Change | None:
        if message.kind in TRAFFIC_CONTROL:
            return _traffic_control(message.kind, message.payload)
        kind, verb = _ROUTE_KINDS.get(message.kind, ("", ""))
        if kind == "link":
            link = codec.link(message.payload)
            return Change(kind, False, f"link {link.name} {verb} ({_state(link.up, link.carrier)})") if link else None
        if kind == "address":
            address = codec.address(message.payload, _Names())
            if address is None:
                return None
            note = " (tentative)" if address.tentative else ""
            return Change(
                kind, False, f"address {address.address}/{address.prefixlen} dev {address.device} {verb}{note}"
            )
        if kind == "route":
            route = codec.route(message.payload, _Names())
            return _owned(kind, route.protocol, f"{records.describe_route(route)} {verb}") if route else None
        rule = codec.rule(message.payload) if kind == "rule" else None
        return _owned("rule", rule.protocol, f"{records.describe_rule(rule)} {verb}") if rule else None

    def _nft_change(self, message: wire.Message) -> Change | None:
        if not notice.is_notice(message) or message.kind & 0xFF == notice.NEW_GENERATION:
            return None
        if notice.is_learned(message):
            self._learn(message)  # an address for a name: nothing that rules are made for
            return None
        key = message.kind, notice.head(message.payload)
        found = self._notices.get(key)
        if found is None:
            if len(self._notices) >= KNOWN_NOTICES:
                self._notices.clear()
            found = self._notices[key] = self._notice(message)
        return found

    def _learn(self, message: wire.Message) -> None:
        if notice.table(message.payload) == self._own_table:
            self._learned.append(message)
            del self._learned[:-MOST_LEARNED]

    def take_learned(self) -> list[wire.Message]:
        """The notifications of elements of our learned sets since this was asked last, the latest of very many."""
        found, self._learned = self._learned, []
        return found

    def _notice(self, message: wire.Message) -> Change:
        what, table = message.kind & 0xFF, notice.table(message.payload)
        family = NFT_FAMILIES.get(message.payload[0], str(message.payload[0]))
        text = f"{NFT_OBJECTS.get(what, f'message {what}')} in table {family} {table}"
        own = family == "inet" and table == self._own_table
        return Change("table" if own and what == notice.DELETE_TABLE else "nft", own, text)


_ROUTE_KINDS = {
    codec.NEWLINK: ("link", "changed"), codec.DELLINK: ("link", "deleted"),
    codec.NEWADDR: ("address", "added"), codec.DELADDR: ("address", "deleted"),
    codec.NEWROUTE: ("route", "added"), codec.DELROUTE: ("route", "deleted"),
    codec.NEWRULE: ("rule", "added"), codec.DELRULE: ("rule", "deleted"),
}  # fmt: skip


class _Names(Mapping[int, str]):
    """Device names asked of the kernel one by one: a change is read long before a dump would pay."""

    def __getitem__(self, index: int) -> str:
        try:
            return socket.if_indextoname(index)
        except (OSError, OverflowError):
            raise KeyError(index) from None

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _traffic_control(kind: int, payload: bytes) -> Change | None:
    if len(payload) < TCMSG.size:
        return None
    _, index, handle, parent, _ = TCMSG.unpack_from(payload)
    device = _Names().get(index, f"index:{index}")
    if kind == DELQDISC and parent == ROOT:
        return Change("queue", handle >> 16 == MAJOR, f"queue {handle >> 16:x}: of {device} deleted", device)
    return Change("tc", False, f"traffic control of {device} changed", device)


def _owned(kind: str, protocol: int, text: str) -> Change:
    return Change(kind, protocol == PROTOCOL, f"{kind} {text} protocol {protocol}")


def _state(up: bool, carrier: bool) -> str:
    if not up:
        return "down"
    return "up" if carrier else "up, no carrier"
