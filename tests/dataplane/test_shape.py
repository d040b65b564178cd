"""A rule as boxes and a guard: together they match what the fields match, nothing more and nothing less."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from netpolicy.core.address import parse_address, parse_range
from netpolicy.core.packet import PORT_PROTOCOLS
from netpolicy.dataplane import shape as shape_module
from netpolicy.dataplane.policy import Entry, Policy
from netpolicy.dataplane.shape import (
    ARRIVING,
    EVERY,
    FORWARDED,
    MOST_BOXES,
    MOST_RANGES,
    OWN,
    PART_NAMES,
    Shape,
    key,
    key_types,
    made_of,
    part_text,
    shapes,
)
from tests.router import rule

POLICY = Policy(device_names=(("office", "br-lan.7"), ("uplink", "eth0")))


def of(blocks: bool = False, **fields: str) -> tuple[Shape, ...]:
    action = ("block", "drop") if blocks else ("route", "wan_b")
    return shapes(Entry(rule("r", action, **fields), 2, blocks=blocks), POLICY)


def written(found: Shape) -> tuple[str, str, list[str]]:
    """Where it is asked, its guard, and its boxes as a map writes them."""
    types = key_types(found.parts, found.family)
    boxes = [
        " . ".join(part_text(kind, low, high) for kind, (low, high) in zip(types, box, strict=True))
        for box in found.boxes
    ]
    return found.scope, found.guard, boxes


# -- what is written -----------------------------------------------------------------------------

ALL_BUT_CS1 = ", ".join(str(value) for value in range(64) if value != 8)
PORTS = "meta l4proto { 6, 17, 33, 132, 136 }"
BOTH = "meta l4proto { 6, 17 }"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [(EVERY, "", [""])]),
        ({"dest_port": "443", "proto": "tcp"}, [(EVERY, "", ["443 . 6"])]),
        ({"dest_port": "80 443-445"}, [(EVERY, PORTS, ["80", "443-445"])]),
        ({"src_port": "!1-1024"}, [(EVERY, PORTS, ["0", "1025-65535"])]),
        ({"dest_port": "0-65535"}, [(EVERY, PORTS, [""])]),
        ({"dest_port": "53", "src_port": "1-9", "proto": "udp tcp"}, [(EVERY, BOTH, ["53 . 1-9"])]),
        ({"dest_addr": "10.0.0.1", "proto": "tcp udp"}, [(EVERY, BOTH, ["10.0.0.1"])]),
        ({"proto": "tcp udp"}, [(EVERY, BOTH, [""])]),
        ({"dest_port": "53", "proto": "tcp dccp"}, [(EVERY, "", ["53 . 6", "53 . 33"])]),
        ({"dest_port": "443", "proto": "!tcp"}, [(EVERY, "", [f"443 . {proto}" for proto in (17, 33, 132, 136)])]),
        ({"proto": "!tcp"}, [(EVERY, "", ["0-5", "7-255"])]),
        ({"src_addr": "192.168.3.0/24"}, [(EVERY, "", ["192.168.3.0/24"])]),
        ({"dest_addr": "2001:db8::/32"}, [(EVERY, "", ["2001:db8::/32"])]),
        ({"dest_addr": "0.0.0.0/0"}, [(EVERY, "meta nfproto ipv4", [""])]),
        ({"family": "ipv6"}, [(EVERY, "meta nfproto ipv6", [""])]),
        ({"family": "ipv6 ipv4"}, [(EVERY, "", [""])]),
        ({"dscp": "ef", "family": "ipv4"}, [(EVERY, "meta nfproto ipv4 ip dscp 46", [""])]),
        ({"dscp": "!0", "family": "ipv6"}, [(EVERY, "meta nfproto ipv6 ip6 dscp 1-63", [""])]),
        # In a set with ranges nft 1.1.3 and 1.1.7 would look for other values.
        ({"dscp": "!cs1", "family": "ipv6"}, [(EVERY, f"meta nfproto ipv6 ip6 dscp {{ {ALL_BUT_CS1} }}", [""])]),
        (
            {"dscp": "ef", "dest_addr": "10.0.0.1 2001:db8::1"},
            [(EVERY, "ip dscp 46", ["10.0.0.1"]), (EVERY, "ip6 dscp 46", ["2001:db8::1"])],
        ),
        ({"src_iface": "office"}, [(FORWARDED, 'iifname "br-lan.7"', [""])]),
        ({"src_iface": "eth1 office"}, [(FORWARDED, 'iifname { "br-lan.7", "eth1" }', [""])]),
        ({"src_iface": "uplink eth0"}, [(FORWARDED, 'iifname "eth0"', [""])]),
        ({"src_iface": "!office"}, [(FORWARDED, 'iifname != "br-lan.7"', [""]), (OWN, "", [""])]),
        ({"src_iface": "eth1 !office"}, [(FORWARDED, 'iifname "eth1"', [""])]),
        ({"src_iface": "lo"}, [(OWN, "", [""])]),
        ({"src_iface": "lo eth1"}, [(FORWARDED, 'iifname "eth1"', [""]), (OWN, "", [""])]),
        ({"src_iface": "!lo"}, [(FORWARDED, "", [""])]),
        ({"src_mac": "02:00:00:00:00:01"}, [(FORWARDED, "", ["02:00:00:00:00:01"])]),
        (
            {"src_mac": "!02:00:00:00:00:01"},
            [(FORWARDED, "", ["00:00:00:00:00:00-02:00:00:00:00:00", "02:00:00:00:00:02-ff:ff:ff:ff:ff:ff"])],
        ),
    ],
)
def test_a_match_is_written_as(fields, expected):
    assert [written(found) for found in of(**fields)] == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"dest_port": "443", "proto": "icmp"},  # no ports
        {"src_addr": "10.0.0.1", "family": "ipv6"},
        {"src_addr": "10.0.0.1", "dest_addr": "2001:db8::1"},
        {"proto": "tcp !tcp"},
        {"src_iface": "office !br-lan.7"},
        {"src_iface": "lo", "src_mac": "02:00:00:00:00:01"},  # own packets show none
        {"src_mac": "02:00:00:00:00:01 !02:00:00:00:00:01"},
    ],
)
def test_what_no_packet_can_be_has_no_shape(fields):
    assert of(**fields) == ()


def test_an_excluded_address_leaves_the_other_family_alone():
    four, six = of(dest_addr="!10.0.0.0/8")
    assert written(four) == (EVERY, "", ["0.0.0.0-9.255.255.255", "11.0.0.0-255.255.255.255"])
    assert written(six) == (EVERY, "meta nfproto ipv6", [""])


@pytest.mark.parametrize(
    ("fields", "scopes"),
    [
        ({"dest_port": "25"}, [FORWARDED]),
        ({"dest_port": "25", "src_iface": "lo"}, [OWN]),
        ({"dest_port": "25", "src_iface": "!eth0"}, [ARRIVING]),
        ({"dest_port": "25", "src_iface": "eth0"}, [ARRIVING]),
        ({"dest_port": "25", "src_iface": "eth0 lo"}, [ARRIVING, OWN]),
        ({"src_mac": "02:00:00:00:00:01"}, [FORWARDED]),
    ],
)
def test_a_block_spares_the_router_unless_it_is_named_and_comes_first_where_it_names_a_device(fields, scopes):
    assert [found.scope for found in of(blocks=True, **fields)] == scopes


def test_the_key_asks_what_tells_most_packets_apart_first():
    (found,) = of(dest_addr="10.0.0.1", src_addr="10.0.0.2", dest_port="443", proto="tcp")
    assert key(found.parts, 4) == "ip daddr . ip saddr . th dport . meta l4proto"
    assert key_types(found.parts, 4) == ("ipv4_addr", "ipv4_addr", "inet_service", "inet_proto")
    assert key(found.parts, 6).startswith("ip6 daddr . ip6 saddr")
    assert [PART_NAMES[part] for part in found.parts] == ["da", "sa", "dp", "pr"]


def test_more_than_four_parts_leave_the_last_ones_to_the_guard():
    """nft 1.0.6 miscompiles keys of more than five parts, and the label is one."""
    (found,) = of(
        dest_addr="10.0.0.1", src_addr="10.0.0.2", src_mac="02:00:00:00:00:01", dest_port="1-2 9", src_port="7",
        proto="udp",
    )  # fmt: skip
    assert key(found.parts, 4) == "ip daddr . ip saddr . ether saddr . th dport"
    # Ports are asked only of protocols that have them: the protocol stands before.
    assert found.guard == "meta l4proto 17 th sport 7"
    assert len(found.boxes) == 2


def test_a_long_list_of_addresses_becomes_a_set_named_after_what_it_holds():
    long = " ".join(f"10.0.{number}.0/25" for number in range(MOST_RANGES - 1)) + " 192.0.2.1 192.0.2.9"
    (found,) = of(src_addr=long, dest_port="443", proto="tcp")
    (large,) = found.large
    assert found.guard == f"ip saddr @{large.name}"
    assert len(large.ranges) == MOST_RANGES + 1 and large.family == 4
    assert key(found.parts, 4) == "th dport . meta l4proto"
    (again,) = of(src_addr=long)
    assert again.large[0].name == large.name
    (other,) = of(src_addr=long.replace("192.0.2.9", "192.0.2.8"))
    assert other.large[0].name != large.name
    (short,) = of(src_addr=long.replace(" 192.0.2.9", ""))
    assert short.large == () and len(short.boxes) == MOST_RANGES


def test_a_long_list_of_what_is_no_address_stands_in_the_guard():
    (found,) = of(dest_port=" ".join(str(port * 2) for port in range(MOST_RANGES + 1)), proto="tcp")
    assert found.guard.startswith("th dport { 0, 2, ") and found.large == ()
    assert [written(found)[2]] == [["6"]]


def test_too_many_boxes_leave_the_longest_list_to_the_guard():
    sources = " ".join(f"10.0.{number}.1" for number in range(40))
    ports = " ".join(str(port * 2) for port in range(MOST_BOXES // 40 + 1))
    (found,) = of(src_addr=sources, dest_port=ports, proto="tcp")
    assert found.guard.startswith("ip saddr { 10.0.0.1, 10.0.1.1, ")
    assert key(found.parts, 4) == "th dport . meta l4proto"
    assert len(found.boxes) == MOST_BOXES // 40 + 1
    (few,) = of(src_addr=sources, dest_port=ports.rsplit(" ", 1)[0], proto="tcp")
    assert few.guard == "" and len(few.boxes) <= MOST_BOXES


def test_rules_that_ask_the_same_have_the_same_signature():
    (one,), (other,) = of(dest_addr="10.0.0.1", dest_port="443"), of(dest_addr="10.9.0.0/16", dest_port="1-7 9")
    assert one.signature == other.signature
    (own,) = of(dest_addr="10.0.0.1", dest_port="443", src_iface="lo")
    (guarded,) = of(dest_addr="10.0.0.1", dest_port="443", dscp="ef")
    (six,) = of(dest_addr="2001:db8::1", dest_port="443")
    assert len({found.signature for found in (one, own, guarded, six)}) == 4


# -- nothing that can match is lost --------------------------------------------------------------

VALUES = {
    "dest_addr": ("10.0.0.0/30", "!10.0.0.2", "10.0.0.1-10.0.0.5", "2001:db8::/126", "!2001:db8::2", "::/0",
                  "0.0.0.0/0"),
    "src_addr": ("10.0.0.3", "!10.0.0.4", "10.0.0.8/29", "2001:db8::1", "0.0.0.0/0"),
    "src_mac": ("00:00:00:00:00:01", "!00:00:00:00:00:02", "00:00:00:00:00:03", "!00:00:00:00:00:00"),
    "src_iface": ("office", "br-lan.7", "!office", "eth0", "!uplink", "lo", "!lo", "wan"),
    "dest_port": ("0-1", "!1", "2", "0-65535", "65535"),
    "src_port": ("1", "!0-2", "3-9"),
    "proto": ("tcp", "!udp", "icmp", "udp", "!tcp"),
    "family": ("ipv4", "ipv6", "!ipv4"),
    "dscp": ("ef", "!0", "1", "!63"),
}  # fmt: skip

DEVICES = ("br-lan.7", "eth0", "wan", "lo")
ADDRESSES = {
    4: [f"10.0.0.{number}" for number in (0, 1, 2, 3, 4, 5, 6, 8, 15)],
    6: [f"2001:db8::{number}" for number in (0, 1, 2, 3, 4)],
}


@st.composite
def matches(draw: st.DrawFn) -> dict[str, str]:
    """Few fields more often than many: else hardly a packet would match."""
    chosen = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True, max_size=draw(st.sampled_from((2, 3, 4, 9)))))
    return {name: " ".join(draw(st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=4))) for name in chosen}


@st.composite
def packets(draw: st.DrawFn) -> dict[str, object]:
    """What a first packet shows. From the router itself (`lo`) it shows no MAC address."""
    family = draw(st.sampled_from([4, 6]))
    proto = draw(st.sampled_from([6, 17, 1, 255, 0, 132]))
    device = draw(st.sampled_from(DEVICES))
    address = st.sampled_from(ADDRESSES[family]).map(parse_address)
    has_ports = proto in PORT_PROTOCOLS
    return {
        "family": family,
        "src_addr": draw(address),
        "dest_addr": draw(address),
        "src_mac": None if device == "lo" else f"00:00:00:00:00:0{draw(st.integers(0, 4))}",
        "src_iface": device,
        "proto": proto,
        "src_port": draw(st.sampled_from([0, 1, 2, 3, 9, 65535])) if has_ports else None,
        "dest_port": draw(st.sampled_from([0, 1, 2, 3, 65535])) if has_ports else None,
        "dscp": draw(st.sampled_from([0, 1, 46, 63])),
    }


def expected(fields: dict[str, str], packet: dict[str, object], blocks: bool) -> bool:
    """What the engine's fields say, device by device."""
    asked = rule("r", **fields)
    if packet["src_iface"] == "lo" and blocks and not asked.blocks_router_itself:
        return False

    def same(name: str) -> bool:
        field = asked.field(name)
        if field is None:
            return True
        if name != "src_iface":
            return field.matches(packet[name])
        wanted = [POLICY.devices(str(word)) for word in field.wanted]  # type: ignore[attr-defined]
        unwanted = [POLICY.devices(str(word)) for word in field.unwanted]  # type: ignore[attr-defined]
        return packet["src_iface"] not in unwanted and (not wanted or packet["src_iface"] in wanted)

    return all(same(name) for name in VALUES)


