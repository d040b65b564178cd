"""The filter on a machine for classic BPF: what it takes, to the byte, and that a switch leaves nothing through."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.flows import cbpf, packet_filter
from netpolicy.flows.cbpf import CODES, CONDITIONS, Instruction
from netpolicy.flows.packet_filter import LAN, WAN
from netpolicy.flows.packet_frame import parse
from tests.flows.bpf_machine import Packet, run
from tests.flows.packets import (
    ACK,
    AUTHENTICATION,
    DESTINATION,
    FIN,
    FRAGMENT,
    HELLO,
    HOP_BY_HOP,
    INITIAL,
    INITIAL_2,
    IPV4,
    IPV6,
    PPPOE,
    PROVIDER_VLAN,
    PSH,
    QUERY,
    REQUEST,
    ROUTING,
    RST,
    SYN,
    TCP,
    UDP,
    VLAN,
    extension,
    fragment,
    ipv4,
    ipv6,
    tcp,
    udp,
)  # fmt: skip

GOLDEN = Path(__file__).parents[1] / "data" / "packet_filter.txt"
IN, OUT = 0, 4


class Switches(NamedTuple):
    tls: bool = True
    http: bool = True
    dns_answers: bool = True
    dns_queries: bool = True
    quic: bool = True
    flows: bool = True


ALL, NONE = Switches(), Switches(*[False] * 6)
EVERY = [Switches(*bits) for bits in itertools.product((False, True), repeat=6)]
PROGRAMS = {(role, wanted): packet_filter.program(role, wanted) for role in (LAN, WAN) for wanted in EVERY}

V4_HEAD, V6_HEAD, TCP_HEAD = 20, 40, 20
TIMES = b"\x01\x01\x08\x0a" + bytes(8)  # an option of TCP


def taken(data: bytes, protocol: int = IPV4, type: int = IN, role: str = LAN, wanted: Switches = ALL) -> int:
    return run(PROGRAMS[role, wanted], Packet(data, protocol, type))


def listing(program: list[Instruction]) -> str:
    """A line per instruction, as a person would check it."""
    words = {code: word for word, code in CODES.items()}
    lines = []
    for number, (code, yes, no, value) in enumerate(program):
        word = words[code]
        text = f"{number:3} {word:8}{value:#x}" if word != "ja" else f"{number:3} {word:8}→ {number + 1 + value}"
        lines.append(text + (f" → {number + 1 + yes}, else {number + 1 + no}" if word in CONDITIONS else ""))
    return "\n".join(lines) + "\n"


def test_the_instructions_are_the_reviewed_ones():
    """A change of the filter is a change of this file, to be read by a person."""
    assert listing(PROGRAMS[LAN, ALL]) == GOLDEN.read_text(encoding="utf-8")


def test_no_combination_of_switches_makes_it_too_long_for_any_kernel():
    assert max(map(len, PROGRAMS.values())) <= 220  # 4096 may be; a quarter of optmem_max holds that
    assert min(map(len, PROGRAMS.values())) >= 10
    for program in PROGRAMS.values():
        assert len(cbpf.pack(program)) == 8 * len(program)


@pytest.mark.parametrize("flags", [SYN, SYN | ACK, FIN | ACK, RST, RST | ACK])
@pytest.mark.parametrize("type", [IN, OUT])
def test_of_beginnings_and_ends_the_headers_are_taken(flags, type):
    assert taken(ipv4(tcp(b"secret", flags, options=TIMES)), type=type) == V4_HEAD + TCP_HEAD + len(TIMES)
    assert taken(ipv6(tcp(b"secret", flags)), IPV6, type) == V6_HEAD + TCP_HEAD
    assert taken(ipv4(tcp(b"", flags), options=bytes(8)), type=type) == V4_HEAD + 8 + TCP_HEAD
    assert taken(ipv4(tcp(b"secret", flags)), type=type, wanted=ALL._replace(flows=False)) == 0


@pytest.mark.parametrize(
    "payload", [b"", b"x", b"\x17\x03\x03\x01\x00\x01", b"\x16\x03\x03\x00\x20\x02", b"SSH-2.0-x\r\n"]
)
def test_of_all_other_packets_nothing(payload):
    for type in (IN, OUT):
        assert taken(ipv4(tcp(payload)), type=type) == 0
        assert taken(ipv6(tcp(payload)), IPV6, type) == 0
    assert taken(ipv4(b"\x08\0\0\0", protocol=1)) == 0
    assert taken(bytes(28), 0x0806) == 0


def test_first_words_are_taken_from_the_client_alone():
    for payload in (HELLO, REQUEST):
        packet = ipv4(tcp(payload, options=TIMES))
        assert (taken(packet), taken(packet, type=OUT)) == (len(packet), 0)
        assert (taken(packet, role=WAN), taken(packet, role=WAN, type=OUT)) == (0, len(packet))
        assert taken(ipv6(tcp(payload)), IPV6) == V6_HEAD + TCP_HEAD + len(payload)


@pytest.mark.parametrize("method", packet_filter.METHODS)
def test_every_method_of_a_request_is_known(method):
    assert taken(ipv4(tcp(method + b" / HTTP/1.1\r\n"))) > V4_HEAD + TCP_HEAD


def test_a_merged_packet_is_taken_as_far_as_a_hello_can_reach():
    """Sixty-four kilobytes in one: of a hello 4096 of them, of a request 2048, of anything else none."""
    for payload, bytes_ in ((HELLO, packet_filter.TLS_BYTES), (REQUEST, packet_filter.HTTP_BYTES)):
        assert taken(ipv4(tcp(payload.ljust(64000, b"x")))) == V4_HEAD + TCP_HEAD + bytes_
    assert taken(ipv4(tcp(b"x" * 100_000), length=0)) == 0
    assert taken(ipv4(tcp(HELLO.ljust(100_000, b"x")), length=0)) == V4_HEAD + TCP_HEAD + packet_filter.TLS_BYTES


def test_words_in_a_syn_or_beside_a_fin_are_found():
    for flags in (SYN, FIN | ACK | PSH):
        packet = ipv4(tcp(HELLO, flags))
        assert taken(packet) == len(packet)
        assert taken(packet, wanted=ALL._replace(tls=False)) == V4_HEAD + TCP_HEAD


def test_names_are_asked_for_upwards_and_told_downwards():
    query, answer = ipv4(udp(QUERY, (40000, 53)), UDP), ipv4(udp(QUERY, (53, 40000)), UDP)
    assert (taken(query), taken(query, type=OUT)) == (len(query), 0)
    assert (taken(answer), taken(answer, type=OUT)) == (0, len(answer))
    assert (taken(answer, role=WAN), taken(query, role=WAN, type=OUT)) == (len(answer), len(query))
    both = ipv4(udp(QUERY, (53, 53)), UDP)  # an old resolver
    assert (taken(both), taken(both, type=OUT)) == (len(both), len(both))
    long = ipv4(udp(QUERY.ljust(5000, b"x"), (53, 40000)), UDP)
    assert taken(long, type=OUT) == V4_HEAD + 8 + packet_filter.DNS_BYTES


def test_segments_of_name_servers_are_taken_where_a_message_can_be_in_them():
    """Both ways, by either switch; as far as an answer by TCP is read."""
    asks, answers = (ipv4(tcp(b"\0\x20" + QUERY, ports=ports, options=TIMES)) for ports in ((40000, 53), (53, 40000)))
    assert (taken(asks), taken(asks, type=OUT)) == (len(asks), 0)
    assert (taken(answers), taken(answers, type=OUT)) == (0, len(answers))
    assert (taken(answers, role=WAN), taken(asks, role=WAN, type=OUT)) == (len(answers), len(asks))
    alone = NONE._replace(dns_answers=True)
    assert (taken(asks, wanted=alone), taken(answers, type=OUT, wanted=alone)) == (0, len(answers))
    for payload in (b"", b"\0\x20", b"\0\x0c" + bytes(12)):  # an acknowledgement, a length, a header without a question
        assert taken(ipv4(tcp(payload, ports=(40000, 53)))) == 0
    long = ipv4(tcp(QUERY.ljust(60_000, b"x"), ports=(53, 40000)))
    assert taken(long, type=OUT) == V4_HEAD + TCP_HEAD + packet_filter.DNS_STREAM_BYTES


def test_quic_begins_with_a_long_datagram_of_either_version():
    for payload in (INITIAL, INITIAL_2):
        packet = ipv4(udp(payload), UDP)
        assert (taken(packet), taken(packet, type=OUT)) == (len(packet), 0)
        assert taken(ipv6(udp(payload), UDP), IPV6) == V6_HEAD + 8 + len(payload)
        assert taken(ipv4(udp(payload[:-1]), UDP)) == 0  # shorter than any Initial
        assert taken(ipv4(udp(payload, (40000, 4433)), UDP)) == 0
    # the types of one version are not those of the other, and short headers are everything later
    for first, version in ((0xD3, 1), (0xC3, 0x6B3343CF), (0xE3, 1), (0x43, 1), (0xC3, 0)):
        payload = bytes((first,)) + version.to_bytes(4, "big") + bytes(1195)
        assert taken(ipv4(udp(payload), UDP)) == 0


@pytest.mark.parametrize("kind", [HOP_BY_HOP, ROUTING, DESTINATION])
def test_ipv6_headers_between_are_passed(kind):
    for size in (8, 24, 64):
        packet = ipv6(extension(TCP, size) + tcp(b"", SYN), kind)
        assert taken(packet, IPV6) == len(packet)
    four = ipv6(extension(kind) * 3 + extension(UDP) + udp(QUERY, (40000, 53)), kind)
    assert taken(four, IPV6) == len(four)
    assert taken(ipv6(extension(kind) * 4 + extension(TCP) + tcp(b"", SYN), kind), IPV6) == 0
    assert taken(ipv6(extension(AUTHENTICATION) + tcp(b"", SYN), kind), IPV6) == 0


def test_fragments_are_never_taken_but_those_that_are_none():
    for field in (0x2000, 0x0001, 0x2001, 0x1FFF):
        assert taken(ipv4(tcp(HELLO, SYN), fragment=field)) == 0
    assert taken(ipv4(tcp(b"", SYN), fragment=0x4000)) == V4_HEAD + TCP_HEAD  # "do not" is no fragment
    for field in (0x0001, 0x0008, 0xFFF8):
        assert taken(ipv6(fragment(TCP, field) + tcp(b"", SYN), FRAGMENT), IPV6) == 0
    atomic = ipv6(fragment(TCP, 0) + tcp(b"", SYN), FRAGMENT)
    assert taken(atomic, IPV6) == len(atomic)


def test_tags_and_pppoe_are_passed():
    syn4, syn6 = ipv4(tcp(b"", SYN)), ipv6(tcp(b"", SYN))
    for tag in (VLAN, PROVIDER_VLAN):
        # What came in has the inner tag in front; what goes out begins with IP, whatever its protocol says.
        assert taken(b"\x40\x05\x08\x00" + syn4, tag) == 4 + len(syn4)
        assert taken(b"\x60\x05\x86\xdd" + syn6, tag) == 4 + len(syn6)
        assert (taken(syn4, tag, OUT), taken(syn6, tag, OUT)) == (len(syn4), len(syn6))
        assert taken(b"\x00\x05\x08\x06" + bytes(28), tag) == 0
    session = b"\x11\0\0\1\0\x50"
    for type in (IN, OUT):
        assert taken(session + b"\0\x21" + syn4, PPPOE, type) == 8 + len(syn4)
        assert taken(session + b"\0\x57" + syn6, PPPOE, type) == 8 + len(syn6)
        assert taken(session + b"\xc0\x21" + bytes(40), PPPOE, type) == 0


# What each switch lets through, beyond headers: the kind of packet, and how it looks.
KINDS = {
    "tls": (ipv4(tcp(HELLO)), IN),
    "http": (ipv4(tcp(REQUEST)), IN),
    "dns_answers": (ipv4(udp(QUERY, (53, 40000)), UDP), OUT),
    "dns_queries": (ipv4(udp(QUERY, (40000, 53)), UDP), IN),
    "quic": (ipv4(udp(INITIAL), UDP), IN),
    "flows": (ipv4(tcp(b"", SYN)), IN),
}


@pytest.mark.parametrize("wanted", EVERY, ids=lambda wanted: "".join("-x"[one] for one in wanted))
def test_exactly_what_is_switched_on_is_taken(wanted):
    for name, (packet, type) in KINDS.items():
        assert taken(packet, type=type, wanted=wanted) == (len(packet) if getattr(wanted, name) else 0)


@given(st.binary(max_size=120), st.sampled_from([IPV4, IPV6, VLAN, PPPOE, 0x0806]), st.sampled_from([IN, OUT]))
def test_of_garbage_no_byte_beyond_its_headers_is_taken_where_payload_is_not_wanted(data, protocol, type):
    run(PROGRAMS[LAN, ALL], Packet(data, protocol, type))
    assert run(PROGRAMS[LAN, NONE], Packet(data, protocol, type)) == 0
    only_flows = run(PROGRAMS[LAN, NONE._replace(flows=True)], Packet(data, protocol, type))
    frame = parse(data[:only_flows], protocol, type == OUT)
    assert frame is None or frame.start == frame.end


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 90), st.integers(0, 255))
def test_a_bent_packet_ends_the_program_somewhere(name, at, value):
    packet, type = KINDS[name]
    bent = bytearray(packet)
    bent[at % len(bent)] = value
    for data in (bytes(bent), packet[:at]):
        assert 0 <= taken(data, type=type) <= len(data)
