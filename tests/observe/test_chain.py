"""Lines that prove their order: exact forms, and a fault for everything that is not one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.observe import chain
from netpolicy.observe.chain import BEGIN, BadLine, follow, parse, render


def chained(*words: str) -> list[bytes]:
    found: list[bytes] = []
    previous = BEGIN
    for number, word in enumerate(words, 1):
        found.append(render(number, previous, {"why": word})[:-1])
        previous = parse(found[-1]).hash
    return found


def with_hash(body: bytes) -> bytes:
    return body[:-1] + b',"hash":"' + chain.digest_of(body).encode() + b'"}'


def test_a_line_is_json_that_other_programs_read_and_check():
    """How to check one without us: docs say the hash is that of the line without its hash."""
    line = render(7, BEGIN, {"why": "Büro \u2028"})
    assert line.endswith(b'"}\n') and line.isascii() and line.count(b"\n") == 1
    said = json.loads(line)
    assert (said["number"], said["previous"], said["why"]) == (7, BEGIN, "Büro \u2028")
    assert chain.digest_of(line[: line.rindex(b',"hash"')] + b"}") == said["hash"] == parse(line[:-1]).hash


@given(st.dictionaries(st.text(min_size=1), st.text() | st.integers(-5, 5) | st.none() | st.lists(st.booleans())))
def test_every_entry_comes_back(entry):
    entry = {name: value for name, value in entry.items() if name not in ("number", "previous", "hash")}
    line = parse(render(3, BEGIN, entry)[:-1])
    assert (line.number, dict(line.entry)) == (3, entry)


@given(st.binary(max_size=300))
def test_other_bytes_are_no_line_and_no_accident(data):
    with pytest.raises(BadLine):
        parse(data)


PREVIOUS = b'"previous":"' + BEGIN.encode() + b'"'


@pytest.mark.parametrize(
    "body",
    [
        b"{}", b"[]", b"null", b"{", b"{" + PREVIOUS + b"}", b'{"number":1}', b'{"number":0,' + PREVIOUS + b"}",
        b'{"number":true,' + PREVIOUS + b"}", b'{"number":1.0,' + PREVIOUS + b"}", b'{"number":"1",' + PREVIOUS + b"}",
        b'{"number":-1,' + PREVIOUS + b"}", b'{"number":10000000000,' + PREVIOUS + b"}",
        b'{"number":1,"number":1,' + PREVIOUS + b"}", b'{"number":1,"previous":"' + b"F" * 64 + b'"}',
        b'{"number":1,"x":NaN,' + PREVIOUS + b"}", b'{"number":1,"x":"\xc3\xa9",' + PREVIOUS + b"}",
        b'{"number":1,"x":' + b"[" * 9000 + b"}", b'{"number":' + b"9" * 9000 + b"}",
        b'{"number":1,"hash":"x",' + PREVIOUS + b"}", b'{"number":1,' + PREVIOUS + b"} ", b"",
        b'{"x":"' + b"x" * chain.LONGEST_LINE + b'"}',
    ],
)  # fmt: skip
def test_a_right_hash_alone_makes_no_line(body):
    with pytest.raises(BadLine):
        parse(with_hash(body))
    assert parse(with_hash(b'{"number":1,' + PREVIOUS + b"}")).number == 1


def test_lines_in_order_are_followed_to_the_last():
    found = follow(chained("a", "b", "c"))
    assert (found.count, found.number, found.fault) == (3, 3, "")
    assert found.size == sum(len(line) + 1 for line in chained("a", "b", "c"))
    assert follow([]).hash == BEGIN


def test_what_is_good_before_a_fault_is_told():
    lines = chained("a", "b", "c", "d")
    found = follow([*lines[:2], b"x", lines[3]])
    assert (found.count, found.number, found.at) == (2, 2, 3)
    assert found.hash == parse(lines[1]).hash


def test_an_anchor_stands_first_only_and_is_known_to_a_later_line():
    lines = chained("a", "b", "c")
    second = parse(lines[1])
    anchor = render(2, second.hash, {"kind": "anchor"})[:-1]
    told = {"kind": "journal", "event": "dropped", "anchor": parse(anchor).hash}
    last = render(4, parse(lines[2]).hash, told)[:-1]
    assert follow([anchor, lines[2], last]).fault == ""
    assert "removed" in follow([anchor, lines[2]]).fault
    assert follow([lines[0], lines[1], anchor]).fault
