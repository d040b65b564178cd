"""The whole tier on real devices: two hosts, a router between them, and what others do on the router's devices."""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows import tls_hello
from netpolicy.flows.ebpf import bpf_call, clsact
from netpolicy.flows.ebpf.attach import CLSACT, TCX, WAN, NotAttached
from netpolicy.flows.ebpf.bpf_call import BpfError
from netpolicy.flows.ebpf.inspector import Inspector, Switches
from netpolicy.flows.ebpf.loading import Capacity
from netpolicy.flows.ebpf.sweep import Patience
from netpolicy.flows.reader import Reader
from netpolicy.flows.seen import CLOSED, DNS_QUERY, HELLO, INBOUND, MAPPED, OPEN, RESET, SYN, Measured, Payload
from tests.flows import hellos
from tests.netns import needs_root, private_netns, run

from . import frames
from .frames import client_hello, ethernet, ipv4, ipv6, udp, vlan
from .hosts import CLIENT, SERVER, Street
from .test_loading import descriptors
from .trial import EVERYTHING

pytestmark = [pytest.mark.kernel, needs_root]

ROOT = Path(__file__).resolve().parents[3]
SMALL = Capacity(1024, 1 << 18)
PROG_QUERY = 16
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def street(bpf: None) -> Iterator[Street]:
    built = Street()
    yield built
    built.close()


class Seen:
    """An inspector of the router's, and what it said."""

    def __init__(self, street: Street, switches: Switches = EVERYTHING, patience: Patience | None = None) -> None:
        self.payloads: list[Payload] = []
        self.measured: list[Measured] = []
        self.ended: list[Measured] = []  # told before the last sweep
        self._router = street.router
        with self._router.entered():
            self.inspector = Inspector(self.payloads.append, self.measured.append, switches, SMALL, patience)

    def attach(self, name: str = "lan", **how: object) -> str:
        with self._router.entered():
            return self.inspector.attach(name, **how)  # type: ignore[arg-type]

    def read(self, payloads: int = 0, measured: int = 0) -> None:
        """Everything that waits, and so much at least: the last word of a connection comes after its bytes."""
        deadline = time.monotonic() + 30
        while self.inspector.drain() or len(self.payloads) < payloads or len(self.measured) < measured:
            assert time.monotonic() < deadline, (self.payloads, self.measured)

    def swept(self) -> list[Measured]:
        """What a sweep says."""
        self.read()
        self.ended, self.measured[:] = list(self.measured), []
        for _ in self.inspector.sweep():
            pass
        return self.measured


@pytest.fixture
def seen(street: Street) -> Iterator[Seen]:
    """Nothing is attached; nothing may be left."""
    one = Seen(street)
    yield one
    one.inspector.close()
    remove_clsact(street)


def remove_clsact(street: Street) -> None:
    """It is left by design."""
    if "clsact" in street.router.run("tc", "qdisc", "show", "dev", "lan"):
        street.router.run("tc", "qdisc", "del", "dev", "lan", "clsact")


def filters(street: Street, side: str, name: str = "lan") -> str:
    return street.router.run("tc", "filter", "show", "dev", name, side)


def links_on(street: Street, name: str = "lan") -> int:
    """tcx programs of both sides."""
    with street.router.entered():
        index, count = socket.if_nametoindex(name), 0
        for side in (bpf_call.TCX_INGRESS, bpf_call.TCX_EGRESS):
            attr = bytearray(struct.pack("=IIIIQI4xQQQQ", index, side, 0, 0, 0, 0, 0, 0, 0, 0))
            bpf_call.call("ask for programs", PROG_QUERY, attr)
            count += struct.unpack_from("=I", attr, 24)[0]
    return count


def has_tcx(street: Street) -> bool:
    try:
        return links_on(street) >= 0
    except BpfError:
        return False


@pytest.fixture(params=[TCX, CLSACT])
def way(request: pytest.FixtureRequest, street: Street) -> str:
    if request.param == TCX and not has_tcx(street):
        pytest.skip("this kernel has no tcx (Linux 6.6)")
    return str(request.param)


# -- what is seen --------------------------------------------------------------------------


