"""What the match fields accept, and what satisfies them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.field import (
    FIELD_ORDER,
    FIELDS,
    PACKET_FIELDS,
    Addresses,
    Network,
    Networks,
    Numbers,
    format_fact,
    name_matches,
    parse_field,
)
from netpolicy.core.named_list import Lists, NamedList, UnknownList
from netpolicy.core.packet import parse_device, parse_mac, parse_protocol
from netpolicy.core.value import ValueProblem

PORTS = st.integers(0, 65535)


@given(st.lists(st.tuples(st.booleans(), PORTS, PORTS), min_size=1, max_size=6), PORTS)
def test_ports_are_the_wanted_without_the_unwanted(parts, port):
    texts, wanted, unwanted = [], set(), set()
    for negated, one, other in parts:
        low, high = sorted((one, other))
        texts.append(f"{'!' if negated else ''}{low}-{high}")
        (unwanted if negated else wanted).update(range(low, high + 1))
    field = parse_field("dest_port", (",".join(texts),))
    expected = (not wanted or port in wanted) and port not in unwanted
    assert field.matches(port) == expected


@given(st.sampled_from([">", "<", ">=", "<=", "==", "="]), st.integers(0, 300), st.integers(0, 300))
def test_comparators_compare(operator, bound, seen):
    python = {"=": "=="}.get(operator, operator)
    assert parse_field("latency_ms", (f"{operator} {bound}",)).matches(seen) == eval(f"{seen} {python} {bound}")


@pytest.mark.parametrize(
    "text", ["=>120", "> =120", "<>5", ">120ms", ">-1", ">1_0", ">=", ">4294967296", "120", "!=5", ">１"]
)
def test_a_comparator_that_could_never_match_is_refused(text):
    with pytest.raises(ValueProblem):
        parse_field("rtt_ms", (text,))


LABELS = st.lists(st.sampled_from(["a", "evil", "zoom", "us"]), min_size=1, max_size=4)


@given(LABELS, LABELS)
def test_a_star_and_a_dot_respect_the_label_boundary(pattern, name):
    expected = name[-len(pattern) :] == pattern
    assert name_matches("*." + ".".join(pattern), ".".join(name)) == expected


@given(st.text(st.sampled_from("ab.*"), min_size=1, max_size=6), st.text(st.sampled_from("ab."), max_size=6))
def test_stars_at_the_ends_are_the_only_ones(pattern, name):
    try:
        field = parse_field("sni", (pattern,))
    except ValueProblem:
        return
    seen = name.removesuffix(".")
    pattern = pattern.removesuffix(".")
    if pattern.startswith("*.") and not pattern.endswith("*"):
        expected = ("." + seen).endswith(pattern[1:])
    elif pattern == "*":
        expected = True
    elif pattern.startswith("*") and pattern.endswith("*"):
        expected = pattern[1:-1] in seen
    elif pattern.startswith("*"):
        expected = seen.endswith(pattern[1:])
    elif pattern.endswith("*"):
        expected = seen.startswith(pattern[:-1])
    else:
        expected = seen == pattern
    assert field.matches(name) == expected


@pytest.mark.parametrize("text", ["", ".", "*.", "a*b", "münchen.de", "a b", "a\x7f"])
def test_a_pattern_that_is_a_slip_is_refused(text):
    with pytest.raises(ValueProblem):
        parse_field("sni", (text,))


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


def test_addresses_of_one_family_say_nothing_of_the_other_unless_only_excluded():
    only_v4 = parse_field("dest_addr", ("10.0.0.0/8", "!10.1.0.0/16"))
    assert only_v4.matches((4, 0x0A000001))
    assert not only_v4.matches((4, 0x0A010001))
    assert not only_v4.matches((6, 1))
    assert parse_field("dest_addr", ("!10.0.0.0/8",)).matches((6, 1))


def test_words_exclude_and_include():
    field = parse_field("src_mac", ("02-00-00-00-00-0A", "!02:00:00:00:00:0b"))
    assert field.matches("02:00:00:00:00:0a")
    assert not field.matches("02:00:00:00:00:0b")
    assert not parse_field("family", ("!ipv6",)).matches(6)


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


def test_a_schedule_is_met_by_the_names_that_are_active():
    field = parse_field("schedule", ("evening", "!holiday"))
    assert field.matches(("evening", "school"))
    assert not field.matches(("evening", "holiday"))
    assert not field.matches(())


def test_shares_compare_alike_in_percent_and_as_decimals():
    for text in (">5%", ">0.05", "> 0.050"):
        field = parse_field("error_rate", (text,))
        assert field.matches(0.051)
        assert not field.matches(0.05)
    for text in (">1.1", ">101%", ">5", ">0.00000001", ">%", "5%"):
        with pytest.raises(ValueProblem):
            parse_field("loss", (text,))


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


def test_ranges_are_read_by_family() -> None:
    found = parse_field("dest_addr", ("192.0.2.0/31", "2001:db8::1"))
    assert isinstance(found, Addresses)
    assert found.ranges[4] == ((0xC0000200, 0xC0000201),) and len(found.ranges[6]) == 1
    assert dict(found.ranges.items()) == {4: found.ranges[4], 6: found.ranges[6]}
    assert found.ranges.values() == (found.ranges[4], found.ranges[6])


def test_one_network_says_all_that_several_say() -> None:
    for text, family in (
        ("192.0.2.0/24", 4),
        ("2001:db8::/64", 6),
        ("0.0.0.0/0", 4),
        ("::/0", 6),
        ("10.0.0.3-10.0.0.9", 4),
    ):
        one, twice = parse_field("src_addr", (text,)), parse_field("src_addr", (text, text))
        assert isinstance(one, Network) and isinstance(twice, Networks)
        assert one.values == twice.values[:1] and repr(one) == f"src_addr={text}"
        assert one.ranges.values() == twice.ranges.values()
        low, high = one.ranges[family][0]
        for fact in [(4, low), (6, low), (family, high), (family, high + 1), (family, low - 1), None, "192.0.2.1"]:
            assert one.matches(fact) == twice.matches(fact), (text, fact)


def test_different_networks_are_told_apart() -> None:
    texts = [
        "0.0.0.0",
        "::",
        "0.0.0.1",
        "0.0.0.0/31",
        "0.0.0.2-0.0.0.3",
        "::1",
        "0.0.0.0/0",
        "::/96",
        "::/0",
        "1.0.0.0/8",
    ]
    told = [parse_field("dest_addr", (text,)).told for text in texts]
    assert len(set(told)) == len(texts)
    assert parse_field("dest_addr", ("10.0.0.0/30",)).told == parse_field("dest_addr", ("10.0.0.0-10.0.0.3",)).told