SCOPES = {True: (EVERY, OWN), False: (EVERY, FORWARDED, ARRIVING)}
TERM = re.compile(
    r"(iifname|meta l4proto|meta nfproto|ip6? dscp|ip6? [sd]addr|ether saddr|th [sd]port) (!= )?(\{[^}]*\}|@\w+|\S+) ?"
)
NAMED = {
    "iifname": "src_iface", "meta l4proto": "proto", "ether saddr": "src_mac", "th dport": "dest_port",
    "th sport": "src_port",
}  # fmt: skip


def found_by(shape: Shape, packet: dict[str, object]) -> bool:
    """Whether a lookup would find the packet, read from the guard as nft reads it and from the boxes."""
    if shape.scope not in SCOPES[packet["src_iface"] == "lo"] or shape.family not in (0, packet["family"]):
        return False
    terms = list(TERM.finditer(shape.guard))
    assert "".join(term[0] for term in terms) == shape.guard
    if not all(term_holds(term, shape, packet) for term in terms):
        return False
    facts = [_part(part, packet) for part in shape.parts]
    # A port of a protocol without ports is some other bytes of the packet: any value.
    return any(
        all(fact is None or low <= fact <= high for fact, (low, high) in zip(facts, box, strict=True))
        for box in shape.boxes
    )


