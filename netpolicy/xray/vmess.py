"""vmess: JSON in base64, as its clients agree on, or a link of the vless form.

The JSON's keys are put into the words of the other links, so that one reader of transports
and one of TLS serve all. Numbers may be numbers or texts; clients write both.
"""

from __future__ import annotations

import json

from . import address
from .link import Link, decoded, from_base64
from .node import BadLink, Settings
from .security import security
from .transport import transport
from .vless import uuid

# Newer releases of Xray treat none and zero as auto; older ones would honour them, and send in the clear.
CIPHERS = {
    "": "auto",
    "auto": "auto",
    "none": "auto",
    "zero": "auto",
    "aes-128-gcm": "aes-128-gcm",
    "chacha20-poly1305": "chacha20-poly1305",
    "chacha20-ietf-poly1305": "chacha20-poly1305",
}

# Key of the JSON: option of the other links.
SAME = {
    "net": "type", "tls": "security", "sni": "sni", "alpn": "alpn", "fp": "fp", "path": "path", "host": "host",
    "allowinsecure": "allowinsecure", "insecure": "insecure", "skip-cert-verify": "skip-cert-verify",
    "pbk": "pbk", "sid": "sid", "spx": "spx", "pcs": "pcs", "vcn": "vcn", "ech": "ech", "extra": "extra",
}  # fmt: skip


def vmess(link: Link) -> tuple[Settings, str]:
    """The outbound and the name in the JSON. Raises BadLink."""
    if "@" in link.body:
        server, port = link.server()
        cipher = link.options.get("encryption", "")
        stream = transport(link.options, security(link.options))
        return _outbound(server, port, decoded(link.user), cipher, stream), ""
    if not link.body:
        raise BadLink("vmess url missing payload")
    found = _values(link.body)
    server = address.name_or_address(found.get("add", "").removeprefix("[").removesuffix("]"))
    port = address.port(found.get("port", ""))
    options = _options(found)
    stream = transport(options, security(options))
    return _outbound(server, port, found.get("id", ""), found.get("scy", ""), stream), found.get("ps", "")


def _outbound(server: str, port: int, user: str, cipher: str, stream: Settings) -> Settings:
    if cipher.lower() not in CIPHERS:
        raise BadLink("unknown cipher (scy) of vmess: auto, aes-128-gcm and chacha20-poly1305 exist")
    # alterId belonged to an authentication that Xray no longer has; it is ignored.
    account = {"id": uuid(user), "alterId": 0, "security": CIPHERS[cipher.lower()]}
    return {
        "protocol": "vmess",
        "settings": {"vnext": [{"address": server, "port": port, "users": [account]}]},
        "streamSettings": stream,
    }


def _values(body: str) -> dict[str, str]:
    """Key in lower case: value as text; what is empty is left out."""
    try:
        text = from_base64(decoded(body))
    except BadLink:
        raise BadLink("vmess payload is not base64 of a text") from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise BadLink("vmess payload is not JSON") from None
    if not isinstance(document, dict):
        raise BadLink("vmess payload is not an object of JSON")
    found = {key.lower(): _text(value) for key, value in document.items()}
    return {key: value for key, value in found.items() if value}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else ""
    if isinstance(value, int) and abs(value) < 1 << 32:
        return str(value)
    if isinstance(value, dict):
        return json.dumps(value)  # `extra` of some clients
    if isinstance(value, str):
        return value.strip()
    return ""


def _options(found: dict[str, str]) -> dict[str, str]:
    options = {option: found[key] for key, option in SAME.items() if key in found}
    if "sni" not in options and "host" in options and options.get("type") != "grpc":
        options["sni"] = options["host"].partition(",")[0].partition(":")[0].strip()
    _spread(options, found.get("type", ""))
    return options


def _spread(options: dict[str, str], kind: str) -> None:
    """The JSON's `type`, `path` and `host` mean something else for each transport."""
    network = options.get("type", "tcp").lower()
    if network in ("grpc", "gun"):
        options["servicename"] = options.pop("path", "")
        if "host" in options:
            options["authority"] = options.pop("host")
        if kind:
            options["mode"] = kind
    elif network in ("kcp", "mkcp"):
        if "path" in options:
            options["seed"] = options["path"]
        if kind:
            options["headertype"] = kind
    elif network in ("tcp", "raw"):
        if kind:
            options["headertype"] = kind
    elif network in ("xhttp", "splithttp") and kind and kind != "none":
        options["mode"] = kind
