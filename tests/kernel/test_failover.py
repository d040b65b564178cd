"""A line is pulled, dies silently, is taken out by hand, and comes back: where packets go, how soon, and what is left.

Each 5 ms clients send datagrams of both families, each a flow of its own, and one flow that stays; the far side tells
by which cable they came. Bounds here are for busy machines; docs/rules.md promises less. The tests are one story.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from tests.daemon.running import Listener, Netpolicyd, netpolicyd, until
from tests.kernel.streams import FAMILY, SERVER, Place, Stream, place, spread
from tests.netns import needs_root
from tests.outbounds.far_side import SWALLOW

pytestmark = [pytest.mark.kernel, needs_root]

NEW, OPEN, SEALED = 4789, 4790, 4791  # datagrams: a flow each, one flow, by line A or not at all
HEALTHY, MOVING = 5555, 7000  # TCP
CONNECTIONS = 500

BUSY_SECONDS = 20.0  # of a machine that does much else; 0.2 and 3 are promised

CONFIG = f"""
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
	list probe 'ping:2001:db8:f::5'
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
config rule 'healthy'
	option priority '30'
	list proto 'tcp'
	list dest_port '{HEALTHY}'
	option route 'wan_b'
config rule 'sealed'
	option priority '20'
	list proto 'udp'
	list dest_port '{SEALED}'
	option route 'wan_a'
	option on_fail 'block'
config rule 'all'
	option priority '10'
	list dest_addr '203.0.113.5'
	list dest_addr '2001:db8:f::5'
	option route 'best'
