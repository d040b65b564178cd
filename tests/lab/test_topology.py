"""The lab's addresses: only documentation and private prefixes, no two machines alike."""

from __future__ import annotations

import ipaddress

import pytest

from netpolicy.lab import topology

DOCUMENTATION = [
    ipaddress.ip_network(p) for p in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]


def public() -> list[str]:
    return [a for line in topology.PROVIDERS for a in (line.router4, line.gateway4, line.router6, line.gateway6)] + [
        a for server in topology.SERVERS for a in (server.address4, server.address6)
    ]


def test_public_addresses_are_from_the_documentation_prefixes() -> None:
    for text in public():
        address = ipaddress.ip_address(text)
        assert any(address in network for network in DOCUMENTATION if network.version == address.version), text


def test_no_address_is_used_twice() -> None:
    private = [a for machine in (*topology.CLIENTS, *topology.HOMES) for a in (machine.address4, machine.address6)]
    everything = public() + private
    assert len(set(everything)) == len(everything)


def test_every_client_lives_in_the_prefix_of_its_home() -> None:
    for client in topology.CLIENTS:
        home = topology.home(client.home)
        assert ipaddress.ip_address(client.address4) in ipaddress.ip_network(home.prefix4)
        assert ipaddress.ip_address(client.address6) in ipaddress.ip_network(home.prefix6)


def test_a_provider_is_found_by_any_of_its_names() -> None:
    assert {topology.provider(n).letter for n in ("b", "B", "wan_b", "wanb", "isp_b")} == {"b"}
    with pytest.raises(KeyError, match="use a or b"):
        topology.provider("c")


def test_an_address_seen_by_a_server_names_the_line() -> None:
    assert [topology.line_of(a) for a in ("203.0.113.2", "2001:db8:b::2", "192.168.1.11")] == ["A", "B", ""]
