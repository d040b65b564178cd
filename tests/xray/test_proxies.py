"""Plain proxies: socks and http."""

from __future__ import annotations

from typing import Any

import pytest

from netpolicy.xray.link import take_apart
from netpolicy.xray.node import BadLink
from netpolicy.xray.proxies import http, socks

from .node_links import in_base64


def users(link: str) -> Any:
    return socks(take_apart(link))["settings"]["servers"][0].get("users")


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("u:p%40s:t", {"user": "u", "pass": "p@s:t"}),
        ("u", {"user": "u", "pass": ""}),
        (in_base64("us:pa"), {"user": "us", "pass": "pa"}),
        ("user1234", {"user": "user1234", "pass": ""}),  # base64 by accident
    ],
)
def test_user_information(user: str, expected: dict[str, str]) -> None:
    assert users(f"socks://{user}@10.0.0.1") == [expected]


def test_without_user_information_nobody_logs_in() -> None:
    assert users("socks://10.0.0.1") is None


@pytest.mark.parametrize("user", [":p", "u" * 256 + ":p", "u:" + "é" * 128])
def test_a_user_that_the_protocol_cannot_carry(user: str) -> None:
    with pytest.raises(BadLink, match="user"):
        users(f"socks://{user}@10.0.0.1")


def test_an_https_proxy_is_reached_over_tls_under_its_name() -> None:
    made = http(take_apart("https://proxy.example:443"))
    assert made["streamSettings"] == {
        "network": "raw",
        "security": "tls",
        "tlsSettings": {"serverName": "proxy.example", "alpn": ["http/1.1"]},
    }
    assert "streamSettings" not in http(take_apart("http://proxy.example:80/"))


def test_the_address_of_a_page_is_no_proxy() -> None:
    with pytest.raises(BadLink, match="subscription"):
        http(take_apart("https://example.com/sub?token=1"))
    with pytest.raises(BadLink, match="https missing port"):
        http(take_apart("https://example.com"))
