"""AES-128 in Python alone: the last resort, where neither libcrypto nor the kernel computes it.

Never for secrets: its time depends on what it computes. All blocks of a packet go through a round together,
which is ten times as fast as one after the other; still the caller limits how many packets it hands in.
Formats: FIPS 197, NIST SP 800-38D.
"""

from __future__ import annotations

from netpolicy.flows.quic_crypto import BLOCK, TAG_BYTES

LONGEST = 16 << 10  # bytes of a packet


def _tables() -> tuple[bytes, bytes, bytes]:
    """The S-box, and what it gives times 2 and times 3 in the field of AES."""
    double = [(one << 1) ^ (0x11B if one & 0x80 else 0) for one in range(256)]
    powers, value = [], 1
    for _ in range(255):  # of 3, which generates all of them
        powers.append(value)
        value ^= double[value]
    box = bytearray(256)
    for one in range(256):
        inverse = powers[-powers.index(one) % 255] if one else 0
        spread = inverse ^ (inverse << 1) ^ (inverse << 2) ^ (inverse << 3) ^ (inverse << 4)
        box[one] = (spread ^ (spread >> 8)) & 0xFF ^ 0x63
    return bytes(box), bytes(double[one] for one in box), bytes(double[one] ^ one for one in box)


BOX, BOX_2, BOX_3 = _tables()

# Where the byte of a place comes from: ShiftRows, and the rows that MixColumns adds. Places count down the columns.
ROWS = tuple(
    tuple(4 * ((place // 4 + (place + turn) % 4) % 4) + (place + turn) % 4 for place in range(16)) for turn in range(4)
)


def _round_keys(key: bytes) -> list[bytes]:
    words, constant = [key[at : at + 4] for at in range(0, 16, 4)], 1
    for number in range(4, 44):
        word = words[-1]
        if number % 4 == 0:
            word = (word[1:] + word[:1]).translate(BOX)
            word = bytes((word[0] ^ constant,)) + word[1:]
            constant = (constant << 1) ^ (0x11B if constant & 0x80 else 0)
        words.append(bytes(a ^ b for a, b in zip(words[-4], word, strict=True)))
    return [b"".join(words[at : at + 4]) for at in range(0, 44, 4)]


def encrypt(key: bytes, blocks: bytes) -> bytes:
    """Each block of 16 bytes by itself. Inside the first bytes of all blocks stand together, then the second ones."""
    count = len(blocks) // BLOCK
    state = b"".join([blocks[place::BLOCK] for place in range(BLOCK)])
    size = len(state)
    keys = [
        int.from_bytes(b"".join([part[place : place + 1] * count for place in range(BLOCK)]), "big")
        for part in _round_keys(key)
    ]
    mixed = int.from_bytes(state, "big") ^ keys[0]
    for number in range(1, 10):
        state = mixed.to_bytes(size, "big")
        once = state.translate(BOX)
        mixed = keys[number]
        for table, row in ((state.translate(BOX_2), 0), (state.translate(BOX_3), 1), (once, 2), (once, 3)):
            parts = [table[place * count : place * count + count] for place in ROWS[row]]
            mixed ^= int.from_bytes(b"".join(parts), "big")
    once = mixed.to_bytes(size, "big").translate(BOX)
    last = b"".join([once[place * count : place * count + count] for place in ROWS[0]])
    state = (int.from_bytes(last, "big") ^ keys[10]).to_bytes(size, "big")
    return b"".join([state[block::count] for block in range(count)])


# The field of GCM: bits are reflected, times x is a shift to the right.
REDUCTION = 0xE1 << 120


def _times_x(value: int) -> int:
    return (value >> 1) ^ (REDUCTION if value & 1 else 0)


def _reductions() -> list[int]:
    """What the low byte of a value adds when the value is shifted out by eight bits."""
    found = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = _times_x(value)
        found.append(value)
    return found


REDUCTIONS = _reductions()


def _multiples(point: int) -> list[int]:
    """The point times each polynomial of degree below 8."""
    found = [0] * 256
    bit = 0x80
    while bit:
        found[bit] = point
        point = _times_x(point)
        bit >>= 1
    for byte in range(1, 256):
        low = byte & -byte
        found[byte] = found[low] ^ found[byte ^ low]
    return found


def _hash(point: int, data: bytes) -> int:
    """GHASH of whole blocks."""
    multiples, reductions, value = _multiples(point), REDUCTIONS, 0
    for at in range(0, len(data), BLOCK):
        value ^= int.from_bytes(data[at : at + BLOCK], "big")
        product = 0
        for byte in value.to_bytes(BLOCK, "little"):
            product = (product >> 8) ^ reductions[product & 0xFF] ^ multiples[byte]
        value = product
    return value


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


class OwnAes:
    """Nothing to hold."""

    name = "own"
    is_costly = True

    def block(self, key: bytes, data: bytes) -> bytes:
        """One block, encrypted."""
        return encrypt(key, data)

    def open(self, key: bytes, nonce: bytes, header: bytes, sealed: bytes) -> bytes | None:
        """What AES-128-GCM sealed; None where the tag is wrong, or the packet longer than packets are."""
        size = len(sealed) - TAG_BYTES
        if not 0 <= size <= LONGEST:
            return None
        hidden, tag = sealed[:size], sealed[size:]
        count = -(-size // BLOCK)
        # Block 0 for the hash, 1 for the tag, from 2 on for the text.
        counters = [bytes(BLOCK)] + [nonce + number.to_bytes(4, "big") for number in range(1, count + 2)]
        stream = encrypt(key, b"".join(counters))
        lengths = (len(header) * 8).to_bytes(8, "big") + (size * 8).to_bytes(8, "big")
        point = int.from_bytes(stream[:BLOCK], "big")
        digest = _hash(point, _padded(header) + _padded(hidden) + lengths)
        if digest ^ int.from_bytes(stream[BLOCK : 2 * BLOCK], "big") != int.from_bytes(tag, "big"):
            return None
        pad = int.from_bytes(stream[2 * BLOCK : 2 * BLOCK + size], "big")
        return (int.from_bytes(hidden, "big") ^ pad).to_bytes(size, "big")
