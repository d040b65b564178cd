"""The packet socket on a real kernel: it takes what the machine of the tests says, to the byte, and counts losses."""

from __future__ import annotations

import random
import select
import socket
import sys
import time
from collections.abc import Iterator

import pytest

from netpolicy.flows import packet_filter
from netpolicy.flows.cbpf import Line, assemble
from netpolicy.flows.packet_filter import LAN
from netpolicy.flows.packet_frame import parse
from netpolicy.flows.packet_ring import Captured, Refused, Ring
from tests.flows.bpf_machine import Packet, run
from tests.flows.packets import (
    DESTINATION,
    FRAGMENT,
    HELLO,
    HOP_BY_HOP,
    INITIAL,
    IPV4,
    IPV6,
    PPPOE,
    QUERY,
    REQUEST,
    RST,
    SYN,
    TCP,
    UDP,
    extension,
    fragment,
    ipv4,
    ipv6,
    tcp,
    udp,
)
from tests.flows.test_packet_filter import ALL, NONE
from tests.netns import Namespace, needs_root, private_netns
from tests.netns import run as run_program
from tests.own_process import open_now

pytestmark = [pytest.mark.kernel, needs_root]

ENDS = bytes.fromhex("020000000002020000000001")  # to, from
EVERYTHING = assemble([Line("ret", 1 << 16)])

SAMPLES = [
    (IPV4, ipv4(tcp(b"", SYN))), (IPV4, ipv4(tcp(b"secret", RST))), (IPV4, ipv4(tcp(HELLO, options=bytes(12)))),
    (IPV4, ipv4(tcp(REQUEST, SYN), options=bytes(8))), (IPV4, ipv4(tcp(b"x" * 1400))), (IPV4, ipv4(tcp(b""))),
    (IPV4, ipv4(udp(QUERY, (40000, 53)), UDP)), (IPV4, ipv4(udp(QUERY, (53, 40000)), UDP)),
    (IPV4, ipv4(udp(INITIAL), UDP)), (IPV4, ipv4(tcp(HELLO), fragment=0x2000)), (IPV4, ipv4(b"\x08\0\0\0", 1)),
    (IPV6, ipv6(tcp(HELLO))), (IPV6, ipv6(extension(TCP, 24) + tcp(b"", SYN), HOP_BY_HOP)),
    (IPV6, ipv6(extension(DESTINATION) * 2 + extension(UDP) + udp(QUERY, (40000, 53)), HOP_BY_HOP)),
    (IPV6, ipv6(fragment(TCP, 0) + tcp(b"", SYN), FRAGMENT)), (IPV6, ipv6(fragment(TCP, 1) + tcp(b"", SYN), FRAGMENT)),
    (PPPOE, b"\x11\0\0\1\0\x50\0\x21" + ipv4(tcp(HELLO))), (0x0806, bytes(28)),
]  # fmt: skip


