"""Frames as bytes: what is asked is read back, answers fit their questions, odd bytes are nothing."""

from __future__ import annotations

import random

import pytest

from netpolicy.dataplane import rehearsal_packet as packet
from netpolicy.dataplane.rehearsal_packet import Asked, Ends

MAC, ROUTER = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
FAMILIES = {4: ("192.0.2.1", "198.51.100.2"), 6: ("2001:db8::1", "2001:db8::2")}


def ends(family, port=443):
    source, destination = FAMILIES[family]
    return Ends(packet.packed(source), 33000, packet.packed(destination), port)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp", "icmp"])
def test_a_question_is_read_back_and_its_answer_too(family, protocol):
    wanted = ends(family, 443 if protocol != "icmp" else 0)
    frame = packet.question(MAC, ROUTER, protocol, wanted, 0x1234567)
    asked = packet.read(frame)
    assert (asked.what, asked.token, asked.ends, asked.near) == (packet.ASKS, 0x1234567, wanted, ROUTER)
    answered = packet.read(packet.answer(asked, ROUTER, MAC))
    assert (answered.what, answered.token, answered.near) == (packet.ANSWERS, 0x1234567, MAC)
    assert (answered.ends.source, answered.ends.destination) == (wanted.destination, wanted.source)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp", "icmp"])
def test_a_refusal_by_icmp_is_that_of_the_packet_it_quotes(family, protocol):
    question = packet.question(MAC, ROUTER, protocol, ends(family), 99)[14:]
    quote = question[:28] if family == 4 and protocol == "tcp" else question  # RFC 792 quotes eight bytes
    back = ends(family).back
    kind, number = ((3, packet.ICMP), (1, packet.ICMPV6))[family == 6]
    body = bytes((kind, 1, 0, 0, 0, 0, 0, 0)) + quote
    found = packet.read(packet._ethernet(ROUTER, MAC, back, number, body))
    assert (found.what, found.token) == (packet.REFUSES, 99)


def test_a_reset_refuses():
    frame = bytearray(packet.answer(packet.read(packet.question(MAC, ROUTER, "tcp", ends(4), 7)), ROUTER, MAC))
    frame[14 + 20 + 13] = packet.RST | packet.ACK
    assert packet.read(bytes(frame)).what == packet.REFUSES


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol", ["tcp", "udp", "icmp"])
def test_checksums_are_those_that_the_kernel_wants(family, protocol):
    """The sum over everything, the checksum included, is zero."""
    frame = packet.question(MAC, ROUTER, protocol, ends(family), 5)
    head = 20 if family == 4 else 40
    body = frame[14 + head :]
    number = {"tcp": 6, "udp": 17, "icmp": 1 if family == 4 else 58}[protocol]
    cover = b"" if (family, protocol) == (4, "icmp") else ends(family).source + ends(family).destination
    cover += bytes((0, 0, 0, len(body), 0, 0, 0, number)) if cover else b""
    assert packet._sum(cover + body) == 0
    assert family == 6 or packet._sum(frame[14:34]) == 0


def test_who_has_an_address_is_asked_and_told_for_both_families():
    arp = MAC + MAC + bytes.fromhex("08060001080006040001") + MAC + packet.packed("192.0.2.1") + bytes(6)
    asked = packet.read(arp + packet.packed("192.0.2.9"))
    assert asked == Asked(packet.packed("192.0.2.9"), MAC, packet.packed("192.0.2.1"))
    told = packet.neighbour(asked, ROUTER)
    assert told[:6] == MAC and told[20:22] == b"\0\2" and told[22:28] == ROUTER
    target = packet.packed("fe80::9")
    solicitation = bytes((135, 0, 0, 0, 0, 0, 0, 0)) + target
    asked = packet.read(packet._ethernet(MAC, ROUTER, ends(6), packet.ICMPV6, solicitation))
    assert asked == Asked(target, MAC, ends(6).source)
    assert packet.neighbour(asked, ROUTER)[54] == 136
    announcement = arp + packet.packed("192.0.2.1")  # its own address: nobody is asked
    assert packet.read(announcement) is None


def test_odd_bytes_are_nothing_and_never_an_error():
    chance = random.Random(7)
    frames = [
        packet.question(MAC, ROUTER, protocol, ends(family), 5)
        for family in (4, 6)
        for protocol in ("tcp", "udp", "icmp")
    ]
    for _ in range(3000):
        frame = bytearray(chance.choice(frames))
        for _ in range(chance.randrange(4)):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        packet.read(bytes(frame[: chance.randrange(len(frame) + 1)]))
    assert packet.read(b"") is None
