"""Gateways that answer now, that answered once, and that are gone."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane.policy import Hop
from netpolicy.outbounds.check_gateway import (
    ARP,
    BROADCAST,
    ETH_P_ARP,
    arp_request,
    gateway,
    is_advertisement,
    is_arp_reply,
    solicitation,
    solicited,
)
from netpolicy.outbounds.check_line import (
    FAILED,
    NO_SUPPORT,
    NO_WAY,
    PASSED,
    SO_BINDTODEVICE,
    UNKNOWN,
    Line,
    timed,
)
from tests.kernel.streams import FAMILY
from tests.netns import needs_root
from tests.outbounds.far_side import LINE_A, LINE_B, answered

GATEWAYS = {4: "192.0.2.1", 6: "2001:db8:a::1"}
MAC, OWN, WANTED = bytes.fromhex("02000000000a"), bytes((192, 0, 2, 2)), bytes((192, 0, 2, 1))


@pytest.mark.kernel
@needs_root
@pytest.mark.parametrize("family", [4, 6])
async def test_a_gateway_answers_until_it_is_gone_although_the_kernel_still_believes_in_it(far, family):
    router, address = far.place.router, GATEWAYS[family]
    router.run("ping", f"-{family}", "-c1", "-W30", address)
    assert (await answered(gateway(LINE_A, address))).state == PASSED
    length = 24 if family == 4 else 64
    far.place.server.run("ip", "address", "del", f"{address}/{length}", "dev", "eth0")
    answer = await timed(gateway(LINE_A, address), 0.3)
    assert (answer.state, answer.reason) == (FAILED, "timeout")
    assert "REACHABLE" in router.run("ip", "neigh", "show", address)


@pytest.mark.kernel
@needs_root
async def test_a_link_local_gateway_is_asked_too(steady):
    told = steady.place.server.run("ip", "-6", "address", "show", "dev", "eth0", "scope", "link")
    address = told.split("inet6 ")[1].split("/")[0]
    assert (await answered(gateway(LINE_A, address))).state == PASSED


@pytest.mark.kernel
@needs_root
async def test_a_device_without_an_address_asks_as_well(far):
    far.place.router.run("ip", "-4", "address", "flush", "dev", "wana")
    assert (await answered(gateway(LINE_A, GATEWAYS[4]))).state == PASSED


@pytest.mark.kernel
@needs_root
async def test_asking_changes_no_neighbour_of_the_kernel(steady):
    router = steady.place.router
    before = router.run("ip", "neigh", "show", "dev", "wana")
    assert (await answered(gateway(LINE_A, GATEWAYS[4]))).state == PASSED
    assert router.run("ip", "neigh", "show", "dev", "wana") == before


@pytest.mark.kernel
@needs_root
async def test_no_device_no_neighbours_and_no_carrier(far):
    gone = await answered(gateway(Line("x", "nowhere", 0, (Hop(4, "192.0.2.1"),)), "192.0.2.1"))
    assert (gone.state, gone.reason) == (UNKNOWN, NO_WAY)
    loopback = await answered(gateway(Line("x", "lo"), "192.0.2.1"))
    assert (loopback.state, loopback.reason) == (UNKNOWN, NO_SUPPORT)
    far.place.server.run("ip", "link", "set", "eth0", "down")
    for address in GATEWAYS.values():
        assert (await timed(gateway(LINE_A, address), 0.3)).state != PASSED


@pytest.mark.kernel
@needs_root
@pytest.mark.parametrize("family", [4, 6])
async def test_what_comes_by_another_line_before_the_socket_has_its_device_is_no_answer(far, monkeypatch, family):
    """Modems of one make have one address, and routers of many providers are fe80::1: each line asks for the same."""
    far.place.server.sysctl("net/ipv4/conf/all/arp_ignore", 1)
    real, wanted = socket.socket, socket.inet_pton(FAMILY[family], GATEWAYS[family])
    mac, heard = (
        bytes.fromhex(far.place.router.run("ip", "-br", "link", "show", "dev", "wana").split()[2].replace(":", "")),
        [],
    )

    def ask_by_the_other_line() -> None:
        if family == 4:
            other = real(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
            other.bind(("wana", ETH_P_ARP))
            other.sendto(arp_request(mac, OWN, wanted), ("wana", ETH_P_ARP, 0, 0, BROADCAST))
        else:
            other = real(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            other.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"wana")
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            other.sendto(solicitation(mac, wanted), (solicited(wanted), 0, 0, socket.if_nametoindex("wana")))
        other.settimeout(30)
        is_answer = is_arp_reply if family == 4 else is_advertisement
        with other:
            while not is_answer(other.recv(1000), wanted):
                pass
        heard.append(family)

    class Late(socket.socket):
        """Whoever makes one has to wait for the processor before it gets its device."""

        def bind(self, address):
            ask_by_the_other_line()
            super().bind(address)

        def setsockopt(self, *words):
            if words[1] == SO_BINDTODEVICE:
                ask_by_the_other_line()
            super().setsockopt(*words)

    monkeypatch.setattr(socket, "socket", Late)
    answer = await timed(gateway(LINE_B, GATEWAYS[family]), 0.3)
    monkeypatch.undo()
    assert (answer.state, answer.reason) == (FAILED, "timeout") and heard == [family]


def test_only_the_owner_of_the_address_is_believed():
    reply = ARP.pack(1, 0x0800, 6, 4, 2, MAC, WANTED, MAC, OWN)
    assert is_arp_reply(reply, WANTED) and is_arp_reply(reply + bytes(18), WANTED)  # Ethernet pads
    assert not is_arp_reply(reply, OWN)
    assert not is_arp_reply(arp_request(MAC, OWN, WANTED), WANTED)
    assert not is_arp_reply(arp_request(MAC, WANTED, OWN), WANTED)  # the gateway asks somebody
    six = bytes.fromhex("20010db8000a00000000000000000001")
    advertisement = bytes((136, 0, 0, 0, 0x60, 0, 0, 0)) + six
    assert is_advertisement(advertisement, six)
    assert not is_advertisement(advertisement[:-1] + b"\2", six)
    assert not is_advertisement(solicitation(MAC, six), six)
    assert solicited(six) == "ff02::1:ff00:1"


@given(st.binary(max_size=80))
def test_garbage_is_no_answer(data):
    assert not is_arp_reply(data, WANTED)
    assert not is_advertisement(data, b"\xee" * 16)