def _part(part: int, packet: dict[str, object]) -> int | None:
    fact = packet[("dest_addr", "src_addr", "src_mac", "dest_port", "src_port", "proto")[part]]
    if isinstance(fact, tuple):
        return fact[1]
    return int(fact.replace(":", ""), 16) if isinstance(fact, str) else fact  # type: ignore[return-value]


def term_holds(term: re.Match[str], shape: Shape, packet: dict[str, object]) -> bool:
    name, negated, value = term[1], bool(term[2]), term[3]
    if name == "meta nfproto":
        return value == f"ipv{packet['family']}"
    if name.startswith("ip") and name != "iifname":
        if name.split()[0] != ("ip" if packet["family"] == 4 else "ip6"):
            return False
        fact = packet[{"dscp": "dscp", "saddr": "src_addr", "daddr": "dest_addr"}[name.split()[1]]]
    else:
        fact = packet[NAMED[name]]
    if value.startswith("@"):
        (large,) = [one for one in shape.large if one.name == value[1:]]
        return any(low <= fact[1] <= high for low, high in large.ranges)  # type: ignore[index]
    words = [word.strip().strip('"') for word in value.strip("{ }").split(",")]
    if fact is None:
        return True  # as above: other bytes
    return any(_same(word, fact) for word in words) != negated


