"""What the match fields accept, and what satisfies them."""

import pytest

from netpolicy.core.field import FIELD_ORDER, FIELDS, PACKET_FIELDS, format_fact, parse_field
from netpolicy.core.field_kind import Numbers
from netpolicy.core.named_list import Lists, NamedList, UnknownList
from netpolicy.core.packet import parse_device, parse_mac, parse_protocol
from netpolicy.core.value import ValueProblem


@pytest.mark.parametrize("name", FIELD_ORDER)
def test_no_field_is_satisfied_by_an_unknown_fact_or_takes_no_value(name):
    value = {
        "src_iface": "lan", "src_mac": "02:00:00:00:00:0a", "family": "ipv4", "proto": "tcp", "sni": "*",
        "src_port": "0-65535", "dest_port": "!1", "latency_ms": "<5", "rtt_ms": "<5",
        "error_rate": "<5%", "loss": "<0.1", "dscp": "!ef", "schedule": "!evening", "domain": "!example.com",
    }.get(name, "!10.0.0.0/8")  # fmt: skip
    assert not parse_field(name, (value,)).matches(None)
    with pytest.raises(ValueProblem):
        parse_field(name, ())


def test_a_named_list_stands_for_its_entries():
    lists = Lists((NamedList("net", ("10.0.0.0/8", "2001:db8::/32", "example.com")),))
    field = parse_field("dest_addr", ("@net", "!10.1.0.0/16"), lists)
    assert field.values == ("@net", "!10.1.0.0/16")
    assert field.matches((4, 0x0A000001))
    assert not field.matches((4, 0x0A010001))
    assert field.matches((6, 0x20010DB8 << 96))
    assert parse_field("domain", ("@net",), lists).matches("a.example.com")


def test_a_list_that_does_not_exist_or_has_nothing_of_the_kind_is_refused():
    with pytest.raises(UnknownList):
        parse_field("dest_addr", ("@video",))
    with pytest.raises(ValueProblem, match="has no names"):
        parse_field("domain", ("@net",), Lists((NamedList("net", ("10.0.0.0/8",)),)))
    later = Lists((NamedList("later", (), url="https://lists.example/video"),))
    assert not parse_field("domain", ("@later",), later).matches("example.com")


def test_values_are_kept_in_canonical_form():
    written = {
        "dest_port": (" 0443 , 80-80", "! 1000-2000"), "proto": ("6", "UDP"), "dest_addr": ("10.0.0.0-10.255.255.255",),
        "src_mac": ("02-00-00-00-00-0A",), "family": ("IPv4",), "dscp": ("46", "7", "be"), "sni": ("*.Zoom.US.",),
        "latency_ms": ("= +80",), "loss": (">= 2.5%",), "schedule": ("! evening",), "domain": ("=Example.com.",),
    }  # fmt: skip
    assert {name: parse_field(name, values).values for name, values in written.items()} == {
        "dest_port": ("443", "80", "!1000-2000"), "proto": ("tcp", "udp"), "dest_addr": ("10.0.0.0/8",),
        "src_mac": ("02:00:00:00:00:0a",), "family": ("ipv4",), "dscp": ("ef", "7", "cs0"), "sni": ("*.zoom.us",),
        "latency_ms": ("==80",), "loss": (">=0.025",), "schedule": ("!evening",), "domain": ("=example.com",),
    }  # fmt: skip


def test_dscp_knows_classes_and_numbers():
    field = parse_field("dscp", ("ef", "cs1", "!8"))
    assert field.matches(46)
    assert not field.matches(8)
    with pytest.raises(ValueProblem):
        parse_field("dscp", ("64",))


def test_limits_on_count_and_length():
    with pytest.raises(ValueProblem):
        parse_field("dest_addr", ("10.0.0.1",) * 4097)
    with pytest.raises(ValueProblem):
        parse_field("sni", ("a" * 257,))


@pytest.mark.parametrize(("text", "number"), [("TCP", 6), (" udp ", 17), ("47", 47), ("icmpv6", 58)])
def test_protocols_are_names_or_numbers(text, number):
    assert parse_protocol(text) == number
    assert isinstance(parse_field("proto", (text,)), Numbers)


@pytest.mark.parametrize("text", ["256", "-1", "tcp udp", "", "0x6"])
def test_what_is_no_protocol_is_refused(text):
    with pytest.raises(ValueProblem):
        parse_protocol(text)


@pytest.mark.parametrize("text", ["", "a" * 16, "a/b", "a b", "..", "a:b", "é"])
def test_what_the_kernel_refuses_is_no_device(text):
    with pytest.raises(ValueProblem):
        parse_device(text)


@pytest.mark.parametrize("text", ["02:00:00:00:00", "02:00:00:00:00:0g", "0200.0000.000a"])
def test_what_is_no_mac_address_is_refused(text):
    with pytest.raises(ValueProblem):
        parse_mac(text)


def test_the_tables_of_fields_agree():
    assert sorted(FIELD_ORDER) == sorted(FIELDS)
    assert set(PACKET_FIELDS) < set(FIELDS)
    assert format_fact("dest_addr", (4, 1)) == "0.0.0.1"
    assert [format_fact("proto", 6), format_fact("proto", 200), format_fact("family", 6)] == ["tcp", "200", "ipv6"]