@pytest.fixture
def cable() -> Iterator[None]:
    """Two ends of a cable, `near` and `far`, in a namespace of their own; IPv6 is off, so that it is silent."""
    with private_netns() as place:
        for name in ("default", "all"):
            place.sysctl(f"net/ipv6/conf/{name}/disable_ipv6", 1)
        run_program("ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
        for name in ("near", "far"):
            run_program("ip", "link", "set", name, "up")
        place.await_carrier("near", "far")
        yield


def sender(device: str) -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    wire.bind((device, 0))
    return wire


def send(wire: socket.socket, protocol: int, packet: bytes, tag: bytes = b"") -> None:
    wire.send(ENDS + tag + protocol.to_bytes(2, "big") + packet)


def collect(ring: Ring, count: int, seconds: float = 30.0) -> list[Captured]:
    """So many packets, or as many as come in that time."""
    found: list[Captured] = []
    until = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < until:
        select.select([ring], [], [], max(0.0, until - time.monotonic()))
        found += ready(ring)
    return found


def ready(ring: Ring) -> list[Captured]:
    """What the kernel has told."""
    found: list[Captured] = []
    while (more := ring.read()) is not None:
        found += more
    return found


def bent(number: int) -> tuple[int, bytes]:
    """A sample with some bytes of its headers changed, or cut; the same for the same number."""
    chance = random.Random(number)
    protocol, packet = chance.choice(SAMPLES)
    data = bytearray(packet)
    for _ in range(chance.choice((1, 1, 2, 4))):
        data[chance.randrange(min(len(data), 70))] = chance.randrange(256)
    return protocol, bytes(data[: chance.choice((len(data), chance.randint(1, len(data))))])


@pytest.mark.parametrize("direction", ["in", "out"])
def test_the_kernel_takes_what_the_machine_takes(cable, direction):
    program = packet_filter.program(LAN, ALL)
    ring = Ring("far", program, blocks=16)
    packets = SAMPLES + [bent(number) for number in range(400)]
    found: list[Captured] = []
    with sender("near" if direction == "in" else "far") as wire:
        for number, (protocol, packet) in enumerate(packets):
            send(wire, protocol, packet)
            if not number % 20:  # each block is told after a while, full or not: whoever is slow needs many
                found += ready(ring)
        send(wire, IPV4, ipv4(tcp(b"", SYN, (9, 9))))
    type = 0 if direction == "in" else 4
    sizes = [run(program, Packet(packet, protocol, type)) for protocol, packet in packets]
    wanted = [packet[:size] for (_, packet), size in zip(packets, sizes, strict=True) if size]
    found += collect(ring, len(wanted) + 1 - len(found))
    assert [one.data for one in found[:-1]] == wanted
    assert len(wanted) > 80
    assert {one.outgoing for one in found} == {direction == "out"}
    assert ring.counters()["lost"] == 0
    ring.close()


def test_tags_are_passed_whether_the_kernel_took_them_off_or_not(cable):
    """Of what comes in the outer tag is taken off, the inner one is not; of what goes out nothing is."""
    ring = Ring("far", packet_filter.program(LAN, ALL))
    syn = ipv4(tcp(b"", SYN))
    with sender("near") as wire, sender("far") as back:
        send(wire, IPV4, syn, b"\x81\0\0\5")
        send(wire, IPV4, syn, b"\x88\xa8\0\5\x81\0\x60\7")
        send(back, IPV4, syn, b"\x81\0\0\5")
        send(back, IPV4, syn, b"\x88\xa8\0\5\x81\0\0\7")
    found = collect(ring, 4)
    assert [one.data for one in found] == [syn, b"\x60\7\x08\0" + syn, syn, syn]
    assert [one.tagged for one in found[:2]] == [True, True]
    # which type is told of a packet with a tag inside differs from kernel to kernel
    frames = [parse(one.data, one.protocol, one.outgoing, one.tagged) for one in found]
    assert {(one.destination_port, one.flags) for one in frames if one} == {(443, SYN)} and None not in frames
    ring.close()


def test_a_packet_is_told_with_its_time_and_who_sent_it(cable):
    ring = Ring("far", EVERYTHING)
    before = time.monotonic()
    with sender("near") as wire:
        send(wire, IPV4, b"hello")
    (one,) = collect(ring, 1)
    assert before - 0.001 <= one.when <= time.monotonic() + 0.001
    assert (one.data, one.protocol, one.outgoing, one.mac) == (b"hello", IPV4, False, ENDS[6:])
    assert ring.index == socket.if_nametoindex("far")
    ring.close()


def test_clocks_between_which_this_process_waited_are_read_again(cable, monkeypatch):
    """Somebody else had the processor for two seconds: that is no step of the clock on the wall."""
    ring = Ring("far", EVERYTHING)
    waits, so_far = iter([2.0]), [0.0]
    monotonic, wall = time.monotonic, time.time

    def late() -> float:
        so_far[0] += next(waits, 0.0)
        return wall() + so_far[0]

    offset = monotonic() - wall()
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + so_far[0])
    monkeypatch.setattr(time, "time", late)
    assert abs(ring._clock() - offset) < 0.5
    monkeypatch.setattr(time, "time", lambda: wall() + so_far[0] + 3600)
    assert abs(ring._clock() - offset + 3600) < 0.5
    ring.close()


