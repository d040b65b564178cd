"""The ring's protocol on memories made by hand, with positions of both sizes; and on the kernel's own."""

from __future__ import annotations

import os
import struct
from types import SimpleNamespace

import pytest

from netpolicy.flows.ebpf import ring as ring_module
from netpolicy.flows.ebpf.maps import RINGBUF, Map
from netpolicy.flows.ebpf.ring import BUSY, DISCARDED, GIVE_BACK, BadRing, Records, Ring

SIZE = 4096


class Writer:
    """The kernel's side: puts records behind each other, the data twice in a row."""

    def __init__(self, word: int, start: int = 0) -> None:
        self.word = word
        self.consumer, self.producer, self.data = bytearray(64), bytearray(64), bytearray(2 * SIZE)
        self.place = start
        self._set(self.consumer, start)
        self._set(self.producer, start)
        self.records = Records(memoryview(self.consumer), memoryview(self.producer), self.data, 0, SIZE, word)

    def _set(self, memory: bytearray, place: int) -> None:
        struct.pack_into("=Q" if self.word == 8 else "=I", memory, 0, place % (1 << self.word * 8))

    def write(self, content: bytes, flags: int = 0) -> int:
        """Where the record stands."""
        start = self.place
        raw = struct.pack("=II", len(content) | flags, 0) + content
        for at, byte in enumerate(raw):
            for copy in (0, SIZE):
                self.data[(start + at) % SIZE + copy] = byte
        self.place += len(raw) + 7 & ~7
        self._set(self.producer, self.place)
        return start

    def finish(self, start: int, content: bytes) -> None:
        """What was busy is written."""
        for copy in (0, SIZE):
            struct.pack_into("=I", self.data, start % SIZE + copy, len(content))

    @property
    def given_back(self) -> int:
        return int(struct.unpack_from("=Q" if self.word == 8 else "=I", self.consumer)[0])

    def read(self, limit: int = 100) -> list[bytes]:
        found: list[bytes] = []
        self.records.drain(lambda record: found.append(bytes(record)), limit)
        return found


@pytest.fixture(params=[4, 8])
def word(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_records_come_in_their_order_and_room_is_given_back(word: int) -> None:
    ring = Writer(word)
    texts = [b"a", b"bb" * 4, b"", b"c" * 100]
    for text in texts:
        ring.write(text)
    assert ring.records.waiting() == ring.place
    assert ring.read() == texts
    assert ring.given_back == ring.place and ring.records.waiting() == 0
    assert ring.read() == []


def test_a_record_across_the_end_is_whole(word: int) -> None:
    ring = Writer(word, start=SIZE - 16)
    ring.write(b"across the end of the buffer")
    ring.write(b"next")
    assert ring.read() == [b"across the end of the buffer", b"next"]


def test_positions_run_over(word: int) -> None:
    """After 4 GiB on a small machine: one position is small again, the other not yet."""
    ring = Writer(word, start=(1 << word * 8) - 24)
    for number in range(200):
        ring.write(bytes((number,)) * (number % 50))
        assert ring.read() == [bytes((number,)) * (number % 50)]
    assert ring.given_back == ring.place % (1 << word * 8)


def test_a_busy_record_holds_up_those_behind_it(word: int) -> None:
    ring = Writer(word)
    ring.write(b"first")
    busy = ring.write(b"later", BUSY)
    ring.write(b"behind")
    assert ring.read() == [b"first"]
    assert ring.read() == []
    ring.finish(busy, b"later")
    assert ring.read() == [b"later", b"behind"]


def test_a_discarded_record_is_stepped_over(word: int) -> None:
    ring = Writer(word)
    ring.write(b"gone", DISCARDED)
    ring.write(b"kept")
    assert ring.read(1) == [b"kept"]


def test_the_limit_holds_and_the_rest_waits(word: int) -> None:
    ring = Writer(word)
    for number in range(5):
        ring.write(bytes((number,)))
    assert ring.read(2) == [b"\0", b"\1"]
    assert ring.read(0) == []
    assert ring.read() == [b"\2", b"\3", b"\4"]


def test_a_position_that_is_read_in_two_halves_is_whole() -> None:
    """A program of 32 bits on a kernel of 64, at the moment at which the upper half changes."""
    ring = Writer(8, start=(1 << 32) - 24)
    ring.write(b"across the end of the lower half")
    assert ring.place > 1 << 32
    struct.pack_into("=Q", ring.producer, 0, ring.place - (1 << 32))
    assert ring.records.waiting() == 40
    assert ring.read() == [b"across the end of the lower half"]
    assert ring.given_back == ring.place  # with its upper half, without which the kernel takes the ring for full


def test_room_is_given_back_while_others_are_read(word: int) -> None:
    """A slow reader must not keep writers out until it has read everything."""
    ring = Writer(word)
    for _ in range(3 * GIVE_BACK):
        ring.write(b"12345678")
    seen: list[int] = []
    assert ring.records.drain(lambda record: seen.append(ring.given_back), 100) == 3 * GIVE_BACK
    assert seen == [number // GIVE_BACK * GIVE_BACK * 16 for number in range(3 * GIVE_BACK)]


def test_what_comes_while_others_are_read_is_read_as_well(word: int) -> None:
    ring = Writer(word)
    ring.write(b"first")
    found: list[bytes] = []

    def take(record: bytes) -> None:
        found.append(record)
        if len(found) < 3:
            ring.write(b"later")

    assert ring.records.drain(take, 100) == 3
    assert found == [b"first", b"later", b"later"]


def test_a_record_stays_what_it_was_when_its_room_is_written_again(word: int) -> None:
    ring = Writer(word)
    ring.write(b"a name")
    found: list[bytes] = []
    ring.records.drain(found.append, 1)
    ring.data[:] = bytes(len(ring.data))
    assert found == [b"a name"]


def test_a_record_whose_reader_fails_is_not_read_again(word: int) -> None:
    ring = Writer(word)
    ring.write(b"bad")
    ring.write(b"good")

    def fail(record: bytes) -> None:
        raise RuntimeError(bytes(record))

    with pytest.raises(RuntimeError):
        ring.records.drain(fail, 10)
    assert ring.read() == [b"good"]


def test_a_length_that_cannot_be_is_an_error(word: int) -> None:
    ring = Writer(word)
    ring.write(b"x")
    struct.pack_into("=I", ring.data, 0, SIZE)
    with pytest.raises(BadRing):
        ring.read()


@pytest.mark.kernel
def test_the_kernels_ring_is_mapped_and_let_go(bpf: None) -> None:
    events = Map("np_trial", RINGBUF, 0, 0, SIZE)
    ring = Ring(events.descriptor, SIZE)
    assert ring.records.drain(print, 10) == 0
    ring.close()
    ring.close()
    events.close()


@pytest.mark.kernel
def test_positions_have_the_kernels_words_and_not_those_of_the_program(
    bpf: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Map("np_trial", RINGBUF, 0, 0, SIZE)
    made: list[int] = []
    monkeypatch.setattr(struct, "calcsize", lambda form: 4)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="aarch64"))
    monkeypatch.setattr(ring_module, "Records", lambda *words: made.append(words[-1]) or Records(*words))
    ring = Ring(events.descriptor, SIZE)
    monkeypatch.undo()
    assert made == [8]
    ring.close()
    events.close()


@pytest.mark.kernel
def test_a_ring_that_cannot_be_mapped_is_an_error(bpf: None) -> None:
    other = Map("np_trial", 2, 4, 4, 1)
    with pytest.raises(OSError):
        Ring(other.descriptor, SIZE)
    other.close()
