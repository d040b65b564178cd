"""A request socket to the kernel: send one question, collect the whole answer.

Never waits for ever, never believes another process, never hands out half a dump.
Used by the rtnetlink adapter here and by the conntrack reader in `flows`; formats: netlink(7).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.state import NetlinkError

ROUTE, NETFILTER = 0, 12  # NETLINK_ROUTE, NETLINK_NETFILTER

SOL_NETLINK = 270
ADD_MEMBERSHIP, CAP_ACK, EXT_ACK, STRICT_CHECK = 1, 10, 11, 12
SO_RCVBUFFORCE = 33  # ignores net.core.rmem_max, needs CAP_NET_ADMIN

# The kernel fills dump datagrams up to the size of our last read, at most 32 KiB.
READ_SIZE = 65536
# The kernel answers at once; silence for this long means a lost answer.
ANSWER_SECONDS = 5.0
# Tries before a table that changes under every read is reported instead of read.
DUMP_TRIES = 12

REASONS = {
    errno.EPERM: "not permitted; run as root or with CAP_NET_ADMIN",
    errno.EACCES: "not permitted; run as root or with CAP_NET_ADMIN",
    errno.EEXIST: "it exists already",
    errno.ESRCH: "no such entry",
    errno.ENOENT: "no such entry",
    errno.ENODEV: "no such device; is the interface up and its name right?",
    errno.ENETDOWN: "the device is down; bring the interface up first",
    errno.ENETUNREACH: "the gateway cannot be reached through the device; check its address",
    errno.EHOSTUNREACH: "the gateway cannot be reached through the device; check its address",
    errno.EOPNOTSUPP: "this kernel does not support it; a kernel module may be missing",
    errno.EBUSY: "in use by another program",
    errno.ETIMEDOUT: f"the kernel did not answer within {ANSWER_SECONDS:g} s",
    errno.EINTR: "the table changed during every attempt to read it; try again later",
}


def refusal(operation: str, code: int, words: str = "") -> NetlinkError:
    """The error for an errno, with the kernel's own words where it gave some."""
    reason = REASONS.get(code) or os.strerror(code)
    return NetlinkError(operation, code, f"{reason} (kernel: {words})" if words else reason)


def open_socket(protocol: int, flags: int = 0) -> socket.socket:
    """A bound netlink socket; raises OSError where the kernel has no such protocol."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | flags, protocol)
    try:
        opened.bind((0, 0))
    except OSError:
        opened.close()
        raise
    return opened


def set_receive_buffer(target: socket.socket, size: int) -> None:
    """Ask for `size` bytes of queue; beyond the system's limit only where privileged."""
    try:
        target.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except OSError:
        target.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


class KernelSocket:
    """Requests and dumps over one netlink protocol. Not for several threads at once."""

    def __init__(self, protocol: int) -> None:
        try:
            self._socket = open_socket(protocol)
        except OSError as error:
            raise refusal("open a netlink socket", error.errno or errno.EIO) from None
        self._socket.settimeout(ANSWER_SECONDS)
        self._sequence = 0
        set_receive_buffer(self._socket, 1 << 20)
        for option in (CAP_ACK, EXT_ACK, STRICT_CHECK):  # 4.3, 4.12, 4.20; each is optional
            with contextlib.suppress(OSError):
                self._socket.setsockopt(SOL_NETLINK, option, 1)

    def close(self) -> None:
        """Give the socket back; may be repeated."""
        self._socket.close()

    def request(self, operation: str, kind: int, flags: int, payload: bytes) -> list[wire.Message]:
        """Do one thing; the messages that came before the acknowledgement. Raises NetlinkError."""
        sequence = self._send(operation, kind, wire.F_REQUEST | wire.F_ACK | flags, payload)
        answers: list[wire.Message] = []
        while True:
            for answer in self._receive(operation, sequence):
                if answer.kind == wire.ERROR:
                    self._check(operation, answer)
                    return answers
                answers.append(answer)

    def dump(self, operation: str, kind: int, payload: bytes) -> list[wire.Message]:
        """A whole, consistent table: read again where it changed meanwhile. Raises NetlinkError."""
        for _ in range(DUMP_TRIES):
            answers: list[wire.Message] = []
            broken = 0
            for batch, flags in self.dump_batches(operation, kind, payload):
                answers += batch
                broken |= flags & wire.F_DUMP_INTR
            if not broken:
                return answers
        raise refusal(operation, errno.EINTR)

    def dump_batches(self, operation: str, kind: int, payload: bytes) -> Iterator[tuple[list[wire.Message], int]]:
        """The table datagram by datagram, with the flags seen. Must be consumed before the next request."""
        sequence = self._send(operation, kind, wire.F_REQUEST | wire.F_DUMP, payload)
        while True:
            batch: list[wire.Message] = []
            flags, finished = 0, False
            for answer in self._receive(operation, sequence):
                flags |= answer.flags & wire.F_DUMP_INTR
                if answer.kind in (wire.DONE, wire.ERROR):
                    self._check(operation, answer)
                    finished = True
                else:
                    batch.append(answer)
            yield batch, flags
            if finished:
                return

    def _send(self, operation: str, kind: int, flags: int, payload: bytes) -> int:
        self._sequence = self._sequence % 0xFFFFFFF0 + 1
        try:
            self._socket.sendto(wire.message(kind, flags, self._sequence, payload), (0, 0))
        except OSError as error:
            raise refusal(operation, error.errno or errno.EIO) from None
        return self._sequence

    def _receive(self, operation: str, sequence: int) -> list[wire.Message]:
        """One datagram of the answer; older answers and other senders are skipped."""
        try:
            data, sender = self._socket.recvfrom(READ_SIZE)
        except TimeoutError:
            raise refusal(operation, errno.ETIMEDOUT) from None
        except OSError as error:
            raise refusal(operation, error.errno or errno.EIO) from None
        if sender[0] != 0:  # port 0 is the kernel; any local process may write to us
            return []
        return [one for one in wire.messages(data) if one.sequence == sequence and one.kind != wire.NOOP]

    def _check(self, operation: str, answer: wire.Message) -> None:
        code, words = wire.outcome(answer)
        if code:
            raise refusal(operation, code, words)
