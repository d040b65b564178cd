"""The filter of the packet socket: which packets the kernel copies for us, and how many bytes of each.

Pure. What a switch forbids is not copied at all: of a packet whose payload is not wanted the headers alone are taken,
to the byte. Offset 0 is the network header, as SOCK_DGRAM has it. Formats: RFC 791, 8200, 9293, 768, 8446, 9000, 9369.
"""

from __future__ import annotations

from typing import Protocol

from netpolicy.flows.cbpf import PACKET_TYPE, PROTOCOL, Instruction, Line, Source, assemble

LAN, WAN = "lan", "wan"  # which side of the device the clients are on: behind it, or on the router's side
OUTGOING = 4  # PACKET_OUTGOING of <linux/if_packet.h>

IPV4, IPV6 = 0x0800, 0x86DD
VLAN, PROVIDER_VLAN, PPPOE = 0x8100, 0x88A8, 0x8864
PPP_IPV4, PPP_IPV6 = 0x0021, 0x0057
VLAN_SIZE, PPPOE_SIZE = 4, 8

TCP, UDP = 6, 17
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS = 0, 43, 44, 60
EXTENSIONS = 4  # headers between IPv6 and TCP or UDP; more are an attack or a test

# Bytes of payload. A ClientHello may be merged from several segments; with post-quantum key shares it has some 1,800.
TLS_BYTES, HTTP_BYTES, DNS_BYTES, QUIC_BYTES = 4096, 2048, 1432, 3000
DNS_STREAM_BYTES, DNS_LEAST = 4096, 12  # by TCP, behind the length in front of each message; no message is shorter
QUIC_LEAST = 1200  # no Initial of a client is shorter
QUIC_V1, QUIC_V2 = 0x00000001, 0x6B3343CF
DNS_PORT, QUIC_PORT = 53, 443

METHODS = (b"GET ", b"POST", b"HEAD", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"PROP")

# Words of the filter's memory: how much is taken of a packet without wanted payload, where payload begins, and which
# header follows.
BARE, PAYLOAD, NEXT = 0, 1, 2


class Wanted(Protocol):
    """What may leave the kernel, as the switches of the other tier say it."""

    @property
    def tls(self) -> bool: ...
    @property
    def http(self) -> bool: ...
    @property
    def dns_answers(self) -> bool: ...
    @property
    def dns_queries(self) -> bool: ...
    @property
    def quic(self) -> bool: ...
    @property
    def flows(self) -> bool: ...


def program(role: str, wanted: Wanted) -> list[Instruction]:
    """The filter for a device; `role`: LAN or WAN."""
    return assemble(source(role, wanted))


def source(role: str, wanted: Wanted) -> Source:
    """The same before it is assembled."""
    return [
        *_network(),
        *_ip(0), *_ip(VLAN_SIZE), *_ip(PPPOE_SIZE),
        *_extensions(),
        *_tcp(role, wanted),
        *_udp(role, wanted),
        "nothing", Line("ret", 0),
    ]  # fmt: skip


def _network() -> Source:
    """Where IP begins: behind a second VLAN tag, or a PPPoE header, of what comes in."""
    return [
        Line("ld", PROTOCOL),
        Line("jeq", IPV4, "ipv4 at 0"),
        Line("jeq", IPV6, "ipv6 at 0"),
        Line("jeq", VLAN, "tagged"),
        Line("jeq", PROVIDER_VLAN, "tagged"),
        Line("jeq", PPPOE, "", "nothing"),
        Line("ldh", PPPOE_SIZE - 2),
        Line("jeq", PPP_IPV4, f"ipv4 at {PPPOE_SIZE}"),
        Line("jeq", PPP_IPV6, f"ipv6 at {PPPOE_SIZE}", "nothing"),
        "tagged",
        # What goes out is cut at its IP header even where the protocol is the one of its tag.
        Line("ld", PACKET_TYPE),
        Line("jeq", OUTGOING, "by version"),
        Line("ldh", VLAN_SIZE - 2),
        Line("jeq", IPV4, f"ipv4 at {VLAN_SIZE}"),
        Line("jeq", IPV6, f"ipv6 at {VLAN_SIZE}", "nothing"),
        "by version",
        Line("ldb", 0),
        Line("rsh", 4),
        Line("jeq", 4, "ipv4 at 0"),
        Line("jeq", 6, "ipv6 at 0", "nothing"),
    ]


def _ip(base: int) -> Source:
    """To `tcp` or `udp` with X where that begins, or to the extension headers. Fragments end here."""
    return [
        f"ipv4 at {base}",
        Line("ldh", base + 6),
        Line("jset", 0x3FFF, "nothing"),
        Line("ldx msh", base),
        *([Line("txa"), Line("add", base), Line("tax")] if base else []),
        Line("ldb", base + 9),
        Line("jeq", TCP, "tcp"),
        Line("jeq", UDP, "udp", "nothing"),
        f"ipv6 at {base}",
        Line("ldx #", base + 40),
        Line("ldb", base + 6),
        Line("ja", yes="header 0"),
    ]


def _extensions() -> Source:
    """A is the next header, X where it begins. A program has no loops, so each header has its own lines."""
    lines = [line for number in range(EXTENSIONS) for line in _extension(number)]
    return [*lines, f"header {EXTENSIONS}", Line("jeq", TCP, "tcp"), Line("jeq", UDP, "udp", "nothing")]


