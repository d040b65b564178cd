"""Gateways that answer now, that answered once, and that are gone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane.policy import Hop
from netpolicy.outbounds.check_gateway import (
    ARP,
    arp_request,
    gateway,
    is_advertisement,
    is_arp_reply,
    solicitation,
    solicited,
)
from netpolicy.outbounds.check_line import FAILED, NO_SUPPORT, NO_WAY, PASSED, UNKNOWN, Line, timed
from tests.netns import needs_root
from tests.outbounds.far_side import LINE_A, answered

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
