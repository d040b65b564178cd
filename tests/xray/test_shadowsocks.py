"""Shadowsocks in its three spellings."""

from __future__ import annotations

from typing import Any

import pytest

from netpolicy.xray.link import take_apart
from netpolicy.xray.node import BadLink
from netpolicy.xray.shadowsocks import shadowsocks

from .node_links import in_base64

KEY_16 = "YctPZ6U7xPPcU+gp3u+0tA=="
KEY_32 = "A" * 43 + "="


def server(link: str) -> Any:
    return shadowsocks(take_apart(link))["settings"]["servers"][0]


@pytest.mark.parametrize(
    "link",
    [
        f"ss://{in_base64('AES-256-GCM:p@w')}@1.2.3.4:8388",
        f"ss://{in_base64('aes-256-gcm:p@w', padded=False)}@1.2.3.4:8388/?other=1",
        f"ss://{in_base64('aes-256-gcm:p@w').replace('=', '%3D')}@1.2.3.4:8388/",
        "ss://aes-256-gcm:p%40w@1.2.3.4:8388",
        f"ss://{in_base64('aes-256-gcm:p@w@1.2.3.4:8388')}",
        f"ss://{in_base64('aes-256-gcm:p@w@1.2.3.4:8388', padded=False)}/",
    ],
)
def test_one_server_in_each_spelling(link: str) -> None:
    assert server(link) == {"address": "1.2.3.4", "port": 8388, "method": "aes-256-gcm", "password": "p@w"}


def test_it_has_stream_settings_only_when_it_needs_them() -> None:
    assert "streamSettings" not in shadowsocks(take_apart("ss://aes-128-gcm:p@1.2.3.4:1?type=tcp"))
    made = shadowsocks(take_apart("ss://aes-128-gcm:p@1.2.3.4:1?type=ws&security=tls"))
    assert made["streamSettings"]["security"] == "tls"


@pytest.mark.parametrize(
    ("method", "password"),
    [
        ("2022-blake3-aes-128-gcm", KEY_16),
        ("2022-blake3-aes-128-gcm", f"{KEY_16}:{KEY_16}"),
        ("2022-blake3-aes-256-gcm", KEY_32),
        ("2022-blake3-chacha20-poly1305", KEY_32),
    ],
)
def test_keys_of_2022(method: str, password: str) -> None:
    assert server(f"ss://{in_base64(f'{method}:{password}')}@1.2.3.4:1")["password"] == password


@pytest.mark.parametrize(
    "user",
    ["aes-256-cfb:p", "none:p", "plain:p", "rc4:p", "aes-128-gcm:", "aes-128-gcm:a%20b",
     f"2022-blake3-aes-128-gcm:{KEY_32}", "2022-blake3-aes-128-gcm:password", f"2022-blake3-aes-256-gcm:{KEY_16}",
     f"2022-blake3-chacha20-poly1305:{KEY_32}:{KEY_32}", f"2022-blake3-aes-128-gcm:{KEY_16}:", "", "AAAA", "!"],
)  # fmt: skip
def test_a_user_that_xray_would_refuse(user: str) -> None:
    with pytest.raises(BadLink):
        server(f"ss://{user}@1.2.3.4:8388")


@pytest.mark.parametrize("body", ["", "!!!", in_base64("aes-128-gcm:p"), in_base64("p@1.2.3.4:1")])
def test_a_body_that_is_no_link(body: str) -> None:
    with pytest.raises(BadLink):
        server(f"ss://{body}")


def test_plugins_are_refused_not_ignored() -> None:
    with pytest.raises(BadLink, match="plugin not supported by xray"):
        server("ss://aes-128-gcm:p@1.2.3.4:1/?plugin=obfs-local")
