"""Hear the packets that nft rules log to a group: the first packets of rules with `log`.

Never asks for whole packets, never lets a flood of them fill the memory or the loop.
Format: <linux/netfilter/nfnetlink_log.h>; works inside a network namespace, unlike the kernel's own log.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import (
    ANSWER_SECONDS,
    NETFILTER,
    READ_SIZE,
    open_socket,
    refusal,
    set_receive_buffer,
)
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows import headers

SUBSYSTEM = 4 << 8  # NFNL_SUBSYS_ULOG
PACKET, CONFIG = SUBSYSTEM | 0, SUBSYSTEM | 1
NFGENMSG = struct.Struct("=BBH")

CFG_COMMAND, CFG_MODE, CFG_TIMEOUT, CFG_THRESHOLD = 1, 2, 4, 5
COMMAND_BIND = 1
COPY_PACKET = 2

HEADER, MARK, IN_INDEX, OUT_INDEX, HWADDR, PAYLOAD, PREFIX = 1, 2, 4, 5, 8, 9, 10

# IP header with options or extensions and the ports; no user data worth speaking of.
COPY_BYTES = 96
# The kernel collects this many packets, or for this long, before it wakes us.
BATCH_PACKETS, BATCH_CENTISECONDS = 32, 10
RECEIVE_BUFFER = 1 << 20
READ_LIMIT = 64

TAKEN = "not permitted; another program reads this group (choose another one), or CAP_NET_ADMIN is missing"


@dataclass(frozen=True, slots=True)
class LoggedPacket:
    """One packet as a rule logged it. `prefix` is the rule's `log prefix`."""

    prefix: str
    family: int
    protocol: int
    source: str
    source_port: int  # 0 where the protocol has none
    destination: str
    destination_port: int
    length: int  # bytes, as the IP header says
    mark: int  # packet mark where the rule stood
    mac: str  # sender's link-layer address, "" where there is none
    in_index: int  # device indexes, 0 where there is none (own or local traffic)
    out_index: int


class PacketLog:
    """A bound group. Not for several threads at once; one reader per group and namespace."""

    def __init__(self, group: int, per_second: int = 50, receive_buffer: int = RECEIVE_BUFFER) -> None:
        """Bind; NetlinkError (EPERM) where another program reads the group or privileges lack."""
        if not 0 <= group <= 0xFFFF:
            raise ValueError(f"log group {group} is not a number from 0 to 65535")
        self._operation = f"read log group {group}"
        self._per_second = per_second
        self._window = 0.0
        self._in_window = 0
        self.counters = {"packets": 0, "suppressed": 0, "overrun": 0, "unreadable": 0}
        try:
            self._socket = open_socket(NETFILTER)
        except OSError as error:
            raise refusal(self._operation, error.errno or errno.EIO) from None
        try:
            set_receive_buffer(self._socket, receive_buffer)
            self._bind(group)
            self._socket.setblocking(False)
        except OSError as error:
            self._socket.close()
            raise refusal(self._operation, error.errno or errno.EIO) from None
        except NetlinkError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """For loop.add_reader, select and poll."""
        return self._socket.fileno()

    def read(self, now: float) -> list[LoggedPacket]:
        """Packets since the last read, at most `per_second` in each second of `now` (any steady clock).

        What goes beyond is counted as suppressed, what the kernel dropped as overrun. NetlinkError
        where the socket died.
        """
        packets: list[LoggedPacket] = []
        for _ in range(READ_LIMIT):
            try:
                data, sender = self._socket.recvfrom(READ_SIZE)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise refusal(self._operation, error.errno or errno.EIO) from None
                self.counters["overrun"] += 1
                continue
            if sender[0] == 0:  # only the kernel is believed
                self._take(data, now, packets)
        return packets

    def close(self) -> None:
        """Unbind; may be repeated. Remove the reader from the loop first."""
        self._socket.close()

    def _take(self, data: bytes, now: float, packets: list[LoggedPacket]) -> None:
        for message in wire.messages(data):
            if message.kind != PACKET:
                continue
            if not self._admit(now):
                self.counters["suppressed"] += 1
                continue
            packet = parse(message.payload)
            self.counters["packets" if packet else "unreadable"] += 1
            if packet:
                packets.append(packet)

    def _admit(self, now: float) -> bool:
        """A fixed window of one second: cheap, and a log needs no smoother bound."""
        if not 0 <= now - self._window < 1:
            self._window, self._in_window = now, 0
        self._in_window += 1
        return self._in_window <= self._per_second

    def _bind(self, group: int) -> None:
        self._socket.settimeout(ANSWER_SECONDS)
        settings = (
            wire.attribute(CFG_COMMAND, bytes((COMMAND_BIND,))),
            wire.attribute(CFG_MODE, struct.pack(">IBx", COPY_BYTES, COPY_PACKET)),
            wire.attribute(CFG_THRESHOLD, struct.pack(">I", BATCH_PACKETS))
            + wire.attribute(CFG_TIMEOUT, struct.pack(">I", BATCH_CENTISECONDS)),
        )
        for sequence, setting in enumerate(settings, 1):
            body = NFGENMSG.pack(0, 0, socket.htons(group)) + setting
            self._socket.sendto(wire.message(CONFIG, wire.F_REQUEST | wire.F_ACK, sequence, body), (0, 0))
            self._await_acknowledgement(sequence)

    def _await_acknowledgement(self, sequence: int) -> None:
        """Packets that come before the answer are not read: nobody listens yet."""
        while True:
            try:
                data, sender = self._socket.recvfrom(READ_SIZE)
            except TimeoutError:
                raise refusal(self._operation, errno.ETIMEDOUT) from None
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    continue
                raise refusal(self._operation, error.errno or errno.EIO) from None
            for answer in wire.messages(data) if sender[0] == 0 else ():
                if answer.kind == wire.ERROR and answer.sequence == sequence:
                    code, words = wire.outcome(answer)
                    if code == errno.EPERM:  # the kernel has one answer for two reasons
                        raise NetlinkError(self._operation, code, TAKEN)
                    if code:
                        raise refusal(self._operation, code, words)
                    return


def parse(payload: bytes) -> LoggedPacket | None:
    """The packet of an NFULNL_MSG_PACKET message; None where it is no IP packet. Never raises."""
    found = wire.attributes(payload, NFGENMSG.size)
    header = headers.parse(found.get(PAYLOAD, b""))
    if header is None:
        return None
    return LoggedPacket(
        wire.text(found.get(PREFIX)),
        header.family,
        header.protocol,
        header.source,
        header.source_port,
        header.destination,
        header.destination_port,
        header.length,
        _u32(found.get(MARK)),
        _mac(found.get(HWADDR, b"")),
        _u32(found.get(IN_INDEX)),
        _u32(found.get(OUT_INDEX)),
    )


def _mac(data: bytes) -> str:
    """Two bytes of length, two of padding, eight of address."""
    if len(data) < 10 or int.from_bytes(data[:2], "big") != 6:
        return ""
    return data[4:10].hex(":")


def _u32(value: bytes | None) -> int:
    return int.from_bytes(value, "big") if value and len(value) == 4 else 0