def _same(word: str, fact: object) -> bool:
    if isinstance(fact, tuple):
        family, low, high = parse_range(word)
        return family == fact[0] and low <= fact[1] <= high
    if isinstance(fact, int):
        low_text, _, high_text = word.partition("-")
        return int(low_text) <= fact <= int(high_text or low_text)
    if "-" in word and ":" in word:
        low_text, _, high_text = word.partition("-")
        return low_text <= str(fact) <= high_text  # of one length, so in the order of numbers
    return word == fact


@pytest.fixture
def with_limits(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int, int], None]:
    def limit(ranges: int, boxes: int, parts: int) -> None:
        monkeypatch.setattr(shape_module, "MOST_RANGES", ranges)
        monkeypatch.setattr(shape_module, "MOST_BOXES", boxes)
        monkeypatch.setattr(shape_module, "MOST_PARTS", parts)

    return limit


@pytest.mark.parametrize("limits", [(MOST_RANGES, MOST_BOXES, 4), (2, MOST_BOXES, 4), (MOST_RANGES, 3, 4), (1, 1, 2)])
def test_boxes_and_guard_find_exactly_the_packets_that_the_fields_match(with_limits, limits):
    """With the usual limits, and with such that lists leave the key one after the other."""
    with_limits(*limits)
    seen = {True: 0, False: 0}

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(matches(), st.booleans(), st.lists(packets(), min_size=1, max_size=8))
    @example({"src_iface": "office !br-lan.7"}, False, [])
    def check(fields: dict[str, str], blocks: bool, shown: list[dict[str, object]]) -> None:
        found = of(blocks=blocks, **fields)
        for packet in shown:
            wanted = expected(fields, packet, blocks)
            assert any(found_by(one, packet) for one in found) == wanted, (fields, packet, list(map(written, found)))
            seen[wanted] += 1

    check()
    assert min(seen.values()) > 15  # the packets hit and miss


