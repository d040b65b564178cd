"""In the machine: a client, the router, a server, as network namespaces; the router is the machine itself.

    client (192.168.1.11) — lan, a port of br-lan — wana — server (every address of the lab's internet)

Judges nothing. Needs ip and, for some checks, tc and nft.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

CLIENT, SERVER = "client", "server"
CLONE_NEWNET = 0x40000000

ROUTER_LINES = """
link set lo up
link add br-lan type bridge
link add lan type veth peer name eth0 netns client
link add wana type veth peer name eth0 netns server
link set lan master br-lan
link set br-lan up
link set lan up
link set wana up
addr add 192.168.1.1/24 dev br-lan
addr add fd00:1::1/64 dev br-lan nodad
addr add 203.0.113.2/24 dev wana
addr add 2001:db8:a::2/64 dev wana nodad
route add default via 203.0.113.1 dev wana
route add default via 2001:db8:a::1 dev wana
"""
CLIENT_LINES = """
link set lo up
link set eth0 up
addr add 192.168.1.11/24 dev eth0
addr add fd00:1::11/64 dev eth0 nodad
route add default via 192.168.1.1
route add default via fd00:1::1
"""
SERVER_LINES = """
link set lo up
link set eth0 up
addr add 203.0.113.1/24 dev eth0
addr add 2001:db8:a::1/64 dev eth0 nodad
route add local 192.0.2.0/24 dev lo
route add local 2001:db8:1::/64 dev lo
route add 192.168.1.0/24 via 203.0.113.2
route add fd00:1::/64 via 2001:db8:a::2
"""

_libc = ctypes.CDLL(None, use_errno=True)


def run(line: str, inside: str = "", check: bool = True) -> str:
    """What a program printed, errors too; `check`: it must succeed."""
    words = [*(["ip", "netns", "exec", inside] if inside else []), *line.split()]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{line} ended with {done.returncode}: {done.stdout}")
    return done.stdout


def batch(lines: str, inside: str = "") -> None:
    """Lines for `ip`."""
    _fed(["ip", *(["-netns", inside] if inside else []), "-batch", "-"], lines)


def _fed(words: list[str], text: str) -> None:
    done = subprocess.run(words, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{words[0]}: {done.stdout}")


def nft(text: str, inside: str = "") -> None:
    """Rules of somebody else."""
    _fed([*(["ip", "netns", "exec", inside] if inside else []), "nft", "-f", "-"], text)


def build() -> None:
    """The street, with IPv6 that is ready at once."""
    for name in (CLIENT, SERVER):
        run(f"ip netns add {name}")
    batch(ROUTER_LINES)
    batch(CLIENT_LINES, CLIENT)
    batch(SERVER_LINES, SERVER)
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        write(f"/proc/sys/net/{name}", "1")


@contextmanager
def inside(name: str) -> Iterator[None]:
    """This thread in another namespace; sockets that are made there stay there."""
    with open("/proc/thread-self/ns/net", "rb") as outside, open(f"/run/netns/{name}", "rb") as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(outside.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def read(path: str) -> str:
    """A small file; "" where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def write(path: str, text: str) -> None:
    """A small file."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