def test_a_connection_is_seen_with_its_name_and_its_numbers(street: Street, seen: Seen, way: str) -> None:
    assert seen.attach(ways=(way,)) == way
    hello, begun = client_hello("video.example", 517), time.monotonic()
    street.talk(hello, b"y" * 300_000)
    seen.read(1, 1)
    (piece,) = seen.payloads
    assert (piece.kind, piece.first) == (HELLO, True)
    assert tls_hello.from_told(piece.data).name == "video.example"
    (told,) = seen.measured
    assert told.key == piece.key
    assert told.key[0] == MAPPED + socket.inet_aton(CLIENT) and told.key[1] == MAPPED + socket.inet_aton(SERVER)
    assert told.key[3] == street.port
    assert told.state == CLOSED and told.final and not told.inbound
    patience_us = (time.monotonic() - begun) * 1e6
    assert 0 < told.rtt_remote_us < patience_us and 0 < told.rtt_client_us < patience_us
    assert told.up.srtt_us > 0 and told.down.srtt_us > 0
    assert told.mac.hex(":") in street.client.run("ip", "link", "show", "dev", "eth0")
    assert told.ifindex == index_of(street, "lan")
    # each packet has 20 bytes of IP, 20 of TCP, and options: 12 with time stamps, 20 in a SYN
    assert 300_000 + 40 * told.down.packets <= told.down.bytes <= 300_000 + 52 * told.down.packets + 20
    assert told.down.packets >= 300_000 // 1448
    assert told.up.bytes >= 517 + 40 * told.up.packets
    assert begun - 1 < told.first <= told.last < time.monotonic() + 0.01


def index_of(street: Street, name: str) -> int:
    with street.router.entered():
        return socket.if_nametoindex(name)


TCPI_RTT = struct.Struct("=68xI")  # <linux/tcp.h>, tcp_info: microseconds


def test_the_round_trip_of_a_handshake_is_that_of_the_clients_own_kernel(street: Street, seen: Seen, way: str) -> None:
    """Both watch the same two packets, so load on this machine moves both; the middle, for what came between."""
    seen.attach(ways=(way,))
    truth: dict[int, int] = {}
    for _ in range(15):
        with street.client.entered(), socket.create_connection((SERVER, street.port), 30) as near:
            (rtt,) = TCPI_RTT.unpack_from(near.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104))
            truth[near.getsockname()[1]] = rtt
            street.listener.accept()[0].close()
            assert near.recv(1) == b""
    told = {one.key[2]: one.rtt_remote_us for one in seen.swept() if one.key[2] in truth}
    read = {one.key[2]: one.rtt_remote_us for one in seen.ended if one.key[2] in truth}
    assert len(told | read) == 15
    wrong = sorted(abs(found - truth[port]) for port, found in (told | read).items())
    assert wrong[7] <= max(200, 0.02 * sorted(truth.values())[7]), (wrong, truth)


@pytest.mark.parametrize("size", [0, 100])
def test_a_large_hello_arrives_in_one_piece_or_in_many(size: int, street: Street, seen: Seen) -> None:
    seen.attach()
    hello = client_hello(size=1500 if size else 7000)
    street.talk(hello, size=size)
    seen.read()
    joined = bytearray(len(hello))
    if not size:
        (piece,) = seen.payloads
        assert tls_hello.from_told(piece.data) == tls_hello.from_stream(hello)
        return
    for piece in seen.payloads:
        joined[piece.offset : piece.offset + len(piece.data)] = piece.data
    assert bytes(joined) == hello


def long_hello(size: int, beyond: int) -> bytes:
    """Of so many bytes, and where it says that it has more of them, its record and its extensions do not."""
    front, empty = hellos.server_name(b"front.example"), hellos.extension(21, b"")
    padding = hellos.extension(21, bytes(size - len(hellos.records(hellos.message(front, empty)))))
    message = hellos.message(front, padding)
    return hellos.records(message[:1] + (len(message) - 4 + beyond).to_bytes(3, "big") + message[4:])


def test_what_goes_on_behind_the_limit_has_no_name(street: Street, seen: Seen) -> None:
    """In one segment, as merged ones are: of who says more than is looked at nobody knows where it ends."""
    ends = (street.client, "eth0"), (street.router, "lan")
    cases = [(size, beyond) for size in (8191, 8192) for beyond in (0, 13, 1 << 16)]
    seen.attach()
    try:
        for host, name in ends:
            host.run("ip", "link", "set", name, "mtu", "9000")
        for port, case in enumerate(cases, 2000):
            for flags, number, data in ((frames.SYN, 1000, b""), (frames.ACK, 1001, long_hello(*case) + bytes(300))):
                segment = frames.tcp(port, 443, number, 0, flags, data)
                street.raw(ethernet(ipv4(CLIENT, SERVER, frames.TCP, segment)))
        street.send(b"behind all of them")
        street.datagrams.recv(100)
    finally:
        for host, name in ends:
            host.run("ip", "link", "set", name, "mtu", "1500")
    seen.read()
    names = [getattr(Reader().read(piece), "name", "") for piece in seen.payloads]
    assert names == ["" if beyond else "front.example" for _, beyond in cases]


