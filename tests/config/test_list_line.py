"""Lines of lists in the formats that are around, and which format a file has."""

from __future__ import annotations

import pytest

from netpolicy.config.list_line import BAD, NOTHING, READERS, SKIPPED, format_of_lines

LINES = {
    "entries": {
        "Example.org  # why": "Example.org", "# only": NOTHING, "": NOTHING, "192.0.2.0/24": "192.0.2.0/24",
    },
    "domains": {
        "example.org": "example.org", ".example.org": "example.org", "*.example.org # x": "*.example.org",
        "192.0.2.1": BAD, "2001:db8::/32": BAD, "10.0.0.0/8": BAD, "keyword:ads7": "keyword:ads7", "a1": "a1",
    },
    "cidr": {
        "192.0.2.0/24 ; SBL1": "192.0.2.0/24", "2001:db8::/32": "2001:db8::/32",
        "192.0.2.1-192.0.2.9": "192.0.2.1-192.0.2.9",
        "example.org": BAD, "; only": NOTHING, "10.0.0.1 # x": "10.0.0.1",
    },
    "hosts": {
        "0.0.0.0 ads.example.net": "=ads.example.net", "127.0.0.1\tads.example.net # x": "=ads.example.net",
        "0.0.0.0 a.example b.example localhost": ("=a.example", "=b.example"), "127.0.0.1 localhost": SKIPPED,
        "fe80::1%lo0 localhost": SKIPPED, "0.0.0.0 0.0.0.0": SKIPPED, "::1 ip6-localhost ip6-loopback": SKIPPED,
        "93.184.216.34 www.example": "=www.example", "ads.example.net": BAD, "0.0.0.0": BAD, "name 0.0.0.0": BAD,
        "999.0.0.1 a.example": BAD, "# x": NOTHING,
    },
    "adblock": {
        "||ads.example^": "ads.example", "||ads.example^$important": "ads.example",
        "||ads.example^$third-party": SKIPPED,
        "||*.ads.example^": "*.ads.example", "||ads*.example^": SKIPPED, "||ads.example/path^": SKIPPED,
        "||ads.example": SKIPPED, "@@||good.example^": SKIPPED, "! title": NOTHING, "[Adblock Plus 2.0]": NOTHING,
        "example.org##.banner": SKIPPED, "##.banner": SKIPPED, "/banner[0-9]/": SKIPPED, "|https://x.example/": SKIPPED,
        "plain.example": "plain.example", "0.0.0.0 ads.example": "=ads.example", "# comment": NOTHING,
        "||192.0.2.7^": "192.0.2.7", "||[2001:db8::1]^": SKIPPED, "-banner-$image": SKIPPED, "": NOTHING,
    },
    "dnsmasq": {
        "address=/ads.example/0.0.0.0": ("ads.example",),
        "server=/a.example/b.example/192.0.2.1": ("a.example", "b.example"),
        "local=/ads.example/": ("ads.example",), "nftset=/a.example/4#inet#fw4#set": ("a.example",),
        "address=/*.ads.example/#": ("ads.example",), "server=/good.example/#": SKIPPED, "server=192.0.2.1": SKIPPED,
        "address=/#/0.0.0.0": (), "server=//192.0.2.1": (), "no-resolv": BAD, "conf-dir=/etc": BAD, "# x": NOTHING,
        "--address=/ads.example/": ("ads.example",),
    },
}  # fmt: skip


@pytest.mark.parametrize("format", LINES)
def test_a_line_says_in_its_format(format: str) -> None:
    said = {line: READERS[format](line) for line in LINES[format]}
    assert said == LINES[format]


@pytest.mark.parametrize(
    ("format", "lines"),
    [
        ("entries", ["# list", "example.org", "192.0.2.0/24 # office", "b.example"]),
        ("entries", []),
        ("entries", ["example.org", "0.0.0.0 x.example"]),
        ("hosts", ["# Title: hosts", "127.0.0.1 localhost", "0.0.0.0 a.example", "0.0.0.0 b.example # x"]),
        ("adblock", ["! Title: x", "a.example", "b.example"]),
        ("adblock", ["[Adblock Plus]", "a.example"]),
        ("adblock", ["# x", "||a.example^", "@@||b.example^", "c.example"]),
        ("dnsmasq", ["# x", "server=/a.example/192.0.2.1", "address=/b.example/"]),
        ("entries", ["192.0.2.0/24 ; SBL1", "198.51.100.0/24 ; SBL2"]),
    ],
)
def test_the_format_is_that_of_most_lines(format: str, lines: list[str]) -> None:
    assert format_of_lines(lines) == format
