"""Where inputs of `wire_targets` begin: hellos, packets, messages and heads that are right, and the bytes they like."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from random import Random

from netpolicy.flows import tls_hello
from tests.flows import dns_build as dns
from tests.flows import hellos
from tests.flows.quic_clients import crypto
from tests.flows.test_dns_service import REAL_ECH
from tests.flows.test_dns_wire import TO_QUESTION

VECTORS = json.loads((Path(__file__).parents[1] / "data/quic_initial.json").read_text())
BIG = hellos.message(
    hellos.key_share(hellos.POST_QUANTUM), hellos.encrypted(), hellos.server_name(b"big.example.com"), hellos.VERSIONS
)
HELLOS = (hellos.message(), BIG, hellos.of_openssl("www.example.com", ssl.TLSVersion.TLSv1_3, ("h2", "http/1.1"))[5:])
STREAMS = tuple(hellos.records(one, *cuts) for one in HELLOS for cuts in ((), (3, 60), (1, 2, 100)))
TOLD = tuple(
    tls_hello.TOLD.pack(len(name), len(protocols), ech) + name + protocols
    for name in (b"", hellos.server_name(b"www.example.com")[4:])
    for protocols in (b"", hellos.protocols(b"h2")[4:])
    for ech in (0, 1)
)
EXTENSIONS = (b"".join(hellos.USUAL), hellos.encrypted() + hellos.server_name(b"a.example"))

HEADS = (
    b"GET / HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: x\r\n\r\n", b"Host: a.example:8080\r\nA: b\r\n\r\n",
    b"CONNECT a.example:443 HTTP/1.1\r\n\r\n", b"POST http://a.example/ HTTP/1.0\r\nhost:b.example\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)  # fmt: skip
NAMES = (
    b"www.example.com",
    b"192.0.2.1",
    b"[2001:db8::1]",
    b"xn--bcher-kva.example.",
    b"_443._tcp.a.example",
    b"0x7f.1",
)

SERVICES = (
    dns.service(dns.parameter(1, b"\2h3"), dns.parameter(4, bytes((192, 0, 2, 1))), dns.parameter(5, REAL_ECH)),
    dns.service(dns.parameter(0, b"\0\4"), dns.parameter(4, bytes((192, 0, 2, 1))), target="svc.example"),
    REAL_ECH,
)  # fmt: skip
RECORDS = (
    dns.cname(TO_QUESTION, "cdn.example.net") + dns.a("192.0.2.1", "cdn.example.net") + dns.a("2001:db8::1"),
    dns.a("192.0.2.1") + dns.a("192.0.2.2") + dns.opt(),
    dns.record(TO_QUESTION, dns.HTTPS, SERVICES[0]),
)
MESSAGES = (
    dns.question("www.example.com", more=dns.opt()),
    dns.answer("www.example.com", dns.cname(TO_QUESTION, "b.example"), dns.a("192.0.2.1", "b.example"), more=dns.opt()),
    dns.answer("www.example.com", dns.record(TO_QUESTION, dns.HTTPS, SERVICES[0]), kind=dns.HTTPS),
    dns.answer("www.example.com", *[dns.a(f"192.0.2.{number}") for number in range(1, 60)]),
    *[bytes((count,)) + records for count, records in zip((3, 2, 1), RECORDS, strict=True)],
)
PACKETS = tuple(bytes.fromhex(VECTORS[version][side]) for version in ("v1", "v2") for side in ("client", "server"))
PACKETS += (PACKETS[0] + PACKETS[2], PACKETS[0][:60] + bytes(40))
FRAMES = (
    crypto(0, hellos.message()),
    bytes(9) + crypto(600, BIG[600:]) + b"\1\1" + crypto(0, BIG[:400]) + bytes(3) + crypto(300, BIG[300:700]),
    b"\2\5\0\1\1\1\1" + b"\3\5\0\0\1\1\1\1" + b"\x1c\1\6\3abc" + crypto(0, b"abc"),
)

FRAMED = tuple(len(one).to_bytes(2, "big") + one + b"\0\x14" + one[:20] for one in MESSAGES)

CORPORA: dict[str, tuple[bytes, ...]] = {
    "host-name": NAMES,
    "tls-hello": STREAMS + HELLOS + EXTENSIONS + TOLD,
    "http-host": HEADS,
    "quic-initial": PACKETS,
    "quic-frames": FRAMES,
    "dns-message": MESSAGES,
    "dns-service": SERVICES,
    "assembly": tuple(Random(seed).randbytes(120) for seed in range(20)),
    "payloads": tuple(
        bytes((kind | 0x40, number, 0, cut)) + data
        for kind, parts in enumerate((STREAMS + HEADS, STREAMS, PACKETS, MESSAGES, MESSAGES, STREAMS, FRAMED, FRAMED))
        for number, data in enumerate(parts)
        for cut in (0, 100, 255)
    ),
}

NUMBERS = (0, 1, 2, 3, 5, 12, 16, 28, 63, 64, 65, 127, 128, 192, 255, 256, 1200, 0x3FFF, 0x4000, 0xC00C, 0xFE0D, 0xFFFF)
WORDS = (
    b"\x16\3\1", b"\x16\3\3\0\5", b"\1\0\0", b"\0\0\0\5\0\3\0\0\0", b"\xc0\x0c", b"\xc0\0", b"\xc0\xff",
    b"\0\1\0\1", b"\0\x1c\0\1", b"\0\5\0\1", b"\0\x41\0\1", b"\0\x29\4\xd0", b"\6\0", b"\6\x40\0\x40",
    b"\xc0\0\0\0\1\x08", b"\xd0\x6b\x33\x43\xcf", b"\r\n", b"\r\nHost: ", b"\r\n ", b" HTTP/1.1\r\n", b"GET ",
    b"http://", b"a.example", b"\0" * 20, b"\xff" * 8,
)  # fmt: skip


def words() -> tuple[bytes, ...]:
    """What a mutation puts in: lengths of one to three bytes, and beginnings of structures."""
    sizes = [number.to_bytes(size, "big") for number in NUMBERS for size in (1, 2, 3) if number < 1 << 8 * size]
    return tuple(dict.fromkeys([*sizes, *WORDS, *(crypto(offset, b"abc") for offset in (0, 2, 70, 20_000))]))
