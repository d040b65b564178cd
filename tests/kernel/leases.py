"""A provider that gives out addresses: a real dnsmasq, and a real udhcpc on the router's end of the cable.

    client 192.168.1.10 ─ lan | router | wana ─ br0 of the provider, 192.0.2.1 and .129; gives the leases
                                                gw2 on the same cable, 192.0.2.126 and .254: another gateway
                                         wanb ─ eth1 of the provider, an ordinary line that main prefers

The far side tells by which device a datagram came and from whom, so that a packet for the wrong gateway is seen.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import select
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.netns import Namespace, connect, run

SERVER = {4: "203.0.113.5", 6: "2001:db8:f::5"}
USUAL, SEALED, PLAIN, REPLY = 4800, 4801, 4802, 4803
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
# One that must come is waited for; one that is asked for again and again, or must not come, for a moment.
PATIENT_SECONDS, MOMENT_SECONDS = 20.0, 0.3
# The kernel knows flows of a port for two minutes, and what it decided of them: no port is used twice in that time.
_ports = {family: itertools.cycle(range(5000, 32_000)) for family in (4, 6)}
_numbers = itertools.count(1)

CLIENT = """
addr add 192.168.1.10/24 dev eth0
addr add fd00:1::10/64 dev eth0 nodad
route add default via 192.168.1.1
route add default via fd00:1::1
"""
ROUTER = """
addr add 192.168.1.1/24 dev lan
addr add fd00:1::1/64 dev lan nodad
addr add 198.51.100.2/24 dev wanb
route add default via 198.51.100.1 metric 10
"""
FAR = """
link add br0 type bridge
link set eth0 master br0
link add gw2 type veth peer name gw2port
link set gw2port master br0
link set br0 up
link set gw2 up
link set gw2port up
addr add 192.0.2.1/25 dev br0
addr add 192.0.2.129/25 dev br0
addr add 192.0.2.126/25 dev gw2
addr add 192.0.2.254/25 dev gw2
addr add 2001:db8:a::1/64 dev br0 nodad
addr add 198.51.100.1/24 dev eth1
addr add 203.0.113.5/32 dev lo
addr add 2001:db8:f::5/128 dev lo
"""

# What OpenWrt's script has netifd do: the address, and the default by the first router, in place of the last lease's.
SCRIPT = """#!/bin/sh
set -e
case "$1" in
deconfig)
	ip -4 address flush dev "$interface"
	;;
bound | renew)
	ip -4 -o address show dev "$interface" | while read -r _ _ _ old _; do
		[ "$old" = "$ip/$mask" ] || ip -4 address delete "$old" dev "$interface"
	done
	ip -4 address replace "$ip/$mask" dev "$interface"
	gateway="${router%% *}"
	[ "$mask" != 32 ] || ip -4 route replace "$gateway" dev "$interface"
	[ -z "$gateway" ] || ip -4 route replace default via "$gateway" dev "$interface" metric 50
	;;
