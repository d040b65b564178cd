"""What is packed with gzip, unpacked piece by piece: of files of lists, and of what a server sends.

Never makes more at once than a piece, however much a few bytes mean; who takes the pieces counts them. Source:
RFC 1952; members may stand one behind the other.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

MAGIC = b"\x1f\x8b"
GZIP_ALONE = 31  # of zlib: the largest window, and a head of gzip
QUICK = 1
PIECE = 1 << 16


class Damaged(ValueError):
    """It is not whole; the text says what is wrong."""


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same where it is not packed. Raises Damaged, and whatever `pieces` raises."""
    rest = iter(pieces)
    first = b""
    while len(first) < len(MAGIC) and (piece := next(rest, b"")):
        first += piece
    whole = chain((first,), rest)
    for piece in _members(whole) if first.startswith(MAGIC) else whole:
        if piece:
            yield piece


def _members(pieces: Iterable[bytes]) -> Iterator[bytes]:
    unpacking: Any = zlib.decompressobj(GZIP_ALONE)
    for piece in pieces:
        while True:
            if unpacking.eof and piece:
                if not piece.startswith(MAGIC[: len(piece)]):
                    raise Damaged("there is something behind its packed end")
                unpacking = zlib.decompressobj(GZIP_ALONE)
            try:
                out = unpacking.decompress(piece, PIECE)
            except zlib.error:
                raise Damaged("what is packed is damaged") from None
            yield out
            piece = unpacking.unconsumed_tail or unpacking.unused_data
            if not piece and len(out) < PIECE:
                break
    if not unpacking.eof:
        raise Damaged("what is packed ends too early")


def packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """As gzip has it; for what is packed often and read often, so quickly."""
    packing = zlib.compressobj(QUICK, zlib.DEFLATED, GZIP_ALONE)
    for piece in pieces:
        out = packing.compress(piece)
        if out:
            yield out
    yield packing.flush()
