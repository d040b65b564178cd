"""What is shown of clients and names: nothing changes unless it is asked for, and then nothing slips through."""

from __future__ import annotations

import pytest

from netpolicy.flows.inside import Subnet
from netpolicy.service.anonymous import OPEN, Shade, registered

HOME6 = Subnet(
    6, 0x20010DB8000100020000000000000000, 0x2001_0DB8_0001_0002_FFFF_FFFF_FFFF_FFFF, "2001:db8:1:2::1", "lan"
)


def test_without_a_wish_everything_is_shown() -> None:
    assert OPEN.address("192.168.1.11") == "192.168.1.11"
    assert OPEN.name("www.example.com") == "www.example.com"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("192.168.1.11", "192.168.1.0/24"),
        ("10.1.2.3", "10.1.2.0/24"),
        ("fd00:1:2:3::4", "fd00:1:2::/48"),
        ("2001:db8:1:2::4", "2001:db8:1::/48"),
        ("198.51.100.4", "198.51.100.4"),
        ("2001:db8:9::4", "2001:db8:9::4"),
        ("", ""),
    ],
)
def test_clients_are_cut_to_their_network_and_others_stay(address: str, shown: str) -> None:
    assert Shade(["clients"], [HOME6]).address(address) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.b.example.com", "example.com"),
        ("example.com", "example.com"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("a.example.de", "example.de"),
        ("localhost", "localhost"),
    ],
)
def test_of_a_name_the_registered_part_is_left(name: str, shown: str) -> None:
    assert registered(name) == shown
    assert Shade(["names"]).name(name) == shown
    assert Shade(["clients"]).name(name) == name


def test_facts_are_shown_alike_and_a_mac_address_not_at_all() -> None:
    facts = {"src_addr": "192.168.1.11", "src_mac": "02:00:00:00:00:01", "domain": "a.example.com", "proto": "tcp"}
    assert Shade(["clients", "names"]).facts(facts) == {
        "src_addr": "192.168.1.0/24", "domain": "example.com", "proto": "tcp"
    }  # fmt: skip
    assert OPEN.facts(facts) == facts
