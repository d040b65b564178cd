"""The wire format of DNS: names and their compression, records, and messages that end early."""

from __future__ import annotations

import struct

import pytest

from netpolicy.flows.dns_wire import CUT_FROM, LONGEST_LIFETIME, name_at, parse, text_of
from netpolicy.flows.names import ADDRESS, MALFORMED, OTHER, Refused
from tests.own_process import least_seconds

from .dns_build import TO_QUESTION, A, a, answer, cname, opt, question, record, wire


def refusal(read, *given) -> str:
    with pytest.raises(Refused) as refused:
        read(*given)
    return refused.value.reason


def test_a_question():
    found = parse(question("WWW.Example.com", 28, identifier=99))
    assert (found.identifier, found.is_answer, found.name, found.kind) == (99, False, wire("www.example.com"), 28)
    assert parse(question("example.com", more=opt())).answers == ()


def test_an_answer_with_its_records():
    found = parse(answer("a.example", cname(TO_QUESTION, "B.example", 60), a("192.0.2.1", "b.EXAMPLE")))
    assert [(one.owner, one.kind, one.lifetime) for one in found.answers] == [
        (wire("a.example"), 5, 60),
        (wire("b.example"), A, 300),
    ]
    last = found.answers[1]
    assert found.data[last.start : last.end] == bytes((192, 0, 2, 1))
    assert (found.code, found.truncated) == (0, False)


def test_records_of_other_classes_are_left_out():
    assert parse(answer("a.example", record(TO_QUESTION, 16, b"x", of=3))).answers == ()


def test_names_are_read_through_pointers():
    data = wire("example.com") + b"\3www\xc0\0" + b"\1a\xc0\x0d" + b"\xc0\x13"
    assert name_at(data, 13, {}) == (wire("www.example.com"), 19)
    assert name_at(data, 19, {}) == (wire("a.www.example.com"), 23)
    known: dict[int, bytes] = {}
    assert name_at(data, 23, known) == (wire("a.www.example.com"), 25)
    assert name_at(data, 23, known) == name_at(data, 23, {}), "what was read before is the same"


@pytest.mark.parametrize(
    ("data", "at"),
    [
        (b"\xc0\0", 0),  # to itself
        (b"\1a\xc0\0", 0),  # back into its own beginning
        (b"\xc0\2\1a\0", 0),  # forwards
        (b"\1a\xc0\4\xc0\2", 4),  # in circles
        (b"\0\xc0", 1),  # half a pointer
        (b"\3ab", 0),
        (b"\x40a\0", 0),  # kinds of labels that nobody has
        (b"\x80a\0", 0),
        (b"\1a", 0),
        (b"", 0),
        ((b"\x3f" + b"a" * 63) * 4 + b"\0", 0),
    ],
)
def test_names_that_break_the_format_are_refused(data, at):
    assert refusal(name_at, data, at, {}) == MALFORMED


def test_the_longest_name_there_is():
    longest = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0"
    assert len(longest) == 255
    assert name_at(longest, 0, {}) == (longest, 255)
    assert refusal(name_at, longest + b"\1b\xc0\0", 255, {}) == MALFORMED
    assert refusal(name_at, longest + b"\1b\xc0\0", 255, {0: longest}) == MALFORMED


def test_long_chains_of_pointers_are_refused_and_take_no_time():
    data = b"\0" + b"".join(struct.pack(">H", 0xC000 | (at and at - 1)) for at in range(0, 8000, 2))
    assert refusal(name_at, data, len(data) - 2, {}) == MALFORMED
    assert least_seconds(lambda: refusal(name_at, data, len(data) - 2, {})) < 0.01


