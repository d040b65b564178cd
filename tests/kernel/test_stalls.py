"""What open connections of clients say of a line that nobody probes, on real ones, as eBPF shows them.

No client begins anything while it is looked: what is open, and hears nothing, is all that there is. One lab and one
daemon for all tests, in their order.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from netpolicy.lab.bench import Lab
from tests.flows.ebpf.conftest import refusal
from tests.netns import needs_root

# A sweep each three seconds, of which three or four have to say the same, while TCP waits longer and longer.
pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(400), needs_root]

SECONDS = 90.0  # TCP waits for twice as long each time, and begins with what the handshake took

CONFIG = """
config netpolicy 'main'
	option enabled '1'
	option default 'wan_a'
	option confirm '0'
	option inspector 'ebpf'
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option masq '1'
	option max_client_loss '5'
"""

# Opens a connection to each address, says so, and from then on a line in each, three times a second.
TALKING = """
import asyncio, sys
async def talk(reader, writer):
    while True:
        writer.write(b"and so on\\n")
        await asyncio.sleep(0.3)
async def hear(reader):
    while await reader.readline():
        pass
async def main():
    ends = [await asyncio.open_connection(address, 7) for address in sys.argv[1:]]
    print("open", flush=True)
    await asyncio.gather(*(talk(*one) for one in ends), *(hear(reader) for reader, _ in ends))
asyncio.run(main())
"""
# The same with more to say: much is under way both ways, in packets that are full.
POURING = TALKING.replace('b"and so on\\n"', 'b"x" * 8000 + b"\\n"').replace("0.3", "0.05")
# One packet in four that comes in by the line is lost, of these servers.
LOSING = """
table ip losing {{
	chain some {{
		type filter hook forward priority 0;
		oifname wan ip saddr {{ {} }} numgen random mod 4 == 0 drop
	}}
}}
"""
# A request to each, by a connection of its own; how many were answered.
FETCHING = """
import socket, sys
answered = 0
for address in sys.argv[1:]:
    try:
        with socket.create_connection((address, 80), 20) as one:
            one.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            answered += bool(one.recv(1))
    except ConnectionResetError:
        pass
