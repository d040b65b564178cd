"""TLS and Reality: what is kept, and what is refused because Xray would."""

from __future__ import annotations

import pytest

from netpolicy.xray.node import BadLink
from netpolicy.xray.security import security

KEY = "A" * 43
PIN = "ab" * 32


@pytest.mark.parametrize("text", ["", "none", "NONE"])
def test_no_security(text: str) -> None:
    assert security({"security": text} if text else {}) == {}


def test_tls_in_any_case_is_tls_and_never_dropped() -> None:
    assert security({"security": "TLS", "sni": "A.b"}) == {"security": "tls", "tlsSettings": {"serverName": "a.b"}}
    assert security({}, "tls") == {"security": "tls"}


def test_every_option_of_tls() -> None:
    options = {"alpn": "h2, HTTP/1.1", "fp": "Chrome", "vcn": "a.b,c.d", "ech": "QUJD+/=="}
    assert security({"security": "tls", **options})["tlsSettings"] == {
        "alpn": ["h2", "http/1.1"],
        "fingerprint": "chrome",
        "verifyPeerCertByName": "a.b,c.d",
        "echConfigList": "QUJD+/==",
    }


@pytest.mark.parametrize("option", ["allowinsecure", "insecure", "skip-cert-verify"])
def test_a_certificate_is_checked_or_pinned(option: str) -> None:
    with pytest.raises(BadLink, match="pin it"):
        security({"security": "tls", option: "1"})
    assert security({"security": "tls", option: "0"}) == {"security": "tls"}
    colons = ":".join(PIN[i : i + 2] for i in range(0, 64, 2)).upper()
    pinned = security({"security": "tls", option: "1", "pcs": f"{colons},{PIN}"})
    assert pinned["tlsSettings"] == {"pinnedPeerCertSha256": f"{PIN},{PIN}"}


@pytest.mark.parametrize(
    "options",
    [
        {"fp": "netscape"}, {"fp": "unsafe"}, {"alpn": "frommitm"}, {"alpn": "h2,"}, {"sni": "a b"},
        {"sni": "fromMitm"}, {"pcs": "abc"}, {"pcs": "zz" * 32}, {"pcs": PIN + ","}, {"vcn": "a b"},
        {"ech": "a b"}, {"ech": "A" * 5000},
    ],
    ids=str,
)  # fmt: skip
def test_what_xray_would_refuse_in_tls(options: dict[str, str]) -> None:
    with pytest.raises(BadLink):
        security({"security": "tls", **options})


def test_every_option_of_reality() -> None:
    options = {"sni": "a.com", "pbk": KEY, "sid": "AB12", "fp": "firefox", "spx": "/a?p=1", "pqv": "A" * 2603}
    assert security({"security": "Reality", **options}) == {
        "security": "reality",
        "realitySettings": {
            "serverName": "a.com",
            "publicKey": KEY,
            "shortId": "AB12",
            "fingerprint": "firefox",
            "spiderX": "/a?p=1",
            "mldsa65Verify": "A" * 2603,
        },
    }


@pytest.mark.parametrize(
    "options",
    [
        {"pbk": ""}, {"pbk": "A" * 42}, {"pbk": "A" * 44}, {"pbk": "+" * 43}, {"sid": "abc"}, {"sid": "zz"},
        {"sid": "a" * 18}, {"spx": "a"}, {"spx": "//[a"}, {"spx": "/%zz"}, {"spx": "/%"}, {"spx": "/[::1"},
        {"spx": "/é"}, {"pqv": "A"}, {"fp": "unsafe"},
    ],
    ids=str,
)  # fmt: skip
def test_what_xray_would_refuse_in_reality(options: dict[str, str]) -> None:
    with pytest.raises(BadLink):
        security({"security": "reality", "pbk": KEY, **options})


@pytest.mark.parametrize("path", ["/%25", "/%2525", "/a%20b?x=%25"])
def test_a_path_of_the_spider_may_have_escapes(path: str) -> None:
    assert security({"security": "reality", "pbk": KEY, "spx": path})["realitySettings"]["spiderX"] == path


@pytest.mark.parametrize("kind", ["xtls", "ssl"])
def test_other_kinds_are_refused_with_what_exists(kind: str) -> None:
    with pytest.raises(BadLink, match="security"):
        security({"security": kind})