@given(matches(), st.booleans())
def test_the_boxes_of_a_rule_are_disjoint_and_fit_the_limits(fields, blocks):
    for found in of(blocks=blocks, **fields):
        assert len(found.parts) <= 4 and found.parts == tuple(sorted(found.parts))
        assert 1 <= len(found.boxes) <= MOST_BOXES
        for index, box in enumerate(found.boxes):
            assert len(box) == len(found.parts)
            for other in found.boxes[index + 1 :]:
                assert any(a[1] < b[0] or b[1] < a[0] for a, b in zip(box, other, strict=True))


@pytest.mark.parametrize(
    ("parts", "boxes"),
    [
        ((0,), (((1, 2),),)),
        ((0, 3), (((1, 2), (3, 4)), ((0, (1 << 32) - 1), (5, 5)))),
        ((0, 2), (((0, (1 << 48) - 1), (3, 4)),)),
        ((), ((),)),
    ],
)
def test_boxes_come_out_as_they_went_in(parts, boxes):
    made = made_of("a", 4, "", parts, boxes)
    assert made.boxes == boxes and made.count == len(boxes)
    assert made_of("a", 4, "", parts, boxes).held == made.held


def test_addresses_of_ipv6_come_out_as_they_went_in():
    boxes = (((0, (1 << 128) - 1), (6, 6)), ((1 << 127, 1 << 127), (17, 17)))
    made = made_of("a", 6, "", (0, 5), boxes)
    assert made.boxes == boxes and made.count == 2
