"""What a captured packet says: its ends, its flags, its payload to the byte; nothing of what is cut or bent."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.flows.packet_frame import Frame, parse
from tests.flows.packets import (
    ACK,
    CLIENT,
    DESTINATION,
    FRAGMENT,
    HELLO,
    HOP_BY_HOP,
    IPV4,
    IPV6,
    PPPOE,
    PSH,
    QUERY,
    REMOTE,
    ROUTING,
    SYN,
    TCP,
    UDP,
    VLAN,
    extension,
    fragment,
    ipv4,
    ipv6,
    mapped,
    tcp,
    udp,
)

ENDS = {family: (mapped(CLIENT[family]), mapped(REMOTE[family])) for family in (4, 6)}


def read(data: bytes, protocol: int = IPV4, outgoing: bool = False) -> Frame:
    frame = parse(data, protocol, outgoing)
    assert frame is not None
    return frame


def payload(data: bytes, protocol: int = IPV4, outgoing: bool = False) -> bytes:
    frame = read(data, protocol, outgoing)
    return data[frame.start : frame.end]


def test_a_tcp_packet_is_told_with_its_payload():
    data = ipv4(tcp(HELLO, sequence=0xFFFFFFFF, acknowledged=7, options=bytes(12)), options=bytes(8), ttl=61)
    assert read(data) == Frame(*ENDS[4], TCP, 40000, 443, 61, ACK | PSH, 0xFFFFFFFF, 7, 60, len(data))
    assert payload(data) == HELLO
    data = ipv6(tcp(HELLO, SYN))
    assert read(data, IPV6) == Frame(*ENDS[6], TCP, 40000, 443, 64, SYN, 1001, 5001, 60, len(data))


def test_a_datagram_is_told_with_its_payload():
    assert payload(ipv4(udp(QUERY), UDP)) == QUERY
    assert payload(ipv6(udp(QUERY), UDP), IPV6) == QUERY
    frame = read(ipv4(udp(QUERY, (53, 40000)), UDP))
    assert (frame.protocol, frame.source_port, frame.destination_port, frame.flags) == (UDP, 53, 40000, 0)


def test_padding_behind_a_packet_is_no_payload():
    assert payload(ipv4(tcp(b"", SYN)) + bytes(6)) == b""
    assert payload(ipv6(tcp(b"x", SYN)) + bytes(6), IPV6) == b"x"
    assert payload(ipv4(udp(b"x") + bytes(9), UDP)) == b"x"


def test_of_a_merged_packet_all_that_was_taken_is_payload():
    assert payload(ipv4(tcp(HELLO), length=0)) == HELLO  # longer than 65,535 bytes: it cannot say how long
    assert payload(ipv6(tcp(HELLO), length=0), IPV6) == HELLO
    assert payload(ipv4(tcp(HELLO), length=60000)) == HELLO  # cut by the filter
    assert payload(ipv4(udp(QUERY, length=0), UDP)) == QUERY


@pytest.mark.parametrize("kind", [HOP_BY_HOP, ROUTING, DESTINATION])
def test_ipv6_headers_between_are_passed(kind):
    assert payload(ipv6(extension(kind, 24) + extension(TCP) + tcp(HELLO), kind), IPV6) == HELLO
    five = ipv6(extension(kind) * 4 + extension(TCP) + tcp(HELLO), kind)
    assert parse(five, IPV6, False) is None


def test_a_fragment_is_nothing_unless_it_is_the_whole():
    for field in (0x2000, 0x0001):
        assert parse(ipv4(tcp(HELLO), fragment=field), IPV4, False) is None
    for field in (0x0001, 0x0008, 0x0100):
        assert parse(ipv6(fragment(TCP, field) + tcp(HELLO), FRAGMENT), IPV6, False) is None
    assert payload(ipv6(fragment(TCP, 0x0006) + tcp(HELLO), FRAGMENT), IPV6) == HELLO


def test_tags_and_pppoe_are_passed():
    for packet, number, ppp in ((ipv4(tcp(HELLO)), IPV4, 0x21), (ipv6(tcp(HELLO)), IPV6, 0x57)):
        tagged = b"\x60\x05" + number.to_bytes(2, "big") + packet
        assert payload(tagged, VLAN) == HELLO
        newer = parse(tagged, number, False, True)  # Linux 6.10 and later tell what is in the tag
        assert newer is not None and tagged[newer.start : newer.end] == HELLO
        assert payload(packet, VLAN, outgoing=True) == HELLO
        assert payload(b"\x11\0\0\1\0\x50\0" + bytes((ppp,)) + packet, PPPOE) == HELLO
    for protocol in (VLAN, PPPOE, 0x0806):
        for outgoing in (False, True):
            assert parse(bytes(60), protocol, outgoing) is None
            assert parse(b"", protocol, outgoing) is None


def test_a_tagged_packet_as_long_as_a_type_is_read_as_what_it_is():
    """2048 bytes: its length stands where a second tag would say IPv4."""
    data = ipv4(tcp(HELLO.ljust(2008, b"x")))
    assert data[2:4] == b"\x08\x00"
    frame = parse(data, IPV4, False, True)
    assert frame is not None and (frame.destination_port, frame.end - frame.start) == (443, 2008)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x45", ipv4(tcp(b""))[:39], ipv4(udp(b""), UDP)[:27], ipv4(b"\x08\0\0\0", 1), ipv4(tcp(b""), length=30),
        b"\x44" + ipv4(tcp(b""))[1:], b"\x65" + ipv4(tcp(b""))[1:], ipv4(tcp(b"").replace(b"\x50", b"\x40")),
    ],
)  # fmt: skip
def test_what_is_no_whole_header_is_nothing(data):
    assert parse(data, IPV4, False) is None


def test_a_packet_cut_anywhere_says_less_and_never_another_thing():
    whole = {IPV4: ipv4(tcp(HELLO, options=bytes(12))), IPV6: ipv6(extension(UDP) + udp(QUERY), HOP_BY_HOP)}
    for protocol, data in whole.items():
        full = read(data, protocol)
        for at, outgoing in itertools.product(range(len(data)), (False, True)):
            frame = parse(data[:at], protocol, outgoing)
            assert frame is None or (frame[:9] == full[:9] and frame.end <= at and frame.start <= full.start)


@given(st.integers(0, 70), st.integers(0, 255), st.integers(0, 300))
def test_the_short_way_says_what_the_long_one_says(at, value, cut):
    """Usual packets, bent and cut: with a tag that is no longer there each of them takes the long way."""
    bent = bytearray(ipv4(tcp(HELLO)))
    bent[at % len(bent)] = value
    data = bytes(bent[:cut])
    if data[2:4] != b"\x08\x00":
        assert parse(data, IPV4, False, False) == parse(data, IPV4, False, True)


@given(st.binary(max_size=150), st.sampled_from([IPV4, IPV6, VLAN, PPPOE, 0]), st.booleans(), st.booleans())
def test_garbage_never_raises_and_payload_lies_within(data, protocol, outgoing, tagged):
    frame = parse(data, protocol, outgoing, tagged)
    assert frame is None or 0 <= frame.start <= frame.end <= len(data)