esac
echo "$1 $ip/$mask $router" >>"$UDHCPC_LOG"
"""


class Provider:
    """The far side of both lines."""

    def __init__(self, where: Namespace, folder: Path) -> None:
        self._where = where
        self._folder = folder
        self._dnsmasq: subprocess.Popen[str] | None = None

    def give(self, *options: str) -> None:
        """A dnsmasq with these options and no memory of former leases; the one before is gone."""
        self.stop()
        leases = self._folder / "leases"
        leases.unlink(missing_ok=True)
        with self._where.entered():
            self._dnsmasq = subprocess.Popen(
                ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--log-facility=-", "--user=root",
                 "--port=0", "--no-hosts", "--no-resolv", "--interface=br0", "--bind-interfaces",
                 "--no-ping", "--dhcp-authoritative", f"--dhcp-leasefile={leases}",
                 f"--pid-file={self._folder}/dnsmasq.pid", *options],
                stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        assert self._dnsmasq.stderr
        said = []
        for line in self._dnsmasq.stderr:
            said.append(line)
            if "sockets bound" in line or "router advertisement on" in line:
                break
        else:
            raise AssertionError("dnsmasq does not serve: " + "".join(said))
        threading.Thread(target=self._dnsmasq.stderr.read, daemon=True).start()

    def lease(self, address: str, router: str, *options: str) -> None:
        """From now on this address of its half of 192.0.2.0/24, with this router."""
        self.give(f"--dhcp-range={address},{address},255.255.255.128,1h", f"--dhcp-option=3,{router}", *options)

    def plug(self, state: str) -> None:
        """The cable of line A: "up" or "down"."""
        self._where.run("ip", "link", "set", "eth0", state)

    def stop(self) -> None:
        if self._dnsmasq is not None:
            self._dnsmasq.kill()
            self._dnsmasq.wait()
            self._dnsmasq = None


class Udhcpc:
    """The DHCP client of busybox on a device of this thread's namespace; its script is ours."""

    def __init__(self, device: str, folder: Path) -> None:
        assert "udhcpc" in run("busybox", "--list").split(), "this busybox has no DHCP client"
        self._log = folder / "udhcpc.log"
        self._log.touch()
        script = folder / "udhcpc.script"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        environment = {**os.environ, "UDHCPC_LOG": str(self._log), "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        self._process = subprocess.Popen(
            ["busybox", "udhcpc", "-f", "-i", device, "-s", str(script), "-T", "1", "-A", "1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip

    def said(self) -> list[str]:
        """The words that its script was called with, the lease beside them."""
        return self._log.read_text().splitlines()

    def renew(self) -> None:
        """Asks anew: for what it has, or for anything where it has nothing."""
        self._process.send_signal(signal.SIGUSR1)

    def release(self) -> None:
        """Gives the lease back."""
        self._process.send_signal(signal.SIGUSR2)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


class Far:
    """Answers datagrams at each device of the provider alone; who sends without end, and what came of it."""

    def __init__(self, where: Namespace, client: Namespace, devices: tuple[str, ...]) -> None:
        self._client, self._server = client, where
        self.seen: list[tuple[float, str, int, str]] = []  # when it was sent, device, port, from whom
        self.sent = 0
        self._is_over = threading.Event()
        where.in_use()  # nothing can be bound to an address before
        with where.entered():
            self._sockets = {
                self._bound(device, port, family): (device, port)
                for family in (4, 6) for device in devices for port in (USUAL, SEALED, PLAIN)
            }  # fmt: skip
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._answer, self._send)]
        for one in self._threads:
            one.start()

    def _bound(self, device: str, port: int, family: int) -> socket.socket:
        made = socket.socket(FAMILY[family], socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        made.bind((SERVER[family], port))
        return made

    def _answer(self) -> None:
        while not self._is_over.is_set():
            for one in select.select(list(self._sockets), [], [], 0.1)[0]:
                device, port = self._sockets[one]
                datagram, sender = one.recvfrom(100)
                self.seen.append((struct.unpack_from("=d", datagram)[0], device, port, sender[0]))
                with contextlib.suppress(OSError):  # its cable was pulled meanwhile
                    one.sendto(datagram + f"{device} {sender[0]}".encode(), sender)

    def _send(self) -> None:
        """What is sealed is sent all the while, each datagram a flow of its own."""
        with self._client.entered():
            while not self._is_over.wait(0.005):
                for family in (4, 6):
                    with flow(family) as one, contextlib.suppress(OSError):
                        one.sendto(_datagram(), (SERVER[family], SEALED))
                        self.sent += 1

    def asked(self, port: int, family: int = 4, seconds: float = MOMENT_SECONDS) -> str:
        """By which device a new connection of the client arrives and from whom, as "br0 192.0.2.2"; "" for none."""
        with self._client.entered(), flow(family) as one:
            one.connect((SERVER[family], port))
            return ask(one, seconds)

    def came(self, port: int, family: int = 4) -> str:
        """The same of one that must arrive, however late."""
        return self.asked(port, family, PATIENT_SECONDS)

    def asked_from(self, address: str) -> str:
        """The same of the router itself with this source, to a port that no rule speaks of."""
        with flow(4, address) as one:
            one.connect((SERVER[4], PLAIN))
            return ask(one)

    def open(self, port: int) -> socket.socket:
        """A connection of the client that stays."""
        with self._client.entered():
            one = flow(4)
        one.connect((SERVER[4], port))
        return one

    def is_answered(self, device: str, address: str) -> bool:
        """Whether a service of the router at this address answers by this device of the provider, and by no other."""
        with self._server.entered(), socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
            one.settimeout(0.5)
            one.bind((SERVER[4], 0))
            return one.connect_ex((address, REPLY)) == 0

    def close(self) -> None:
        self._is_over.set()
        for one in self._threads:
            one.join()
        for made in self._sockets:
            made.close()


def flow(family: int, address: str = "") -> socket.socket:
    """A socket of this thread's namespace whose port was not used of late."""
    made = socket.socket(FAMILY[family], socket.SOCK_DGRAM)
    try:
        while True:
            try:
                made.bind((address, next(_ports[family])))
                return made
            except OSError as error:
                if error.errno != errno.EADDRINUSE:  # one that stays has it
                    raise
    except OSError:
        made.close()
        raise


def ask(one: socket.socket, seconds: float = MOMENT_SECONDS) -> str:
    """What the far side says to this question on a connected socket, "" where it says nothing."""
    question, deadline = _datagram(), time.monotonic() + seconds
    with contextlib.suppress(OSError):
        one.send(question)
        while select.select([one], [], [], max(0.0, deadline - time.monotonic()))[0]:
            told = one.recv(100)
            if told.startswith(question):  # else the answer to an earlier one, which was not waited for any longer
                return told[len(question) :].decode()
    return ""


def _datagram() -> bytes:
    """When it was sent, and a number."""
    return struct.pack("=dQ", time.monotonic(), next(_numbers))


class Place:
    """Client, router and provider; the test stands in the router."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path) -> None:
        self.client, self.router, self.server = (stack.enter_context(Namespace()) for _ in range(3))
        for where in (self.client, self.router, self.server):
            where.sysctl("net/ipv6/conf/default/accept_dad", 0)
            for name in ("all", "default"):
                where.sysctl(f"net/ipv4/conf/{name}/rp_filter", 0)
        # Each gateway answers for its own address alone, though both hang on one cable.
        for name in ("all", "default"):
            self.server.sysctl(f"net/ipv4/conf/{name}/arp_ignore", 1)
        connect(self.client, "eth0", self.router, "lan")
        connect(self.router, "wana", self.server, "eth0")
        connect(self.router, "wanb", self.server, "eth1")
        self.router.sysctl("net/ipv4/ip_forward", 1)
        self.router.sysctl("net/ipv6/conf/all/forwarding", 1)
        self.router.sysctl("net/ipv6/conf/wana/accept_ra", 2)  # a router, and listens to its provider's all the same
        self.server.sysctl("net/ipv6/conf/all/forwarding", 1)
        for where, commands in ((self.client, CLIENT), (self.router, ROUTER), (self.server, FAR)):
            where.run("ip", "-batch", "-", text=commands)
            where.in_use()
        self.provider = Provider(self.server, folder)
        stack.callback(self.provider.stop)
        self.far = Far(self.server, self.client, ("br0", "gw2", "eth1"))
        stack.callback(self.far.close)
        with self.router.entered():
            # Nobody accepts: each question that is answered stays in the queue.
            self._service = stack.enter_context(socket.create_server(("", REPLY), backlog=4096))


@contextlib.contextmanager
def place(folder: Path) -> Iterator[Place]:
    """Build it, stand in the router, take it down."""
    with contextlib.ExitStack() as stack:
        built = Place(stack, folder)
        with built.router.entered():
            yield built
