"""The transport of a link (type=), as Xray's streamSettings, or why Xray would not carry it.

Only transports and keys that all releases since 26.3.27 know; Xray ignores keys that it does
not know, so that a misspelt one would go unnoticed. What the server insists on and Xray no
longer has (mKCP seeds, QUIC) is refused rather than dropped.
"""

from __future__ import annotations

import json
from typing import Any

from .node import BadLink, Settings

MODES = ("auto", "packet-up", "stream-up", "stream-one")
GRPC_MODES = ("gun", "multi")
LARGEST = 2**31 - 1  # Xray's numbers in `extra` are of 32 bits

# The options of xhttp that mean the same in all releases; each range is a number or "1-2".
RANGES = ("xPaddingBytes", "scMaxEachPostBytes", "scMinPostsIntervalMs", "scStreamUpServerSecs")
SWITCHES = ("noGRPCHeader", "noSSEHeader")
COUNTS = ("scMaxBufferedPosts",)
XMUX_RANGES = ("maxConcurrency", "maxConnections", "cMaxReuseTimes", "hMaxRequestTimes", "hMaxReusableSecs")
XMUX_COUNTS = ("hKeepAlivePeriod",)


def transport(options: dict[str, str], security: Settings) -> Settings:
    """`network` and its settings together with the security's. Raises BadLink."""
    kind = options.get("type", "tcp").lower()
    make = TRANSPORTS.get(kind)
    if make is None:
        if kind in ("quic", "h3"):
            raise BadLink("the transport quic was removed from Xray")
        raise BadLink("unknown transport (type): tcp, ws, grpc, httpupgrade, xhttp and kcp exist")
    network, settings = make(options, security)
    if security.get("security") == "reality" and network not in ("raw", "xhttp", "grpc"):
        raise BadLink("reality goes with the transports tcp, xhttp and grpc only")
    found: Settings = {"network": network, **security}
    if settings:
        found[f"{network}Settings"] = settings
    return found


Made = tuple[str, Settings]


def _raw(options: dict[str, str], security: Settings) -> Made:
    header = options.get("headertype", "none").lower()
    if header == "none":
        return "raw", {}
    if header != "http":
        raise BadLink("unknown headerType: none and http exist")
    request: Settings = {"path": _list(options.get("path", "/"))}
    if "host" in options:
        request["headers"] = {"Host": _list(options["host"])}
    return "raw", {"header": {"type": "http", "request": request}}


def _list(text: str) -> list[str]:
    found = [_header(one.strip()) for one in text.split(",") if one.strip()]
    if not found:
        raise BadLink("path or host of the transport is an empty list")
    return found


def _ws(options: dict[str, str], security: Settings) -> Made:
    return "ws", _path_and_host(options)


def _httpupgrade(options: dict[str, str], security: Settings) -> Made:
    return "httpupgrade", _path_and_host(options)


def _path_and_host(options: dict[str, str]) -> Settings:
    found: Settings = {"path": _header(options.get("path", "/"))}
    if "host" in options:
        found["host"] = _header(options["host"])
    return found


def _header(text: str) -> str:
    """Something that goes into the head of a request, where a blank or a line end would be a hole."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise BadLink("path and host of a transport are of printable ASCII without blanks")
    return text


def _grpc(options: dict[str, str], security: Settings) -> Made:
    found: Settings = {"serviceName": _header(options.get("servicename", ""))}
    if "authority" in options:
        found["authority"] = _header(options["authority"])
    mode = options.get("mode", "gun").lower()
    if mode not in GRPC_MODES:
        raise BadLink("unknown mode of grpc: gun and multi exist")
    if mode == "multi":
        found["multiMode"] = True
    return "grpc", found


def _kcp(options: dict[str, str], security: Settings) -> Made:
    if options.get("headertype", "none").lower() != "none" or "seed" in options:
        raise BadLink("seed and header of kcp were removed from Xray: the server would not understand")
    return "kcp", {}


def _h2(options: dict[str, str], security: Settings) -> Made:
    if not security:
        raise BadLink("the transport h2 was removed from Xray, and its successor needs TLS")
    # What Xray itself names as the successor of the transport that it removed.
    return "xhttp", {**_path_and_host(options), "mode": "stream-one"}


def _xhttp(options: dict[str, str], security: Settings) -> Made:
    found = _path_and_host(options)
    mode = options.get("mode", "auto").lower()
    if mode not in MODES:
        raise BadLink("unknown mode of xhttp: auto, packet-up, stream-up and stream-one exist")
    found["mode"] = mode
    if "extra" in options:
        found["extra"] = _extra(options["extra"])
    return "xhttp", found


def _extra(text: str) -> Settings:
    try:
        extra = json.loads(text)
    except (ValueError, RecursionError):
        raise BadLink("extra is not JSON") from None
    found: Settings = {}
    for key, value in _entries(extra):
        if key == "headers":
            found[key] = _headers(value)
        elif key == "xmux":
            found[key] = _xmux(value)
        elif key in RANGES:
            found[key] = _range(value, 1 if key == "xPaddingBytes" else 0)
        elif key in SWITCHES and isinstance(value, bool):
            found[key] = value
        elif key in COUNTS:
            found[key] = _count(value)
        else:
            raise BadLink("extra has an option that is not supported")
    return found


def _entries(value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise BadLink("extra is not an object of JSON")
    return sorted(value.items())


def _headers(value: Any) -> Settings:
    found: Settings = {}
    for name, text in _entries(value):
        plain = name.replace("-", "")
        if not (plain.isascii() and plain.isalnum()) or name.lower() == "host":
            raise BadLink("extra has a header with a name that cannot be used")
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise BadLink("extra has a header that is not a text")
        found[name] = text
    return found


def _xmux(value: Any) -> Settings:
    found: Settings = {}
    for key, number in _entries(value):
        if key in XMUX_RANGES:
            found[key] = _range(number, 0)
        elif key in XMUX_COUNTS:
            found[key] = _count(number)
        else:
            raise BadLink("extra has an option of xmux that is not supported")
    if _is_used(found, "maxConnections") and _is_used(found, "maxConcurrency"):
        raise BadLink("extra has both maxConnections and maxConcurrency, which Xray refuses")
    return found


def _is_used(xmux: Settings, key: str) -> bool:
    return str(xmux.get(key, 0)).rpartition("-")[2] != "0"


def _range(value: Any, least: int) -> str | int:
    """A number, or a text "1-2"."""
    if type(value) is int:
        return _within(value, least)
    if isinstance(value, str):
        ends = value.split("-")
        if len(ends) <= 2 and all(end.isascii() and end.isdecimal() and len(end) <= 10 for end in ends):
            return "-".join(str(_within(int(end), least)) for end in ends)
    raise BadLink("extra has a range that is not a number or two with a - between")


def _count(value: Any) -> int:
    if type(value) is not int:
        raise BadLink("extra has a count that is not a number")
    return _within(value, 0)


def _within(number: int, least: int) -> int:
    if not least <= number <= LARGEST:
        raise BadLink("extra has a number that is too small or too large")
    return number


TRANSPORTS = {
    "tcp": _raw,
    "raw": _raw,
    "ws": _ws,
    "websocket": _ws,
    "grpc": _grpc,
    "gun": _grpc,
    "httpupgrade": _httpupgrade,
    "xhttp": _xhttp,
    "splithttp": _xhttp,
    "kcp": _kcp,
    "mkcp": _kcp,
    "h2": _h2,
    "http": _h2,
}
