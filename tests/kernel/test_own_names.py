"""A line dies silently, and the router's own name server goes on answering its clients: by the other line.

The real dnsmasq on the router, which is told nothing and not restarted; its upstream is a server that both lines reach.
A client that asks each 50 ms is what people notice.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from netpolicy.lab import wire
from tests.daemon.running import Netpolicyd, netpolicyd, until
from tests.kernel.streams import FAMILY, SERVER, Place, place
from tests.netns import needs_root
from tests.outbounds.far_side import SWALLOW

pytestmark = [
    pytest.mark.kernel, needs_root,
    pytest.mark.skipif(not shutil.which("dnsmasq"), reason="there is no dnsmasq"),
]  # fmt: skip

ROUTER = "192.168.1.1"
NAME, ADDRESS = "video.example.net", "192.0.2.20"
BUSY_SECONDS = 15.0  # of a machine that does much else; 3 are promised, and dnsmasq's client asks again after one
MOMENT_SECONDS, PATIENT_SECONDS = 0.2, 10.0  # of who asks again at once, and of who must be answered

CONFIG = """
config netpolicy 'main'
	option enabled '1'
	option inspector 'off'
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option gateway '192.0.2.1'
	option gateway6 '2001:db8:a::1'
	option masq '1'
	option ipv6_source 'masq'
	list probe 'ping:203.0.113.5'
	list probe 'ping:2001:db8:f::5'
config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'
	option gateway '198.51.100.1'
	option gateway6 '2001:db8:b::1'
	option masq '1'
	option ipv6_source 'masq'
config outbound 'best'
	option type 'group'
	list member 'wan_a'
	list member 'wan_b'
config rule 'everything'
	list src_iface 'lo'
	list src_iface 'lan'
	option route 'best'
"""


def _binds(made: socket.socket, family: int) -> bool:
    with contextlib.suppress(OSError):
        made.bind((SERVER[family], 53))
        return True
    return False


def answering(where: Place, family: int, is_over: threading.Event) -> threading.Thread:
    """A name server at the far side."""
    with where.server.entered():
        made = socket.socket(FAMILY[family], socket.SOCK_DGRAM)
    until(lambda: _binds(made, family))  # the kernel lets an address be used a moment after it is there
    made.settimeout(0.1)

    def serve() -> None:
        with contextlib.closing(made):
            while not is_over.is_set():
                with contextlib.suppress(OSError):
                    data, sender = made.recvfrom(512)
                    made.sendto(wire.reply(data) or b"", sender)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


@contextlib.contextmanager
def name_server(where: Place, family: int) -> Iterator[None]:
    """dnsmasq on the router, asking that server at each question."""
    is_over = threading.Event()
    thread = answering(where, family, is_over)
    words = ("--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--cache-size=0",
             "--user=root", "--pid-file=", f"--server={SERVER[family]}", f"--listen-address={ROUTER}",
             "--bind-interfaces")  # fmt: skip
    process = subprocess.Popen(["dnsmasq", *words], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()
        is_over.set()
        thread.join()


def asked(where: Place, number: int, seconds: float = MOMENT_SECONDS) -> bool:
    """Whether a client's question is answered in that time."""
    with where.client.entered():
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with contextlib.closing(one):
        one.settimeout(seconds)
        with contextlib.suppress(OSError):
            one.sendto(wire.question(NAME, wire.A, number), (ROUTER, 53))
            return wire.addresses(one.recv(512), number) == [ADDRESS]
    return False


def carries(daemon: Netpolicyd, name: str) -> bool:
    return next(one["up"] for one in daemon.call("outbounds")["outbounds"] if one["name"] == name)


@pytest.mark.parametrize("family", [4, 6])
def test_names_are_resolved_again_by_the_other_line_and_dnsmasq_is_left_alone(tmp_path, family):
    with place() as where, netpolicyd(tmp_path, CONFIG) as daemon, name_server(where, family):
        daemon.settled()
        numbers = iter(range(1, 60_000))
        until(lambda: asked(where, next(numbers)))
        until(lambda: daemon.call("outbounds")["outbounds"][0]["health"]["latency_ms"])
        where.server.run("nft", "-f", "-", text=SWALLOW.format(device="eth0"))
        now = time.monotonic()
        assert not asked(where, next(numbers))  # it is dead, and nobody knows
        until(lambda: asked(where, next(numbers)), BUSY_SECONDS)
        assert not carries(daemon, "wan_a") and time.monotonic() - now < BUSY_SECONDS
        for _ in range(20):  # a dnsmasq that keeps a port must not be stuck with what conntrack knew
            assert any(asked(where, next(numbers), PATIENT_SECONDS) for _ in range(2))
