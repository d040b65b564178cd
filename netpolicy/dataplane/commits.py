"""Which transactions of nftables touched one table: other programs commit too, and most of it is no matter of ours.

Never says more than the kernel told: where a notification was lost, or is still to come, the answer is "not known".
Never waits. From the multicast group of nftables, where each transaction ends with its number.
"""

from __future__ import annotations

import contextlib
import errno
import socket

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane import nft_notice as notice
from netpolicy.dataplane.netlink_socket import (
    ADD_MEMBERSHIP,
    NETFILTER,
    READ_SIZE,
    SOL_NETLINK,
    open_socket,
    set_receive_buffer,
)
from netpolicy.dataplane.netlink_watch import NFTABLES_GROUP

# Some hundred small transactions. What is heard too late is not known, and then the table is read.
RECEIVE_BUFFER = 1 << 19

INET = 1  # NFPROTO_INET
MASK = 0xFFFFFFFF  # the kernel counts in 32 bits


class Commits:
    """Listens from `listen` on; what was before is not known. Not for several threads at once."""

    def __init__(self, table: str, receive_buffer: int = RECEIVE_BUFFER) -> None:
        self._table = table
        self._receive_buffer = receive_buffer
        self._socket: socket.socket | None = None
        self._heads: dict[bytes, bool] = {}  # whether that is our table
        self._is_touched = False  # by the transaction whose end was not told yet
        self._done: dict[int, bool] = {}  # by number, without a gap: whether it touched the table

    def listen(self) -> None:
        """Begins to listen, where that was not done. Of what comes after a generation asked for now, all is heard."""
        if self._socket is not None:
            return
        opened: socket.socket | None = None
        try:
            opened = open_socket(NETFILTER, socket.SOCK_NONBLOCK)
            set_receive_buffer(opened, self._receive_buffer)
            opened.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, NFTABLES_GROUP)
        except OSError:  # then nothing is ever known, and the table is read as often as anything changes
            if opened is not None:
                opened.close()
            return
        self._socket = opened

    def close(self) -> None:
        """Gives the socket back; may be repeated."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._forget()

    def touching(self, since: int, until: int) -> int | None:
        """How many of the transactions after `since`, `until` included, touched the table; None: not known.

        `since` is a generation that was asked for after `listen`. What was before it is not asked for again.
        """
        self._drain()
        count = (until - since) & MASK
        wanted = [(since + step) & MASK for step in range(1, count + 1)] if count <= len(self._done) else None
        if wanted is None or any(number not in self._done for number in wanted):
            return None
        touched = sum(self._done[number] for number in wanted)
        self._done = {number: was for number, was in self._done.items() if (number - since) & MASK <= MASK >> 1}
        return touched

    def _forget(self) -> None:
        self._done.clear()
        self._is_touched = True  # of the transaction under way a part may be lost

    def _drain(self) -> None:
        while self._socket is not None:
            try:
                data, sender = self._socket.recvfrom(READ_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                self._forget()
                if error.errno != errno.ENOBUFS:
                    with contextlib.suppress(OSError):
                        self.close()
                continue
            if sender[0] == 0:  # only the kernel is believed
                for message in wire.messages(data):
                    if notice.is_notice(message):
                        self._take(message)

    def _take(self, message: wire.Message) -> None:
        if message.kind & 0xFF != notice.NEW_GENERATION:
            self._is_touched = self._is_touched or (
                not notice.is_learned(message) and self._is_ours(message.payload)  # what fills by itself is no change
            )
            return
        number = notice.generation(message.payload)
        if number is None:
            self._forget()
            return
        if self._done and (number - 1) & MASK not in self._done:
            self._done.clear()  # a gap
        self._done[number], self._is_touched = self._is_touched, False

    def _is_ours(self, payload: bytes) -> bool:
        head = notice.head(payload)
        found = self._heads.get(head)
        if found is None:
            if len(self._heads) > 100:
                self._heads.clear()
            name = notice.table(payload)
            found = self._heads[head] = not name or (payload[0] == INET and name == self._table)
        return found
