"""Packed texts: in pieces of any size, never more at once than a piece, and never half of one."""

from __future__ import annotations

import gzip

import pytest

from netpolicy.config.packed_text import PIECE, Damaged, packed, unpacked

TEXT = b"".join(b"%d\n" % number for number in range(50_000))


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_what_was_packed_comes_out_whatever_the_pieces(size: int) -> None:
    members = gzip.compress(TEXT[:9000]) + gzip.compress(TEXT[9000:])
    found = list(unpacked(pieces(members, size)))
    assert b"".join(found) == TEXT and max(map(len, found)) <= PIECE
    assert b"".join(unpacked(pieces(b"".join(packed(pieces(TEXT, 1000))), size))) == TEXT


def test_what_is_not_packed_stays_what_it_is() -> None:
    assert list(unpacked([])) == [] and b"".join(unpacked([b"\x1f"])) == b"\x1f"
    assert b"".join(unpacked(pieces(TEXT, 1))) == TEXT


def test_a_few_bytes_that_mean_many_come_in_pieces() -> None:
    assert max(map(len, unpacked([gzip.compress(bytes(1 << 24))]))) <= PIECE


@pytest.mark.parametrize(
    ("words", "data"),
    [
        ("too early", gzip.compress(TEXT)[:-1]),
        ("too early", gzip.compress(TEXT)[:2]),
        ("damaged", b"\x1f\x8b" + TEXT),
        ("damaged", gzip.compress(TEXT)[:-8] + bytes(8)),
        ("behind", gzip.compress(TEXT) + b"x"),
    ],
)
def test_half_of_it_is_refused(words: str, data: bytes) -> None:
    for size in (1, 1 << 20):
        with pytest.raises(Damaged, match=words):
            list(unpacked(pieces(data, size)))
