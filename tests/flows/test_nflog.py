"""Packets that real nft rules log to a group, heard inside a namespace."""

from __future__ import annotations

import errno
import select
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows import nflog
from netpolicy.flows.model import TCP, UDP
from netpolicy.flows.nflog import LoggedPacket, PacketLog
from tests.flows.street import CLIENT, SERVER, street
from tests.netns import needs_root

GROUP = 4242
LOG_RULES = f"""
table inet logging {{
	chain pre {{
		type filter hook prerouting priority mangle + 1; policy accept;
		iifname "lan" ct state new th dport {{ 443, 5000 }} meta mark set 0x1000007 log prefix "np:work " group {GROUP}
	}}
}}
"""


@pytest.fixture
def place():
    with street() as built:
        built.router.run("nft", "-f", "-", text=LOG_RULES)
        yield built


def collect(log: PacketLog, count: int, seconds: float = 30.0) -> list[LoggedPacket]:
    packets: list[LoggedPacket] = []
    deadline = time.monotonic() + seconds
    while len(packets) < count and time.monotonic() < deadline:
        select.select([log], [], [], max(0.0, deadline - time.monotonic()))
        packets += log.read(time.monotonic())
    return packets


@pytest.mark.kernel
@needs_root
@pytest.mark.parametrize("family", [4, 6])
def test_the_first_packet_of_a_logged_connection_is_told(place, family):
    log = PacketLog(GROUP)
    near, _far = place.tcp(family, 443)
    datagram = place.udp(family, 5000)
    place.udp(family, 5001)  # no rule logs it
    tcp, udp = collect(log, 2)
    assert (tcp.prefix, tcp.family, tcp.protocol) == ("np:work ", family, TCP)
    assert (tcp.source, tcp.source_port) == (CLIENT[family], near.getsockname()[1])
    assert (tcp.destination, tcp.destination_port) == (SERVER[family], 443)
    assert (tcp.mark, tcp.out_index, tcp.in_index) == (0x1000007, 0, socket.if_nametoindex("lan"))
    client_link = place.client.run("ip", "-br", "link", "show", "dev", "eth0").split()
    assert tcp.mac == client_link[2]
    assert (udp.protocol, udp.source_port, udp.destination_port) == (UDP, datagram.getsockname()[1], 5000)
    assert udp.length == (20 if family == 4 else 40) + 8 + 5
    log.close()


@pytest.mark.kernel
@needs_root
def test_a_flood_is_bounded_and_counted(place):
    log = PacketLog(GROUP, per_second=10)
    for _ in range(100):
        place.udp(4, 5000)
    told = []
    deadline = time.monotonic() + 30
    while log.counters["packets"] + log.counters["suppressed"] < 100 and time.monotonic() < deadline:
        select.select([log], [], [], 0.5)
        told += log.read(now=7.0)
    assert (len(told), log.counters["packets"], log.counters["suppressed"]) == (10, 10, 90)
    place.udp(4, 5000)
    select.select([log], [], [], 30)
    assert len(log.read(now=8.0)) == 1
    log.close()


@pytest.mark.kernel
@needs_root
def test_an_overrun_is_counted_and_reading_goes_on(place):
    log = PacketLog(GROUP, per_second=1000, receive_buffer=2048)
    for _ in range(400):
        place.udp(4, 5000)
    select.select([log], [], [], 30)
    log.read(time.monotonic())
    assert log.counters["overrun"] >= 1
    place.tcp(4, 443)
    deadline = time.monotonic() + 30
    while TCP not in {one.protocol for one in collect(log, 1)}:  # the last of the others may come before it
        assert time.monotonic() < deadline
    log.close()


@pytest.mark.kernel
@needs_root
def test_a_group_that_another_program_reads_is_refused(place):
    first = PacketLog(GROUP)
    with pytest.raises(NetlinkError, match=f"read log group {GROUP}: .*another program reads this group") as refused:
        PacketLog(GROUP)
    assert refused.value.errno == errno.EPERM
    first.close()
    PacketLog(GROUP).close()


def test_a_group_beyond_sixteen_bits_is_refused():
    with pytest.raises(ValueError, match="65535"):
        PacketLog(65536)


@given(st.binary(max_size=300))
def test_garbage_never_raises(data):
    nflog.parse(data)
