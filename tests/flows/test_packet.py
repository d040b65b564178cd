"""The packet tier beside real connections: what they begin with, how they begin and end, and nothing else."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from netpolicy.flows.handshakes import UNANSWERED_SECONDS
from netpolicy.flows.packet import QUIC_LIMIT, FirstDatagrams, PacketInspector, Refused
from netpolicy.flows.packet_filter import WAN
from netpolicy.flows.packet_ring import Captured
from netpolicy.flows.reader import Name, Reader
from netpolicy.flows.seen import (
    BEGINNING,
    CLOSED,
    DNS_ANSWER,
    DNS_QUERY,
    OPEN,
    QUIC,
    RESET,
    SYN,
    Measured,
    Payload,
    SeenKey,
)
from tests.flows.packets import CLIENT, HELLO, INITIAL, QUERY, REQUEST, TCP, UDP, ipv4, mapped, tcp
from tests.flows.street import FAMILY, SERVER, Street, street
from tests.flows.test_packet_filter import ALL, NONE
from tests.netns import needs_root

kernel = pytest.mark.kernel


class Watching:
    """A tier and what it told."""

    def __init__(self, device: str = "lan", role: str = "lan", wanted=ALL) -> None:
        self.payloads: list[Payload] = []
        self.measured: list[Measured] = []
        self.tier = PacketInspector(self.payloads.append, self.measured.append, wanted)
        self.tier.attach(device, role)

    def until(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        """Reads until it holds; fails with what was told."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.payloads, self.measured, self.tier.counters())
            select.select([self.tier], [], [], 0.2)
            self.tier.drain()

    def over(self) -> list[Measured]:
        return [one for one in self.measured if one.final]


@pytest.fixture
def place() -> Iterator[Street]:
    with street() as built:
        yield built


@pytest.fixture
def watching(place) -> Iterator[Watching]:
    made = Watching()
    yield made
    made.tier.close()


def key(family: int, near: socket.socket, port: int, protocol: int = TCP) -> SeenKey:
    return mapped(CLIENT[family]), mapped(SERVER[family]), near.getsockname()[1], port, protocol


def udp(place: Street, family: int, port: int, data: bytes, times: int = 1) -> socket.socket:
    with place.client.entered():
        near = socket.socket(FAMILY[family], socket.SOCK_DGRAM)
    for _ in range(times):
        near.sendto(data, (SERVER[family], port))
    return near


@kernel
@needs_root
@pytest.mark.parametrize("family", [4, 6])
def test_a_connection_is_told_from_its_first_words_to_its_end(place, watching, family):
    near, far = place.tcp(family, 443)
    near.sendall(HELLO)
    far.recv(1000)
    watching.until(lambda: watching.payloads and watching.measured)
    begun, talk = watching.payloads[0], watching.measured[0]
    assert (begun.key, begun.kind, begun.offset, begun.data, begun.first) == (
        key(family, near, 443), BEGINNING, 0, HELLO, True,
    )  # fmt: skip
    assert abs(begun.when - time.monotonic()) < 5
    assert (talk.key, talk.state, talk.final, talk.up.syns, talk.down.syns) == (begun.key, OPEN, False, 1, 1)
    assert 0 < talk.rtt_remote_us < 100_000 and (talk.up.ttl, talk.down.ttl) == (64, 63)
    assert talk.ifindex == socket.if_nametoindex("lan")
    client = place.client.run("ip", "-br", "link", "show", "dev", "eth0").split()[2]
    assert talk.mac == bytes.fromhex(client.replace(":", ""))
    near.close()
    far.close()
    watching.until(watching.over)
    assert (watching.over()[0].state, watching.over()[0].key) == (CLOSED, begun.key)
    assert len(watching.payloads) == 1
    assert watching.tier.counters()["lost"] == watching.tier.counters()["unreadable"] == 0


@kernel
@needs_root
def test_a_reset_and_a_refusal(place, watching):
    near, far = place.tcp(4, 443)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    watching.until(watching.over)
    torn = watching.over()[0]
    assert (torn.state, torn.up.resets, torn.down.resets) == (RESET, 0, 1)
    assert torn.down.ttl == torn.down.ttl_reset == 63
    with place.client.entered(), pytest.raises(ConnectionRefusedError):
        socket.create_connection((SERVER[4], 81), 30)
    watching.until(lambda: len(watching.over()) == 2)
    refused = watching.over()[1]
    assert (refused.state, refused.key[3], refused.down.resets, refused.rtt_remote_us) == (RESET, 81, 1, 0)
    near.close()


