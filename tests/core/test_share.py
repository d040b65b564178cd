"""Shares: percent and decimal are one number, exact to a millionth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.share import MILLION, format_share, parse_share

MILLIONTHS = st.integers(0, MILLION)


def decimal(number: int, places: int) -> str:
    """The number with a point before its last places."""
    text = str(number).rjust(places + 1, "0")
    return text[:-places] + "." + text[-places:]


@given(MILLIONTHS)
def test_percent_and_decimal_are_the_same_number(millionths):
    as_percent, as_decimal = parse_share(decimal(millionths, 4) + "%"), parse_share(decimal(millionths, 6))
    assert as_percent == as_decimal == millionths / MILLION


@given(MILLIONTHS)
def test_a_share_is_read_as_it_is_shown(millionths):
    share = parse_share(decimal(millionths, 6))
    shown = format_share(share)
    assert parse_share(shown) == share
    assert shown in ("0", "1") or (shown.startswith("0.") and not shown.endswith("0"))


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("0", 0),
        ("1", 1),
        ("1.000000", 1),
        ("100%", 1),
        ("5%", 0.05),
        ("0.0001%", 0.000001),
        ("05 %", 0.05),
        ("0.5", 0.5),
    ],
)
def test_shares_as_people_write_them(text, share):
    assert parse_share(text) == share


@pytest.mark.parametrize(
    "text",
    [
        "", "%", ".", ".5", "5.", "1.000001", "100.0001%", "2", "-0.1", "+0.1", "1e-3", "0.0000001", "0.00001%", "5%%",
        "0,5", "１", "nan", "inf", "0.5 ", " 0.5", "1_0%", "00000001", "0x1",
    ],
)  # fmt: skip
def test_what_is_no_share_is_none(text):
    assert parse_share(text) is None
