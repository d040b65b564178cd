"""Lists in pieces: every format through the one reader, and what is counted on the way."""

from __future__ import annotations

import pytest

from netpolicy.config import list_reading
from netpolicy.config.list_reading import ListReading
from netpolicy.core.list_budget import LARGE, Budget
from netpolicy.core.list_content import ListContent
from tests.config.geofiles import geoip, geosite

TIGHT = Budget("a test", 10, 10, 1000, 4000, 4000)
HOSTS = b"# x\n127.0.0.1 localhost\n0.0.0.0 a.example b.example\r\n0.0.0.0 c.example\nnonsense here\n"
ADBLOCK = b"! x\n||a.example^\n@@||b.example^\n||c.example^$third-party\nd.example\n||e_.example^\n"


def read(data: bytes, format: str = "auto", *categories: str, piece: int = 5) -> tuple[ListReading, ListContent | None]:
    reading = ListReading(LARGE, format, categories)
    return reading, reading.content(data[at : at + piece] for at in range(0, len(data), piece))


@pytest.mark.parametrize("format", ["auto", "hosts"])
def test_names_of_a_hosts_file_mean_themselves_alone(format: str) -> None:
    reading, content = read(HOSTS, format, piece=1000)
    assert content is not None
    assert (sorted(content.names.exact), content.names.suffix) == (["a.example", "b.example", "c.example"], ())
    assert (reading.format, reading.bad, reading.first_bad, reading.skipped) == ("hosts", 1, 5, 1)


def test_rules_of_adblock_mean_what_is_under_a_name_too_and_the_others_are_counted() -> None:
    reading, content = read(ADBLOCK)
    assert content is not None
    assert sorted(content.names.suffix) == ["a.example", "d.example", "e_.example"]
    assert (reading.format, reading.bad, reading.skipped) == ("adblock", 0, 2)


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_entry() -> None:
    _, content = read(b"\xef\xbb\xbfa.example\nb.example\n", piece=1)
    assert content is not None and sorted(content.names.suffix) == ["a.example", "b.example"]


def test_categories_of_dat_files_are_read_and_their_kind_is_found_out() -> None:
    sites = geosite({"CN": ["domain:example.cn", "regexp:^(?=x)", "full:x.example"], "US": ["domain:example.us"]})
    reading, content = read(sites, "auto", "cn")
    assert content is not None
    assert (content.names.suffix, content.names.exact) == (("example.cn",), ("x.example",))
    assert (reading.format, reading.bad) == ("geosite", 1), "an expression that we do not have"
    reading, content = read(geoip({"CN": ["192.0.2.0/25", "192.0.2.128/25"]}), "geoip", "cn")
    assert content is not None and content.ranges[4] == ((0xC0000200, 0xC00002FF),)


@pytest.mark.parametrize(
    ("data", "format", "categories", "words"),
    [
        (geosite({"CN": ["domain:example.cn"]}), "auto", (), "option category"),
        (geosite({"CN": ["domain:example.cn"]}), "geosite", ("cm",), "no category 'cm', did you mean 'cn'"),
        (geosite({"CN": ["domain:example.cn"]}), "geoip", ("cn",), "is geosite.dat, and not geoip.dat"),
        (b"example.cn\n", "auto", ("cn",), "not geosite.dat or geoip.dat"),
        (geosite({"CN": ["domain:example.cn"]})[:-2], "auto", ("cn",), "cut off"),
    ],
)
def test_a_dat_file_that_does_not_have_what_is_asked_is_refused(
    data: bytes, format: str, categories: tuple[str, ...], words: str
) -> None:
    reading, content = read(data, format, *categories)
    assert content is None and words in reading.refusal


def test_a_text_may_be_as_long_as_is_said_and_a_dat_file_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = ListReading(TIGHT)
    assert reading.content([b"a.example\n"] * 101) is None and "larger than" in reading.refusal
    assert ListReading(TIGHT, largest=2000).content([b"a.example\n"] * 101) is not None
    sites = geosite({"US": ["domain:example.us"] * 1000, "CN": ["domain:example.cn"]})
    assert ListReading(TIGHT, "geosite", ("cn",)).content([sites]) is not None
    monkeypatch.setattr(list_reading, "LARGEST_DAT", 1000)
    reading = ListReading(TIGHT, "geosite", ("cn",))
    assert reading.content([sites]) is None and "larger than" in reading.refusal