@kernel
@needs_root
def test_who_gets_no_answer_is_told_in_a_sweep(place, watching, monkeypatch):
    place.server.run("nft", "add table inet deaf; add chain inet deaf in { type filter hook input priority 0; }")
    place.server.run("nft", "add rule inet deaf in tcp dport 444 drop")
    with place.client.entered():
        near = socket.socket()
    near.setblocking(False)
    near.connect_ex((SERVER[4], 444))
    watching.until(lambda: watching.tier.counters()["begun"])
    assert sum(watching.tier.sweep()) == 1
    (told,) = watching.measured
    assert (told.state, told.final, told.key) == (SYN, False, key(4, near, 444))
    assert 1 <= told.up.syns <= watching.tier.counters()["packets"]  # the kernel calls again after a second
    assert sum(watching.tier.sweep()) == 0
    later = time.monotonic() + UNANSWERED_SECONDS + 2
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert sum(watching.tier.sweep()) == 1
    assert (watching.measured[-1].state, watching.measured[-1].final) == (SYN, True)
    near.close()


@kernel
@needs_root
@pytest.mark.parametrize("family", [4, 6])
def test_names_that_are_asked_for_and_told_and_quic(place, watching, family):
    with place.server.entered():
        resolver = socket.socket(FAMILY[family], socket.SOCK_DGRAM)
    resolver.bind((SERVER[family], 53))
    resolver.settimeout(30)
    near = udp(place, family, 53, QUERY)
    asked, asker = resolver.recvfrom(1000)
    resolver.sendto(asked + b"answer", asker)
    quic = udp(place, family, 443, INITIAL, times=5)
    watching.until(lambda: len(watching.payloads) >= 5)
    assert [(one.kind, one.key, one.data, one.first) for one in watching.payloads] == [
        (DNS_QUERY, key(family, near, 53, UDP), QUERY, True),
        (DNS_ANSWER, key(family, near, 53, UDP), QUERY + b"answer", True),
        *((QUIC, key(family, quic, 443, UDP), INITIAL, number == 0) for number in range(3)),
    ]
    assert watching.measured == []
    for opened in (resolver, near, quic):
        opened.close()


@kernel
@needs_root
def test_a_real_hello_sent_in_one_packet_of_sixty_kilobytes_is_read(place, watching):
    """The sender's kernel gives the device what it will cut into packets later; so does one that merged them."""
    out = ssl.MemoryBIO()
    talk = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="www.example.com")
    with contextlib.suppress(ssl.SSLWantReadError):
        talk.do_handshake()
    hello = out.read()
    near, far = place.tcp(4, 443)
    near.sendall(hello + bytes(60_000))
    received = 0
    while received < 60_000:
        received += len(far.recv(1 << 20))
    watching.until(lambda: watching.payloads)
    assert len(watching.payloads) == 1 and watching.payloads[0].data.startswith(hello)
    found = Reader().read(watching.payloads[0])
    assert isinstance(found, Name) and (found.name, found.source) == ("www.example.com", "tls")


@kernel
@needs_root
def test_only_the_first_request_of_a_connection_is_told_and_only_of_clients(place, watching):
    near, far = place.tcp(4, 80)
    for _ in range(3):
        near.sendall(REQUEST)
        far.sendall(REQUEST)
        assert far.recv(1000) and near.recv(1000)
    with place.client.entered():
        server = socket.create_server((CLIENT[4], 8080))
    place.router.run("ip", "route", "replace", "10.1.0.0/24", "dev", "lan")
    place.server.run("ip", "route", "add", "10.1.0.0/24", "via", "203.0.113.1")
    with place.server.entered():
        guest = socket.create_connection((CLIENT[4], 8080), 30)
    guest.sendall(REQUEST)
    inner, _ = server.accept()
    inner.sendall(REQUEST)
    assert inner.recv(1000) and guest.recv(1000)
    guest.close()
    inner.close()
    watching.until(watching.over)
    assert [(one.key[3], one.data) for one in watching.payloads] == [(80, REQUEST)]
    (inbound,) = watching.over()
    assert (inbound.inbound, inbound.key[2], inbound.state) == (True, 8080, CLOSED)
    assert inbound.key[:2] == (mapped(CLIENT[4]), mapped(SERVER[4]))
    server.close()


@kernel
@needs_root
def test_of_a_connection_from_before_the_words_are_told_as_they_come(place):
    near, far = place.tcp(4, 80)
    watching = Watching()
    for number in (1, 2):
        near.sendall(REQUEST)
        far.recv(1000)
        watching.until(lambda number=number: len(watching.payloads) == number)
    near.close()
    far.close()
    watching.until(lambda: watching.tier.counters()["stray"] >= 2)
    assert watching.measured == []
    watching.tier.close()


