"""vless and trojan."""

from __future__ import annotations

import pytest

from netpolicy.xray.link import take_apart
from netpolicy.xray.node import BadLink
from netpolicy.xray.vless import trojan, vless

UUID = "123e4567-e89b-12d3-a456-426614174000"
KEY = "A" * 43


def user(options: str, server: str = "example.com") -> dict[str, str]:
    made = vless(take_apart(f"vless://{UUID}@{server}:443?{options}"))
    found: dict[str, str] = made["settings"]["vnext"][0]["users"][0]
    return found


def test_a_user() -> None:
    assert user("security=tls") == {"id": UUID, "encryption": "none"}


def test_vision() -> None:
    assert user("security=tls&flow=XTLS-rprx-vision")["flow"] == "xtls-rprx-vision"
    assert "flow" not in user("security=tls&flow=none")


@pytest.mark.parametrize(
    "options",
    ["security=tls&flow=xtls-rprx-direct", "security=tls&type=ws&flow=xtls-rprx-vision"],
)
def test_vision_where_it_cannot_work(options: str) -> None:
    with pytest.raises(BadLink, match="flow"):
        user(options)


@pytest.mark.parametrize("link", [f"vless://{UUID}@example.com:443", "trojan://p@8.8.8.8:443?security=none"])
def test_nothing_goes_in_the_clear_to_a_public_address(link: str) -> None:
    parts = take_apart(link)
    with pytest.raises(BadLink, match="readable by everybody"):
        (vless if parts.scheme == "vless" else trojan)(parts)


def test_in_the_clear_is_fine_at_home_and_under_xrays_own_encryption() -> None:
    assert user("", "192.168.1.1")["encryption"] == "none"
    assert user(f"encryption=mlkem768x25519plus.native.0rtt.{KEY}")["encryption"].endswith(KEY)


@pytest.mark.parametrize("identity", ["", "me", UUID[:-1], UUID + "0", UUID.replace("-", ""), "g" + UUID[1:]])
def test_an_id_that_is_none(identity: str) -> None:
    with pytest.raises(BadLink, match="UUID"):
        vless(take_apart(f"vless://{identity}@example.com:443?security=tls"))


@pytest.mark.parametrize(("user", "password"), [("p%40ss", "p@ss"), ("a:b", "a:b"), ("a@b", "a@b"), ("a+b", "a+b")])
def test_a_password_of_trojan(user: str, password: str) -> None:
    made = trojan(take_apart(f"trojan://{user}@example.com:443"))
    assert made["settings"]["servers"][0]["password"] == password
    assert made["streamSettings"] == {"network": "raw", "security": "tls"}


@pytest.mark.parametrize("user", ["", "a%20b", "%E2%80%83"])
def test_a_password_that_is_none(user: str) -> None:
    with pytest.raises(BadLink, match="password"):
        trojan(take_apart(f"trojan://{user}@example.com:443"))
