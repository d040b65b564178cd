"""Elements in bytes: captured from nft 1.0.6 by strace, read strictly whatever comes."""

from __future__ import annotations

import contextlib
import struct
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.nft_element import (
    DATA,
    EXPR,
    FLAGS,
    KEY,
    OBJREF,
    TIMEOUT,
    VALUE,
    VERDICT,
    Element,
    Malformed,
    decode,
    decode_counter,
    encode,
    encode_counter,
    encode_named,
    fields,
    word,
)

little = pytest.mark.skipif(sys.byteorder != "little", reason="the captured bytes are of a little-endian machine")

# 10.0.0.0/8 . 25-30 . tcp . 0x5-0xffffffff : 0x7
INTERVAL = Element(
    bytes.fromhex("0a000000001900000600000000000005"),
    bytes.fromhex("0affffff001e000006000000ffffffff"),
    bytes.fromhex("07000000"),
)
CAPTURED = [
    (
        INTERVAL,
        "40000180" "18000180" "14000100" "0a000000001900000600000000000005"
        "18000a80" "14000100" "0affffff001e000006000000ffffffff" "0c000280" "08000100" "07000000",
    ),
    (
        Element(bytes.fromhex("01000000"), verdict="goto c"),
        "28000180" "0c000180" "08000100" "01000000" "18000280" "14000280" "08000100" "fffffffc" "06000200" "63000000",
    ),
    (
        Element(bytes.fromhex("0b000000"), closes=True),
        "18000180" "08000300" "00000001" "0c000180" "08000100" "0b000000",
    ),
]  # fmt: skip


@little
@pytest.mark.parametrize(("element", "captured"), CAPTURED)
def test_our_bytes_are_nft_s(element, captured):
    assert encode(element).hex() == captured
    assert decode(encode(element)[4:]) == element


keys = st.binary(min_size=1, max_size=64)
numbers = st.integers(0, (1 << 64) - 1)
made = st.builds(
    Element,
    keys,
    st.none() | keys,
    st.none() | keys,
    timeout_ms=numbers,
    counter=st.none() | st.tuples(numbers, numbers),
    expires_ms=numbers,
    closes=st.booleans(),
)
verdicts = st.sampled_from(["accept", "drop", "return", "continue", "goto r_lab", "jump r_lab"])
led = st.builds(Element, st.just(b"") | keys, verdict=verdicts)


@settings(max_examples=200, deadline=None)
@given(made | led)
def test_what_is_written_is_read_back(element):
    again = decode(encode(element)[4:])
    assert again == element
    assert again.expires_ms == element.expires_ms
    assert decode(encode_named(element)[4:]).content() == (element.key, element.key_end, None, "", element.closes)


def test_elements_are_equal_whatever_time_is_left():
    assert Element(b"k", expires_ms=1) == Element(b"k", expires_ms=2)
    for other in (
        Element(b"l"), Element(b"k", b"k"), Element(b"k", data=b"1234"), Element(b"k", verdict="accept"),
        Element(b"k", timeout_ms=1), Element(b"k", counter=(0, 0)), Element(b"k", closes=True),
    ):  # fmt: skip
        assert Element(b"k") != other
    assert Element(b"k") != b"k"
    assert len({Element(b"k"), Element(b"k")}) == 1
    assert repr(Element(b"k", verdict="accept")) == "Element(key=b'k', verdict='accept')"


@pytest.mark.parametrize(
    "element",
    [
        Element(bytes(65)),
        Element(b"k", b""),
        Element(b"k", data=b""),
        Element(b"k", verdict="go to"),
        Element(b"k", verdict="goto"),
        Element(b"k", verdict="accept c"),
        Element(b"k", timeout_ms=-1),
        Element(b"k", expires_ms=1 << 64),
        Element(b"k", counter=(-1, 0)),
    ],
)
def test_what_cannot_be_written_is_refused(element):
    with pytest.raises(ValueError, match=r"the kernel takes|is no verdict|does not fit"):
        encode(element)


def key_attribute(value: bytes) -> bytes:
    return wire.nested(KEY, wire.attribute(VALUE, value))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\1",
        struct.pack("=HH", 3, KEY),
        struct.pack("=HH", 400, KEY) + bytes(20),
        wire.attribute(KEY, b""),
        key_attribute(b""),
        wire.attribute(TIMEOUT, bytes(8)),
        key_attribute(b"k") * 2,
        key_attribute(b"k") + wire.attribute(TIMEOUT, bytes(4)),
        key_attribute(b"k") + wire.attribute(FLAGS, bytes(8)),
        key_attribute(b"k") + wire.attribute(FLAGS, b"\0\0\0\x04"),
        key_attribute(b"k") + wire.attribute(OBJREF, b"name\0"),
        key_attribute(b"k") + wire.nested(DATA),
        key_attribute(b"k") + wire.nested(DATA, wire.nested(VERDICT)),
        key_attribute(b"k") + wire.nested(DATA, wire.nested(VERDICT, wire.attribute(1, b"\xff\xff\xff\xfc"))),
        key_attribute(b"k") + wire.nested(DATA, wire.nested(VERDICT, wire.attribute(1, b"\0\0\0\x09"))),
        key_attribute(b"k") + wire.nested(EXPR),
        key_attribute(b"k") + wire.nested(EXPR, wire.attribute(1, b"\xff\0")),
    ],
)
def test_bytes_that_are_no_element_are_refused_in_words(body):
    with pytest.raises(Malformed, match=r".{12,}"):
        decode(body)


def test_expressions_that_are_not_counters_are_passed_over():
    limit = wire.nested(EXPR, wire.attribute(1, b"limit\0"), wire.nested(2))
    assert decode(key_attribute(b"k") + limit) == Element(b"k")
    assert decode_counter(encode_counter(3, 4)) == (3, 4)
    assert word(fields(wire.attribute(1, b"name\0\0")), 1) == "name"


whole = encode(Element(b"k" * 8, b"l" * 8, verdict="goto r_lab", timeout_ms=7, counter=(1, 2)))[4:]


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=80) | st.builds(lambda size: whole[:size], st.integers(0, len(whole))))
def test_garbage_and_torn_elements_are_an_element_or_refused(body):
    with contextlib.suppress(Malformed):
        assert isinstance(decode(body), Element)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(whole) - 1), st.integers(0, 255))
def test_an_element_with_one_wrong_byte_is_an_element_or_refused(place, byte):
    with contextlib.suppress(Malformed):
        assert isinstance(decode(whole[:place] + bytes((byte,)) + whole[place + 1 :]), Element)
