"""Hysteria 2."""

from __future__ import annotations

import pytest

from netpolicy.xray.hysteria import hysteria
from netpolicy.xray.link import take_apart
from netpolicy.xray.node import BadLink


def test_a_link() -> None:
    assert hysteria(take_apart("hy2://us%65r:pw@h.com/?sni=s.com&obfs=salamander&obfs-password=mask")) == {
        "protocol": "hysteria",
        "settings": {"version": 2, "address": "h.com", "port": 443},
        "streamSettings": {
            "network": "hysteria",
            "security": "tls",
            "tlsSettings": {"serverName": "s.com", "alpn": ["h3"]},
            "hysteriaSettings": {"version": 2, "auth": "user:pw"},
            "finalmask": {"udp": [{"type": "salamander", "settings": {"password": "mask"}}]},
        },
    }


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("hy2://h.com", "password"),
        ("hy2://p@h.com:443,5000-6000", "port"),
        ("hy2://p@h.com?mport=5000-6000", "mport"),
        ("hy2://p@h.com?insecure=1", "certificate"),
        ("hy2://p@h.com?obfs=gecko", "obfs"),
        ("hy2://p@h.com?obfs=salamander&obfs-password=abc", "obfs-password"),
        ("hy2://p@h.com?pinSHA256=abc", "pin"),
    ],
)
def test_what_xray_cannot_do(link: str, why: str) -> None:
    with pytest.raises(BadLink, match=why):
        hysteria(take_apart(link))
