"""What clients' connections do for the health of a line, on real ones: a liar moves nothing, a death is seen sooner.

Three clients ask servers all the time; the answers say by which line they came. One lab and one daemon for all tests,
in their order. Bounds are for busy machines; docs/rules.md promises less.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from netpolicy.lab.bench import Lab
from netpolicy.lab.topology import provider
from tests.flows.ebpf.conftest import refusal
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300), needs_root]

BUSY_SECONDS = 15.0  # 3 are promised

CONFIG = """
config netpolicy 'main'
	option enabled '1'
	option default 'best'
	option confirm '0'
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option masq '1'
	list probe 'ping:192.0.2.53'
	option hold '1'
config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'
	option masq '1'
config outbound 'best'
	option type 'group'
	list member 'wan_a'
	list member 'wan_b'
"""

# A connection each 40 ms to the next of twenty servers; said: when an answered one began, and by which address it came.
ASKING = """
import asyncio, itertools, json, sys, time
async def ask(address):
    begun = time.monotonic()
    reader, writer = await asyncio.wait_for(asyncio.open_connection(address, 7), 3)
    seen = json.loads(await asyncio.wait_for(reader.readline(), 3))["seen"]
    writer.close()
    print(begun, seen, flush=True)
async def main():
    tasks = set()
    for number in itertools.cycle(range(60, 80)):
        tasks.add(asyncio.create_task(ask(f"192.0.2.{number}")))
        for one in [one for one in tasks if one.done()]:
            tasks.discard(one)
            one.exception()
        await asyncio.sleep(0.04)
asyncio.run(main())
"""
# First packets of connections to where nobody is, from any address of the network that a client likes.
FORGING = """
import socket, struct, time
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
def sum_of(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
for number in range(10_000):
    if number % 100 == 0:
        time.sleep(0.002)  # more at once than the kernel queues is lost where nobody takes it
    near = bytes((192, 168, 1, 11 if number % 2 else 20 + number % 200))
    far = bytes((198, 18, number % 251, 1 + number % 249))
    ports = 1024 + number, 443
    tcp = struct.pack("!HHIIBBHHH", *ports, number, 0, 5 << 4, 2, 64000, 0, 0)
    check = sum_of(near + far + struct.pack("!HH", 6, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack("!H", check) + tcp[18:]
    raw.sendto(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, near, far) + tcp, (socket.inet_ntoa(far), 0))
"""
# What still comes in by a line whose way out is dead: a call, a film.
POURING = """
import socket, time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    for _ in range(10):
        one.sendto(bytes(1200), ("203.0.113.2", 5004))
    time.sleep(0.05)
"""
# The provider takes nothing from the router any more.
DEAD = """
table inet dead {
	chain gone { type filter hook prerouting priority -300; iifname wan meta l4proto { tcp, udp, icmp } drop; }
}
"""


class Asked:
    """Clients that ask all the time, and what they heard."""

    def __init__(self, lab: Lab, *clients: str) -> None:
        self.heard: list[tuple[float, str]] = []
        self._programs = [
            lab.popen(
                client, [sys.executable, "-c", ASKING], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            for client in clients
        ]
        self._threads = [threading.Thread(target=self._hear, args=(one,), daemon=True) for one in self._programs]

    def _hear(self, program: Any) -> None:
        for line in program.stdout:
            if not line.endswith("\n"):
                return  # killed in the middle of it
            begun, seen = line.split()
            self.heard.append((float(begun), seen))

    def __enter__(self) -> Asked:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._programs:
            program.kill()
            program.wait()
        for one in self._threads:
            one.join()

    def by(self, line: str, since: float) -> list[float]:
        """When those began, from then on, that were answered by this line."""
        return sorted(begun for begun, seen in list(self.heard) if begun > since and seen == provider(line).router4)

    def moved(self, lab: Lab, since: float) -> float:
        """Seconds until the first that was answered by line B."""
        return lab.wait_for(lambda: self.by("b", since), BUSY_SECONDS, "an answer by line B")[0] - since


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if why := refusal():
        pytest.skip(why)
    with Lab() as found:
        found.start_daemon(CONFIG)
        found.run("isp_a", ["ip", "route", "add", "blackhole", "198.18.0.0/15"], check=True)
        yield found
        assert found.stop_daemon() == 0
        assert "Traceback" not in found.daemon_log() and "a fault in" not in found.daemon_log()


def health(lab: Lab) -> dict[str, Any]:
    (found,) = [one for one in lab.call("outbounds")["outbounds"] if one["name"] == "wan_a"]
    return {**found["health"], "up": found["up"]}


def is_well(lab: Lab) -> None:
    lab.wait_for(lambda: health(lab)["state"] == "NORMAL" and health(lab)["latency_ms"], 60.0, "line A is well")


def test_ten_thousand_connections_of_one_client_to_nobody_move_nothing(lab: Lab) -> None:
    is_well(lab)
    since = health(lab)["since"]
    lab.run("desk", [sys.executable, "-c", FORGING], check=True)
    lab.wait_for(lambda: lab.call("connections", {"filter": "198.18."})["total"] > 9900 and [1], 30.0, "they are seen")
    with Asked(lab, "laptop") as asked:
        lab.wait_for(lambda: len(asked.by("a", 0.0)) > 20, 30.0, "others are served")
        by_b = asked.by("b", 0.0)
    steps = [one for one in lab.daemon_log().splitlines() if "DEGRADED" in one or "FAILOVER" in one]
    # A machine that stands still for a second loses an answer to a probe: then that is said, and nothing of clients.
    assert not any("without answer" in one for one in steps), steps
    assert steps or (by_b, health(lab)["state"], health(lab)["since"]) == ([], "NORMAL", since)


def test_a_silent_death_is_seen_with_what_clients_say_among_the_reasons(lab: Lab) -> None:
    is_well(lab)
    with Asked(lab, "desk", "laptop", "guest") as asked:
        lab.wait_for(lambda: len(asked.by("a", 0.0)) > 60, 30.0, "clients are served")
        died = time.monotonic()
        lab.relay("a", "drop")
        assert asked.moved(lab, died) < BUSY_SECONDS
        found = health(lab)
        assert (
            not found["up"] and " without answer; " in found["because"] and "rounds of probes lost" in found["because"]
        )
        lab.relay("a", "restore")
        came = time.monotonic()
        lab.wait_for(lambda: asked.by("a", came), 60.0, "line A is used again")


def test_a_line_by_which_packets_only_come_in_is_down_and_not_slow(lab: Lab) -> None:
    is_well(lab)
    with Asked(lab, "desk", "laptop") as asked, contextlib.ExitStack() as ended:
        lab.wait_for(lambda: len(asked.by("a", 0.0)) > 40, 30.0, "clients are served")
        pouring = ended.enter_context(lab.popen("isp_a", [sys.executable, "-c", POURING]))
        ended.callback(pouring.kill)
        begun = time.monotonic()
        lab.wait_for(lambda: len(asked.by("a", begun)) > 20, 30.0, "it is served all the same")
        died = time.monotonic()
        lab.run("isp_a", ["nft", "-f", "-"], input=DEAD, check=True)
        assert asked.moved(lab, died) < BUSY_SECONDS
        lab.wait_for(lambda: not health(lab)["up"], 30.0, "line A is down")
        assert "rounds of probes lost" in health(lab)["because"]
