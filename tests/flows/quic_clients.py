"""What QUIC clients send first: a real one (aioquic), and packets that are cut as Chromium and quic-go do it.

aioquic seals; it shares nothing with what is tested.
"""

from __future__ import annotations

import itertools
from random import Random

import pytest

from netpolicy.flows.quic_crypto import V1, V2

DESTINATION = bytes.fromhex("a79a3ca80b9a8a81")
INITIAL = {V1: 0xC0, V2: 0xD0}


def real(name: str | None, version: int = V1, alpn: tuple[str, ...] = ("h3",)) -> list[bytes]:
    """The first datagrams of a real client."""
    pytest.importorskip("aioquic", reason="aioquic is not installed")
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.connection import QuicConnection

    settings = QuicConfiguration(is_client=True, server_name=name, alpn_protocols=list(alpn))
    settings.original_version, settings.supported_versions = version, [version]
    client = QuicConnection(configuration=settings)
    client.connect(("198.51.100.7", 443), now=0.0)
    return [datagram for datagram, _ in client.datagrams_to_send(now=0.0)]


def varint(number: int) -> bytes:
    if number < 0x40:
        return bytes((number,))
    return (number | 0x4000).to_bytes(2, "big") if number < 0x4000 else (number | 0x80000000).to_bytes(4, "big")


def crypto(offset: int, data: bytes) -> bytes:
    return b"\6" + varint(offset) + varint(len(data)) + data


def initial(
    frames: bytes,
    number: int = 0,
    version: int = V1,
    destination: bytes = DESTINATION,
    first: bytes | None = None,
    token: bytes = b"",
    size: int = 1200,
    is_client: bool = True,
) -> bytes:
    """One Initial, padded to the size. `first`: the connection id that makes the keys, where it is another."""
    pytest.importorskip("aioquic", reason="aioquic is not installed")
    from aioquic.quic.crypto import CryptoPair

    head = bytes((INITIAL[version] | 1,)) + version.to_bytes(4, "big") + bytes((len(destination),)) + destination
    head += b"\4scid" + varint(len(token)) + token
    frames += bytes(max(size - len(head) - 2 - 2 - 16 - len(frames), 0))
    head += (0x4000 | 2 + len(frames) + 16).to_bytes(2, "big") + number.to_bytes(2, "big")
    pair = CryptoPair()
    pair.setup_initial(first or destination, is_client=is_client, version=version)
    return bytes(pair.encrypt_packet(head, frames, number))


def chaos(message: bytes, random: Random, packets: int = 1, version: int = V1) -> list[bytes]:
    """As Chromium protects itself against readers that expect one frame: many, shuffled, with PING and PADDING."""
    cuts = sorted({0, len(message), *(random.randrange(1, len(message)) for _ in range(random.randint(3, 20)))})
    pieces = [crypto(begin, message[begin:end]) for begin, end in itertools.pairwise(cuts)]
    random.shuffle(pieces)
    found = []
    for number in range(packets):
        frames: list[bytes] = pieces[number::packets]
        for _ in range(random.randint(1, 10)):
            frames.insert(random.randint(0, len(frames)), random.choice((b"\1", bytes(random.randint(1, 30)))))
        found.append(initial(b"".join(frames), number, version))
    return found