def test_refused_and_unanswered_connections(street: Street, seen: Seen) -> None:
    seen.attach()
    with street.client.entered(), socket.socket() as near:
        with pytest.raises(ConnectionRefusedError):
            near.connect((SERVER, 9))
        with socket.socket() as silent:
            silent.setblocking(False)
            with pytest.raises(BlockingIOError):
                silent.connect(("203.0.113.1", 9))  # no way there; the router says so, and TCP tries again
            street.router.run("ip", "route", "replace", "blackhole", "203.0.113.0/24")
    seen.read(measured=1)
    assert [(one.state, one.key[3], one.down.resets) for one in seen.measured] == [(RESET, 9, 1)]
    asked = [one for one in seen.swept() if one.key[1].endswith(bytes((203, 0, 113, 1)))]
    assert [(one.state, one.final) for one in asked] == [(SYN, False)]


def test_a_connection_from_outside_is_told_from_the_lan_side(street: Street, seen: Seen) -> None:
    seen.attach()
    with street.client.entered():
        listener = socket.create_server((CLIENT, 0))
    port = listener.getsockname()[1]
    with listener, street.server.entered(), socket.create_connection(listener.getsockname(), 30) as far:
        near, _ = listener.accept()
        with near:
            far.sendall(client_hello("our.example"))
            near.recv(1000)
    seen.read(1, 1)
    (piece,) = seen.payloads
    assert piece.kind == INBOUND
    assert piece.key[0] == MAPPED + socket.inet_aton(CLIENT) and piece.key[2] == port
    assert [one.inbound for one in seen.measured] == [True]


def test_on_the_side_of_the_provider_directions_are_turned(street: Street, seen: Seen, way: str) -> None:
    assert seen.attach("wan", role=WAN, ways=(way,)) == way
    street.talk(client_hello())
    seen.read(1, 1)
    assert [one.kind for one in seen.payloads] == [HELLO]
    assert seen.measured[0].key[0] == MAPPED + socket.inet_aton(CLIENT)


def test_both_sides_of_a_bridge_port(street: Street, seen: Seen, way: str) -> None:
    """Where software flow offload hides packets from the bridge itself."""
    router = street.router
    router.run("ip", "link", "add", "br0", "type", "bridge")
    try:
        router.run("ip", "address", "flush", "dev", "lan")
        router.run("ip", "link", "set", "lan", "master", "br0")
        router.run("ip", "address", "add", "10.0.0.1/24", "dev", "br0")
        router.run("ip", "link", "set", "br0", "up")
        street.client.run("ip", "neigh", "flush", "all")
        seen.attach(ways=(way,))
        router.await_carrier("br0")
        street.talk(client_hello(), b"y" * 5000)
        seen.read(1, 1)
        assert [one.kind for one in seen.payloads] == [HELLO]
        assert [(one.state, one.down.bytes > 5000) for one in seen.measured] == [(CLOSED, True)]
    finally:
        router.run("ip", "link", "del", "br0")
        router.run("ip", "address", "add", "10.0.0.1/24", "dev", "lan")
        street.client.run("ip", "neigh", "flush", "all")


def test_a_device_without_ethernet(street: Street, seen: Seen, way: str) -> None:
    """A tunnel: its packets begin with IP."""
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("this kernel has no tun devices")
    with street.router.entered():
        line = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(line, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x1001))  # TUNSETIFF, IFF_TUN | IFF_NO_PI
    try:
        street.router.run("ip", "link", "set", "tun0", "up")
        assert seen.attach("tun0", ways=(way,)) == way
        os.write(line, ipv4("10.9.0.2", "10.1.0.99", frames.UDP, udp(40000, 53, b"question-of-four")))
        os.write(line, ipv6("2001:db8::2", "2001:db8::3", frames.UDP, udp(40000, 53, b"question-of-six-")))
        seen.read()
        assert [(one.kind, one.data) for one in seen.payloads] == [
            (DNS_QUERY, b"question-of-four"),
            (DNS_QUERY, b"question-of-six-"),
        ]
        assert [one.mac for one in seen.swept() if one.key[2] == 40000] == [b"", b""]
    finally:
        os.close(line)


