"""The inspector on real devices: both tiers see a real hello, one takes over from the other, others are left alone."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from netpolicy.core.model import Settings
from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink import Netlink, open_netlink
from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from netpolicy.flows.ebpf import clsact, layout
from netpolicy.flows.ebpf.loading import Loaded
from netpolicy.flows.learned import Named
from netpolicy.flows.quic_crypto import V1, V2
from netpolicy.flows.seen import Payload
from netpolicy.flows.watched import OUTBOUND
from netpolicy.service import inspector as inspector_module
from netpolicy.service.inspector import Inspector
from netpolicy.service.inspector_feed import packed
from netpolicy.service.inspector_options import Wanted
from netpolicy.service.inspector_tiers import (
    OPENERS,
    PAUSE_SECONDS,
    RETRY_SECONDS,
    OnMeasured,
    OnPayload,
    Open,
    Tier,
    open_ebpf,
    open_packet,
)
from tests.flows.ebpf.conftest import refusal
from tests.flows.ebpf.hosts import CLIENT, SERVER, Street
from tests.flows.quic_clients import real
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

NAME = "www.example.net"


def hello(name: str = NAME) -> bytes:
    """What Python's own TLS says first."""
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


@pytest.fixture(scope="module")
def street() -> Iterator[Street]:
    found = Street()
    yield found
    found.close()


class Watcher:
    """An inspector in the router, and the netlink it looks by."""

    def __init__(self, netlink: Netlink, settings: Settings, openers: dict[str, Open]) -> None:
        self.said: list[tuple[str, str]] = []
        self.later = 0.0  # seconds that the clock is ahead
        self.inspector = Inspector(
            netlink, lambda: frozenset({"wan"}), lambda mark: "", lambda *said: self.said.append(said), openers,
            lambda: time.monotonic() + self.later,
        )  # fmt: skip
        self.inspector.start(asyncio.get_running_loop(), settings)
        self.inspector.look()

    def tier(self, name: str = "lan") -> str:
        return self.inspector.tiers.devices[name].tier

    async def names(self) -> list[str]:
        """Of the connections, as far as the loop is told by itself."""
        await self.until(lambda: any(one.name for one in self.inspector.feed.seen.values()))
        return [one.name for one in self.inspector.feed.seen.values() if one.name]

    async def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 30
        while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110 - the kernel sets no event
            await asyncio.sleep(0.01)
        assert condition()


def watched(
    street: Street,
    body: Callable[[Watcher], Coroutine[Any, Any, None]],
    inspector: str = "auto",
    openers: dict[str, Open] | None = None,
) -> None:
    async def whole() -> None:
        netlink = open_netlink("builtin")
        watcher = Watcher(netlink, Settings(inspector=inspector), openers or dict(OPENERS))
        try:
            await body(watcher)
        finally:
            watcher.inspector.close()
            netlink.close()

    if inspector in ("auto", "ebpf") and (why := refusal()):
        pytest.skip(why)
    with street.router.entered():
        asyncio.run(whole())


def tc(street: Street, *words: str) -> str:
    return street.router.run("tc", *words)


def clsact_only(on_payload: OnPayload, on_measured: OnMeasured, wanted: Wanted) -> Tier:
    """eBPF as kernels before 6.6 have it."""
    tier: Any = open_ebpf(on_payload, on_measured, wanted)
    attach = tier.attach
    tier.attach = lambda name: attach(name, ways=("clsact",))
    return tier  # type: ignore[no-any-return]


@pytest.fixture
def old_kernel(street: Street) -> Iterator[dict[str, Open]]:
    yield {"ebpf": clsact_only, "packet": open_packet}
    for kind in ("clsact", "ingress"):
        if kind in tc(street, "qdisc", "show", "dev", "lan"):
            tc(street, "qdisc", "del", "dev", "lan", kind)


