"""TLS and Reality of a link, as Xray writes them, or why its releases would refuse them.

Never weakens: what would switch the check of the certificate off is refused unless the link
pins the certificate. Values are checked as Xray does at load, because one that it refuses
takes the whole configuration with it.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from . import address
from .node import BadLink, Settings

# Presets that every release since 26.3.27 has; the list of full names differs between them.
FINGERPRINTS = (
    "chrome", "firefox", "safari", "ios", "android", "edge", "360", "qq", "random", "randomized", "randomizednoalpn",
)  # fmt: skip
ALPN = ("h3", "h2", "http/1.1", "http/1.0")

KEY = 43  # base64url of the 32 bytes of an X25519 key, without padding
VERIFY_KEY = 2603  # and of the 1952 bytes of an ML-DSA-65 key
PIN = 64  # SHA-256 in hex
MOST_SHORT_ID = 16
MOST_ECH = 4096

BASE64URL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
HEX = frozenset("0123456789abcdefABCDEF")
URL = BASE64URL | frozenset(".~%/?&=")

NO = ("", "0", "false", "no")


def security(options: dict[str, str], default: str = "none") -> Settings:
    """`security` and its settings; empty for none. Raises BadLink."""
    kind = options.get("security", default).lower()
    if kind in ("none", ""):
        return {}
    if kind == "tls":
        settings = _tls(options)
        return {"security": "tls", "tlsSettings": settings} if settings else {"security": "tls"}
    if kind == "reality":
        return {"security": "reality", "realitySettings": _reality(options)}
    if kind == "xtls":
        raise BadLink("security=xtls was removed from Xray: the server needs xtls-rprx-vision")
    raise BadLink("unknown security: none, tls and reality exist")


def _tls(options: dict[str, str]) -> Settings:
    found: Settings = {}
    if "sni" in options:
        found["serverName"] = address.name_or_address(options["sni"])
    if "alpn" in options:
        found["alpn"] = _alpn(options["alpn"])
    if fingerprint := _fingerprint(options):
        found["fingerprint"] = fingerprint
    if pins := options.get("pcs") or options.get("pinsha256"):
        found["pinnedPeerCertSha256"] = ",".join(_pin(one) for one in pins.split(","))
    elif _is_insecure(options):
        raise BadLink("the link switches the check of the certificate off, which Xray refuses: pin it with pcs=SHA256")
    if "vcn" in options:
        found["verifyPeerCertByName"] = ",".join(address.name_or_address(one) for one in options["vcn"].split(","))
    if "ech" in options:
        found["echConfigList"] = _ech(options["ech"])
    return found


def _is_insecure(options: dict[str, str]) -> bool:
    return any(options.get(key, "").lower() not in NO for key in ("allowinsecure", "insecure", "skip-cert-verify"))


def _alpn(text: str) -> list[str]:
    names = [name.strip().lower() for name in text.split(",")]
    if not set(names) <= set(ALPN):
        raise BadLink("unknown alpn: h2, h3, http/1.1 and http/1.0 exist")
    return list(dict.fromkeys(names))


def _fingerprint(options: dict[str, str]) -> str:
    name = options.get("fp", "").lower()
    if name in ("", "none"):
        return ""
    if name not in FINGERPRINTS:
        raise BadLink("unknown fingerprint (fp): chrome, firefox, safari, ios, android, edge, random, … exist")
    return name


def _pin(text: str) -> str:
    pin = text.strip().replace(":", "").lower()
    if len(pin) != PIN or not HEX.issuperset(pin):
        raise BadLink("the pin of the certificate is not a SHA-256 in hexadecimal digits")
    return pin


def _ech(text: str) -> str:
    # Base64 of the configuration, or where to ask for it: name+https://server/dns-query.
    if len(text) > MOST_ECH or not text.isascii() or not text.isprintable() or " " in text:
        raise BadLink("the ech option is not a text that Xray could use")
    return text


def _reality(options: dict[str, str]) -> Settings:
    found: Settings = {}
    if "sni" in options:
        found["serverName"] = address.name_or_address(options["sni"])
    found["publicKey"] = _key(options.get("pbk", ""), KEY, "reality pbk format is invalid")
    found["shortId"] = _short_id(options.get("sid", ""))
    found["fingerprint"] = _fingerprint(options) or "chrome"
    if "spx" in options:
        found["spiderX"] = _spider(options["spx"])
    if "pqv" in options:
        found["mldsa65Verify"] = _key(options["pqv"], VERIFY_KEY, "reality pqv is not a key of ML-DSA-65")
    return found


def _key(text: str, length: int, otherwise: str) -> str:
    if len(text) != length or not BASE64URL.issuperset(text):
        raise BadLink(otherwise)
    return text


def _short_id(text: str) -> str:
    if len(text) > MOST_SHORT_ID or len(text) % 2 or not HEX.issuperset(text):
        raise BadLink("reality sid is not an even number of hexadecimal digits, 16 at most")
    return text


def _spider(text: str) -> str:
    # Xray crashes on a path that it cannot parse, so this is narrower than RFC 3986.
    has_broken_escape = "%" in text and unquote_to_bytes(text).count(b"%") > text.count("%25")
    if not text.startswith("/") or text.startswith("//") or not URL.issuperset(text) or has_broken_escape:
        raise BadLink("reality spx is not a path such as /news?page=1")
    return text
