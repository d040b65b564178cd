"""vless and trojan: a user on a server, behind a transport.

Refuses what would send the user's identity in the clear to a public address, as Xray does
since 26.7.11; its older releases would just send it.
"""

from __future__ import annotations

from . import address
from .link import Link, decoded
from .node import BadLink, Settings
from .security import BASE64URL, security
from .transport import transport

FLOWS = ("xtls-rprx-vision", "xtls-rprx-vision-udp443")
UUID = (8, 4, 4, 4, 12)
HEX = frozenset("0123456789abcdefABCDEF")
CLEAR = "{} without TLS or Reality to a public address would be readable by everybody: use security=tls or reality"

ENCRYPTION = "mlkem768x25519plus"
ENCRYPTION_FORMS = ("native", "xorpub", "random")
ENCRYPTION_TICKETS = ("1rtt", "0rtt")
SHORTEST_KEY = 20  # what is shorter in the last parts is padding
KEYS = (43, 1579)  # base64url of the 32 bytes of X25519, and of the 1184 of ML-KEM-768


def vless(link: Link) -> Settings:
    """The outbound of a vless link. Raises BadLink."""
    server, port = link.server()
    encryption = _encryption(link.options.get("encryption", "none"))
    user: Settings = {"id": uuid(decoded(link.user)), "encryption": encryption}
    stream = transport(link.options, security(link.options))
    if flow := _flow(link.options.get("flow", "").lower(), stream, encryption):
        user["flow"] = flow
    if encryption == "none":
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


def _flow(flow: str, stream: Settings, encryption: str) -> str:
    if flow in ("", "none"):
        return ""
    if flow not in FLOWS:
        raise BadLink("unknown flow: xtls-rprx-vision exists")
    if encryption == "none" and not (stream["network"] == "raw" and "security" in stream):
        raise BadLink("flow=xtls-rprx-vision needs the transport tcp with TLS or Reality")
    return flow


def _encryption(text: str) -> str:
    """`none`, or Xray's own scheme with its keys, checked as Xray does at load."""
    if text == "none":
        return text
    parts = text.split(".")
    if len(parts) < 4 or parts[0] != ENCRYPTION or parts[1] not in ENCRYPTION_FORMS:
        raise BadLink(f"unknown encryption: none and {ENCRYPTION} exist")
    if parts[2] not in ENCRYPTION_TICKETS or not all(_is_key_or_padding(part) for part in parts[3:]):
        raise BadLink("the keys of the encryption are not as Xray writes them")
    if len(parts[-1]) < SHORTEST_KEY:
        raise BadLink("the encryption has no key at its end")
    return text


def _is_key_or_padding(part: str) -> bool:
    if len(part) < SHORTEST_KEY:
        return bool(part) and part.replace("-", "").isalnum() and part.isascii()
    return len(part) in KEYS and BASE64URL.issuperset(part)