@kernel
@needs_root
def test_at_the_other_side_of_the_router_the_client_is_the_router(place):
    watching = Watching("uplink", WAN)
    near, _ = place.tcp(4, 443)
    near.sendall(HELLO)
    watching.until(lambda: watching.payloads and watching.measured)
    assert watching.payloads[0].key[:2] == (mapped("203.0.113.1"), mapped(SERVER[4]))
    assert (watching.measured[0].inbound, watching.measured[0].state) == (False, OPEN)
    watching.tier.close()


@kernel
@needs_root
def test_switches_change_what_is_seen_while_it_runs(place, watching):
    watching.tier.set_switches(NONE)
    near, _ = place.tcp(4, 443)
    near.sendall(HELLO)
    udp(place, 4, 53, QUERY).close()
    watching.tier.set_switches(NONE._replace(dns_queries=True))
    udp(place, 4, 53, QUERY).close()
    watching.until(lambda: watching.payloads)
    assert [one.kind for one in watching.payloads] == [DNS_QUERY] and watching.measured == []


@kernel
@needs_root
def test_a_device_that_vanishes_and_comes_back_is_watched_again(place, watching):
    assert watching.tier.attached() == {"lan": ("packet", True)}
    place.router.run("ip", "link", "add", "guest", "type", "veth", "peer", "name", "other")
    assert watching.tier.attach("guest") == "packet"
    before = socket.if_nametoindex("guest")
    place.router.run("ip", "link", "delete", "guest")
    assert watching.tier.attached() == {"lan": ("packet", True), "guest": ("packet", False)}
    assert watching.tier.drain() == 0 and not select.select([watching.tier], [], [], 0)[0]
    with pytest.raises(Refused, match="guest"):
        watching.tier.attach("guest")
    place.router.run("ip", "link", "add", "guest", "type", "veth", "peer", "name", "other")
    assert watching.tier.attach("guest") == watching.tier.attach("guest") == "packet"
    assert watching.tier.attached()["guest"] == ("packet", True) and socket.if_nametoindex("guest") != before
    watching.tier.detach("guest")
    watching.tier.detach("guest")
    assert list(watching.tier.attached()) == ["lan"]


@kernel
@needs_root
def test_what_is_lost_is_counted_also_of_devices_that_are_no_more_watched(place):
    watching = Watching()
    watching.tier.detach("lan")
    watching.tier._blocks = 1
    watching.tier.attach("lan")
    udp(place, 4, 443, INITIAL, times=300).close()
    watching.until(lambda: watching.payloads)
    lost = watching.tier.counters()["lost"]
    assert lost > 200 and watching.tier.counters()["packets"] >= 300
    watching.tier.detach("lan")
    assert watching.tier.counters()["lost"] == lost
    watching.tier.close()
    watching.tier.close()


@kernel
@needs_root
def test_a_drain_ends_when_its_share_is_done(place, watching):
    """Blocks that the kernel fills as fast as they are read do not keep the caller for ever."""
    stop = threading.Event()

    def flood() -> None:
        with place.client.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near:
            while not stop.is_set():
                near.sendto(INITIAL, (SERVER[4], 443))

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        counts: list[int] = []
        end = time.monotonic() + 30
        while (len(counts) < 20 or sum(counts) <= 100) and time.monotonic() < end:
            select.select([watching.tier], [], [], 1)
            counts.append(watching.tier.drain(limit=30))
    finally:
        stop.set()
        thread.join()
    assert max(counts) < 100 and sum(counts) > 100


def test_who_talks_to_whom_is_not_told_where_only_names_are_wanted():
    """A SYN that carries a hello is taken for its name."""
    for wanted, begun in ((ALL, 1), (ALL._replace(flows=False), 0)):
        payloads: list[Payload] = []
        measured: list[Measured] = []
        tier = PacketInspector(payloads.append, measured.append, wanted)
        tier._take(Captured(ipv4(tcp(HELLO, 0x02)), 0x0800, False, False, b"", 1.0), 1, "lan")
        assert [one.data for one in payloads] == [HELLO]
        assert tier.counters()["begun"] == begun and not measured
        tier.close()


def test_a_port_that_comes_back_begins_a_new_connection_and_memory_is_bounded():
    seen = FirstDatagrams()
    ends = [(mapped(CLIENT[4]), mapped(SERVER[4]), port, 443, UDP) for port in range(QUIC_LIMIT + 5)]
    assert [seen.number(ends[0], when) for when in (1.0, 1.1, 1.2, 30.0, 32.0, 32.1)] == [0, 1, 2, 3, 0, 1]
    for one in ends[1:]:
        assert seen.number(one, 33.0) == 0
    assert len(seen._seen) == QUIC_LIMIT
    assert seen.number(ends[0], 33.0) == 0
