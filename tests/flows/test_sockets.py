"""The kernel's table of sockets: its own lines, in the byte order of the machine, and garbage."""

from __future__ import annotations

import contextlib
import os
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.flows import sockets
from netpolicy.flows.sockets import ESTABLISHED, LISTEN, TcpSocket

LINE = "   0: {}:0016 {}:9C40 01 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000 100 0 0 10 0"
little = pytest.mark.skipif(sys.byteorder != "little", reason="the lines were copied from a little-endian machine")


@little
def test_lines_of_the_kernel_are_read():
    assert sockets.parse(LINE.format("0101A8C0", "0A01A8C0")) == TcpSocket(
        "192.168.1.1", 22, "192.168.1.10", 40000, ESTABLISHED, 12345
    )
    six = sockets.parse(LINE.format("000000FD000000000000000001000000", "000000FD00000000000000000A000000"))
    assert six is not None and (six.local, six.remote) == ("fd00::1", "fd00::a")
    mapped = sockets.parse(LINE.format("0000000000000000FFFF00000101A8C0", "0000000000000000FFFF00000A01A8C0"))
    assert mapped is not None and mapped.ends == ("192.168.1.10", 40000, "192.168.1.1", 22)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_our_own_sockets_are_found_with_their_inode(family):
    with contextlib.ExitStack() as stack:
        loopback = "127.0.0.1" if family == socket.AF_INET else "::1"
        listener = stack.enter_context(socket.create_server((loopback, 0), family=family))
        near = stack.enter_context(socket.create_connection(listener.getsockname()[:2]))
        far = stack.enter_context(listener.accept()[0])
        port = listener.getsockname()[1]
        # On another address of this machine somebody else may use the same port.
        found = [one for one in sockets.read([port]) if one.local == loopback]
        assert sorted(one.state for one in found) == [ESTABLISHED, LISTEN]
        (taken,) = (one for one in sockets.read([port], [ESTABLISHED]) if one.local == loopback)
        assert taken.ends == (*near.getsockname()[:2], *far.getsockname()[:2])
        assert taken.inode == _inode(far)
        assert [one for one in sockets.read([port], [sockets.HALF_OPEN]) if one.local == loopback] == []


def _inode(of: socket.socket) -> int:
    return os.fstat(of.fileno()).st_ino


@pytest.mark.parametrize(
    "line",
    [
        "", "sl  local_address rem_address st tx_queue", "   0: 0101A8C0:0016", LINE.format("0101A8C", "0A01A8C0"),
        LINE.format("0101A8CG", "0A01A8C0"), LINE.format("0101A8C0", "0A01A8C0").replace(" 01 ", " 1 "),
        LINE.format("0101A8C0", "0A01A8C0").replace("12345", "-1"), LINE.format("0x01A8C0", "0A01A8C0"),
        LINE.format("0101A8C0", "0A01A8C0") + " " * 500,
    ],
)  # fmt: skip
def test_other_lines_are_left_out(line):
    assert sockets.parse(line) is None


@given(st.lists(st.text(alphabet="0123456789ABCDEF: \n", max_size=600), max_size=5))
def test_garbage_never_raises(lines):
    for one in sockets.chosen(lines, [22], [1]):
        assert one.local_port == 22
