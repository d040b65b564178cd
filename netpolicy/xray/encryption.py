"""`encryption=` of vless: none, or Xray's own scheme with its paddings and keys.

Checked as deeply as Xray does when it starts: a key that it cannot use, or a padding that is
too short, would end it and every other node with it. Knows no key's owner.
"""

from __future__ import annotations

import base64

from .node import BadLink
from .security import BASE64URL

NONE = "none"
SCHEME = "mlkem768x25519plus"
FORMS = ("native", "xorpub", "random")
TICKETS = ("1rtt", "0rtt")

SHORTEST_KEY = 20  # characters; what is shorter is padding
X25519 = 43  # base64url of 32 bytes
ML_KEM = 1579  # and of 1184: 768 numbers of 12 bits, and a seed
ML_KEM_NUMBERS = 1152  # bytes of the numbers
ML_KEM_MODULUS = 3329  # FIPS 203; larger numbers are no key

# A padding is probability-low-high; the first has to hide the length of the first message.
FIRST_LEAST = (100, 35, 35)
LONGEST_PADDINGS = 65553  # bytes together


def encryption(text: str) -> str:
    """The text when Xray can use it. Raises BadLink."""
    if text == NONE:
        return text
    parts = text.split(".")
    if len(parts) < 4 or parts[0] != SCHEME or parts[1] not in FORMS or parts[2] not in TICKETS:
        raise BadLink(f"unknown encryption: none and {SCHEME} exist")
    paddings = [part for part in parts[3:] if len(part) < SHORTEST_KEY]
    keys = parts[3 + len(paddings) :]
    if not keys or parts[3:] != paddings + keys or not all(_is_key(key) for key in keys):
        raise BadLink("the keys of the encryption are not as Xray writes them")
    if not _are_paddings(paddings):
        raise BadLink("the paddings of the encryption are not as Xray writes them")
    return text


def _is_key(text: str) -> bool:
    if not BASE64URL.issuperset(text):
        return False
    return len(text) == X25519 or (len(text) == ML_KEM and _is_ml_kem(base64.urlsafe_b64decode(text + "=")))


def _is_ml_kem(key: bytes) -> bool:
    numbers = key[:ML_KEM_NUMBERS]
    for place in range(0, ML_KEM_NUMBERS, 3):
        pair = int.from_bytes(numbers[place : place + 3], "little")
        if pair & 0xFFF >= ML_KEM_MODULUS or pair >> 12 >= ML_KEM_MODULUS:
            return False
    return True


def _are_paddings(texts: list[str]) -> bool:
    """Lengths and pauses take turns."""
    paddings = [_padding(text) for text in texts]
    if not all(paddings):
        return False
    if paddings and any(value < least for value, least in zip(paddings[0], FIRST_LEAST, strict=True)):
        return False
    return sum(high for _, _, high in paddings[::2]) <= LONGEST_PADDINGS


def _padding(text: str) -> tuple[int, ...]:
    """Probability, low, high; empty when it is no padding."""
    parts = text.split("-")
    if len(parts) != 3 or not all(part.isascii() and part.isdecimal() for part in parts):
        return ()
    values = tuple(int(part) for part in parts)
    return values if values[1] <= values[2] <= LONGEST_PADDINGS else ()