def test_frames_with_tags_and_fragments_on_a_real_device(street: Street, seen: Seen) -> None:
    seen.attach()
    question = ipv4("10.0.0.77", "192.0.2.1", frames.UDP, udp(40000, 53, b"question-in-a-vlan"))
    street.raw(ethernet(question, tags=(vlan(7),)), ethernet(question, tags=(vlan(7, frames.QINQ), vlan(8))))
    street.send(b"x" * 4000)
    street.datagrams.recv(5000)
    seen.read()
    assert [one.data for one in seen.payloads] == [b"question-in-a-vlan"] * 2
    assert seen.inspector.counters()["fragments"] == 3


def test_random_frames_harm_nobody(street: Street, seen: Seen, way: str) -> None:
    seen.attach(ways=(way,))
    chance = random.Random(7)
    base = (
        ethernet(ipv4(CLIENT, SERVER, frames.UDP, udp(5, 53, b"x" * 60))),
        ethernet(ipv6("fd00::1", "fd00::2", frames.TCP, bytes(60))),
    )
    sent = []
    for number in range(1500):
        frame = bytearray(chance.choice(base) if number % 3 else chance.randbytes(chance.randrange(14, 300)))
        for _ in range(chance.randrange(1, 12)):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        sent.append(bytes(frame[: chance.randrange(14, len(frame) + 1)]))
    street.raw(*sent)
    assert seen.inspector.counters()["packets"] >= 1500
    assert seen.inspector.counters()["malformed"] > 100
    seen.payloads.clear()
    street.talk(client_hello())
    seen.read()
    assert [tls_hello.from_told(one.data).name for one in seen.payloads if one.kind == HELLO] == ["video.example"]


# -- beside others -------------------------------------------------------------------------


def dropper() -> int:
    """A program of somebody else's that lets nothing pass: r0 = 2 (TC_ACT_SHOT, TCX_DROP); exit."""
    code = bytearray(struct.pack("=BBhi", 0xB7, 0, 0, 2) + struct.pack("=BBhi", 0x95, 0, 0, 0))
    return bpf_call.load_program("np_dropper", code, b"GPL\0")


def arrives(street: Street, seconds: float = 30) -> bool:
    """Does a datagram of the client reach the server? Those of others that nobody took are none."""
    word = b"ping %d" % next(NUMBERS)
    street.send(word)
    deadline = time.monotonic() + seconds
    while select.select([street.datagrams], [], [], max(deadline - time.monotonic(), 0))[0]:
        if street.datagrams.recv(5000) == word:
            return True
    return False


def is_stopped(street: Street) -> bool:
    """It does not, within a fifth of a second."""
    return not arrives(street, 0.2)


def test_a_filter_behind_ours_still_runs(street: Street, seen: Seen) -> None:
    """clsact, and another package's program on the same hook: its verdict counts, and we saw the packet."""
    seen.attach(ways=(CLSACT,))
    assert arrives(street)
    program = dropper()
    with street.router.entered():
        kernel = KernelSocket(ROUTE)
        body = clsact.filter_body(index_of(street, "lan"), clsact.INGRESS, 20, program, "theirs")
        kernel.request("add theirs", clsact.NEW_FILTER, wire.F_CREATE, body)
        kernel.close()
    before = seen.inspector.counters()["packets"]
    assert is_stopped(street)
    assert seen.inspector.counters()["packets"] > before
    seen.inspector.detach("lan")
    assert "theirs" in filters(street, "ingress") and is_stopped(street)
    street.router.run("tc", "filter", "del", "dev", "lan", "ingress")
    os.close(program)
    assert arrives(street)


def test_a_tcx_program_of_others_still_runs(street: Street, seen: Seen) -> None:
    if not has_tcx(street):
        pytest.skip("this kernel has no tcx (Linux 6.6)")
    program = dropper()
    with street.router.entered():
        attr = bpf_call.ATTR_LINK.pack(program, index_of(street, "lan"), bpf_call.TCX_INGRESS, 0, 0, 0, 0)
        theirs = bpf_call.call("attach theirs", bpf_call.LINK_CREATE, bytearray(attr))
    seen.attach(ways=(TCX,))
    assert is_stopped(street)
    assert seen.inspector.counters()["packets"] > 0  # ours is before it, though it came later
    os.close(theirs)
    assert arrives(street)
    os.close(program)


