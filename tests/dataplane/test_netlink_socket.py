"""The request socket: dumps are whole or read again, and only the kernel is believed."""

from __future__ import annotations

import errno
import os
import socket
import struct

import pytest

from netpolicy.dataplane import netlink_codec as codec
from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from netpolicy.dataplane.state import NetlinkError
from tests.netns import needs_root, private_netns, run

pytestmark = [pytest.mark.kernel, needs_root]

ALL_ADDRESSES = codec.IFADDRMSG.pack(0, 0, 0, 0, 0)


@pytest.fixture
def kernel():
    with private_netns():
        run("ip", "-batch", "-", text="".join(f"address add 10.0.{n >> 8}.{n & 255}/32 dev lo\n" for n in range(900)))
        opened = KernelSocket(ROUTE)
        yield opened
        opened.close()


class Disturbed(KernelSocket):
    """Between the datagrams of a dump the table changes, as often as told."""

    def __init__(self, times: int) -> None:
        super().__init__(ROUTE)
        self.times = times
        self.dumps = 0

    def dump_batches(self, operation, kind, payload):
        self.dumps += 1
        for number, batch in enumerate(super().dump_batches(operation, kind, payload)):
            yield batch
            if number == 0 and self.dumps <= self.times:
                run("ip", "address", "add", f"10.9.0.{self.dumps}/32", "dev", "lo")


def test_a_dump_that_the_kernel_calls_interrupted_is_read_again(kernel):
    reader = Disturbed(times=2)
    answers = reader.dump("list addresses", codec.GETADDR, ALL_ADDRESSES)
    told = [codec.address(one.payload, {}).address for one in answers]
    assert reader.dumps == 3
    assert len(told) == len(set(told)) and {"10.9.0.1", "10.9.0.2", "10.0.3.131"} <= set(told)
    reader.close()


def test_a_table_that_never_rests_is_an_error_and_not_half_a_table(kernel):
    reader = Disturbed(times=99)
    with pytest.raises(NetlinkError, match="list addresses: the table changed") as refused:
        reader.dump("list addresses", codec.GETADDR, ALL_ADDRESSES)
    assert refused.value.errno == errno.EINTR
    reader.close()


def test_another_process_cannot_answer_for_the_kernel(kernel):
    forger = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, ROUTE)
    forger.bind((0, 0))
    port = kernel._socket.getsockname()[0]
    done = struct.pack("=i", -errno.EIO)
    for sequence in range(1, 4):
        forger.sendto(wire.message(wire.ERROR, 0, sequence, done), (port, 0))
    assert len(kernel.dump("list addresses", codec.GETADDR, ALL_ADDRESSES)) >= 900
    forger.close()


def test_a_dead_socket_is_a_netlink_error(kernel):
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, kernel._socket.fileno())
    os.close(null)
    with pytest.raises(NetlinkError, match="list addresses"):
        kernel.dump("list addresses", codec.GETADDR, ALL_ADDRESSES)
