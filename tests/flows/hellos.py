"""ClientHellos for tests: built byte by byte, and those of the OpenSSL that Python has."""

from __future__ import annotations

import contextlib
import itertools
import ssl
import struct

RANDOM = bytes(range(32))
SESSION = bytes(range(100, 132))
POST_QUANTUM = 1216  # bytes of a share of X25519MLKEM768


def vector(data: bytes, size: int = 2) -> bytes:
    """With its length in front."""
    return len(data).to_bytes(size, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">H", kind) + vector(data)


def server_name(name: bytes) -> bytes:
    return extension(0, vector(b"\0" + vector(name)))


def protocols(*names: bytes) -> bytes:
    return extension(16, vector(b"".join(vector(name, 1) for name in names)))


def key_share(size: int) -> bytes:
    return extension(51, vector(struct.pack(">H", 0x11EC) + vector(bytes(size))))


def encrypted(kind: int = 0) -> bytes:
    """encrypted_client_hello as a client sends it, to a server that has it or not (RFC 9849, 5)."""
    return extension(0xFE0D, bytes((kind,)) + struct.pack(">HHB", 1, 1, 0x2A) + vector(bytes(32)) + vector(bytes(144)))


VERSIONS = extension(43, b"\2\3\4")
USUAL = (server_name(b"www.example.com"), VERSIONS, key_share(32), protocols(b"h2", b"http/1.1"))


def message(
    *extensions: bytes, version: bytes = b"\3\3", session: bytes = SESSION, suites: bytes = b"\x13\1\x13\2"
) -> bytes:
    """A ClientHello; without extensions the usual ones."""
    body = version + RANDOM + vector(session, 1) + vector(suites) + b"\1\0"
    return b"\1" + vector(body + vector(b"".join(extensions or USUAL)), 3)


def records(data: bytes, *cuts: int, version: bytes = b"\3\1") -> bytes:
    """The message in records that end at the cuts."""
    ends = (0, *cuts, len(data))
    parts = [data[begin:end] for begin, end in itertools.pairwise(ends)]
    return b"".join(b"\x16" + version + vector(part) for part in parts)


def of_openssl(name: str | None, newest: ssl.TLSVersion, alpn: tuple[str, ...] = ()) -> bytes:
    """The first bytes of a real client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = newest
    if alpn:
        context.set_alpn_protocols(list(alpn))
    there, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(there, sent, server_hostname=name).do_handshake()
    return sent.read()
