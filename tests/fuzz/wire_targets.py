"""Fuzzed: what strangers send over the network and our inspector reads: hellos, QUIC, DNS, requests, their pieces.

Functions of bytes as in `targets`. Each input is read as it is, and once more inside of a valid frame: otherwise
most changes would stop at the first length. Where something is known to hold, that it does not is a defect too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from netpolicy.flows import dns_message, dns_service, dns_wire, http_host, names, quic_initial, tls_hello
from netpolicy.flows.assembly import Assembly
from netpolicy.flows.quic_crypto import Cipher, choose, keys_of
from netpolicy.flows.reader import Name, Reader
from netpolicy.flows.seen import (
    BEGINNING,
    DNS_ANSWER,
    DNS_ANSWERING,
    DNS_ASKING,
    DNS_QUERY,
    HELLO,
    INBOUND,
    QUIC,
    STREAM,
    Payload,
)

KINDS = (STREAM, HELLO, INBOUND, QUIC, DNS_ANSWER, DNS_QUERY, BEGINNING, DNS_ASKING, DNS_ANSWERING)
MOST_PIECES = 60  # of an input; more would only take longer
TEXT = bytes((number * number >> 3) & 0xFF for number in range(2048))


class Broken(Exception):
    """What must hold for every input did not."""


def host_name(data: bytes) -> None:
    found = _read(names.host_name, data)
    if found is not None and names.host_name(found.encode()) != found:
        raise Broken("a name is read otherwise the second time")


def tls(data: bytes) -> None:
    """A stream, a message, and the extensions of a message that is right around them."""
    _beginning(tls_hello.from_stream, data)
    _read(tls_hello.from_message, data)
    _read(tls_hello.from_told, data)
    block = data[:60_000]
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + struct.pack(">H", len(block)) + block
    _read(tls_hello.from_message, b"\1" + len(body).to_bytes(3, "big") + body)


def http(data: bytes) -> None:
    _beginning(http_host.from_stream, data)
    _beginning(http_host.from_stream, b"GET / HTTP/1.1\r\n" + data)


def _beginning(read: Callable[[bytes], tls_hello.Hello | http_host.Request], data: bytes) -> None:
    """What the whole says, its beginning must not contradict, nor give up: pieces come one after the other."""
    found = _read(read, data)
    if found is None:
        return
    name = found[0]
    if name and data[:1] != b"\x16" and name.encode() not in data.lower():  # records may begin inside of a name
        raise Broken("a name that is not there")
    try:
        part = read(data[: len(data) * (sum(data[:50]) % 97 + 1) // 98])
    except names.Refused as refused:
        if not found.missing and name:
            raise Broken(f"given up too early: {refused.reason}") from None
        return
    if part[0] and name and part[0] != name:
        raise Broken("a beginning has another name")


_CIPHERS: list[Cipher | None] = []


def quic(data: bytes) -> None:
    """Headers, and what opens: few changed packets do."""
    if not _CIPHERS:
        _CIPHERS.append(choose()[0])
    (cipher,) = _CIPHERS
    for packet in _read(quic_initial.initials, data) or ():
        frames = quic_initial.unseal(packet, keys_of(packet.version, packet.destination), cipher)
        if frames is not None:
            _read(quic_initial.crypto_pieces, frames)


def quic_frames(data: bytes) -> None:
    """What is in a packet once it is open: frames, joined, to a hello."""
    joined = Assembly()
    for offset, piece in _read(quic_initial.crypto_pieces, data) or ():
        _read(joined.put, ("flow",), offset, piece, 0.0)
    _read(tls_hello.from_message, joined.beginning(("flow",)))
    if joined.held > 256 << 10:
        raise Broken("more is held than may be")


def dns(data: bytes) -> None:
    """A message as it is, and its bytes as records of an answer."""
    count = data[0] if data else 0
    head = struct.pack(">HHHHHH", 7, 0x8180, 1, count, 0, 0) + b"\3www\7example\3com\0\0\1\0\1"
    for message in (data, head + data[1:]):
        parsed = _read(dns_wire.parse, message)
        found = parsed and _read(dns_message.proof, parsed)
        if not found:
            continue
        if any(address[12:] not in message for address, _ in found.addresses + found.hints):
            raise Broken("an address that is not there")
        owners = {one.owner for one in parsed.answers}
        if found.addresses and parsed.name not in owners:
            raise Broken("addresses of a name that has no record")


def services(data: bytes) -> None:
    _read(dns_service.parse, data)
    _read(dns_service.public_names, data)
    _read(dns_service.public_names, len(data[:60_000]).to_bytes(2, "big") + data[:60_000])


def assembly(data: bytes) -> None:
    """Four bytes each: flow, offset, length. Pieces of one text, in any order, give its beginning."""
    joined = Assembly(flows=4, flow_bytes=1024, total_bytes=8192, pieces=8)
    for at in range(0, min(len(data), MOST_PIECES * 4) - 3, 4):
        flow, offset = (data[at] & 7,), (data[at + 1] << 3 | data[at] >> 5) & 2047
        size = data[at + 2] << (data[at + 3] & 3)
        found = joined.add(flow, offset, TEXT[offset : offset + size], float(at))
        if not TEXT.startswith(found) or len(found) > 1024:
            raise Broken("not the beginning of the text")
        if joined.held > 8192 or len(joined) > 4:
            raise Broken("more is held than may be")
        if data[at + 3] > 250:
            joined.expire(float(at))


_READERS: list[Reader] = []


def payloads(data: bytes) -> None:
    """Pieces for one reader that lives as long as the process: whatever came before, it neither fails nor grows."""
    if not _READERS:
        _READERS.append(Reader(choose()[0], Assembly(flows=8), Assembly(flows=8)))
    (reader,) = _READERS
    head, rest = data[:4].ljust(4, b"\0"), data[4:]
    key = (bytes(16), bytes(15) + head[1:2], 1, 443, 6)
    offset = head[2] * 8 if head[0] & 0x80 else 0
    cut = len(rest) * head[3] // 255
    for at, piece in ((offset, rest[:cut]), (offset + cut, rest[cut:])):
        given = Payload(
            key, KINDS[head[0] % len(KINDS)], at, piece, float(head[3]), first=not at and bool(head[0] & 0x40)
        )
        found = reader.read(given)
        if isinstance(found, Name) and not found.name:
            raise Broken("a name without a name")
        if len(reader.more) * 14 > 8 << 10 or any(one is None for one in reader.more):
            raise Broken("more answers than bytes for them")
        reader.more.clear()
    if any(value > 128 << 10 for name, value in reader.counters.items() if name in ("asking_held", "answering_held")):
        raise Broken("more is held than may be")
    if head[3] > 250:
        reader.expire(float(head[3]) + 20)


def _read(read: Callable, *given: object):  # type: ignore[no-untyped-def, type-arg]
    """What is read, or None where it is refused; the refusal has one of the known reasons."""
    try:
        return read(*given)
    except names.Refused as refused:
        if refused.reason not in REASONS:
            raise Broken(f"refused with {refused.reason!r}") from None
        return None


REASONS = {
    names.NO_NAME, names.ADDRESS, names.INCOMPLETE, names.MALFORMED, names.NOT_DECRYPTED, names.QUIC_VERSION,
    names.HTTP2, names.OTHER, names.DNS_REFUSED, names.TRUNCATED,
}  # fmt: skip

WIRE_TARGETS: dict[str, Callable[[bytes], object]] = {
    "host-name": host_name,
    "tls-hello": tls,
    "http-host": http,
    "quic-initial": quic,
    "quic-frames": quic_frames,
    "dns-message": dns,
    "dns-service": services,
    "assembly": assembly,
    "payloads": payloads,
}
