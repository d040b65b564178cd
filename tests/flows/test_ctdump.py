"""The table datagram by datagram: whole, filtered by the kernel, and never believed to be whole when it is not."""

from __future__ import annotations

import contextlib
import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows import ctdump, ctmessage
from tests.flows.crowd import client, fill
from tests.netns import needs_root, private_netns


def entry(body: bytes) -> bytes:
    return wire.message(ctmessage.NEW, 2, 1, body)


DONE = wire.message(wire.DONE, 2, 1, bytes(4))


def test_entries_are_taken_until_the_end_is_told():
    assert ctdump.split(entry(b"one.") + entry(b"two.")) == ([b"one.", b"two."], False)
    assert ctdump.split(entry(b"one.") + DONE + entry(b"late")) == ([b"one."], True)


def test_what_is_no_entry_and_what_is_cut_is_left_out():
    other = wire.message(ctmessage.DELETE, 0, 1, b"gone")
    assert ctdump.split(other + entry(b"") + entry(b"one.") + entry(b"two.")[:-1]) == ([b"one."], False)
    assert ctdump.split(b"") == ([], False)


@pytest.mark.parametrize("kind", [wire.DONE, wire.ERROR])
def test_a_failure_of_the_kernel_is_an_error_with_its_reason(kind):
    failure = wire.message(kind, 2, 1, struct.pack("=i", -errno.EPERM) + bytes(16))
    with pytest.raises(NetlinkError, match="list connections: not permitted; run as root") as refused:
        ctdump.split(entry(b"one.") + failure)
    assert refused.value.errno == errno.EPERM


@given(st.binary(max_size=200))
def test_garbage_never_raises_anything_else(data):
    with contextlib.suppress(NetlinkError):
        ctdump.split(data)


@pytest.mark.kernel
@needs_root
def test_a_table_comes_in_short_steps_and_whole():
    with private_netns():
        fill(client(number, 0x41000000 + number % 2) for number in range(1000))
        steps = list(ctdump.payloads())
        marked = [body for step in ctdump.payloads(1, 1) for body in step]
        assert ctdump.payloads(0x02000000, 0x02000000).__next__() == []
    assert sum(map(len, steps)) == 1000
    assert len(steps) >= 5 and max(map(len, steps)) <= 200
    assert len(marked) == 500 and {ctmessage.flow(body).mark for body in marked} == {0x41000001}


@pytest.mark.kernel
@needs_root
def test_a_reader_that_stops_half_way_gives_its_socket_back():
    with private_netns():
        fill(client(number, 1) for number in range(500))
        reading = ctdump.payloads()
        assert next(reading)
        reading.close()
        assert sum(map(len, ctdump.payloads())) == 500
