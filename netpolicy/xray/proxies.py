"""Plain proxies: socks, and http over TCP or TLS.

Refuses what looks like a web page: an address of a subscription in a list of nodes would
become a proxy that answers nothing.
"""

from __future__ import annotations

from .link import Link, decoded, from_base64
from .node import BadLink, Settings
from .security import security

SOCKS_PORT = 1080  # RFC 1928
LONGEST = 255  # RFC 1929: a byte of length each


def socks(link: Link) -> Settings:
    """The outbound of a socks link. Raises BadLink."""
    server, port = link.server(SOCKS_PORT)
    return {"protocol": "socks", "settings": {"servers": [_target(link, server, port)]}}


def http(link: Link) -> Settings:
    """The outbound of an http or https proxy; the latter is reached over TLS. Raises BadLink."""
    if link.path not in ("", "/"):
        raise BadLink("this is the address of a page, not of a proxy: a subscription has to be fetched first")
    server, port = link.server()
    outbound: Settings = {"protocol": "http", "settings": {"servers": [_target(link, server, port)]}}
    if link.scheme == "https":
        # Xray would offer HTTP/2 as well, and some proxies, its own among them, agree and then do not speak it.
        options = {"sni": server, "alpn": "http/1.1", **link.options, "security": "tls"}
        outbound["streamSettings"] = {"network": "raw", **security(options)}
    return outbound


def _target(link: Link, server: str, port: int) -> Settings:
    target: Settings = {"address": server, "port": port}
    if link.user:
        name, secret = _user(link.user)
        if not name or max(len(name.encode()), len(secret.encode())) > LONGEST:
            raise BadLink("the user of the proxy is empty or too long")
        target["users"] = [{"user": name, "pass": secret}]
    return target


def _user(text: str) -> tuple[str, str]:
    """Name and password; some clients put both into base64."""
    if ":" not in text:
        try:
            plain = from_base64(decoded(text))
        except BadLink:
            plain = ""
        if ":" in plain:
            name, _, secret = plain.partition(":")
            return name, secret
    name, _, secret = text.partition(":")
    return decoded(name), decoded(secret)
