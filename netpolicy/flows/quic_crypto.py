"""The keys of QUIC's first packets, and what takes them off: a library's AES, the kernel's, or our own.

These keys protect nothing from whoever watches: they follow from a number in the packet. Never used for more than that.
Sources: RFC 9001 (5.1, 5.2), RFC 9369 (3.3), RFC 8446 (7.1, HKDF-Expand-Label), RFC 5869.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple, Protocol

V1, V2 = 0x00000001, 0x6B3343CF

# Version to salt, and what its labels begin with.
VERSIONS = {
    V1: (bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"), b"tls13 quic "),
    V2: (bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"), b"tls13 quicv2 "),
}
BLOCK, KEY_BYTES, NONCE_BYTES, TAG_BYTES = 16, 16, 12, 16


class Keys(NamedTuple):
    """What protects the Initial packets of a client."""

    key: bytes
    nonce: bytes  # combined with the number of the packet
    mask_key: bytes  # of the header


class Cipher(Protocol):
    """AES-128 of one provider. Not for several threads at once.

    `is_costly`: a packet takes a router several milliseconds. The caller then limits how many packets it hands
    in for each second; nothing here does.
    """

    name: str  # "libcrypto", "kernel" or "own"
    is_costly: bool

    def block(self, key: bytes, data: bytes) -> bytes:
        """One block, encrypted."""

    def open(self, key: bytes, nonce: bytes, header: bytes, sealed: bytes) -> bytes | None:
        """What AES-128-GCM sealed, tag at the end; None where the tag is not that of these bytes."""


def keys_of(version: int, destination: bytes) -> Keys:
    """Keys of a client whose first packet goes to this connection id. KeyError for a version not in VERSIONS."""
    salt, label = VERSIONS[version]
    secret = _Hmac(_Hmac(salt)(destination))(_info(32, b"tls13 client in"))
    expand = _Hmac(secret)
    return Keys(
        expand(_info(KEY_BYTES, label + b"key"))[:KEY_BYTES],
        expand(_info(NONCE_BYTES, label + b"iv"))[:NONCE_BYTES],
        expand(_info(KEY_BYTES, label + b"hp"))[:KEY_BYTES],
    )


def _info(length: int, label: bytes) -> bytes:
    """HkdfLabel without context, and the 1 that the first block of HKDF-Expand ends with."""
    return length.to_bytes(2, "big") + bytes((len(label),)) + label + b"\0\1"


INNER, OUTER = bytes(byte ^ 0x36 for byte in range(256)), bytes(byte ^ 0x5C for byte in range(256))


class _Hmac:
    """HMAC-SHA-256 (RFC 2104) of several messages under one key: half the time of `hmac`, which has no such thing."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        padded = key.ljust(64, b"\0")
        self._inner, self._outer = sha256(padded.translate(INNER)), sha256(padded.translate(OUTER))

    def __call__(self, message: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


def _libcrypto() -> Cipher:
    from netpolicy.flows.aes_libcrypto import LibCrypto

    return LibCrypto()


def _kernel() -> Cipher:
    from netpolicy.flows.aes_kernel import KernelAes

    return KernelAes()


def _own() -> Cipher:
    from netpolicy.flows.aes_own import OwnAes

    return OwnAes()


# The best first. Loaded when they are tried: libcrypto is 4 MB.
PROVIDERS: dict[str, Callable[[], Cipher]] = {"libcrypto": _libcrypto, "kernel": _kernel, "own": _own}


def choose(order: tuple[str, ...] = tuple(PROVIDERS)) -> tuple[Cipher | None, dict[str, str]]:
    """The first provider that is there and computes rightly, and for each one before it why not."""
    refusals: dict[str, str] = {}
    for name in order:
        try:
            cipher = PROVIDERS[name]()
            if is_right(cipher):
                return cipher, refusals
            refusals[name] = "it computes wrongly"
        except (ImportError, OSError, AttributeError) as error:
            refusals[name] = str(error) or type(error).__name__
    return None, refusals


def is_right(cipher: Cipher) -> bool:
    """Whether it gives the published result: FIPS 197 and test case 2 of the GCM specification."""
    zero = bytes(BLOCK)
    sealed = bytes.fromhex("0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf")
    if cipher.block(zero, zero).hex() != "66e94bd4ef8a2c3b884cfa59ca342b2e":
        return False
    return cipher.open(zero, bytes(NONCE_BYTES), b"", sealed) == zero and not cipher.open(zero, zero[:12], b"x", sealed)