def test_filters_of_traffic_control_run_behind_tcx(street: Street, seen: Seen) -> None:
    if not has_tcx(street):
        pytest.skip("this kernel has no tcx (Linux 6.6)")
    router = street.router
    router.run("tc", "qdisc", "add", "dev", "lan", "ingress")
    router.run("ip", "link", "add", "copy", "type", "veth", "peer", "name", "copied")
    try:
        for name in ("copy", "copied"):
            router.run("ip", "link", "set", name, "up")
        router.await_carrier("copy", "copied")
        mirror = ("action", "mirred", "egress", "mirror", "dev", "copy")
        match = ("u32", "match", "ip", "protocol", "17", "0xff")
        router.run("tc", "filter", "add", "dev", "lan", "parent", "ffff:", "protocol", "ip", *match, *mirror)
        seen.attach()
        with router.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as copied:
            copied.bind(("copied", 0x0800))
            copied.settimeout(30)
            assert arrives(street)
            assert b"ping" in copied.recv(200)
    finally:
        router.run("tc", "qdisc", "del", "dev", "lan", "ingress")
        router.run("ip", "link", "del", "copy")


def test_a_shaped_device_is_refused_where_there_is_no_tcx(street: Street, seen: Seen) -> None:
    street.router.run("tc", "qdisc", "add", "dev", "lan", "ingress")
    try:
        with pytest.raises(NotAttached, match="'ingress'"):
            seen.attach(ways=(CLSACT,))
        assert seen.inspector.attached() == {}
        assert arrives(street)
    finally:
        street.router.run("tc", "qdisc", "del", "dev", "lan", "ingress")


# -- coming and going ----------------------------------------------------------------------


CHILD = """
import sys
from netpolicy.flows.ebpf.inspector import Inspector, Switches
one = Inspector(print, print, Switches())
print(one.attach("lan", ways=(sys.argv[1],)), flush=True)
sys.stdin.read()
"""


def test_a_killed_process_leaves_nothing_that_lasts(street: Street, seen: Seen, way: str) -> None:
    with street.router.entered():
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, way], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    assert child.stdout is not None and child.stdout.readline() == f"{way}\n"
    if way == TCX:
        assert links_on(street) == 2
    child.send_signal(signal.SIGKILL)
    child.communicate()
    if way == TCX:
        assert links_on(street) == 0
        return
    left = filters(street, "ingress")
    assert "netpolicy_clsact_up" in left
    assert seen.attach(ways=(CLSACT,)) == CLSACT
    assert filters(street, "ingress").count("netpolicy_clsact_up") == 1 and filters(street, "ingress") != left
    street.talk(client_hello())
    seen.read()
    assert len(seen.payloads) == 1
    seen.inspector.detach("lan")
    assert filters(street, "ingress") == filters(street, "egress") == ""


def test_what_was_left_on_devices_that_are_not_ours_any_more_is_removed(street: Street, seen: Seen) -> None:
    with street.router.entered():
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, CLSACT], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None and child.stdout.readline()
        child.kill()
        child.communicate()
    assert seen.inspector.remove_left_over() == 2
    assert filters(street, "ingress") == filters(street, "egress") == ""


def test_attaching_again_changes_nothing_but_a_new_device_is_another(street: Street, way: str, seen: Seen) -> None:
    router = street.router
    router.run("ip", "link", "add", "port", "type", "veth", "peer", "name", "plug")
    seen.attach("port", ways=(way,))
    first = seen.inspector._attached["port"]
    seen.attach("port", ways=(way,))
    assert seen.inspector._attached["port"] is first
    assert seen.inspector.attached() == {"port": (way, True)}
    router.run("ip", "link", "del", "port")
    assert seen.inspector.attached() == {"port": (way, False)}
    with pytest.raises(NetlinkError, match="no such device"):
        seen.attach("port", ways=(way,))
    router.run("ip", "link", "add", "port", "type", "veth", "peer", "name", "plug")
    seen.attach("port", ways=(way,))
    assert seen.inspector.attached() == {"port": (way, True)}
    router.run("ip", "link", "set", "port", "name", "renamed")
    seen.inspector.detach("port")
    seen.inspector.detach("port")
    assert filters(street, "ingress", "renamed") == ""
    router.run("ip", "link", "del", "renamed")


