"""The log: bounded, numbered, and no text can forge a line of it."""

from __future__ import annotations

import pytest

from netpolicy.observe.ring import CAPACITY, LONGEST, Ring


@pytest.fixture
def written():
    return []


@pytest.fixture
def ring(written):
    return Ring(lambda: 1700000000.1234, written.append)


def test_entries_are_numbered_and_written_once(ring, written):
    ring.add("info", "state", "one")
    ring.add("debug", "state", "too small to be written")
    ring.add("error", "state", "two")
    assert [(entry.id, entry.message) for entry in written] == [(1, "one"), (3, "two")]
    assert ring.since(0, 10)[0].as_dict() == {
        "id": 1, "time": 1700000000.123, "level": "info", "kind": "state", "message": "one"}  # fmt: skip


def test_it_never_grows_beyond_its_size(ring):
    for number in range(CAPACITY * 3):
        ring.add("info", "flow", "x" * LONGEST * 2 + str(number))
    found = ring.since(0, CAPACITY * 3)
    assert len(found) == CAPACITY and found[-1].id == CAPACITY * 3
    assert all(len(entry.message) == LONGEST for entry in found)


@pytest.mark.parametrize(
    "text", ["a\nerror apply: forged", "a\r\x1b[2Kforged", "a\x00b", "a\u2028b", "a\u202eb", "\x85"]
)
def test_a_hostile_text_stays_one_line(ring, text):
    message = ring.add("info", "flow", text).message
    assert message.isprintable() and len(message.splitlines()) <= 1


def test_a_reader_gets_what_is_new_and_asked_for(ring):
    for number, level in enumerate(("debug", "info", "warning", "error", "info"), 1):
        ring.add(level, "state", str(number))
    assert [entry.id for entry in ring.since(2, 10)] == [3, 4, 5]
    assert [entry.id for entry in ring.since(0, 10, "warning")] == [3, 4]
    assert [entry.id for entry in ring.since(0, 2)] == [4, 5]
    assert [entry.id for entry in ring.since(0, 10, "no such level")] == [1, 2, 3, 4, 5]
    assert ring.since(0, 0) == ring.since(0, -5) == ring.since(99, 10) == []
