"""In the machine: a second line, and a witness on the far side that says by which device each packet came.

Judges nothing. What comes out of a tunnel is seen on the tunnel's device there, what goes past it on the cable's.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from daemon import Daemon, call
from street import CLIENT, SERVER, batch, inside, run

SECOND_LINE = """
link add wanb type veth peer name eth1 netns server
link set wanb up
addr add 198.51.100.2/24 dev wanb
addr add 2001:db8:b::2/64 dev wanb nodad
"""
SECOND_FAR_END = """
link set eth1 up
addr add 198.51.100.1/24 dev eth1
addr add 2001:db8:b::1/64 dev eth1 nodad
"""
# What every configuration here begins with.
LINES = """
config netpolicy 'main'
	option enabled '1'
	option mode 'enforce'
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option gateway '203.0.113.1'
	option gateway6 '2001:db8:a::1'
config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'
	option gateway '198.51.100.1'
	option gateway6 '2001:db8:b::1'
	option masq '1'
	option ipv6_source 'masq'
"""
HOST = {4: "192.0.2.10", 6: "2001:db8:1::10"}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
BEST, SEALED, PLAIN = 4790, 4791, 4792  # by the tunnel or the second line; by the tunnel or not at all; by no rule

ALL, OUTGOING = 0x0003, 4  # ETH_P_ALL, PACKET_OUTGOING of <linux/if_packet.h>
PATIENCE = 90.0

_tokens = itertools.count(1)


def second() -> None:
    """Line B, once for all checks of a boot."""
    if "wanb" not in run("ip -o link show", check=False):
        batch(SECOND_LINE)
        batch(SECOND_FAR_END, SERVER)


def until(holds: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """What it says, once that is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if found := holds():
                return found
        time.sleep(0.1)
    raise RuntimeError(f"never: {what}\n{json.dumps(call('outbounds')['outbounds'])}")


@contextmanager
def following(text: str) -> Iterator[None]:
    """A daemon that follows this configuration; none is left for the next check, whatever happens."""
    daemon = Daemon()
    try:
        daemon.start(text=text)
        yield
    except BaseException:
        daemon.kill()
        raise
    daemon.stop()


def outbound(name: str) -> dict[str, Any]:
    """As the daemon tells it."""
    (found,) = [one for one in call("outbounds")["outbounds"] if one["name"] == name]
    return dict(found)


def until_up(name: str, up: bool = True) -> dict[str, Any]:
    """The line, once it carries, or does not any more, and the kernel follows."""

    def found() -> dict[str, Any] | None:
        for one in call("outbounds")["outbounds"]:  # none at first
            if one["name"] == name and one["up"] == up and call("status")["kernel"]["in_sync"]:
                return dict(one)
        return None

    return dict(until(found, f"{name} is {'up' if up else 'down'}"))


def table(name: str) -> list[str]:
    """The defaults in the table of the line, as `ip` lists them; without what only the kernel knows."""
    number = outbound(name)["table"]
    said = [run(f"ip {family} route show table {number}", check=False) for family in ("-4", "-6")]
    lines = [line.strip() for text in said for line in text.splitlines() if line.startswith(("default", "unreachable"))]
    return [" ".join(line.split()) for line in lines]


def sources() -> list[str]:
    """The addresses that have a line of their own by their sender (priority 7199)."""
    said = run("ip rule") + run("ip -6 rule")
    return sorted(line.split()[2] for line in said.splitlines() if line.startswith("7199:"))


def rehearsed(text: str) -> dict[str, Any]:
    """How a change to this configuration would be tried, and what came of it for a client's page by the line."""
    asserted = "option mode 'enforce'\n\tlist assert '192.168.1.11 can 192.0.2.10 tcp/19'"
    plan = call("plan", {"text": text.replace("option mode 'enforce'", asserted), "format": "uci"})
    found = dict(plan["rehearsal"] or {})
    found["rows"] = [[one["what"], one["ok"]] for one in found.get("rows", ()) if one["kind"] == "assertion"]
    return {"refused": plan["refused"], **found}


def complaints() -> list[str]:
    """What doctor says of lines, and of what takes their names or marks."""
    found = call("doctor")["findings"]
    return [
        f"{one['code']} {one['title']}"
        for one in found
        if one["code"].startswith(("ND5", "ND95")) and one["level"] in ("warning", "error")
    ]


class Witness:
    """Sees all packets that come to the far side."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int, int, int]] = []  # device, family, port from, port to, token
        with inside(SERVER):
            self._line = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL))
            self._line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                packet, (device, _, kind, *_) = self._line.recvfrom(256)
            except OSError:
                continue  # a device went
            if kind != OUTGOING and len(packet) >= 28:
                self._note(device, packet)

    def _note(self, device: str, packet: bytes) -> None:
        family = packet[0] >> 4
        protocol, begin = (packet[9], 20) if family == 4 else (packet[6], 40)
        if family not in FAMILIES or protocol != socket.IPPROTO_UDP or len(packet) < begin + 8:
            return
        source, target = struct.unpack_from("!HH", packet, begin)
        token = int.from_bytes(packet[begin + 8 : begin + 16], "big")
        self.seen.append((device, family, source, target, token))

    def devices(self, port: int, since: int = 0) -> list[str]:
        """By which devices anything came to this port."""
        return sorted({device for device, _, _, target, _ in self.seen[since:] if target == port})

    def ways(self, port: int) -> dict[str, str]:
        """By which device a new flow of each family comes; "" where none does."""
        return {str(family): self._way(family, port) for family in FAMILIES}

    def _way(self, family: int, port: int) -> str:
        for _ in range(8):
            token = send(family, port)
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                for device, _, _, target, told in list(self.seen):
                    if (target, told) == (port, token):
                        return device
                time.sleep(0.01)
        return ""

    def until_ways(self, port: int, device: str, families: str = "46") -> dict[str, str]:
        """The same, once new flows of these families come by that device; as they are when they never do."""
        end, found = time.monotonic() + 30, self.ways(port)
        while time.monotonic() < end and any(found[family] != device for family in families):
            time.sleep(0.2)
            found = self.ways(port)
        return found

    def burst(self, port: int, count: int = 40) -> list[str]:
        """Many flows of both families, one after the other; by which devices any of them came."""
        since = len(self.seen)
        for _ in range(count):
            for family in FAMILIES:
                send(family, port)
            time.sleep(0.02)
        time.sleep(0.5)
        return self.devices(port, since)


def send(family: int, port: int) -> int:
    """A datagram of the client, a flow of its own; its token."""
    token = next(_tokens)
    with inside(CLIENT), socket.socket(FAMILIES[family], socket.SOCK_DGRAM) as one, contextlib.suppress(OSError):
        one.sendto(token.to_bytes(8, "big"), (HOST[family], port))
    return token
