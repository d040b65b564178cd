"""A line dies, with a bang or silently, and comes back: where packets go, how soon, and what the daemon says of it.

A client sends a datagram each 5 ms, each a flow of its own; the far side tells by which cable it came, and when. The
bounds are those that docs/rules.md promises at the defaults.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.daemon.running import Listener, Netpolicyd, netpolicyd, until
from tests.kernel.streams import Place, place
from tests.outbounds.far_side import SWALLOW

pytestmark = pytest.mark.kernel

PORT = 4789
CONFIG = """
config netpolicy 'main'
	option enabled '1'
	option primary 'wan_a'
	option inspector 'off'
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option gateway '192.0.2.1'
	option gateway6 '2001:db8:a::1'
	list probe 'ping:203.0.113.5'
	option hold '1'
config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'
	option gateway '198.51.100.1'
	option gateway6 '2001:db8:b::1'
	list probe 'ping:203.0.113.5'
config outbound 'best'
	option type 'group'
	option strategy 'failover'
	list member 'wan_a'
	list member 'wan_b'
config rule 'all'
	option priority '10'
	list dest_addr '203.0.113.5'
	option route 'best'
"""


class Arrivals:
    """What came to the far side: (seconds, cable), while it is listened."""

    def __init__(self, where: Place) -> None:
        self.seen: list[tuple[float, str]] = []
        self._where = where
        self._is_over = threading.Event()
        with where.server.entered():
            self._cables = {self._open(name): name for name in ("eth0", "eth1")}
        with where.client.entered():
            self._senders = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._listen, self._send)]

    def _open(self, name: str) -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        made.bind((name, 0x0800))
        return made

    def _listen(self) -> None:
        while not self._is_over.is_set():
            for one in select.select(list(self._cables), [], [], 0.1)[0]:
                try:
                    packet = one.recv(2048)
                except OSError:
                    continue  # its cable was pulled: told once
                if packet[9] == 17 and packet[22:24] == PORT.to_bytes(2, "big"):
                    self.seen.append((time.monotonic(), self._cables[one]))

    def _send(self) -> None:
        with self._where.client.entered():
            while not self._is_over.wait(0.005):
                with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as one:
                    one.sendto(b"?", ("203.0.113.5", PORT))

    def __enter__(self) -> Arrivals:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for one in self._threads:
            one.join()
        for cable in (*self._cables, self._senders):
            cable.close()

    def first_by(self, cable: str, since: float) -> float:
        """Seconds from then to the first datagram that came by this cable."""
        found = until(lambda: [when for when, by in self.seen if by == cable and when > since])
        return float(found[0] - since)


@pytest.fixture
def scene(tmp_path) -> Iterator[tuple[Place, Netpolicyd, Arrivals]]:
    with place() as where, netpolicyd(tmp_path, CONFIG) as daemon:
        daemon.settled()
        with Arrivals(where) as arrivals:
            arrivals.first_by("eth0", 0.0)
            yield where, daemon, arrivals


def health(daemon: Netpolicyd, name: str) -> dict:
    (found,) = [one for one in daemon.call("outbounds")["outbounds"] if one["name"] == name]
    return {**found["health"], "up": found["up"]}


def test_pulled_cable(scene):
    where, daemon, arrivals = scene
    times = []
    for _ in range(4):
        until(lambda: health(daemon, "wan_a")["trusted"])
        until(lambda: arrivals.seen[-1][1] == "eth0")
        time.sleep(0.5)
        now = time.monotonic()
        where.server.run("ip", "link", "set", "eth0", "down")
        times.append(arrivals.first_by("eth1", now))
        time.sleep(0.5)
        where.server.run("ip", "link", "set", "eth0", "up")
        where.server.run("ip", "route", "replace", "192.168.1.0/24", "via", "192.0.2.2")
        now = time.monotonic()
        print("back after", arrivals.first_by("eth0", now), health(daemon, "wan_a")["because"])
    print("carrier", times)


def test_silent_death(scene):
    where, daemon, arrivals = scene
    until(lambda: health(daemon, "wan_a")["latency_ms"])
    for _ in range(3):
        until(lambda: health(daemon, "wan_a")["trusted"])
        until(lambda: arrivals.seen[-1][1] == "eth0")
        time.sleep(0.5)
        now = time.monotonic()
        where.server.run("nft", "-f", "-", text=SWALLOW.format(device="eth0"))
        print("silent", arrivals.first_by("eth1", now), health(daemon, "wan_a")["because"])
        where.server.run("nft", "delete", "table", "inet", "swallow")
        now = time.monotonic()
        print("back after", arrivals.first_by("eth0", now), health(daemon, "wan_a")["because"])
    print(daemon.said())
