"""Reads the conntrack table datagram by datagram and takes nothing apart: a step for tables of a hundred thousand.

Never waits for ever, never believes another process. One reader, one dump; messages are those of `ctmessage`.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import (
    ANSWER_SECONDS,
    EXT_ACK,
    NETFILTER,
    READ_SIZE,
    SOL_NETLINK,
    open_socket,
    refusal,
    set_receive_buffer,
)
from netpolicy.flows import ctmessage

WHAT = "list connections"
RECEIVE_BUFFER = 1 << 20
SEQUENCE = 1  # each dump has a socket of its own


def payloads(mark: int = 0, mask: int = 0) -> Iterator[list[bytes]]:
    """The bodies of all entries, about a hundred at a time; with a mask those that the kernel thinks agree.

    NetlinkError where the kernel has no ctnetlink, refuses or falls silent. An entry may appear twice where the
    kernel's table was resized meanwhile.
    """
    try:
        asking = open_socket(NETFILTER)
    except OSError as error:
        raise refusal(WHAT, error.errno or errno.EIO) from None
    with asking:
        asking.settimeout(ANSWER_SECONDS)
        set_receive_buffer(asking, RECEIVE_BUFFER)
        with contextlib.suppress(OSError):
            asking.setsockopt(SOL_NETLINK, EXT_ACK, 1)
        body = ctmessage.encode_dump(mark & mask, mask)
        question = wire.message(ctmessage.GET, wire.F_REQUEST | wire.F_DUMP, SEQUENCE, body)
        yield from _answers(asking, question)


def _answers(asking: socket.socket, question: bytes) -> Iterator[list[bytes]]:
    try:
        asking.sendto(question, (0, 0))
        is_over = False
        while not is_over:
            data, sender = asking.recvfrom(READ_SIZE)
            if sender[0] == 0:  # port 0 is the kernel; any local process may write to us
                found, is_over = split(data)
                yield found
    except TimeoutError:
        raise refusal(WHAT, errno.ETIMEDOUT) from None
    except OSError as error:
        raise refusal(WHAT, error.errno or errno.EIO) from None


def split(data: bytes) -> tuple[list[bytes], bool]:
    """The entries of one datagram, and whether it ends the dump. NetlinkError where it says that this failed.

    `wire.messages` in short: what that makes of each message costs as much as the kernel's work for it.
    """
    found: list[bytes] = []
    header, size, offset, end = wire.HEADER.unpack_from, wire.HEADER.size, 0, len(data)
    while end - offset >= size:
        length, kind, flags, sequence, _port = header(data, offset)
        stop = offset + length
        if length < size or stop > end:
            break
        if kind == ctmessage.NEW:
            if length > size:
                found.append(data[offset + size : stop])
        elif kind in (wire.DONE, wire.ERROR):
            code, words = wire.outcome(wire.Message(kind, flags, sequence, data[offset + size : stop]))
            if code:
                raise refusal(WHAT, code, words)
            return found, True
        offset = (stop + 3) & ~3
    return found, False