def test_a_message_full_of_pointers_takes_milliseconds():
    """256 records, each with the longest way to its name."""
    labels = b"".join(b"\1a" for _ in range(100)) + b"\0"
    records = b"".join(
        struct.pack(">H", 0xC000 | (12 + 2 * (n % 90))) + struct.pack(">HHIH", 16, 1, 1, 0) for n in range(256)
    )
    data = struct.pack(">HHHHHH", 1, 0x8180, 1, 256, 0, 0) + labels + b"\0\1\0\1" + records
    assert len(parse(data).answers) == 256
    assert least_seconds(lambda: parse(data)) < 0.1


def test_names_of_hosts_in_text():
    assert text_of(wire("www.example.com")) == "www.example.com"
    assert refusal(text_of, b"\0") == MALFORMED
    assert refusal(text_of, b"\3a.b\0") == MALFORMED, "a dot inside a label is not one between labels"
    assert refusal(text_of, b"\4a\\.b\0") == MALFORMED
    assert refusal(text_of, wire("192.0.2.1")) == ADDRESS


@pytest.mark.parametrize(
    "data",
    [
        question("a.example", flags=0x2800),  # update
        question("a.example", of=3),
        struct.pack(">HHHHHH", 1, 0, 0, 0, 0, 0) + bytes(20),
        struct.pack(">HHHHHH", 1, 0, 2, 0, 0, 0) + (wire("a.example") + b"\0\1\0\1") * 2,
    ],
)
def test_what_is_no_plain_query_is_other(data):
    assert refusal(parse, data) == OTHER


@pytest.mark.parametrize("size", range(1, 60))
def test_a_short_message_that_ends_early_is_refused(size):
    data = answer("a.example", a("192.0.2.1"), a("192.0.2.2"), more=opt())
    assert refusal(parse, data[:-size]) == MALFORMED


def test_a_count_that_is_not_true_is_refused():
    assert refusal(parse, answer("a.example", a("192.0.2.1"), count=2)) == MALFORMED
    assert refusal(parse, answer("a.example", a("192.0.2.1"), count=257)) == MALFORMED


def test_of_a_long_message_that_a_capture_cut_the_whole_records_are_read():
    data = answer("a.example", *[a(f"192.0.2.{number}") for number in range(1, 60)], more=opt(1))
    assert len(data) > CUT_FROM
    for size in range(CUT_FROM, len(data), 3):
        found = parse(data[:size])
        assert len(found.answers) == min((size - 27) // 16, 59)
    assert (parse(data).code, parse(data[:-1]).code) == (16, 0)


def test_lifetimes_that_nobody_means():
    data = answer("a.example", a("192.0.2.1", lifetime=1 << 31), a("192.0.2.2", lifetime=(1 << 31) - 1))
    assert [one.lifetime for one in parse(data).answers] == [0, LONGEST_LIFETIME]


def test_counts_of_all_sections_are_bounded_together():
    data = bytearray(answer("a.example", a("192.0.2.1")))
    for at in (6, 8, 10):
        changed = data[:at] + struct.pack(">H", 257) + data[at + 2 :]
        assert refusal(parse, bytes(changed)) == MALFORMED
    assert refusal(parse, bytes(data[:8]) + struct.pack(">HH", 200, 200) + bytes(data[12:])) == MALFORMED


def test_the_upper_bits_are_found_behind_other_records():
    behind = (
        record("ns.example.com", 2, wire("ns.example.net")) + a("192.0.2.9", "x.example.org") + a("192.0.2.9") + opt(1)
    )
    data = bytearray(answer("a.example", a("192.0.2.1")) + behind)
    struct.pack_into(">HH", data, 8, 1, 3)
    assert parse(bytes(data)).code == 16
    assert refusal(parse, bytes(data[:-1])) == MALFORMED
    assert refusal(parse, bytes(data[:-14])) == MALFORMED


def test_the_upper_bits_of_the_code_are_those_of_edns():
    assert parse(answer("a.example", more=opt(1))).code == 16
    assert parse(answer("a.example", flags=0x8183, more=opt(1))).code == 19
    assert parse(answer("a.example", flags=0x8183, more=a("192.0.2.1"))).code == 3
