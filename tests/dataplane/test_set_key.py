"""Keys as nft lays them out: the bytes are those that nft 1.0.6 sent for the same text (strace)."""

from __future__ import annotations

import sys
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.set_key import TYPES, Layout, device_prefix, edges, from_host_number, host_number

little = pytest.mark.skipif(sys.byteorder != "little", reason="the captured bytes are of a little-endian machine")


def ip(text: str) -> int:
    return int(ip_address(text))


def test_each_part_of_an_interval_key_is_big_endian_and_padded_behind():
    layout = Layout(["ipv4_addr", "inet_service", "inet_proto", "mark"], interval=True)
    low, high = layout.keys([(ip("10.0.0.0"), ip("10.255.255.255")), (25, 30), (6, 6), (5, 0xFFFFFFFF)])
    assert low.hex() == "0a000000001900000600000000000005"
    assert high.hex() == "0affffff001e000006000000ffffffff"


@little
def test_a_mark_stands_in_the_host_s_order_where_there_are_no_intervals():
    assert Layout(["mark"], interval=False).key([5]).hex() == "05000000"
    assert Layout(["ipv4_addr", "classid"], interval=False).key([ip("1.2.3.4"), 5]).hex() == "0102030405000000"
    assert host_number(7).hex() == "07000000"


def test_a_key_of_one_part_is_not_padded():
    assert Layout(["ether_addr"], interval=False).key([0x0200_0000_000A]).hex() == "02000000000a"
    assert Layout(["inet_service"], interval=False).key([80]).hex() == "0050"
    padded = Layout(["ether_addr", "inet_service"], interval=False)
    assert padded.key([0x0200_0000_000A, 80]).hex() == "02000000000a000000500000"


def test_a_device_name_is_filled_with_zeros_and_a_prefix_is_a_range():
    layout = Layout(["ifname", "inet_proto"], interval=True)
    low, high = layout.keys([device_prefix("wg"), (0, 255)])
    assert low == b"wg".ljust(16, b"\0") + b"\0\0\0\0"
    assert high == b"wg".ljust(16, b"\xff") + b"\xff\0\0\0"
    assert layout.ranges(low, high)[0] == ("wg", b"wg".ljust(16, b"\xff"))
    assert layout.ranges(*layout.keys([("lan1", "lan1"), (6, 6)])) == (("lan1", "lan1"), (6, 6))


@pytest.mark.parametrize(
    ("types", "values"),
    [
        (["ipv4_addr"], [1 << 32]),
        (["ipv4_addr"], [-1]),
        (["ipv4_addr"], ["10.0.0.1"]),
        (["ipv4_addr"], [1, 2]),
        (["ipv4_addr", "mark"], [1]),
        (["ipv6_addr"], [1 << 128]),
        (["ipv6_addr"], [-1]),
        (["mark"], [1 << 32]),
        (["ifname"], ["a-name-that-is-too-long"]),
        (["ifname"], [""]),
        (["ifname"], [7]),
        (["ifname"], [b"short"]),
        (["inet_proto"], [256]),
    ],
)
def test_a_value_that_does_not_fit_is_named(types, values):
    with pytest.raises(ValueError, match=f"does not fit a key of {' . '.join(types)}"):
        Layout(types, interval=False).key(values)


def test_a_range_upside_down_is_refused():
    with pytest.raises(ValueError, match="upside down"):
        Layout(["inet_service"], interval=True).keys([(80, 79)])


def test_unknown_parts_and_keys_that_are_too_long_are_refused():
    with pytest.raises(ValueError, match="known parts are"):
        Layout(["ipv4_addr", "host"], interval=True)
    with pytest.raises(ValueError, match="known parts are"):
        Layout([], interval=True)
    with pytest.raises(ValueError, match="the kernel takes 64"):
        Layout(["ipv6_addr"] * 5, interval=True)
    with pytest.raises(ValueError, match="a key of 3 bytes"):
        Layout(["ipv4_addr"], interval=False).values(b"abc")


NUMBERS = sorted(name for name in TYPES if name != "ifname")


@settings(max_examples=200, deadline=None)
@given(st.data(), st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=4), st.booleans())
def test_what_is_packed_is_read_back(data, types, interval):
    if sum((TYPES[name][0] + 3) // 4 * 4 for name in types) > 64:
        return
    layout = Layout(types, interval=interval)
    values = tuple(data.draw(st.integers(0, (1 << 8 * TYPES[name][0]) - 1)) for name in types)
    key = layout.key(values)
    assert layout.values(key) == values
    assert len(key) == layout.length


@settings(max_examples=200, deadline=None)
@given(st.tuples(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF)))
def test_the_order_of_interval_keys_is_the_order_of_their_numbers(pair):
    layout = Layout(["mark"], interval=True)
    first, second = layout.key(pair[:1]), layout.key(pair[1:])
    assert (first < second) == (pair[0] < pair[1])


def test_an_interval_of_one_field_is_its_first_key_and_the_first_behind():
    whole = Element(bytes(4), b"\xff\xff\xff\xff")
    one = Element(b"\x0a\0\0\0", b"\x0a\xff\xff\xff", data=host_number(7))
    assert list(edges([one])) == [Element(b"\x0a\0\0\0", data=host_number(7)), Element(b"\x0b\0\0\0", closes=True)]
    assert list(edges([whole])) == [Element(bytes(4))]
    assert from_host_number(host_number(0x01020304)) == 0x01020304
