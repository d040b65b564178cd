"""Inputs from valid documents: words put in, spans taken out, doubled, swapped, bytes changed.

Seeded: the same seed gives the same inputs on every machine. Knows no language; the words are given.
"""

from __future__ import annotations

from random import Random

USUAL = 2_000  # bytes; nearly all inputs are that short, so that a million are read in minutes
LONG = 60_000
LONG_ONE_IN = 200

CLOSED_BY = {ord("'"): b"'", ord('"'): b'"', ord("["): b"]", ord("{"): b"}", ord("="): b" ", ord(":"): b"\n"}


class Mutator:
    """An endless row of inputs."""

    def __init__(self, random: Random, corpus: tuple[bytes, ...], tokens: tuple[bytes, ...]) -> None:
        self._random = random
        self._corpus = corpus
        self._tokens = tokens
        self._steps = (
            self._put_word, self._put_word, self._replace_word, self._take_out, self._double, self._splice,
            self._change_bytes, self._repeat, self._cut, self._swap, self._empty, self._give_up,
        )  # fmt: skip

    def next(self) -> bytes:
        """One input."""
        random = self._random
        if random.random() < 0.02:
            return random.randbytes(random.randint(0, 64))
        data = random.choice(self._corpus)
        if len(data) > USUAL and random.randrange(4):
            data = self._part(data)
        for _ in range(random.choice((1, 1, 2, 3, 5, 8, 20))):
            data = random.choice(self._steps)(data)
        limit = USUAL if random.randrange(LONG_ONE_IN) else LONG
        return data[:limit]

    def _part(self, data: bytes) -> bytes:
        start = data.rfind(b"\n", 0, self._random.randrange(len(data))) + 1
        return data[start : start + USUAL]

    def _span(self, data: bytes, most: int = 60) -> tuple[int, int]:
        start = self._random.randint(0, len(data))
        return start, min(len(data), start + self._random.randint(0, most))

    def _put_word(self, data: bytes) -> bytes:
        at = self._random.randint(0, len(data))
        return data[:at] + self._random.choice(self._tokens) + data[at:]

    def _replace_word(self, data: bytes) -> bytes:
        """What stands between two blanks, or the like, gives way to another word."""
        start = self._random.randint(0, len(data))
        end = start
        while end < len(data) and data[end] not in b" \t\n'\"=,:[]{}":
            end += 1
        return data[:start] + self._random.choice(self._tokens) + data[end:]

    def _take_out(self, data: bytes) -> bytes:
        start, end = self._span(data)
        return data[:start] + data[end:]

    def _double(self, data: bytes) -> bytes:
        start, end = self._span(data, 400)
        return data[:end] + data[start:end] + data[end:]

    def _repeat(self, data: bytes) -> bytes:
        """Deep nesting and long rows."""
        if self._random.randrange(8):
            return self._put_word(data)
        at = self._random.randint(0, len(data))
        times = self._random.choice((3, 40, 300, 5000))
        return data[:at] + self._random.choice(self._tokens) * times + data[at:]

    def _splice(self, data: bytes) -> bytes:
        other = self._random.choice(self._corpus)
        start, end = self._span(other, 400)
        at = self._random.randint(0, len(data))
        return data[:at] + other[start:end] + data[at:]

    def _change_bytes(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._random.choice((1, 1, 4)) if data else 0):
            changed[self._random.randrange(len(changed))] = self._random.randrange(256)
        return bytes(changed)

    def _cut(self, data: bytes) -> bytes:
        return data[: self._random.randint(0, len(data))] if self._random.randrange(3) == 0 else self._take_out(data)

    def _empty(self, data: bytes) -> bytes:
        """Nothing between two quotes, brackets, or behind the sign that announces a value."""
        at = self._random.randrange(len(data)) if data else 0
        for start in range(at, min(at + 200, len(data))):
            if data[start] in CLOSED_BY:
                end = data.find(CLOSED_BY[data[start]], start + 1)
                return data[: start + 1] + data[end:] if end >= 0 else data[: start + 1]
        return data

    def _give_up(self, data: bytes) -> bytes:
        """A line that is not there."""
        lines = data.split(b"\n")
        del lines[self._random.randrange(len(lines))]
        return b"\n".join(lines)

    def _swap(self, data: bytes) -> bytes:
        """Two neighbouring lines."""
        lines = data.split(b"\n", 200)
        at = self._random.randrange(len(lines))
        lines[at - 1], lines[at] = lines[at], lines[at - 1]
        return b"\n".join(lines)
