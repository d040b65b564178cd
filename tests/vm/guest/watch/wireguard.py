"""In the machine: a line that is a WireGuard tunnel of the kernel, and everything that may happen to one.

The far end is the server; keys are made here, at each boot. Judges nothing.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import talk
from daemon import call, spoilt
from lines import (
    BEST,
    LINES,
    PLAIN,
    SEALED,
    Witness,
    complaints,
    following,
    rehearsed,
    second,
    send,
    sources,
    table,
    until_up,
)
from street import SERVER, batch, nft, run

PORT, OWN_PORT = 51820, 51821  # of the far end, and ours
FAR_END = "192.0.2.99"

TUNNEL = f"""{LINES}
config outbound 'tunnel'
	option type 'interface'
	option interface 'wg0'
	option masq '1'
	option ipv6_source 'masq'
	list probe 'ping:192.0.2.10'
	list probe 'ping:2001:db8:1::10'
	option hold '1'
"""
SOME = f"""{TUNNEL}
config outbound 'best'
	option type 'group'
	list member 'tunnel'
	list member 'wan_b'
config rule 'sealed'
	option priority '30'
	list proto 'udp'
	list dest_port '{SEALED}'
	option route 'tunnel'
	option on_fail 'block'
config rule 'voice'
	option priority '20'
	list proto 'udp'
	list dest_port '{BEST}'
	option route 'best'
config rule 'pages'
	option priority '10'
	list proto 'tcp'
	list dest_port '{talk.SOURCE}'
	list dest_port '{talk.SINK}'
	option route 'tunnel'
	option on_fail 'block'
"""
# As docs/rules.md has it: all by the tunnel, or not at all.
EVERYTHING = f"""{TUNNEL}
config rule 'nothing_past_the_tunnel'
	option any '1'
	option route 'tunnel'
	option on_fail 'block'
"""
BY_THE_SECOND = f"""{EVERYTHING}
config rule 'the_tunnel_itself'
	option priority '10'
	list proto 'udp'
	list dest_addr '{FAR_END}'
	list dest_port '{PORT}'
	option route 'wan_b'
"""
SILENT = f"""
table inet silent {{
	chain pre {{ type filter hook prerouting priority -400; policy accept; udp dport {PORT} drop; }}
	chain out {{ type filter hook output priority -400; policy accept; udp sport {PORT} drop; }}
}}
"""
BIG = 300_000


def _made(words: str, text: str = "") -> str:
    return subprocess.run(words.split(), input=text, capture_output=True, text=True, check=True).stdout.strip()


class Tunnel:
    """Both ends; ours may be taken away and made again."""

    def __init__(self) -> None:
        self._keys = {name: _made("wg genkey") for name in ("near", "far")}
        self._public = {name: _made("wg pubkey", key) for name, key in self._keys.items()}
        for name, key in self._keys.items():
            with open(os.open(f"/run/key-{name}", os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
                file.write(key)
        batch("link add wg0 type wireguard", SERVER)
        run(
            f"wg set wg0 listen-port {PORT} private-key /run/key-far peer {self._public['near']} "
            "allowed-ips 10.66.0.2/32,fd66::2/128",
            SERVER,
        )
        batch("addr add 10.66.0.1/24 dev wg0\naddr add fd66::1/64 dev wg0 nodad\nlink set wg0 up", SERVER)

    def make(self, port: str = f"listen-port {OWN_PORT}") -> None:
        """Our end, as netifd does it: keys first, then addresses, then up. It has shaken hands with nobody yet."""
        batch("link add wg0 type wireguard")
        run(
            f"wg set wg0 {port} private-key /run/key-near peer {self._public['far']} "
            f"endpoint {FAR_END}:{PORT} allowed-ips 0.0.0.0/0,::/0"
        )
        batch("addr add 10.66.0.2/24 dev wg0\naddr add fd66::2/64 dev wg0 nodad\nlink set wg0 up")

    def remove(self) -> None:
        """Our end goes; conntrack forgets what it carried, as after a quiet while."""
        batch("link del wg0")
        run("conntrack -F", check=False)

    def __enter__(self) -> Tunnel:
        return self

    def __exit__(self, *_: object) -> None:
        run("ip link del wg0", SERVER, check=False)
        run("ip link del wg0", check=False)
        run("nft delete table inet silent", SERVER, check=False)
        run("conntrack -F", check=False)


def wireguard() -> dict[str, Any]:
    """Some traffic goes by the tunnel: there, silent, back, gone, made again."""
    second()
    witness, found = Witness(), {}
    with Tunnel() as tunnel:
        tunnel.make()
        with following(SOME):
            _there(witness, found)
            _silent(witness, found)
            _made_again(witness, tunnel, found)
    return {**found, "spoilt": spoilt()}


def _there(witness: Witness, found: dict[str, Any]) -> None:
    found |= {"line": until_up("tunnel"), "table": table("tunnel"), "sources": sources()}
    found["ways"] = {str(port): witness.until_ways(port, "wg0") for port in (BEST, SEALED)}
    found["rehearsed"], found["complaints"] = rehearsed(SOME), complaints()
    found["plain"] = witness.ways(PLAIN)
    begun = time.monotonic()
    talk.fetch(BIG)
    talk.give(BIG)  # segments as large as the client's own link takes: the tunnel's is smaller
    found["fetched"] = time.monotonic() - begun
    found["outer"] = witness.devices(PORT)


def _silent(witness: Witness, found: dict[str, Any]) -> None:
    """The far end says nothing any more; the device stays as it is."""
    since = len(witness.seen)
    nft(SILENT, SERVER)
    found["leaks_while_silent"] = witness.burst(SEALED)
    found["silent"] = until_up("tunnel", False)
    found["leaks_when_down"] = witness.burst(SEALED)
    found["failed_over"] = witness.until_ways(BEST, "eth1")
    found["outer_while_silent"] = witness.devices(PORT, since)
    run("nft delete table inet silent", SERVER)
    found["again"] = until_up("tunnel")
    found["ways_again"] = {str(port): witness.until_ways(port, "wg0") for port in (BEST, SEALED)}


def _made_again(witness: Witness, tunnel: Tunnel, found: dict[str, Any]) -> None:
    """The device goes, and another one of the name comes."""
    tunnel.remove()
    found["gone"] = until_up("tunnel", False)
    found["table_gone"], found["leaks_when_gone"] = table("tunnel"), witness.burst(SEALED)
    found["ways_gone"] = witness.until_ways(BEST, "eth1")
    tunnel.make()
    found["made"] = until_up("tunnel")
    found["table_made"] = table("tunnel")
    found["ways_made"] = {str(port): witness.until_ways(port, "wg0") for port in (BEST, SEALED)}


def wireguard_all() -> dict[str, Any]:
    """Everything goes by the tunnel or not at all, the router's own packets too; and the tunnel itself?"""
    second()
    witness, found = Witness(), {}
    with Tunnel() as tunnel:
        tunnel.make()
        run("conntrack -F", check=False)
        with following(EVERYTHING):
            _shakes_hands(witness, found)
            _comes_back(witness, found)
            _with_another_port(witness, tunnel, found)
        # What is older than our table would stay where it is.
        tunnel.remove()
        with following(BY_THE_SECOND):
            _by_the_second(witness, tunnel, found)
    return {**found, "spoilt": spoilt()}