@pytest.mark.parametrize("tier", ["ebpf", "packet"])
def test_a_tier_names_a_connection_by_its_hello(street: Street, tier: str) -> None:
    async def body(watcher: Watcher) -> None:
        assert list(watcher.inspector.tiers.devices) == ["lan"]
        assert watcher.tier() == tier
        began = time.monotonic()
        await asyncio.to_thread(street.talk, hello(), b"x")
        took = time.monotonic() - began
        assert await watcher.names() == [NAME]
        (seen,) = watcher.inspector.feed.seen.values()
        await watcher.until(lambda: seen.rtt_us)  # of the first word alone it may not be known yet
        assert 0 < seen.rtt_us <= took * 1e6

    watched(street, body, tier)


@pytest.mark.parametrize("tier", ["ebpf", "packet"])
@pytest.mark.parametrize("version", [V1, V2])
def test_a_tier_names_a_connection_by_the_quic_of_a_real_client(street: Street, tier: str, version: int) -> None:
    async def body(watcher: Watcher) -> None:
        for datagram in real(NAME, version):
            await asyncio.to_thread(street.send, datagram, 443)
        assert await watcher.names() == [NAME]
        (seen,) = (one for one in watcher.inspector.feed.seen.values() if one.name)
        assert (seen.source, seen.confidence) == ("quic", "certain")

    watched(street, body, tier)


@contextlib.contextmanager
def name_server(street: Street, *options: str) -> Iterator[None]:
    """A real one at the server's address."""
    program = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin:/sbin")
    if program is None:
        pytest.skip("dnsmasq is not installed")
    usual = ("--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-daemon", "--pid-file=", "--bind-interfaces")
    command = [program, *usual, f"--listen-address={SERVER}", *options]
    with street.server.entered():
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    with child:
        try:
            assert child.stderr and any("started" in line for line in child.stderr)
            yield
        finally:
            child.terminate()


def resolved(street: Street, folder: Path, name: str) -> str:
    """What the C library's own resolver says by TCP: it asks for both families in one connection."""
    (folder / "resolv.conf").write_text(f"nameserver {SERVER}\noptions use-vc timeout:30\n", encoding="ascii")
    script = 'mount --bind "$1" /etc/resolv.conf && getent ahosts "$2"'
    return street.client.run("unshare", "-m", "sh", "-c", script, "sh", str(folder / "resolv.conf"), name)


@pytest.mark.parametrize("tier", ["ebpf", "packet"])
def test_a_tier_learns_addresses_from_dns_over_tcp(street: Street, tier: str, tmp_path: Path) -> None:
    four, six = "198.51.100.4", "2001:db8::4"
    more = [f"--host-record={NAME},203.0.113.{number}" for number in range(1, 9)]

    async def body(watcher: Watcher) -> None:
        feed = watcher.inspector.feed
        said = await asyncio.to_thread(resolved, street, tmp_path, NAME)
        assert four in said and six in said
        await watcher.until(lambda: feed.counters["answers"] >= 2)
        for address in (four, six, "203.0.113.8"):
            known = feed.learned.look_up(packed(CLIENT), packed(address), time.monotonic())
            assert isinstance(known, Named) and (known.name, known.source) == (NAME, "dns")
        assert not feed.counters["faults"]

    with name_server(street, f"--host-record={NAME},{four},{six}", *more):
        watched(street, body, tier)


def test_a_tier_that_breaks_is_followed_by_the_next_and_the_daemon_goes_on(street: Street) -> None:
    broken: list[bool] = []

    class Breaking:
        def __init__(self, tier: Any) -> None:
            self.tier = tier

        def __getattr__(self, name: str) -> Any:
            return getattr(self.tier, name)

        def drain(self) -> int:
            if broken:
                raise OSError("the ring is gone")
            return int(self.tier.drain())

    openers: dict[str, Open] = {"ebpf": lambda *given: Breaking(open_ebpf(*given)), "packet": open_packet}

    async def body(watcher: Watcher) -> None:
        assert watcher.tier() == "ebpf"
        broken.append(True)
        watcher.inspector.drain()
        assert watcher.tier() == "packet"
        assert watcher.inspector.tiers.devices["lan"].reason == "ebpf: the ring is gone"
        assert ("warning", "the inspector by ebpf failed: the ring is gone") in watcher.said
        await asyncio.to_thread(street.talk, hello(), b"x")
        assert await watcher.names() == [NAME]

    watched(street, body, openers=openers)


