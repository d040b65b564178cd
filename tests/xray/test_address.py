"""Names, addresses and ports of servers."""

from __future__ import annotations

import pytest

from netpolicy.xray import address
from netpolicy.xray.node import BadLink


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Example.COM.", "example.com"),
        ("a_b.example.com", "a_b.example.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
    ],
)
def test_a_host_in_the_form_that_xray_takes(text: str, host: str) -> None:
    assert address.host(text) == host


@pytest.mark.parametrize(
    "text",
    ["", ".", "a..b", "-" * 64, "a" * 64 + ".com", "a." * 127 + "com", "bücher.example", "a b", "a/b", "env:HOME",
     "1.2.3", "1.2.3.256", "01.2.3.4", "::1", "[::1", "[1.2.3.4]x", "[fe80::1%eth0]", "fromMitm", "a,b"],
)  # fmt: skip
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(BadLink):
        address.host(text)


def test_a_server_name_may_be_an_address_without_brackets() -> None:
    assert address.name_or_address("2001:db8::1") == "2001:db8::1"


@pytest.mark.parametrize(("text", "port"), [("1", 1), ("443", 443), ("65535", 65535), ("00443", 443)])
def test_a_port(text: str, port: int) -> None:
    assert address.port(text) == port


@pytest.mark.parametrize("text", ["", "0", "-1", "+1", "1.0", "65536", "999999", "４４３", "443 ", "0x1bb"])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(BadLink):
        address.port(text)


@pytest.mark.parametrize(
    "server",
    ["10.0.0.1", "127.0.0.1", "172.31.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd00::1", "fe80::1", "localhost",
     "nas.lan", "a.b.home.arpa"],
)  # fmt: skip
def test_servers_that_xray_counts_as_private(server: str) -> None:
    assert address.is_private(server)


@pytest.mark.parametrize("server", ["8.8.8.8", "172.32.0.1", "2001:db8::1", "example.com", "lan.example.com", "notlan"])
def test_servers_that_are_public(server: str) -> None:
    assert not address.is_private(server)


@pytest.mark.parametrize(("text", "expected"), [("127.0.0.1", True), ("localhost", False), ("0.0.0.0", False)])
def test_a_private_address_is_an_address(text: str, expected: bool) -> None:
    assert address.is_private_address(text) is expected
