"""Hysteria 2: a password, TLS, and perhaps the salamander.

Xray calls the protocol `hysteria` with version 2. Ports that change (mport) are refused:
what Xray makes of them differs between its releases.
"""

from __future__ import annotations

from .link import Link, decoded
from .node import BadLink, Settings
from .security import security

PORT = 443
SHORTEST_MASK = 4  # Xray loads a shorter one, and fails at every connection


def hysteria(link: Link) -> Settings:
    """The outbound of a hysteria2 or hy2 link. Raises BadLink."""
    if "mport" in link.options:
        raise BadLink("port hopping (mport) of hysteria2 is not supported")
    server, port = link.server(PORT)
    stream: Settings = {
        "network": "hysteria",
        **security({"alpn": "h3", **link.options, "security": "tls"}),
        "hysteriaSettings": {"version": 2, "auth": _auth(link)},
    }
    if mask := _mask(link.options):
        stream["finalmask"] = {"udp": [mask]}
    settings = {"version": 2, "address": server, "port": port}
    return {"protocol": "hysteria", "settings": settings, "streamSettings": stream}


def _auth(link: Link) -> str:
    auth = decoded(link.user)
    if not auth:
        raise BadLink("the password of hysteria2 is missing")
    return auth


def _mask(options: dict[str, str]) -> Settings:
    kind = options.get("obfs", "none").lower()
    if kind == "none":
        return {}
    if kind != "salamander":
        raise BadLink("unknown obfs of hysteria2: salamander exists")
    secret = options.get("obfs-password", "")
    if len(secret.encode()) < SHORTEST_MASK:
        raise BadLink(f"obfs-password is missing or shorter than {SHORTEST_MASK} bytes")
    return {"type": "salamander", "settings": {"password": secret}}
