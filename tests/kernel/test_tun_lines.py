"""Lines whose device is a program's: OpenVPN's point-to-point tun with routes over the whole internet, Tailscale's.

The program is this test: it holds the file of the device and reads what is sent into it. What others put into the
kernel beside their device (rules at 5210 to 5270, table 52, halves of the internet in main) stays as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import select
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from netpolicy.lab.network import TUN_DEVICE, has_tun
from tests.daemon.running import Netpolicyd, netpolicyd, until
from tests.kernel.streams import FAMILY, LINES, SERVER, Place, place
from tests.netns import needs_root

pytestmark = [
    pytest.mark.kernel,
    needs_root,
    pytest.mark.skipif(not has_tun(), reason=f"{TUN_DEVICE} is not to be had here"),
]

TUNSETIFF = 0x400454CA  # <linux/if_tun.h>
IFF_TUN_WITHOUT_HEADER = 0x0001 | 0x1000  # IFF_TUN | IFF_NO_PI
BY_RULE, SEALED, BY_LINE_A, BY_MAIN = 4790, 4791, 4792, 4793

CONFIG = """{lines}
config outbound 'tunnel'
	option type 'interface'
	option interface '{device}'
	option hold '1'
config outbound 'best'
	option type 'group'
	list member 'tunnel'
	list member 'wan_b'
config rule 'voice'
	option priority '30'
	list dest_port '4790'
	option route 'best'
config rule 'sealed'
	option priority '20'
	list dest_port '4791'
	option route 'tunnel'
	option on_fail 'block'
config rule 'line_a'
	option priority '10'
	list dest_port '4792'
	option route 'wan_a'
"""
# As OpenVPN does with `redirect-gateway def1 ipv6`: its server by the old way, the rest by two halves.
OPENVPN = """
link set tun0 up
addr add 10.8.0.6 peer 10.8.0.5 dev tun0
addr add fd08::6/64 dev tun0 nodad
route add 192.0.2.200 via 192.0.2.1
route add 0.0.0.0/1 via 10.8.0.5
route add 128.0.0.0/1 via 10.8.0.5
route add 2000::/3 dev tun0
"""
# As tailscaled does, with a subnet that another node offers.
TAILSCALE = """
link set tailscale0 up
addr add 100.101.102.103/32 dev tailscale0
addr add fd7a:115c:a1e0::6703/128 dev tailscale0 nodad
route add 100.100.100.100 dev tailscale0 table 52
route add 10.77.0.0/16 dev tailscale0 table 52
route add fd7a:115c:a1e0::/48 dev tailscale0 table 52
"""
TAILSCALE_RULES = """
rule add pref 5210 fwmark 0x80000/0xff0000 lookup main
rule add pref 5230 fwmark 0x80000/0xff0000 lookup default
rule add pref 5250 fwmark 0x80000/0xff0000 unreachable
rule add pref 5270 lookup 52
"""
TAILSCALE_MARK = 0x80000

_tokens = itertools.count(1)
PATIENCE_SECONDS = 20.0


class Program:
    """Holds the device: with its end the device goes."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.files: list[int] = []

    def begin(self) -> None:
        self.files = [os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK)]
        fcntl.ioctl(self.files[0], TUNSETIFF, struct.pack("16sH22x", self._device.encode(), IFF_TUN_WITHOUT_HEADER))

    def end(self) -> None:
        while self.files:
            os.close(self.files.pop())


class Far:
    """Where datagrams come out: by one of the cables at the server, or in the hands of the program."""

    def __init__(self, where: Place, daemon: Netpolicyd, program: Program) -> None:
        self.where, self.daemon, self.program = where, daemon, program
        with where.server.entered():
            self._cables = {self._listener(cable): cable for cable in ("eth0", "eth1")}

    @staticmethod
    def _listener(cable: str) -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
        made.bind((cable, 0x0003))
        return made

    def close(self) -> None:
        for one in self._cables:
            one.close()

    def ways(self, port: int, address: dict[int, str] = SERVER) -> dict[int, str]:
        """By which way a new flow of a client to this port goes, by family; "" where it comes out nowhere."""
        return {family: self._way(self._of_a_client(family, address[family], port)) for family in (4, 6)}

    def way_of_the_router(self, port: int, mark: int = 0) -> str:
        """The same of a datagram of the router itself."""
        token = next(_tokens)
        with socket.socket(FAMILY[4], socket.SOCK_DGRAM) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            one.sendto(token.to_bytes(8, "big"), (SERVER[4], port))
        return self._way(token)

    def _of_a_client(self, family: int, address: str, port: int) -> int:
        token = next(_tokens)
        with self.where.client.entered(), socket.socket(FAMILY[family], socket.SOCK_DGRAM) as one:
            one.sendto(token.to_bytes(8, "big"), (address, port))
        return token

    def _way(self, token: int) -> str:
        ways: dict[object, str] = {**self._cables, **dict.fromkeys(self.program.files, "tunnel")}
        wanted, later = (one.to_bytes(8, "big") for one in (token, self._of_a_client(4, SERVER[4], BY_LINE_A)))
        # By line A something always comes out: half a second after what was sent last, what was sent before is lost.
        patience, deadline = 0.5, time.monotonic() + PATIENCE_SECONDS
        has_come = False
        while ready := select.select(list(ways), [], [], patience if has_come else PATIENCE_SECONDS)[0]:
            assert has_come or time.monotonic() < deadline, "nothing comes out by line A"
            for one in ready:
                packet = _arrived(one)
                if packet.endswith(wanted):
                    return ways[one]
                has_come |= packet.endswith(later)
        assert has_come, "nothing comes out by line A"
        return ""

    def tunnel(self) -> dict:
        (found,) = [one for one in self.daemon.call("outbounds")["outbounds"] if one["name"] == "tunnel"]
        return dict(found)

    def until_up(self, up: bool = True) -> dict:
        """The line, once it carries or does not, and the kernel follows."""
        until(lambda: self.tunnel()["up"] == up and self.daemon.call("status")["kernel"]["in_sync"])
        return self.tunnel()


