"""Keys and providers of AES: published vectors, and each provider against the others."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from random import Random

import pytest

from netpolicy.flows import quic_crypto
from netpolicy.flows.aes_own import OwnAes
from netpolicy.flows.quic_crypto import PROVIDERS, V1, V2, Keys, choose, is_right, keys_of
from tests.own_process import least_seconds

VECTORS = json.loads((Path(__file__).parents[1] / "data/quic_initial.json").read_text())
DESTINATION = bytes.fromhex(VECTORS["destination"])


def provider(name: str):
    cipher, refusals = choose((name,))
    if cipher is None:
        pytest.skip(f"{name}: {refusals[name]}")
    return cipher


@pytest.mark.parametrize(("name", "version"), [("v1", V1), ("v2", V2)])
def test_the_keys_are_those_of_the_standards(name, version):
    expected = VECTORS[name]
    assert keys_of(version, DESTINATION) == Keys(*(bytes.fromhex(expected[word]) for word in ("key", "iv", "hp")))


def test_our_hmac_is_the_usual_one():
    random = Random(1)
    for size in (0, 1, 20, 32, 64):
        key, message = random.randbytes(size), random.randbytes(50)
        assert quic_crypto._Hmac(key)(message) == hmac.digest(key, message, hashlib.sha256)


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_computes_what_our_own_does(name):
    cipher, own, random = provider(name), OwnAes(), Random(2)
    for size in (0, 1, 15, 16, 17, 100, 1200):
        key, nonce, header = random.randbytes(16), random.randbytes(12), random.randbytes(size % 40)
        assert cipher.block(key, key) == own.block(key, key)
        sealed = seal(key, nonce, header, random.randbytes(size))
        assert cipher.open(key, nonce, header, sealed) == own.open(key, nonce, header, sealed) is not None


def seal(key: bytes, nonce: bytes, header: bytes, text: bytes) -> bytes:
    """By the parts of our own: opening what nobody sealed gives None, and sealing is opening with another tag."""
    from netpolicy.flows import aes_own

    count = -(-len(text) // 16)
    counters = [bytes(16)] + [nonce + number.to_bytes(4, "big") for number in range(1, count + 2)]
    stream = aes_own.encrypt(key, b"".join(counters))
    hidden = bytes(a ^ b for a, b in zip(text, stream[32:], strict=False))
    lengths = (len(header) * 8).to_bytes(8, "big") + (len(text) * 8).to_bytes(8, "big")
    padded = [data + bytes(-len(data) % 16) for data in (header, hidden)]
    digest = aes_own._hash(int.from_bytes(stream[:16], "big"), b"".join(padded) + lengths)
    return hidden + (digest ^ int.from_bytes(stream[16:32], "big")).to_bytes(16, "big")


@pytest.mark.parametrize("name", PROVIDERS)
def test_one_changed_bit_anywhere_is_noticed(name):
    cipher, random = provider(name), Random(3)
    key, nonce, header = random.randbytes(16), random.randbytes(12), random.randbytes(20)
    sealed = seal(key, nonce, header, random.randbytes(40))
    assert cipher.open(key, nonce, header, sealed) is not None
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1 << at % 8
        assert cipher.open(key, nonce, header, bytes(changed)) is None
    assert cipher.open(key, nonce, header + b"x", sealed) is None
    assert cipher.open(key, nonce, header[:-1] + b"x", sealed) is None
    assert cipher.open(key, bytes(12), header, sealed) is None
    assert cipher.open(bytes(16), nonce, header, sealed) is None
    assert cipher.open(key, nonce, header, sealed) is not None, "what failed left nothing behind"


@pytest.mark.parametrize("name", PROVIDERS)
def test_what_is_shorter_than_a_tag_or_longer_than_a_packet_opens_nothing(name):
    cipher = provider(name)
    assert cipher.open(bytes(16), bytes(12), b"", bytes(15)) is None
    assert cipher.open(bytes(16), bytes(12), b"", bytes(100_000)) is None


class Wrong(OwnAes):
    """Says that every tag is right."""

    def open(self, key: bytes, nonce: bytes, header: bytes, sealed: bytes) -> bytes | None:
        found = super().open(key, nonce, header, sealed)
        return found if found is not None else bytes(len(sealed) - 16)


def absent() -> OwnAes:
    raise OSError("no libcrypto")


def test_a_provider_that_computes_wrongly_is_passed_over(monkeypatch):
    assert is_right(OwnAes()) and not is_right(Wrong())
    monkeypatch.setitem(PROVIDERS, "libcrypto", absent)
    monkeypatch.setitem(PROVIDERS, "kernel", Wrong)
    cipher, refusals = choose()
    assert cipher is not None and cipher.name == "own" and cipher.is_costly
    assert refusals == {"libcrypto": "no libcrypto", "kernel": "it computes wrongly"}


def test_without_any_provider_the_reasons_are_told(monkeypatch):
    monkeypatch.setitem(PROVIDERS, "libcrypto", absent)
    assert choose(("libcrypto",)) == (None, {"libcrypto": "no libcrypto"})


def test_our_own_takes_milliseconds_at_most():
    """It is for routers ten times as slow as this machine; one block after the other it took ten times as long."""
    sealed = seal(bytes(16), bytes(12), b"", bytes(1150))

    def read() -> None:
        for _ in range(20):
            OwnAes().open(bytes(16), bytes(12), b"", sealed)

    assert least_seconds(read) < 0.2
