"""Deletes conntrack entries a hundred at a time: one message to the kernel for each, one system call for all.

Never deletes another entry than those it is given, and never waits: the kernel has worked them off when the
call returns. Messages in `ctmessage`.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import (
    CAP_ACK,
    NETFILTER,
    READ_SIZE,
    SOL_NETLINK,
    open_socket,
    refusal,
    set_receive_buffer,
)
from netpolicy.flows import ctmessage
from netpolicy.flows.model import Flow

WHAT = "delete connections"

# A refusal takes about a kilobyte of the queue, and all of a datagram may be refused.
RECEIVE_BUFFER = 1 << 20
PER_DATAGRAM = 100


class Deletion:
    """A socket for deletions. Not for several threads at once. Every method raises NetlinkError."""

    def __init__(self) -> None:
        try:
            self._socket = open_socket(NETFILTER, socket.SOCK_NONBLOCK)
            set_receive_buffer(self._socket, RECEIVE_BUFFER)
            self._socket.setsockopt(SOL_NETLINK, CAP_ACK, 1)
        except OSError as error:
            raise refusal(WHAT, error.errno or errno.EIO) from None

    def close(self) -> None:
        """Gives the socket back; may be repeated."""
        self._socket.close()

    def delete(self, flows: Sequence[Flow]) -> list[Flow]:
        """Deletes these entries, told by tuple and id, and no other; those that were there still."""
        done: list[Flow] = []
        for start in range(0, len(flows), PER_DATAGRAM):
            done += self._delete(flows[start : start + PER_DATAGRAM])
        return done

    def _delete(self, flows: Sequence[Flow]) -> list[Flow]:
        # Without F_ACK: only refusals are answered.
        messages = [
            wire.message(ctmessage.DELETE, wire.F_REQUEST, number, ctmessage.encode_delete(flow))
            for number, flow in enumerate(flows, 1)
        ]
        try:
            self._socket.sendto(b"".join(messages), (0, 0))
        except OSError as error:
            raise refusal(WHAT, error.errno or errno.EIO) from None
        refused = self._refused()
        for code in refused.values():
            if code != errno.ENOENT:  # it ended by itself
                raise refusal(WHAT, code)
        return [flow for number, flow in enumerate(flows, 1) if number not in refused]

    def _refused(self) -> dict[int, int]:
        """Errno by number, of those that the kernel did not delete."""
        found: dict[int, int] = {}
        while True:
            try:
                data, sender = self._socket.recvfrom(READ_SIZE)
            except BlockingIOError:
                return found
            except OSError as error:
                raise refusal(WHAT, error.errno or errno.EIO) from None
            if sender[0] == 0:
                found.update((one.sequence, wire.outcome(one)[0]) for one in wire.messages(data) if _is_refusal(one))


def _is_refusal(answer: wire.Message) -> bool:
    return answer.kind == wire.ERROR and wire.outcome(answer)[0] != 0
