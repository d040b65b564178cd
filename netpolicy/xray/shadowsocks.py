"""Shadowsocks: SIP002 links, the older form that is base64 as a whole, and the keys of 2022.

Refuses plugins, which Xray does not start, and ciphers that it no longer has: both would
load and never connect.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace

from .link import Link, decoded, from_base64
from .node import BadLink, Settings
from .security import security
from .transport import transport
from .vless import password

CIPHERS = (
    "aes-128-gcm", "aes-256-gcm", "chacha20-poly1305", "chacha20-ietf-poly1305", "xchacha20-poly1305",
    "xchacha20-ietf-poly1305",
)  # fmt: skip
KEY_BYTES = {
    "2022-blake3-aes-128-gcm": 16,
    "2022-blake3-aes-256-gcm": 32,
    "2022-blake3-chacha20-poly1305": 32,
}
ONE_KEY = "2022-blake3-chacha20-poly1305"  # the others take several, for servers behind a relay


def shadowsocks(link: Link) -> Settings:
    """The outbound of an ss link. Raises BadLink."""
    if "plugin" in link.options:
        raise BadLink("plugin not supported by xray")
    if "@" not in link.body:
        link = replace(link, body=_legacy(link.body))
        method, secret = _split(link.user)
    else:
        method, secret = _user(link.user)
    server, port = link.server()
    target = {"address": server, "port": port, **_credentials(method.lower(), secret)}
    outbound: Settings = {"protocol": "shadowsocks", "settings": {"servers": [target]}}
    stream = transport(link.options, security(link.options))
    if stream != {"network": "raw"}:
        outbound["streamSettings"] = stream
    return outbound


def _legacy(body: str) -> str:
    """method:password@server:port; the password may have an @ in it."""
    try:
        text = from_base64(decoded(body.rstrip("/")))
    except BadLink:
        raise BadLink("ss link has no @, and is not base64 either") from None
    if "@" not in text:
        raise BadLink("ss link names no server")
    return text


def _user(text: str) -> tuple[str, str]:
    if ":" in text:
        method, secret = _split(text)
        return decoded(method), decoded(secret)
    try:
        return _split(from_base64(decoded(text)))
    except BadLink:
        raise BadLink("ss user information is neither method:password nor base64 of it") from None


def _split(text: str) -> tuple[str, str]:
    method, colon, secret = text.partition(":")
    if not colon:
        raise BadLink("ss link has no method:password")
    return method, secret


def _credentials(method: str, secret: str) -> Settings:
    if method in KEY_BYTES:
        keys = secret.split(":")
        if not all(_is_key(key, KEY_BYTES[method]) for key in keys) or (method == ONE_KEY and len(keys) > 1):
            raise BadLink(f"the password is not base64 of {KEY_BYTES[method]} bytes, as the cipher needs")
    elif method not in CIPHERS:
        raise BadLink("unknown ss method: aes-128-gcm, aes-256-gcm, chacha20-ietf-poly1305 and 2022-blake3-* exist")
    return {"method": method, "password": password(secret)}


def _is_key(text: str, length: int) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == length
    except (binascii.Error, ValueError):
        return False
