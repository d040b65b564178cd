"""Fields of addresses: one network, several, lists, and both families."""

from netpolicy.core.field import parse_field
from netpolicy.core.field_address import Addresses, Network, Networks


def test_addresses_of_one_family_say_nothing_of_the_other_unless_only_excluded():
    only_v4 = parse_field("dest_addr", ("10.0.0.0/8", "!10.1.0.0/16"))
    assert only_v4.matches((4, 0x0A000001))
    assert not only_v4.matches((4, 0x0A010001))
    assert not only_v4.matches((6, 1))
    assert parse_field("dest_addr", ("!10.0.0.0/8",)).matches((6, 1))


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
