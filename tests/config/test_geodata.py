"""geosite.dat and geoip.dat: what is taken of them, in pieces of any size, and what is refused."""

from __future__ import annotations

import pytest

from netpolicy.config.geodata import Geodata, Malformed
from tests.config.geofiles import field, geoip, geosite

SITES = geosite({
    "CN": ["domain:example.cn", "full:www.example.cn@ads"],
    "GOOGLE": ["domain:google.example", "full:a.google.example@ads@cn", "keyword:goog", "regexp:^g[0-9]+\\.example$"],
    "ZZ": ["domain:" + "z" * 300],
})  # fmt: skip
ADDRESSES = geoip({"CN": ["192.0.2.0/24", "2001:db8::/32"], "ZZ": ["0.0.0.0/0"], "DE": ["198.51.100.7/32"]})


def read(data: bytes, *categories: str, piece: int = 1 << 16) -> list[str]:
    found: list[str] = []
    reader = Geodata(categories, found.append)
    for at in range(0, len(data), piece):
        reader.feed(data[at : at + piece])
    reader.end()
    assert not reader.missing
    return found


@pytest.mark.parametrize("piece", [1, 7, 1 << 16])
def test_the_entries_of_one_category_are_taken_whatever_the_pieces(piece: int) -> None:
    wanted = ["google.example", "=a.google.example", "keyword:goog", "regex:^g[0-9]+\\.example$"]
    assert read(SITES, "google", piece=piece) == wanted
    assert read(ADDRESSES, "cn", "de", piece=piece) == ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32"]
    assert read(ADDRESSES, "zz", piece=piece) == ["0.0.0.0/0"]


def test_an_attribute_takes_a_part_of_a_category() -> None:
    assert read(SITES, "google@ads", "cn@ads") == ["=www.example.cn", "=a.google.example"]
    assert read(SITES, "google@none") == []


def test_what_is_not_there_is_told_with_what_is() -> None:
    reader = Geodata(("gogle", "cn"), lambda _: None)
    reader.feed(SITES)
    assert reader.missing == {"GOGLE"} and reader.others == ["GOOGLE", "ZZ"]


@pytest.mark.parametrize(
    ("words", "data"),
    [
        ("empty", b""),
        ("cut off", SITES[:-1]),
        ("cut off", SITES[:9]),
        ("does not begin like that", b"<html>"),
        ("does not begin with its name", field(1, field(2, b"x"))),
        ("longer than the category", b"\x0a\x04\x0a\x7fCN"),
        ("longer than the category", b"\x0a\x09" + field(1, b"CN") + b"\x12\x10" + bytes(16)),
        ("of no known kind", field(1, field(1, b"CN") + field(2, field(1, 9) + field(2, b"a")))),
        ("4 or 16 bytes", field(1, field(1, b"CN") + field(2, field(1, b"abc")))),
        ("prefix that is too long", field(1, field(1, b"CN") + field(2, field(1, b"abcd") + field(2, 33)))),
        ("all addresses but its own", field(1, field(1, b"CN") + field(3, 1))),
        ("in the middle of a field", field(1, field(1, b"CN") + field(2, b"\x12\x09a"))),
        ("a number is too long", b"\x0a" + b"\xff" * 11),
        ("too long", b"\x0a\xff\xff\xff\xff\x7f"),
        ("not UTF-8", field(1, field(1, b"\xff"))),
        ("do not have any more", field(1, field(1, b"CN") + b"\x0b\x01")),
    ],
)
def test_what_is_not_of_that_form_is_refused(words: str, data: bytes) -> None:
    with pytest.raises(Malformed, match=words):
        read(data, "cn")


def test_fields_of_later_versions_are_passed_over() -> None:
    item = field(2, b"a.example") + field(9, b"new") + b"\x5d1234" + b"\x519876543210"[:9]
    assert read(field(1, field(1, b"CN") + field(3, b"hash") + field(2, field(1, 2) + item)), "cn") == ["a.example"]
