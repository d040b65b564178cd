"""What stands in packet headers, as people write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core import packet
from netpolicy.core.value import ValueProblem

ACCEPTED = [
    (packet.parse_port, "0", 0),
    (packet.parse_port, "65535", 65535),
    (packet.parse_port, "+443", 443),
    (packet.parse_port, "0443", 443),
    (packet.parse_port_range, "1-1", (1, 1)),
    (packet.parse_port_range, " 1000 - 2000 ", (1000, 2000)),
    (packet.parse_protocol, " TCP ", 6),
    (packet.parse_protocol, "0", 0),
    (packet.parse_protocol, "255", 255),
    (packet.parse_mac, "02-00-00-00-00-0A", "02:00:00:00:00:0a"),
    (packet.parse_mac, "FF:FF:FF:FF:FF:FF", "ff:ff:ff:ff:ff:ff"),
    (packet.parse_device, "eth0.10@x_y-z+", "eth0.10@x_y-z+"),
    (packet.parse_device, "a" * 15, "a" * 15),
    (packet.parse_family, " IPv6 ", 6),
    (packet.parse_family, "ipv4", 4),
    (packet.parse_dscp, "EF", 46),
    (packet.parse_dscp, "be", 0),
    (packet.parse_dscp, "63", 63),
]

REFUSED = [
    (packet.parse_port, ""),
    (packet.parse_port, "65536"),
    (packet.parse_port, "-1"),
    (packet.parse_port, "++1"),
    (packet.parse_port, "1 "),
    (packet.parse_port, "٤٤٣"),
    (packet.parse_port, "0x1"),
    (packet.parse_port, "9" * 5000),
    (packet.parse_port_range, "2-1"),
    (packet.parse_port_range, "-1"),
    (packet.parse_port_range, "1-"),
    (packet.parse_port_range, "1-2-3"),
    (packet.parse_protocol, ""),
    (packet.parse_protocol, "256"),
    (packet.parse_protocol, "-6"),
    (packet.parse_protocol, "tcp6"),
    (packet.parse_mac, ""),
    (packet.parse_mac, "02:00:00:00:00"),
    (packet.parse_mac, "02:00:00:00:00:0g"),
    (packet.parse_mac, "2:0:0:0:0:a"),
    (packet.parse_mac, "0200.0000.000a"),
    (packet.parse_mac, "02:00:00:00:00:0０"),
    (packet.parse_device, ""),
    (packet.parse_device, "."),
    (packet.parse_device, ".."),
    (packet.parse_device, "a/b"),
    (packet.parse_device, "a b"),
    (packet.parse_device, "a:b"),
    (packet.parse_device, "a" * 16),
    (packet.parse_device, "é"),
    (packet.parse_family, "4"),
    (packet.parse_family, "inet"),
    (packet.parse_dscp, "64"),
    (packet.parse_dscp, "af44"),
    (packet.parse_dscp, ""),
]


@pytest.mark.parametrize(("parse", "text", "meaning"), ACCEPTED)
def test_what_is_accepted(parse, text, meaning):
    assert parse(text) == meaning


@pytest.mark.parametrize(("parse", "text"), REFUSED)
def test_what_is_refused(parse, text):
    with pytest.raises(ValueProblem):
        parse(text)


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused_and_never_anything_else(text):
    for parse in {parse for parse, _ in REFUSED if parse is not packet.parse_port_range}:
        try:
            parse(text)
        except ValueProblem:
            continue


@given(st.integers(0, 255))
def test_a_protocol_is_read_as_it_is_shown(number):
    assert packet.parse_protocol(packet.format_protocol(number)) == number


@given(st.integers(0, 63))
def test_a_code_point_is_read_as_it_is_shown(number):
    assert packet.parse_dscp(packet.format_dscp(number)) == number


def test_the_assured_forwarding_classes_are_where_rfc_2597_has_them():
    for number, name in packet.DSCP_NAMES.items():
        if name.startswith("af"):
            assert number == 8 * int(name[2]) + 2 * int(name[3])
        if name.startswith("cs"):
            assert number == 8 * int(name[2])


def test_a_number_has_one_to_ten_ascii_digits():
    assert packet.is_number("0")
    assert packet.is_number("9" * 10)
    assert not any(packet.is_number(text) for text in ("", "9" * 11, "1.0", "-1", "²", "٣"))


SIGNED = {
    "!a": (True, "a"),
    " ! a ": (True, "a"),
    " a": (False, "a"),
    "": (False, ""),
    "!": (True, ""),
    "!!": (True, "!"),
}


@pytest.mark.parametrize("text", SIGNED)
def test_a_sign_is_taken_off(text):
    assert packet.split_sign(text) == SIGNED[text]