"""
# What the far side says in a connection comes by line B: by A nothing comes in that would tell it from a dead one.
ANSWERS = """
route add 192.168.1.0/24 via 198.51.100.2 metric 100
route add fd00:1::/64 via 2001:db8:b::2 metric 2000
route add 192.168.1.0/24 via 198.51.100.2 table 100
route add fd00:1::/64 via 2001:db8:b::2 table 100
"""
SAID = (f"rule add sport {HEALTHY} ipproto tcp lookup 100\n", f"rule add sport {MOVING} ipproto tcp lookup 100\n")
BACK = """
link set eth0 up
route replace 192.168.1.0/24 via 192.0.2.2
route replace fd00:1::/64 via 2001:db8:a::2
"""

Arrival = tuple[float, str, int, int]  # when it was sent, by which cable it came, family, port


class Arrivals:
    """What is sent, and what came to the far side."""

    def __init__(self, where: Place) -> None:
        self.seen: list[Arrival] = []
        self._where = where
        self._is_over = threading.Event()
        with where.server.entered():
            self._cables = {self._listener(name): name for name in ("eth0", "eth1")}
            self._sinks = [self._sink(family, port) for family in (4, 6) for port in (NEW, OPEN, SEALED)]
        with where.client.entered():
            self._open = {family: socket.socket(FAMILY[family], socket.SOCK_DGRAM) for family in (4, 6)}
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._listen, self._send)]

    def _sink(self, family: int, port: int) -> socket.socket:
        """Takes it, so that nothing comes back by the line that is to look dead."""
        made = socket.socket(FAMILY[family], socket.SOCK_DGRAM)
        made.bind((SERVER[family], port))
        return made

    def _listener(self, name: str) -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
        made.bind((name, 0x0003))
        return made

    def _listen(self) -> None:
        while not self._is_over.is_set():
            for one in select.select(list(self._cables), [], [], 0.1)[0]:
                with contextlib.suppress(OSError):  # its cable was pulled: told once
                    packet, (_, _, kind, *_) = one.recvfrom(128)
                    if kind == socket.PACKET_HOST:
                        self._note(packet, self._cables[one])

    def _note(self, packet: bytes, cable: str) -> None:
        family = packet[0] >> 4
        protocol, port = (packet[9], packet[22:24]) if family == 4 else (packet[6], packet[42:44])
        if protocol == socket.IPPROTO_UDP:
            # What waited in the router for its neighbour comes late: it is older than the change.
            (sent,) = struct.unpack("=d", packet[28:36] if family == 4 else packet[48:56])
            self.seen.append((sent, cable, family, int.from_bytes(port, "big")))

    def _send(self) -> None:
        numbers = itertools.cycle(range(10_000, 32_000))  # a number used again would be an old flow
        with self._where.client.entered():
            while not self._is_over.wait(0.005):
                number = next(numbers)
                for family in (4, 6):
                    with contextlib.closing(socket.socket(FAMILY[family], socket.SOCK_DGRAM)) as one:
                        if family == 6:  # a process that is started meanwhile holds on to the other for a moment
                            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                        one.bind(("", number))
                        for port, sender in ((NEW, one), (SEALED, one), (OPEN, self._open[family])):
                            with contextlib.suppress(OSError):  # what the router answered to one before
                                sender.sendto(struct.pack("=d", time.monotonic()), (SERVER[family], port))

    def __enter__(self) -> Arrivals:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for one in self._threads:
            one.join()
        for made in (*self._cables, *self._sinks, *self._open.values()):
            made.close()

    def since(self, when: float, cable: str, *ports: int) -> list[Arrival]:
        return [one for one in list(self.seen) if one[0] > when and one[1] == cable and one[3] in ports]

    def seconds_until(self, cable: str, when: float, *ports: int, seconds: float = BUSY_SECONDS) -> float:
        """From then until something was sent by this cable in both families, of new flows and of these."""

        def moved() -> float | None:
            first = {one[2:]: one[0] for one in reversed(self.since(when, cable, NEW, *ports))}
            return max(first.values()) - when if len(first) == 2 + 2 * len(ports) else None

        return float(until(moved, seconds))


class Scene:
    """The place, the daemon, and connections that talk all the time."""

    def __init__(self, where: Place, daemon: Netpolicyd, arrivals: Arrivals) -> None:
        self.where, self.daemon, self.arrivals = where, daemon, arrivals
        self.events = Listener(daemon.socket)
        self.healthy = spread(where, HEALTHY, CONNECTIONS)
        self.moving = spread(where, MOVING, 4)
        self._is_over = threading.Event()
        self._talking = threading.Thread(target=asyncio.run, args=(self._talk(),), daemon=True)
        self._talking.start()

    async def _talk(self) -> None:
        talks = [one.talk(1, self._is_over, 0.5) for one in self.healthy]
        await asyncio.gather(*talks, *(one.talk(1, self._is_over, 0.05) for one in self.moving))

    def server(self, commands: str) -> None:
        self.where.server.run("ip", "-batch", "-", text=commands)

    def health(self, name: str) -> dict:
        (found,) = [one for one in self.daemon.call("outbounds")["outbounds"] if one["name"] == name]
        return {**found["health"], "up": found["up"], "reason": found["reason"]}

    def steps(self) -> list[tuple[str, str, str]]:
        """What line A went through, as it was told, and why."""
        heard = [one for name, one in list(self.events.heard) if name == "netpolicy.outbound"]
        return [
            (one["before"], one["state"], one["reason"]) for one in heard if one["name"] == "wan_a" and "before" in one
        ]

    def is_well(self) -> None:
        """Line A carries, as at the beginning."""
        until(lambda: self.health("wan_a")["state"] == "NORMAL" and self.health("wan_a")["latency_ms"])
        self.arrivals.seconds_until("eth0", time.monotonic())

    def end(self) -> list[Stream]:
        self._is_over.set()
        self._talking.join(20)
        return self.healthy


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Iterator[Scene]:
    with place() as where, netpolicyd(tmp_path_factory.mktemp("failover"), CONFIG) as daemon:
        where.server.sysctl("net/ipv6/conf/eth0/keep_addr_on_down", 1)
        where.server.run("ip", "-batch", "-", text=ANSWERS)
        for family in ("-4", "-6"):
            where.server.run("ip", family, "-batch", "-", text="".join(SAID))
        daemon.settled()
        with Arrivals(where) as arrivals:
            built = Scene(where, daemon, arrivals)
            yield built
            built.end()


def test_a_pulled_cable_moves_new_and_open_flows_of_both_families_at_once(scene):
    scene.is_well()
    now = time.monotonic()
    scene.server("link set eth0 down")
    assert scene.arrivals.seconds_until("eth1", now, OPEN) < BUSY_SECONDS
    assert scene.health("wan_a")["because"] == "wana has no carrier"
    assert scene.daemon.call("status")["state"] == "FAILOVER"


def test_the_line_that_is_plugged_in_again_is_used_after_its_hold_down(scene):
    now = time.monotonic()
    scene.server(BACK)
    until(lambda: ("FAILOVER", "RECOVERY") in [one[:2] for one in scene.steps()])  # it lasts but a second
    assert scene.arrivals.seconds_until("eth0", now, seconds=30) > 0.8
    assert scene.health("wan_a")["trusted"]
    now = time.monotonic()
    until(lambda: len(scene.arrivals.since(now, "eth1", OPEN)) > 5)
    assert scene.arrivals.since(now, "eth0", OPEN) == [], "what goes by a healthy line stays there"


def test_a_silent_death_is_seen_by_its_probes_and_what_is_sealed_goes_nowhere(scene):
    scene.is_well()
    now = time.monotonic()
    scene.where.server.run("nft", "-f", "-", text=SWALLOW.format(device="eth0"))
    assert scene.arrivals.seconds_until("eth1", now) < BUSY_SECONDS
    found = scene.health("wan_a")
    assert not found["up"] and "rounds of probes lost" in found["because"] and found["reason"] == found["because"]
    warnings = scene.daemon.call("status")["warnings"]
    assert any(one["code"] == "NP903" and "rounds of probes lost" in one["message"] for one in warnings)
    # What follows on_fail block leaves by no cable at all now.
    quiet = time.monotonic() + 0.05
    scene.arrivals.seconds_until("eth1", quiet)
    assert scene.arrivals.since(quiet, "eth0", SEALED) == []


def test_a_line_that_answers_again_is_used_again(scene):
    scene.where.server.run("nft", "delete", "table", "inet", "swallow")
    scene.arrivals.seconds_until("eth0", time.monotonic(), seconds=30)
    assert scene.arrivals.since(0, "eth0", SEALED)


def test_a_line_is_taken_out_by_hand_and_brought_back(scene):
    now = time.monotonic()
    assert scene.daemon.call("outbound_set", name="wan_a", state="down")["ok"]
    scene.arrivals.seconds_until("eth1", now)
    assert (scene.health("wan_a")["reason"], scene.health("wan_a")["by_hand"]) == ("taken out by hand", "down")
    now = time.monotonic()
    assert scene.daemon.call("outbound_set", name="wan_a", state="auto")["ok"]
    scene.arrivals.seconds_until("eth0", now)


def test_all_the_while_nothing_was_lost_or_leaked_and_every_step_was_told(scene):
    assert [one.error for one in scene.end() if one.error] == [], "connections on the healthy line"
    assert min(one.received for one in scene.healthy) > 500
    assert [one.error for one in scene.moving] == [""] * 4, "those that changed the line"
    assert scene.arrivals.since(0, "eth1", SEALED) == []
    until(lambda: scene.steps()[-1][1] == "NORMAL")
    steps = scene.steps()
    assert all(after == before for (_, after, _), (before, _, _) in itertools.pairwise(steps)), steps
    # A busy machine makes a line slow, or loses a round of probes, in between: then there are more of them.
    falls = [why for _, after, why in steps if after == "FAILOVER"]
    assert falls[0] == "wana has no carrier" and "3 of 3 rounds of probes lost" in " ".join(falls[1:]), steps
    assert [after for before, after, _ in steps if before == "FAILOVER"] == ["RECOVERY"] * len(falls)