def test_what_finds_no_room_is_counted_and_the_rest_is_whole(cable):
    ring = Ring("far", EVERYTHING, blocks=2)
    with sender("near") as wire:
        for number in range(400):
            send(wire, IPV4, number.to_bytes(4, "big") * 300)
        counters = ring.counters()
        assert counters["lost"] > 100 and counters["full"] >= 1
        found = collect(ring, 400 - counters["lost"])
        assert ring.counters() == counters
        assert counters["packets"] == 400 == len(found) + counters["lost"]
        assert all(one.data == one.data[:4] * 300 for one in found)
        send(wire, IPV4, b"after")
    assert [one.data for one in collect(ring, 1)] == [b"after"]
    assert ring.counters()["packets"] == 401
    ring.close()


def test_another_filter_is_in_force_at_once(cable):
    ring = Ring("far", packet_filter.program(LAN, ALL))
    with sender("near") as wire:
        send(wire, IPV4, ipv4(tcp(REQUEST)))
        ring.set_filter(packet_filter.program(LAN, NONE._replace(tls=True)))
        send(wire, IPV4, ipv4(tcp(REQUEST)))
        send(wire, IPV4, ipv4(tcp(HELLO)))
    assert [one.data[40:] for one in collect(ring, 2)] == [REQUEST, HELLO]
    ring.close()


def test_what_is_switched_off_never_reaches_our_memory(cable):
    """Not read and dropped, but not written: the ring itself is searched."""
    secret = b"a cookie of somebody"
    for wanted, count in ((ALL, 1), (ALL._replace(http=False), 0)):
        ring = Ring("far", packet_filter.program(LAN, wanted))
        with sender("near") as wire:
            send(wire, IPV4, ipv4(tcp(b"GET / HTTP/1.1\r\nCookie: " + secret)))
            send(wire, IPV4, ipv4(tcp(b"GET / HTTP/1.1\r\nCookie: " + secret, SYN)))
        assert len(collect(ring, 1 + count)) == 1 + count
        assert ring.counters()["packets"] == 1 + count
        assert (ring._memory[:].count(secret) > 0) == bool(count)
        ring.close()


def test_a_device_that_is_down_or_gone_does_not_keep_the_reader_busy(cable):
    ring = Ring("far", EVERYTHING)
    run_program("ip", "link", "set", "far", "down")
    ring.read()
    assert ring.read() is None and not select.select([ring], [], [], 0)[0]
    assert ring.is_alive()
    run_program("ip", "link", "set", "far", "up")
    found: list[Captured] = []
    until = time.monotonic() + 30
    with sender("near") as wire:
        while not found and time.monotonic() < until:  # the kernel takes its time to notice the other end
            send(wire, IPV4, b"again")
            found = collect(ring, 1, 0.1)
    found += collect(ring, ring.counters()["packets"] - len(found))
    assert {one.data for one in found} == {b"again"}
    run_program("ip", "link", "delete", "far")
    while ring.read() is not None:
        continue
    assert not select.select([ring], [], [], 0)[0]
    assert not ring.is_alive()
    run_program("ip", "link", "add", "far", "type", "veth", "peer", "name", "new")
    assert not ring.is_alive()
    ring.close()


def test_a_renamed_device_is_another_one(cable):
    ring = Ring("far", EVERYTHING)
    run_program("ip", "link", "set", "far", "down")
    run_program("ip", "link", "set", "far", "name", "further")
    assert not ring.is_alive()
    ring.close()


def test_a_refusal_says_which_device_and_why(cable):
    before = open_now()
    with pytest.raises(Refused, match="packets of absent cannot be seen: there is no such device"):
        Ring("absent", EVERYTHING)
    with pytest.raises(Refused, match="packets of far cannot be seen: Invalid argument"):
        Ring("far", [])
    assert open_now() <= before
    code = (
        "from netpolicy.flows import packet_ring\n"
        "try: packet_ring.Ring('far', [])\n"
        "except packet_ring.Refused as refused: print(refused)\n"
    )
    told = run_program("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", sys.executable, "-c", code)
    assert told.strip() == "packets of far cannot be seen: not permitted; run as root or with CAP_NET_RAW"


def test_closing_gives_memory_and_socket_back(cable):
    before = open_now()
    ring = Ring("far", EVERYTHING)
    ring.close()
    ring.close()
    assert open_now() <= before


def test_a_device_of_another_namespace_is_not_seen(cable):
    with Namespace() as other:
        run_program("ip", "link", "set", "near", "netns", other.path)
        with pytest.raises(Refused):
            Ring("near", EVERYTHING)
