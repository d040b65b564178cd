"""Addresses become numbers; what is private, or no address, stays."""

from __future__ import annotations

import pytest

from netpolicy.service.doctor_anonymous import Numbers, cleaner


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("via 203.0.113.9 dev wan", "via [ipv4-1] dev wan"),
        ("203.0.113.9/24,198.51.100.1:443", "[ipv4-1]/24,[ipv4-2]:443"),
        ("inet6 2001:db8::5/64 scope global", "inet6 [ipv6-1]/64 scope global"),
        ("[2001:db8::5]:443", "[[ipv6-1]]:443"),
        ("link/ether 02:00:5e:10:00:01 brd ff:ff:ff:ff:ff:ff", "link/ether [mac-1] brd [mac-2]"),
        ("02-00-5E-10-00-01 is 02:00:5e:10:00:01", "[mac-1] is [mac-1]"),
        ("fe80::ff:fe10:1 and fe80::5eff:fe10:1", "[ipv6-1] and [ipv6-2]"),
        ("fd00:1::1 and 2001:0db8::5 is 2001:db8:0::5", "fd00:1::1 and [ipv6-1] is [ipv6-1]"),
    ],
)
def test_an_address_becomes_a_number_and_the_same_one_each_time(text: str, expected: str) -> None:
    assert Numbers().applied(text) == expected


@pytest.mark.parametrize(
    "text",
    ["192.168.1.1 10.0.0.0/8 100.64.3.4 127.0.0.1 0.0.0.0/0 224.0.0.1", "::1 :: ff02::1 fe80::1 fd00::1", "nft 1.0.6",
     "12:30:45 a::b::c 1.2.3.4.5 999.1.2.3 std::vector", "fwmark 0x1000000/0x77000000", "ipv6 dead:beef"],
)  # fmt: skip
def test_what_is_near_or_no_address_stays(text: str) -> None:
    assert Numbers().applied(text) == text


def test_numbers_hold_over_several_texts() -> None:
    one = Numbers()
    assert [one.applied("203.0.113.9"), one.applied("203.0.113.8 203.0.113.9")] == ["[ipv4-1]", "[ipv4-2] [ipv4-1]"]


def test_without_the_wish_nothing_is_changed() -> None:
    assert cleaner(False)("203.0.113.9") == "203.0.113.9"
    assert cleaner(True)("203.0.113.9") == "[ipv4-1]"
