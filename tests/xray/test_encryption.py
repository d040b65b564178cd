"""The encryption of vless, as deeply as Xray looks at it."""

from __future__ import annotations

import base64

import pytest

from netpolicy.xray.encryption import encryption
from netpolicy.xray.node import BadLink

KEY = "A" * 43
LARGEST = (3328 | 3328 << 12).to_bytes(3, "little")  # two numbers below the modulus
TOO_LARGE = (3328 | 3329 << 12).to_bytes(3, "little")


def ml_kem(pair: bytes) -> str:
    return base64.urlsafe_b64encode(pair * 384 + bytes(32)).decode().rstrip("=")


@pytest.mark.parametrize(
    "rest",
    [
        f"native.0rtt.{KEY}",
        f"xorpub.1rtt.{ml_kem(LARGEST)}",
        f"random.0rtt.100-111-1111.75-0-111.{KEY}.{ml_kem(LARGEST)}",
        f"random.0rtt.100-35-65553.1-0-65553.{KEY}",
    ],
)
def test_what_xray_uses(rest: str) -> None:
    text = f"mlkem768x25519plus.{rest}"
    assert encryption(text) == text


def test_none_is_none() -> None:
    assert encryption("none") == "none"


@pytest.mark.parametrize(
    "text",
    [
        "", "aes", "NONE", f"mlkem768x25519plus.other.0rtt.{KEY}", f"mlkem768x25519plus.native.2rtt.{KEY}",
        "mlkem768x25519plus.native.0rtt", "mlkem768x25519plus.native.0rtt.", f"mlkem768x25519plus.native.0rtt.{KEY}A",
        f"mlkem768x25519plus.native.0rtt.{'+' * 43}", f"mlkem768x25519plus.native.0rtt.{ml_kem(TOO_LARGE)}",
        "mlkem768x25519plus.native.0rtt.100-111-1111", f"mlkem768x25519plus.native.0rtt.{KEY}.100-111-1111",
        f"mlkem768x25519plus.native.0rtt.99-111-1111.{KEY}", f"mlkem768x25519plus.native.0rtt.100-34-35.{KEY}",
        f"mlkem768x25519plus.native.0rtt.100-40-35.{KEY}", f"mlkem768x25519plus.native.0rtt.100-35-65554.{KEY}",
        f"mlkem768x25519plus.native.0rtt.100-35-65553.1-0-0.100-35-35.{KEY}", f"mlkem768x25519plus.native.0rtt.x.{KEY}",
    ],
)  # fmt: skip
def test_what_would_end_xray(text: str) -> None:
    with pytest.raises(BadLink):
        encryption(text)