def test_closing_leaves_nothing_and_may_be_repeated(street: Street, way: str) -> None:
    before = descriptors()
    one = Seen(street)
    one.attach(ways=(way,))
    one.inspector.close()
    one.inspector.close()
    assert descriptors() == before
    assert filters(street, "ingress") == filters(street, "egress") == ""
    remove_clsact(street)


# -- reading -------------------------------------------------------------------------------


def test_an_answer_of_dns_wakes_the_reader_at_once(street: Street, seen: Seen) -> None:
    seen.attach()
    with street.server.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server:
        name_server.bind((SERVER, 53))
        poll = select.epoll()
        poll.register(seen.inspector.fileno(), select.EPOLLIN)
        with street.client.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near:
            near.sendto(b"question-text", (SERVER, 53))
            _, client = name_server.recvfrom(100)
            seen.read()
            assert poll.poll(0) == []
            name_server.sendto(b"answer-of-twelve-or-more", client)
            near.recv(100)
        assert poll.poll(30)
        seen.read()
        assert poll.poll(0) == []
        poll.close()
    assert [one.kind for one in seen.payloads] == ["dns_query", "dns"]


def test_a_sweep_tells_what_changed_and_what_is_over(street: Street) -> None:
    seen = Seen(street, patience=Patience(udp=0.0))
    try:
        seen.attach()
        for _ in seen.inspector.sweep():
            pass
        with street.client.entered(), socket.create_connection((SERVER, street.port), 30) as near:
            far, _ = street.listener.accept()
            near.sendall(b"x" * 100)
            street.send(b"y" * 100)
            first = [one for one in seen.swept() if one.key[3] in (street.port, street.udp_port)]
            time.sleep(0.005)
            told = first + [one for one in seen.swept() if one.key[3] == street.udp_port]
            talking = [one for one in first if one.key[4] == frames.TCP]
            assert [(one.state, one.final, one.up.bytes > 100) for one in talking] == [(OPEN, False, True)]
            over = [one for one in told if one.final]  # by the second sweep, or already by the first one
            assert [(one.state, one.key[3], one.up.packets) for one in over] == [(OPEN, street.udp_port, 1)]
            assert not [one for one in seen.swept() if one.key[4] == frames.UDP]
            far.close()
        assert seen.inspector.counters()["evicted"] == 0
    finally:
        seen.inspector.close()


def test_flows_that_made_place_for_others_are_counted(street: Street) -> None:
    seen = Seen(street)
    seen.inspector.close()
    with street.router.entered():
        one = Inspector(seen.payloads.append, seen.measured.append, Switches(flows=True), Capacity(64, 4096))
        one.attach("lan")
    try:
        street.raw(*[ethernet(ipv4(CLIENT, "192.0.2.9", frames.UDP, udp(port, 9, b"x"))) for port in range(1, 1001)])
        for _ in one.sweep():
            pass
        counters = one.counters()
        kept = len([told for told in seen.measured if told.key[3] == 9])
        assert counters["begun"] >= 1000 - counters["full"]
        assert 0 < kept <= 64
        assert counters["evicted"] >= 1000 - 64 - counters["full"]
    finally:
        one.close()


def test_without_switches_nothing_is_told(street: Street) -> None:
    seen = Seen(street, Switches())
    try:
        seen.attach()
        street.talk(client_hello(), b"y" * 100)
        assert seen.swept() == [] and seen.payloads == []
        assert seen.inspector.counters()["packets"] > 5
        seen.inspector.set_switches(Switches(tls=True))
        street.talk(client_hello(), b"y" * 100)
        seen.read()
        assert len(seen.payloads) == 1 and seen.measured == []
    finally:
        seen.inspector.close()


def test_a_ring_that_nobody_reads_holds_up_nobody(street: Street) -> None:
    payloads: list[Payload] = []
    with street.router.entered():
        one = Inspector(payloads.append, print, Switches(dns_queries=True), Capacity(1024, 4096))
        one.attach("lan")
    try:
        for _ in range(100):
            street.send(b"question" * 20, port=53)
        assert arrives(street)
        counters = one.counters()
        assert counters["lost"] + counters["events"] == 100 and counters["lost"] > 50
        assert one.drain() == counters["events"] == len(payloads)
    finally:
        one.close()


def test_loading_outside_of_any_device_needs_nothing_else(bpf: None) -> None:
    with private_netns():
        one = Inspector(print, print, Switches())
        assert one.drain() == 0 and list(one.sweep()) == [0]
        assert set(one.counters().values()) == {0}
        run("ip", "link", "set", "lo", "up")
        one.attach("lo")
        one.close()
