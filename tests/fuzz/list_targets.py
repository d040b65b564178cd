"""Fuzzed: what servers of lists send, in every format, and what they say of it: dat files, packed texts, addresses.

Functions of bytes as in `targets`. What is taken must come out the same in pieces, and what is kept must be read
again as what it was.
"""

from __future__ import annotations

from collections.abc import Callable

from netpolicy.config.kept_list import Head, text_of
from netpolicy.config.list_line import FORMATS
from netpolicy.config.list_reading import ListReading
from netpolicy.config.packed_text import Damaged, packed, unpacked
from netpolicy.core.list_budget import MIB, Budget
from netpolicy.core.list_content import ListContent
from netpolicy.core.value import ValueProblem
from netpolicy.core.web_address import joined, parse_web_address
from tests.config.geofiles import geoip, geosite

BUDGET = Budget("a fuzzer", 1000, 1000, MIB, MIB, MIB)
CATEGORIES = ("cn", "google@ads")

LISTS = (
    b"# x\n127.0.0.1 localhost\n0.0.0.0 a.example b.example\n::1 ip6-localhost\n",
    b"! x\n[Adblock]\n||a.example^\n@@||b.example^$important\n||*.c.example^\nexample.org##.ad\nd.example\n",
    b"address=/a.example/0.0.0.0\nserver=/b.example/c.example/192.0.2.1#53\nnftset=/d.example/4#inet#t#s\nno-resolv\n",
    b"192.0.2.0/24 ; SBL1\n2001:db8::/32\n10.0.0.1-10.0.0.9\n",
    b".a.example\n*.b.example\n=c.example\nkeyword:ads\nregex:^x[0-9]$\n",
)
DATS = (
    geosite({"US": ["domain:us.example"], "GOOGLE": ["full:a.example@ads", "keyword:b"], "CN": ["regexp:^c$"]}),
    geoip({"US": ["10.0.0.0/8"], "CN": ["192.0.2.0/24", "2001:db8::/32"], "GOOGLE": ["0.0.0.0/0"]}),
)
ADDRESSES = (
    b"https://me:pw@lists.example:8443/a/b?c=d#e", b"http://[2001:db8::1]/", b"../x", b"//y.example/z", b"/a?b=https://c/",
)  # fmt: skip
PACKED = tuple(b"".join(packed([one])) for one in (*LISTS, bytes(5000)))

CORPORA = {"list-formats": LISTS, "list-dat": DATS, "web-address": ADDRESSES, "packed": PACKED}


class Broken(Exception):
    """What must hold for every input did not."""


def words() -> tuple[bytes, ...]:
    """What a mutation puts in."""
    marks = b"\n \t # ; ! @@ || ^ $ / * = - . : [ ] 0.0.0.0 a.example keyword: address=/ \x12\x00 \x1f\x8b"
    return (
        *marks.split(b" "),
        b" ",
        b"\xff",
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        b"\0",
        b"\xef\xbb\xbf",
        b"\x0a\x02CN",
        b"regex:",
    )


def list_formats(data: bytes) -> None:
    for format in FORMATS[:-2]:
        _both_ways(data, format, ())


def list_dat(data: bytes) -> None:
    _both_ways(data, "auto", CATEGORIES)
    _both_ways(b"\x0a" + bytes((min(len(data) + 4, 127),)) + b"\x0a\x02CN" + data[:123], "geosite", ("cn",))


def web_address(data: bytes) -> None:
    """An address, and where it is redirected to."""
    first, _, second = data.decode("utf-8", "surrogateescape").partition("\n")
    for text in (first, "https://x.example/" + first, "https://" + first):
        try:
            found = parse_web_address(text)
        except ValueProblem as problem:
            if not problem.text:
                raise Broken("refused without a word") from None
            continue
        if parse_web_address(found.shown.replace("?…", "")).origin != found.origin:
            raise Broken("it is shown as another")
        if any(c in found.target + found.host for c in " \r\n\t\0"):
            raise Broken("it would be another request")
        try:
            joined(found, second)
        except ValueProblem:
            continue


def packed_text(data: bytes) -> None:
    for text in (data, b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + data):
        whole, part = _unpacked([text]), _unpacked([text[at : at + 3] for at in range(0, len(text), 3)])
        if whole != part:
            raise Broken("the pieces matter")


def _unpacked(pieces: list[bytes]) -> object:
    found, size = [], 0
    try:
        for piece in unpacked(pieces):
            found.append(piece)
            size += len(piece)
            if size > 4 * MIB:
                return "too much"
    except Damaged:
        return "damaged"
    return b"".join(found)


def _both_ways(data: bytes, format: str, categories: tuple[str, ...]) -> None:
    """Whole and in pieces it says the same; its copy does too."""
    whole = _read([data], format, categories)
    if whole != _read([data[at : at + 7] for at in range(0, len(data), 7)], format, categories):
        raise Broken("the pieces matter")
    if isinstance(whole, str):
        return
    again = _read(list(unpacked(text_of(Head("x"), whole.content))), "entries", ())
    if whole != again:
        raise Broken(f"the copy says something else: {again!r}")


class _Said:
    """What a list says, comparable."""

    def __init__(self, content: ListContent) -> None:
        self.content = content
        names = content.names
        tables = tuple(sorted(one) for one in (names.suffix, names.exact, names.under))
        self.key = (tuple(content.ranges[4]), tuple(content.ranges[6]), tables, [one.text for one in names.others])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Said) and self.key == other.key

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.key)


def _read(pieces: list[bytes], format: str, categories: tuple[str, ...]) -> _Said | str:
    reading = ListReading(BUDGET, format, categories)
    try:
        content = reading.content(pieces)
    except UnicodeDecodeError:
        return "no text"
    if content is None:
        if not reading.refusal:
            raise Broken("refused without a word")
        return "refused"
    return _Said(content)


LIST_TARGETS: dict[str, Callable[[bytes], object]] = {
    "list-formats": list_formats, "list-dat": list_dat, "web-address": web_address, "packed": packed_text,
}  # fmt: skip