print(answered)
"""
# Somebody on the way resets whatever says something.
CUTTING = """
table ip losing {
	chain some { type filter hook forward priority 0; iifname wan tcp dport 80 ip length > 60 reject with tcp reset; }
}
"""
# Data in connections that nobody opened, from the addresses of two clients, each piece three times, four times over.
FORGING = """
import socket, struct, time
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
def sum_of(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
for number in range(2400):
    if number and number % 600 == 0:
        time.sleep(3)
    number %= 600
    near, far = bytes((192, 168, 1, 11 + number // 3 % 2)), bytes((198, 18, number // 3 % 251, 9))
    tcp = struct.pack("!HHIIBBHHH", 1024 + number // 3, 443, 1, 1, 5 << 4, 24, 64000, 0, 0)
    check = sum_of(near + far + struct.pack("!HH", 6, len(tcp) + 8) + tcp + bytes(8))
    tcp = tcp[:16] + struct.pack("!H", check) + tcp[18:] + bytes(8)
    raw.sendto(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 48, 0, 0, 64, 6, 0, near, far) + tcp, (socket.inet_ntoa(far), 0))
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if why := refusal():
        pytest.skip(why)
    with Lab() as found:
        found.start_daemon(CONFIG)
        found.run("isp_a", ["ip", "route", "add", "blackhole", "198.18.0.0/15"], check=True)
        # It registers on the bus before it watches: what is sent between the two is seen by nobody.
        found.wait_for(lambda: found.call("status")["inspector"]["devices"], SECONDS, "connections are watched")
        yield found
        assert found.stop_daemon() == 0
        assert "Traceback" not in found.daemon_log() and "a fault in" not in found.daemon_log()


@contextlib.contextmanager
def talking(lab: Lab, client: str, *servers: int, words: str = TALKING) -> Iterator[None]:
    """A client with a connection to each of these."""
    argv = [sys.executable, "-c", words, *(f"192.0.2.{server}" for server in servers)]
    program = lab.popen(client, argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert program.stdout.readline() == "open\n"
        yield
    finally:
        program.kill()
        program.wait()


def health(lab: Lab) -> dict[str, Any]:
    (found,) = [one["health"] for one in lab.call("outbounds")["outbounds"] if one["name"] == "wan_a"]
    return found  # type: ignore[no-any-return]


def repeated(lab: Lab, address: str, port: int = 7) -> list[int]:
    """How often each connection of a client was repeated."""
    found = lab.call("connections", {"filter": address, "limit": 2000})["connections"]
    return [one["retransmits"] or 0 for one in found if one["src"] == address and one["dest_port"] == port]


def test_data_in_connections_that_nobody_opened_moves_nothing(lab: Lab) -> None:
    """From both clients, as it seems, and for as long as it takes to believe what is true."""
    assert lab.tcp("laptop", "192.0.2.70")["ok"], "its address is known"
    lab.run("desk", [sys.executable, "-c", FORGING], check=True)
    lab.wait_for(lambda: [n for n in repeated(lab, "192.168.1.12", 443) if n >= 11][90:], SECONDS, "it is in vain")
    assert health(lab)["state"] == "NORMAL" and "DEGRADED" not in lab.daemon_log()


def test_one_client_whose_connections_all_hear_nothing_moves_nothing(lab: Lab) -> None:
    with talking(lab, "desk", 60, 61, 62, 63, 64, 65):
        lab.relay("a", "drop")
        lab.wait_for(
            lambda: [n for n in repeated(lab, "192.168.1.11") if n >= 7][5:], SECONDS, "it waits in vain for 12 s"
        )
        assert health(lab)["state"] == "NORMAL"
        lab.relay("a", "restore")
    assert "DEGRADED" not in lab.daemon_log()


def test_open_connections_of_two_clients_that_hear_nothing_make_the_line_suspicious(lab: Lab) -> None:
    with talking(lab, "desk", 60, 61, 62), talking(lab, "laptop", 70, 71, 72):
        lab.relay("a", "drop")
        lab.wait_for(lambda: health(lab)["state"] == "DEGRADED" and [1], SECONDS, "line A is suspicious")
        assert "of 2 clients to" in health(lab)["because"] and "without answer" in health(lab)["because"]
        lab.relay("a", "restore")
        for number in (60, 61, 62):
            assert lab.tcp("desk", f"192.0.2.{number}")["ok"]
        lab.wait_for(lambda: health(lab)["state"] != "DEGRADED" and [1], SECONDS, "new connections clear it")
        assert "addresses answered clients since" in lab.daemon_log()


def harm(lab: Lab, rules: str = "") -> None:
    """What the provider of line A does from now on."""
    lab.run("isp_a", ["nft", "-f", "-"], input=f"add table ip losing\ndelete table ip losing\n{rules}", check=True)


def losing(*servers: int) -> str:
    """Of what those send."""
    return LOSING.format(", ".join(f"192.0.2.{server}" for server in servers))


def lost(lab: Lab, address: str) -> list[float]:
    """By destination of a client: the share of loss."""
    found = lab.call("connections", {"filter": address, "limit": 2000})["connections"]
    return [one["dest_quality"]["loss"] or 0 for one in found if one["src"] == address and one["dest_port"] == 7]


def test_loss_of_several_clients_degrades_the_line_and_that_of_one_or_by_one_server_does_not(lab: Lab) -> None:
    """Nobody begins anything: what is open is all that there is."""
    desk, laptop = (60, 61, 62, 80), (70, 71, 72, 80)
    with talking(lab, "desk", *desk, words=POURING), talking(lab, "laptop", *laptop, words=POURING):
        harm(lab, losing(*desk))  # one client, and one server of the other one
        lab.wait_for(lambda: [n for n in lost(lab, "192.168.1.11") if n > 0.05][3:], SECONDS, "the desk loses much")
        first = sum(repeated(lab, "192.168.1.11"))
        lab.wait_for(lambda: [n for n in lost(lab, "192.168.1.12") if n > 0.05], SECONDS, "so does one of the laptop's")
        lab.wait_for(lambda: sum(repeated(lab, "192.168.1.11")) > first and [1], SECONDS, "that was weighed")
        assert health(lab)["state"] != "DEGRADED" and "loss" not in lab.daemon_log()
        harm(lab, losing(*desk, *laptop))
        lab.wait_for(lambda: health(lab)["state"] == "DEGRADED" and [1], SECONDS, "line A loses much")
        because = health(lab)["because"]
        assert re.fullmatch(r"loss \d+ % of what 2 clients receive from [4-7] addresses, more than 5", because), because
        harm(lab)
        lab.wait_for(lambda: health(lab)["state"] != "DEGRADED" and [1], SECONDS, "it arrives again")
    assert "what clients send and receive arrives" in lab.daemon_log()


def test_where_all_that_clients_begin_is_reset_after_the_handshake_the_line_is_degraded(lab: Lab) -> None:
    """A filter on the way: every server takes the connection, and what was answered before is forgotten soon."""
    servers = [f"192.0.2.{server}" for server in (60, 61, 62, 70, 71, 72)]

    def fetched() -> list[str]:
        words = [sys.executable, "-c", FETCHING, *servers]
        return [lab.run(client, words, check=True).stdout.strip() for client in ("desk", "laptop")]

    def is_degraded_after(answered: str) -> bool:
        assert fetched() == [answered, answered]
        return bool(health(lab)["state"] == "DEGRADED")

    harm(lab, CUTTING)
    lab.wait_for(lambda: is_degraded_after("0"), SECONDS, "all is cut")
    assert health(lab)["because"] == "connections of 2 clients to 6 addresses are reset before any answer"
    harm(lab)
    lab.wait_for(lambda: not is_degraded_after("6"), SECONDS, "they are answered again")