def _arrived(one: object) -> bytes:
    """A packet that came in; the server's own, an error that has ours in it, is none."""
    if isinstance(one, socket.socket):
        packet, (_, _, kind, *_) = one.recvfrom(2048)
        return b"" if kind == socket.PACKET_OUTGOING else packet
    return os.read(one, 2048)


def batch(where: Place, text: str, *family: str) -> None:
    where.router.run("ip", *family, "-batch", "-", text=text)


def theirs(where: Place) -> str:
    """All rules and routes that are not ours."""
    asked = "rule show\nroute show table all\n"
    found = "".join(where.router.run("ip", family, "-batch", "-", text=asked) for family in ("-4", "-6"))
    return "\n".join(line for line in found.splitlines() if "proto 78" not in line)


@contextlib.contextmanager
def scene(folder, device: str, *batches: tuple[str, ...]) -> Iterator[tuple[Far, str]]:
    """The place with the device of that program; and what is in the kernel before we come."""
    with place() as where:
        program = Program(device)
        program.begin()
        for words in batches:
            batch(where, *words)
        where.router.in_use()
        before = theirs(where)
        with netpolicyd(folder, CONFIG.format(lines=LINES, device=device)) as daemon:
            daemon.settled()
            far = Far(where, daemon, program)
            yield far, before
            far.close()
        program.end()


BOTH = {4: "tunnel", 6: "tunnel"}
LINE_A, LINE_B, NOWHERE = {4: "eth0", 6: "eth0"}, {4: "eth1", 6: "eth1"}, {4: "", 6: ""}


def test_a_tunnel_of_openvpn_is_a_line_and_its_routes_pull_no_other_line_in(tmp_path):
    with scene(tmp_path, "tun0", (OPENVPN,)) as (far, before):
        line = far.until_up()
        assert (line["device"], line["families"]) == ("tun0", [4, 6])
        assert far.ways(BY_RULE) == far.ways(SEALED) == BOTH
        # Main is covered by its halves; line A's table is not.
        assert far.ways(BY_LINE_A) == LINE_A and far.ways(BY_MAIN) == BOTH
        assert theirs(far.where) == before
        # The program ends, and with it device and routes.
        far.program.end()
        assert far.until_up(False)["reason"] == "there is no device tun0"
        assert far.ways(BY_RULE) == LINE_B and far.ways(SEALED) == NOWHERE and far.ways(BY_LINE_A) == LINE_A
        # It comes back.
        far.program.begin()
        batch(far.where, OPENVPN.replace("route add 192.0.2.200 via 192.0.2.1\n", ""))
        far.until_up()
        until(lambda: far.ways(BY_RULE) == BOTH)  # after its hold-down
        assert far.ways(SEALED) == BOTH


def test_tailscale_is_a_line_and_its_rules_and_its_table_do_what_they_did(tmp_path):
    node, offered = {4: "100.100.100.100", 6: "fd7a:115c:a1e0::53"}, {4: "10.77.1.2", 6: "fd7a:115c:a1e0:1::2"}
    rules = ((TAILSCALE,), (TAILSCALE_RULES, "-4"), (TAILSCALE_RULES, "-6"))
    with scene(tmp_path, "tailscale0", *rules) as (far, before):
        assert far.until_up()["families"] == [4, 6]
        # By our rules the internet, as by an exit node; by theirs their own networks, whatever our rules say.
        assert far.ways(BY_RULE) == far.ways(SEALED) == BOTH and far.ways(BY_MAIN) == LINE_A
        for address in (node, offered):
            assert far.ways(BY_MAIN, address) == far.ways(BY_LINE_A, address) == BOTH
        # What the program itself sends has its mark, and is not led into its own tunnel.
        assert far.way_of_the_router(BY_RULE, TAILSCALE_MARK) == "eth0"
        assert far.way_of_the_router(BY_RULE) == "tunnel"
        assert theirs(far.where) == before
    assert before.count("5270:") == 2