def _shakes_hands(witness: Witness, found: dict[str, Any]) -> None:
    found["line"], found["ways"] = until_up("tunnel"), witness.until_ways(PLAIN, "wg0")
    found["shaken"] = int(run("wg show wg0 latest-handshakes").split()[-1]) > 0
    found["outer"], found["disagreements"] = witness.devices(PORT), _disagreements()


def _comes_back(witness: Witness, found: dict[str, Any]) -> None:
    """Silent for so long that conntrack forgets the tunnel, and the line is down: it must find its way back."""
    nft(SILENT, SERVER)
    found["silent"] = until_up("tunnel", False)
    run("conntrack -F", check=False)
    since = len(witness.seen)
    found["leaks"] = witness.burst(PLAIN)
    time.sleep(10)  # a handshake is tried every five seconds
    found["outer_while_down"] = witness.devices(PORT, since)
    run("nft delete table inet silent", SERVER)
    try:
        found["again"], found["ways_again"] = until_up("tunnel"), witness.until_ways(PLAIN, "wg0")
    except RuntimeError as error:
        found["again"] = {"up": False, "error": str(error)}


def _with_another_port(witness: Witness, tunnel: Tunnel, found: dict[str, Any]) -> None:
    """A port of chance, while clients send without a pause: its first packets are sooner than our look."""
    tunnel.remove()
    until_up("tunnel", False)
    with _sending():
        tunnel.make("")
        found["made"], found["ways_made"] = until_up("tunnel"), witness.until_ways(PLAIN, "wg0")
    found["port_made"] = int(run("wg show wg0 listen-port"))


def _by_the_second(witness: Witness, tunnel: Tunnel, found: dict[str, Any]) -> None:
    """A rule that names it sends the tunnel itself by the other line."""
    since = len(witness.seen)
    tunnel.make()
    until_up("tunnel")
    found["ways_by_the_second"] = witness.until_ways(PLAIN, "wg0")
    found["outer_by_the_second"] = witness.devices(PORT, since)
    found["disagreements"] += _disagreements()


@contextmanager
def _sending() -> Iterator[None]:
    """Clients of both families send all the while."""
    is_over = threading.Event()

    def send_on() -> None:
        while not is_over.wait(0.01):
            for family in (4, 6):
                send(family, BEST)

    sending = threading.Thread(target=send_on)
    sending.start()
    try:
        yield
    finally:
        is_over.set()
        sending.join()


def _disagreements() -> list[str]:
    lines = call("connections", {"limit": 200})["connections"]
    return [f"{one['src']} {one['dest']} {one['dest_port']} {one['rule']}" for one in lines if one["agrees"] is False]
