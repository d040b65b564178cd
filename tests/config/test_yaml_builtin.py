"""What our own reader does beyond the contract: it shows every mistake, in time that grows with the size."""

import time

import pytest

from netpolicy.config.diagnostic import Findings
from netpolicy.config.yaml_builtin import read_builtin
from netpolicy.config.yaml_gate import MAX_BYTES, MAX_FAULTS

from .yaml_case import places


def faults(text: str) -> list[tuple[int, int]]:
    findings = Findings()
    assert read_builtin(text, "f", findings) is None
    return [(line, column) for _, line, column in places(findings)]


def test_every_wrong_value_of_a_file_is_found_in_one_run():
    text = """\
rules:
  - name: *.a
    match:
      sni: *.zoom.us
      port: [80, !443]
      rtt_ms: >120
    when: "x
    action: &a b
  - name: ok
    priority: |
      text: *no
      - more
    name: twice
"""
    assert faults(text) == [(2, 11), (4, 12), (5, 18), (6, 15), (7, 11), (8, 13), (10, 15), (13, 5)]


def test_lines_that_belong_to_a_mistake_are_not_mistakes_of_their_own():
    assert faults("a: 1\n  b: 2\n  c: *x\nd: [e\n  f, g\nh: *i\n") == [(2, 3), (5, 3), (6, 4)]
    assert faults("a: 'x\n   y'\nb: *c\n") == [(1, 4), (3, 4)]


def test_a_bracket_that_nobody_closed_does_not_hide_the_rest():
    assert faults("- a: [b\n- c: *d\n- e: {f: g\n  h: *i\n") == [(2, 1), (2, 6), (4, 3), (4, 6)]


def test_a_structure_that_cannot_be_is_explained():
    findings = Findings()
    read_builtin("a: 1\n  b: 2\n", "f", findings)
    read_builtin("- a\nb\n", "f", findings)
    read_builtin("- a\nb: 1\n", "f", findings)
    read_builtin("a:\nb\n", "f", findings)
    assert [item.message for item in findings.all] == [
        "this line is indented deeper than what it follows",
        "only items of the list can follow here",
        "only items of the list can follow here",
        "a key and its colon are missing",
    ]
    assert all(item.hint for item in findings.all)


def test_a_hundred_mistakes_are_shown_and_no_more():
    found = faults("a: *b\n" * 5000)
    assert len(found) == MAX_FAULTS + 1


JUNK = {
    "brackets": "[",
    "braces": "{a: ",
    "dashes": "- ",
    "dashes in lines": "-\n",
    "keys": "a: ",
    "colons": "a:",
    "single quotes": "'",
    "double quotes": '"',
    "escapes": '"\\x41',
    "quotes in a list": "'',",
    "unclosed quotes": "a: 'b\n",
    "unclosed brackets": "a: [b\n",
    "blanks": " ",
    "empty lines": " \n",
    "comments": "#\n",
    "one word": "x",
    "words": "a b ",
    "items": "- a\n",
}


def seconds(text: str) -> float:
    start = time.thread_time()  # that of the processor: what others do meanwhile is no matter
    read_builtin(text, "f", Findings())
    return time.thread_time() - start


@pytest.mark.parametrize("name", JUNK)
@pytest.mark.parametrize("before", ["", "["])
def test_junk_takes_time_that_grows_with_its_size(name, before):
    """Eight times as much may take eight times as long, not sixty-four times; the best of some runs counts."""
    # Small enough for the limit on values not to end it early.
    small, large = ((before + JUNK[name] * (size // len(JUNK[name]))) for size in (MAX_BYTES // 128, MAX_BYTES // 16))
    fast = min(seconds(small), seconds(small))
    assert any(seconds(large) < 24 * fast + 0.03 for _ in range(5))
