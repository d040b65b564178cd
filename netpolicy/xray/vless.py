"""vless and trojan: a user on a server, behind a transport.

Refuses what would send the user's identity in the clear to a public address, as Xray does
since 26.7.11; its older releases would just send it.
"""

from __future__ import annotations

from . import address
from .encryption import NONE, encryption
from .link import Link, decoded
from .node import BadLink, Settings
from .security import security
from .transport import transport

FLOWS = ("xtls-rprx-vision", "xtls-rprx-vision-udp443")
UUID = (8, 4, 4, 4, 12)
HEX = frozenset("0123456789abcdefABCDEF")
CLEAR = "{} without TLS or Reality to a public address would be readable by everybody: use security=tls or reality"


def vless(link: Link) -> Settings:
    """The outbound of a vless link. Raises BadLink."""
    server, port = link.server()
    cipher = encryption(link.options.get("encryption", NONE))
    user: Settings = {"id": uuid(decoded(link.user)), "encryption": cipher}
    stream = transport(link.options, security(link.options))
    if flow := _flow(link.options.get("flow", "").lower(), stream, cipher):
        user["flow"] = flow
    if cipher == NONE:
        _refuse_clear(link.scheme, server, stream)
    return {
        "protocol": "vless",
        "settings": {"vnext": [{"address": server, "port": port, "users": [user]}]},
        "streamSettings": stream,
    }


def trojan(link: Link) -> Settings:
    """The outbound of a trojan link; TLS unless it says otherwise. Raises BadLink."""
    server, port = link.server()
    stream = transport(link.options, security(link.options, "tls"))
    _refuse_clear(link.scheme, server, stream)
    return {
        "protocol": "trojan",
        "settings": {"servers": [{"address": server, "port": port, "password": password(decoded(link.user))}]},
        "streamSettings": stream,
    }


def uuid(text: str) -> str:
    """The identity of a user of vless or vmess. Raises BadLink."""
    groups = text.split("-")
    if tuple(len(group) for group in groups) != UUID or not HEX.issuperset("".join(groups)):
        raise BadLink("the id of the user is not a UUID")
    return text.lower()


def password(text: str) -> str:
    """A password that is one. Raises BadLink."""
    if not text:
        raise BadLink("the password is missing")
    if any(one.isspace() for one in text):
        raise BadLink("the password has white space in it")
    return text


def _refuse_clear(scheme: str, server: str, stream: Settings) -> None:
    if "security" not in stream and not address.is_private(server):
        raise BadLink(CLEAR.format(scheme))


def _flow(flow: str, stream: Settings, cipher: str) -> str:
    if flow in ("", "none"):
        return ""
    if flow not in FLOWS:
        raise BadLink("unknown flow: xtls-rprx-vision exists")
    if cipher == NONE and not (stream["network"] == "raw" and "security" in stream):
        raise BadLink("flow=xtls-rprx-vision needs the transport tcp with TLS or Reality")
    return flow
