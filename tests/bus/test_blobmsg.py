"""blobmsg: the layout of libubox byte for byte, limits, and hostile input."""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.bus.blobmsg import (
    DEPTH_LIMIT,
    VALUE_LIMIT,
    BlobError,
    attribute,
    decode_table,
    encode_table,
    raw_fields,
)

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | TEXTS
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=20
)
TABLES = st.dictionaries(NAMES, VALUES, max_size=6)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"a": 1}, "8500000c 00016100 00000001"),
        ({"ab": True}, "8700000d 00026162 00000000 01000000"),
        ({"abc": "hi"}, "8300000f 00036162 63000000 68690000"),
        ({"n": None}, "80000008 00016e00"),
        ({"l": 2**31}, "84000010 00016c00 00000000 80000000"),
        ({"d": 1.5}, "88000010 00016400 3ff80000 00000000"),
        ({"t": {"x": -1}}, "82000014 00017400 8500000c 00017800 ffffffff"),
        ({"r": [1]}, "81000014 00017200 8500000c 00000000 00000001"),
    ],
)
def test_the_bytes_are_those_libubox_writes(table, expected):
    assert encode_table(table).hex() == expected.replace(" ", "")


@given(TABLES)
def test_what_is_encoded_decodes_to_itself(table):
    decoded = decode_table(encode_table(table))
    assert decoded == table
    assert repr(decoded) == repr(table)  # 1, 1.0 and True are equal in Python, not on the bus


@given(st.binary(max_size=300))
def test_any_bytes_give_a_table_or_a_blob_error(data):
    with contextlib.suppress(BlobError):
        assert isinstance(decode_table(data), dict)


@given(TABLES, st.data())
def test_a_damaged_table_gives_a_table_or_a_blob_error(table, data):
    raw = bytearray(encode_table(table))
    for _ in range(data.draw(st.integers(1, 4))):
        if raw:
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        decode_table(cut)
        raw_fields(cut)
    except BlobError:
        pass


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**63) - 1,
        float("nan"),
        float("inf"),
        b"bytes",
        {1, 2},
        object(),
        {1: 2},
        {"": 1},
        "a\0b",
        "\ud800",
        {"\0": 1},
        {"x" * 70_000: 1},
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_blobmsg_cannot_carry_is_refused(value):
    with pytest.raises(BlobError):
        encode_table({"v": value})


def test_a_table_that_contains_itself_is_refused():
    table: dict = {}
    table["self"] = table
    with pytest.raises(BlobError, match="deeper"):
        encode_table(table)


def test_nesting_ends_at_the_limit_in_both_directions():
    value: list = []
    for _ in range(DEPTH_LIMIT - 1):
        value = [value]
    assert decode_table(encode_table({"v": value})) == {"v": value}
    with pytest.raises(BlobError, match="deeper"):
        encode_table({"v": [value]})
    raw = b""
    for _ in range(5000):
        raw = attribute(1, raw)
    with pytest.raises(BlobError, match="deeper"):
        decode_table(attribute(1, b"\0\1a\0" + raw, 0x80000000))


def test_a_mebibyte_of_empty_arrays_is_refused_before_it_fills_the_memory():
    raw = attribute(1, b"\0\1a\0" + attribute(1, b"") * 262_000, 0x80000000)
    tracemalloc.start()
    try:
        with pytest.raises(BlobError, match=str(VALUE_LIMIT)):
            decode_table(raw)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_text_that_is_not_utf_8_is_shown_with_replacements():
    raw = encode_table({"ssid": "xy"}).replace(b"xy", b"\xff\xfe")
    assert decode_table(raw) == {"ssid": "\ufffd\ufffd"}


def test_of_two_fields_with_one_name_the_first_counts():
    assert decode_table(encode_table({"a": 1}) + encode_table({"a": 2})) == {"a": 1}


def test_array_elements_may_come_without_a_name_header():
    assert decode_table(attribute(1, b"\0\1a\0" + attribute(5, b"\0\0\0\7"), 0x80000000)) == {"a": [7]}
