"""Usual lines by one expression say what the walk over words says; all others are left to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.flows import proc, procline
from tests.flows.test_proc import GRE_LINE, ICMP_LINE, LINES, OFFLOADED_LINE, TCP_LINE, UDP_LINE

USUAL = (TCP_LINE, UDP_LINE, OFFLOADED_LINE, TCP_LINE.replace("[ASSURED]", "[HW_OFFLOAD]"),
         TCP_LINE.replace("zone=0", "delta-time=77"), TCP_LINE.replace("[ASSURED] ", ""),
         TCP_LINE.replace("packets=5 bytes=300 ", "").replace("packets=4 bytes=5000 ", ""))  # fmt: skip
ODD = (
    GRE_LINE, ICMP_LINE, TCP_LINE.replace("packets=4 bytes=5000 ", ""), TCP_LINE.replace("zone=0", "secctx=a zone=0"),
    TCP_LINE.replace("dst=203.0.113.2 ", "dst=203.0.113.2 zone-orig=4 "), TCP_LINE.replace("mark=1090519040 ", ""),
)  # fmt: skip


def found(line: str, expressions=procline.USUAL) -> list[procline.Words]:
    return [words for usual in expressions for words in usual.findall(line.encode())]


@pytest.mark.parametrize("line", USUAL)
def test_a_usual_line_says_what_the_walk_says(line):
    (words,) = found(line)
    assert procline.flow(words) == proc.parse(line)
    assert procline.tracked(found(line, procline.LIGHT)) == [proc._tracked(proc._take_apart(line))]


@pytest.mark.parametrize("line", ODD)
def test_an_odd_line_is_left_to_the_walk(line):
    assert found(line) == []
    assert proc.flows_in(line.encode()) == [proc.parse(line)]
    assert proc.tracked_in(line.encode()) == [proc._tracked(proc._take_apart(line))]


@pytest.mark.parametrize(
    ("old", "new"), [("10.1.0.2", "10.1.0.999"), ("10.1.0.2", "::g"), ("sport=40000", "sport=70000"),
                     ("mark=1090519040", "mark=4294967296")]
)  # fmt: skip
def test_a_number_or_address_that_cannot_be_is_left_out(old, new):
    words = found(TCP_LINE.replace(old, new))
    assert [procline.flow(one) for one in words] == [None] * len(words)
    assert procline.tracked(found(TCP_LINE.replace(old, new), procline.LIGHT)) == []


def test_lines_of_all_kinds_side_by_side_are_all_read():
    lines = [*USUAL, *ODD, *LINES] * 3
    chunk = "".join(lines).encode()
    assert sorted(map(repr, proc.flows_in(chunk))) == sorted(map(repr, map(proc.parse, lines)))
    assert len(proc.tracked_in(chunk)) == len(lines)


@given(st.sampled_from([*USUAL, *ODD]), st.integers(0, 250), st.binary(max_size=8), st.integers(0, 4))
def test_a_bent_line_never_raises_and_spoils_no_other(line, position, insert, cut):
    bent = line.encode()
    bent = bent[:position] + insert.replace(b"\n", b"") + bent[position + cut :].replace(b"\n", b"")
    chunk = TCP_LINE.encode() + bent + b"\n" + UDP_LINE.encode()
    flows, tracked = proc.flows_in(chunk), proc.tracked_in(chunk)
    for whole in (TCP_LINE, UDP_LINE):
        assert proc.parse(whole) in flows
        assert proc._tracked(proc._take_apart(whole)) in tracked
    assert len(flows) <= 3 and len(tracked) <= 3