def test_a_shaper_is_given_way_to_and_comes_back_to_us_when_it_goes(
    street: Street, old_kernel: dict[str, Open]
) -> None:
    async def body(watcher: Watcher) -> None:
        assert watcher.inspector.tiers.devices["lan"].way == "clsact"
        tc(street, "qdisc", "del", "dev", "lan", "clsact")  # as a shaper does before it adds its own
        tc(street, "qdisc", "add", "dev", "lan", "handle", "ffff:", "ingress")
        watcher.inspector.look()
        assert watcher.tier() == "packet"
        watcher.later = PAUSE_SECONDS
        watcher.inspector.look()
        assert watcher.tier() == "packet"
        assert "ingress" in watcher.inspector.tiers.devices["lan"].reason
        assert "clsact" not in tc(street, "qdisc", "show", "dev", "lan")
        await asyncio.to_thread(street.talk, hello(), b"x")
        assert await watcher.names() == [NAME]
        tc(street, "qdisc", "del", "dev", "lan", "ingress")
        watcher.inspector.look()
        assert watcher.tier() == "ebpf"

    watched(street, body, openers=old_kernel)


def test_who_removes_our_clsact_has_time_to_put_an_ingress_there(street: Street, old_kernel: dict[str, Open]) -> None:
    """Between the two programs of its script the kernel tells us of the first."""

    async def body(watcher: Watcher) -> None:
        tc(street, "qdisc", "del", "dev", "lan", "clsact")
        watcher.inspector.look()
        assert watcher.tier() == "packet" and watcher.inspector.tiers.devices["lan"].taken_off == 1
        tc(street, "qdisc", "add", "dev", "lan", "handle", "ffff:", "ingress")
        tc(street, "qdisc", "del", "dev", "lan", "ingress")
        watcher.later = PAUSE_SECONDS
        watcher.inspector.look()
        assert watcher.inspector.tiers.devices["lan"][1:3] == ("ebpf", "clsact"), "nobody wants the place"
        await asyncio.to_thread(street.talk, hello(), b"x")
        assert await watcher.names() == [NAME]

    watched(street, body, openers=old_kernel)


