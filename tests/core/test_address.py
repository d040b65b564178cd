"""Addresses against the standard library, which is stricter than us in nothing."""

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netpolicy.core.address import BITS, V4, V6, format_address, format_range, parse_address, parse_range
from netpolicy.core.value import ValueProblem

ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
# Few digits and many zeros, so that "::" and dots fall everywhere.
MESS = st.text(st.sampled_from("0:.1f:0-/"), max_size=20)
PIECES = st.lists(st.sampled_from(["0", "1", "ff", "::", ":", "1.2.3.4", ".", "abcd", "12345"]), max_size=9).map(
    "".join
)


def ours(text: str) -> tuple[int, int] | None:
    try:
        return parse_address(text)
    except ValueProblem:
        return None


def theirs(text: str) -> tuple[int, int] | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return address.version, int(address)


@given(ADDRESSES)
def test_every_address_is_read_and_printed_as_by_the_standard_library(address):
    assert parse_address(str(address)) == (address.version, int(address))
    assert parse_address(address.exploded) == (address.version, int(address))
    assert ours(format_address(address.version, int(address))) == (address.version, int(address))
    if address.version == 4 or address.ipv4_mapped is None:  # newer Pythons print the mapped form with dots
        assert format_address(address.version, int(address)) == str(address)


@given(st.one_of(MESS, PIECES))
@example("1.2.3.4::")
@example("1:1.2.3.4::1")
@example("::1.2.3.4")
@example("1:2:3:4:5:6:7::")
@example("01.2.3.4")
def test_any_text_is_an_address_for_both_or_for_none(text):
    assert ours(text) == theirs(text)


@given(ADDRESSES, st.data())
def test_a_network_is_the_range_of_its_addresses(address, data):
    length = data.draw(st.integers(0, BITS[address.version]))
    network = ipaddress.ip_network(f"{address}/{length}", strict=False)
    low, high = int(network[0]), int(network[-1])
    assert parse_range(str(network)) == (address.version, low, high)
    assert parse_range(format_range(address.version, low, high)) == (address.version, low, high)


@given(st.sampled_from([V4, V6]), st.data())
def test_a_printed_range_is_read_back(family, data):
    top = (1 << BITS[family]) - 1
    low, high = sorted(data.draw(st.tuples(st.integers(0, top), st.integers(0, top))))
    assert parse_range(format_range(family, low, high)) == (family, low, high)


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/08",
        "10.0.0.0/",
        "1.2.3.4-1.2.3.3",
        "1.2.3.4-::1",
        "-",
        "a.b",
        "fe80::1%eth0",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(text):
    with pytest.raises(ValueProblem):
        parse_range(text)


def test_host_bits_come_with_both_ways_to_write_it():
    with pytest.raises(ValueProblem) as caught:
        parse_range("10.0.0.1/8")
    assert "10.0.0.0/8" in caught.value.hint
    assert "10.0.0.1 " in caught.value.hint