def _extension(number: int) -> Source:
    here, skip = f"header {number}", f"skip {number}"
    return [
        here,
        Line("jeq", TCP, "tcp"),
        Line("jeq", UDP, "udp"),
        Line("jeq", HOP_BY_HOP, skip),
        Line("jeq", DESTINATION_OPTIONS, skip),
        Line("jeq", ROUTING, skip),
        Line("jeq", FRAGMENT, "", "nothing"),
        # One that is no fragment (RFC 6946) is followed; its second byte is reserved, which is 0.
        Line("ldh x", 2),
        Line("jset", 0xFFF9, "nothing"),
        skip,
        Line("ldb x", 0),
        Line("st", NEXT),
        Line("ldb x", 1),
        Line("add", 1),
        Line("lsh", 3),
        Line("add x"),
        Line("tax"),
        Line("ld m", NEXT),
    ]


def _tcp(role: str, wanted: Wanted) -> Source:
    """Headers of SYN, FIN and RST; what a client says first where that is a hello or a request."""
    has_payload = wanted.tls or wanted.http
    if not has_payload and not wanted.flows and not wanted.dns_answers and not wanted.dns_queries:
        return ["tcp", Line("ret", 0)]
    return [
        "tcp",
        Line("ldb x", 12),
        Line("rsh", 2),
        Line("and", 0x3C),
        Line("add x"),
        Line("st", PAYLOAD),
        Line("ldb x", 13),
        Line("jset", 0x07, "control"),
        Line("ld #", 0),
        Line("ja", yes="first words"),
        "control",
        Line("ld m", PAYLOAD) if wanted.flows else Line("ld #", 0),
        "first words",
        Line("st", BARE),
        *_name_server(role, wanted),
        *(_first_words(role, wanted) if has_payload else []),
        "bare",
        Line("ld m", BARE),
        Line("ret a"),
    ]


def _name_server(role: str, wanted: Wanted) -> Source:
    """Segments from and to name servers, where there is more in them than the length of a message."""
    ways = [(0, "answers", wanted.dns_answers), (2, "asks", wanted.dns_queries)]
    ports = [line for place, name, on in ways if on for line in (Line("ldh x", place), Line("jeq", DNS_PORT, name))]
    if not ports:
        return []
    return [
        *ports,
        Line("ja", yes="no name server"),
        *(["answers", *_only_up(role, "segment", "no name server")] if wanted.dns_answers else []),
        *(["asks", *_only_up(role, "no name server")] if wanted.dns_queries else []),
        "segment",
        Line("ldx m", PAYLOAD),
        Line("ld len"),
        Line("sub x"),
        Line("jgt", 0x7FFFFFFF, "bare"),
        Line("jgt", 2 + DNS_LEAST, "", "bare"),
        *_take(DNS_STREAM_BYTES),
        "no name server",
    ]


def _first_words(role: str, wanted: Wanted) -> Source:
    """At least a record header and a type: shorter beginnings are not recognised."""
    tls: Source = [Line("rsh", 16), Line("jeq", 0x1603, "", "bare"), Line("ldb x", 5), Line("jeq", 1, "", "bare"),
           *_take(TLS_BYTES)]  # fmt: skip
    methods: Source = [Line("jeq", int.from_bytes(method, "big"), "request") for method in METHODS]
    return [
        *_only_up(role, "bare"),
        Line("ldx m", PAYLOAD),
        Line("ld len"),
        Line("sub x"),
        Line("jgt", 0x7FFFFFFF, "bare"),  # the packet is shorter than its header says
        Line("jge", 6, "", "bare"),
        Line("ld x", 0),
        *(methods if wanted.http else []),
        *(tls if wanted.tls else [Line("ja", yes="bare")]),
        *(["request", *_take(HTTP_BYTES)] if wanted.http else []),
    ]


def _udp(role: str, wanted: Wanted) -> Source:
    """Datagrams of name servers' port, and those that begin QUIC. X is where UDP begins."""
    to_payload: Source = [Line("txa"), Line("add", 8), Line("tax")]
    answers: Source = [*_only_up(role, "is answer", "is no answer"), "is answer", *to_payload, *_take(DNS_BYTES)]
    queries: Source = ["query", *_only_up(role, "nothing"), *to_payload, *_take(DNS_BYTES)]
    return [
        "udp",
        *([Line("ldh x", 0), Line("jeq", DNS_PORT, "", "is no answer"), *answers] if wanted.dns_answers else []),
        "is no answer",
        Line("ldh x", 2),
        *([Line("jeq", DNS_PORT, "query")] if wanted.dns_queries else []),
        *([Line("jeq", QUIC_PORT, "quic")] if wanted.quic else []),
        Line("ret", 0),
        *(queries if wanted.dns_queries else []),
        *(_quic(role, to_payload) if wanted.quic else []),
    ]


def _quic(role: str, to_payload: Source) -> Source:
    """A long header with the type of an Initial, which the two versions number differently."""
    return [
        "quic",
        *_only_up(role, "nothing"),
        Line("ldh x", 4),
        Line("jge", 8 + QUIC_LEAST, "", "nothing"),
        *to_payload,
        Line("ldb x", 0),
        Line("and", 0xF0),
        Line("jeq", 0xC0, "version 1"),
        Line("jeq", 0xD0, "", "nothing"),
        Line("ld x", 1),
        Line("jeq", QUIC_V2, "initial", "nothing"),
        "version 1",
        Line("ld x", 1),
        Line("jeq", QUIC_V1, "", "nothing"),
        "initial",
        *_take(QUIC_BYTES),
    ]


def _only_up(role: str, otherwise: str, up: str = "") -> Source:
    """Goes on for what comes from a client."""
    down, up = (otherwise, up) if role == LAN else (up, otherwise)
    return [Line("ld", PACKET_TYPE), Line("jeq", OUTGOING, down, up)]


def _take(size: int) -> Source:
    """So many bytes from X on, and all before."""
    return [Line("txa"), Line("add", size), Line("ret a")]