def test_where_no_tier_works_one_that_does_later_is_taken_by_itself(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event tells it: of a module that is loaded, of memory that comes back."""
    refused: list[bool] = [True]

    def opened(*given: Any) -> Tier:
        if refused:
            raise OSError("no module")
        return open_packet(*given)

    async def body(watcher: Watcher) -> None:
        assert watcher.tier() == "conntrack"
        refused.clear()
        watcher.later = RETRY_SECONDS
        await watcher.until(lambda: watcher.tier() == "packet")

    monkeypatch.setattr(inspector_module, "CHECK_SECONDS", 0.1)
    watched(street, body, "packet", openers={"packet": opened})


def test_a_filter_of_others_goes_on_beside_us_and_stays_when_we_go(street: Street, old_kernel: dict[str, Open]) -> None:
    if why := refusal():
        pytest.skip(why)
    counting = Loaded()  # a second copy of the program, which counts what it is given
    with street.router.entered(), contextlib.closing(KernelSocket(ROUTE)) as kernel:
        control, index = clsact.TrafficControl(kernel), socket.if_nametoindex("lan")
        control.provide_clsact(index, "lan")
        theirs = clsact.filter_body(index, clsact.INGRESS, 40, counting.program(True, False), "theirs")
        theirs = theirs.replace(clsact.HANDLE.to_bytes(4, sys.byteorder), (1).to_bytes(4, sys.byteorder), 1)
        kernel.request("add theirs", clsact.NEW_FILTER, wire.F_CREATE | wire.F_EXCL, theirs)

    async def body(watcher: Watcher) -> None:
        assert watcher.inspector.tiers.devices["lan"].way == "clsact"
        await asyncio.to_thread(street.talk, hello(), b"x")
        assert await watcher.names() == [NAME]
        # It comes after us, and had every packet.
        await watcher.until(lambda: counting.maps["counts"].summed(layout.STATS)[0] >= 5)

    watched(street, body, openers=old_kernel)
    counting.close()
    left = tc(street, "filter", "show", "dev", "lan", "ingress")
    assert "netpolicy_" not in left and "theirs" in left


def test_devices_are_followed_when_they_come_go_and_are_renamed(street: Street) -> None:
    async def body(watcher: Watcher) -> None:
        def found() -> dict[str, str]:
            watcher.inspector.look()
            return {name: one.tier for name, one in watcher.inspector.tiers.devices.items()}

        street.router.run("ip", "link", "add", "guest", "type", "bridge")
        street.router.run("ip", "address", "add", "192.168.7.1/24", "dev", "guest")
        assert found() == {"lan": "ebpf"}
        street.router.run("ip", "link", "set", "guest", "up")
        assert found() == {"lan": "ebpf", "guest": "ebpf"}
        street.router.run("ip", "link", "set", "guest", "name", "guests")
        assert found() == {"lan": "ebpf", "guests": "ebpf"}
        street.router.run("ip", "link", "del", "guests")
        assert found() == {"lan": "ebpf"}
        assert not [text for level, text in watcher.said if level == "warning"]

    watched(street, body)


def test_the_device_of_a_further_next_hop_of_a_default_is_said_to_lead_out(street: Street) -> None:
    async def body(watcher: Watcher) -> None:
        street.router.run("ip", "link", "add", "line2", "type", "veth", "peer", "name", "line2far")
        try:
            street.router.run("ip", "link", "set", "line2", "up")
            street.router.run("ip", "address", "add", "10.77.0.1/24", "dev", "line2")
            hops = "nexthop via 10.1.0.9 dev wan nexthop via 10.77.0.9 dev line2"
            street.router.run("ip", "route", "add", "default", *hops.split())
            watcher.inspector.look()
            found = {one.name: (one.wanted, one.why) for one in watcher.inspector.devices}
            assert found["line2"] == (False, OUTBOUND) == found["wan"]
        finally:
            street.router.run("ip", "link", "delete", "line2")

    watched(street, body, "off")


def test_other_settings_take_effect_while_it_runs(street: Street) -> None:
    async def body(watcher: Watcher) -> None:
        watcher.inspector.configure(Settings(inspector="off"))
        watcher.inspector.look()
        assert not watcher.inspector.tiers.open and not watcher.inspector.tiers.devices
        watcher.inspector.configure(Settings(inspector="packet", inspect=("none",)))
        watcher.inspector.look()
        assert watcher.tier() == "packet"
        await asyncio.to_thread(street.talk, hello(), b"x")
        await watcher.until(lambda: watcher.inspector.feed.seen)
        assert not any(one.name for one in watcher.inspector.feed.seen.values())

    watched(street, body)


def test_payload_leaves_no_trace(street: Street) -> None:
    """What a client said beside the name is nowhere in what is kept."""
    secret = b"GET /secret HTTP/1.1\r\nHost: www.example.net\r\nCookie: secret\r\n\r\n"

    async def body(watcher: Watcher) -> None:
        await asyncio.to_thread(street.talk, secret, b"x")
        assert await watcher.names() == [NAME]
        import gc

        kept = [one for one in gc.get_objects() if isinstance(one, Payload) and b"secret" in one.data]
        assert not kept

    watched(street, body)


def test_nothing_is_left_on_a_device_after_the_end(street: Street, old_kernel: dict[str, Open]) -> None:
    async def body(watcher: Watcher) -> None:
        assert "netpolicy_" in tc(street, "filter", "show", "dev", "lan", "ingress")

    watched(street, body, openers=old_kernel)
    for side in ("ingress", "egress"):
        assert "netpolicy_" not in tc(street, "filter", "show", "dev", "lan", side)


def test_without_any_tier_it_says_why_and_conntrack_goes_on(street: Street) -> None:
    def refuses(*_: Any) -> Tier:
        raise subprocess.SubprocessError("not here")

    async def body(watcher: Watcher) -> None:
        assert watcher.tier() == "conntrack"
        assert watcher.inspector.tiers.devices["lan"].reason == "ebpf: not here; packet: not here"

    watched(street, body, openers={"ebpf": refuses, "packet": refuses})
