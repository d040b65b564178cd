"""The copy of a fetched list: what is written is what is read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from netpolicy.config.kept_list import Head, head_of, path_of, source_of, text_of
from netpolicy.config.list_reading import ListReading
from netpolicy.config.packed_text import unpacked
from netpolicy.core.list_budget import LARGE
from netpolicy.core.list_content import ListContent

LINES = (
    b"192.0.2.0/24\n10.0.0.5-10.0.0.9\n2001:db8::7\na.example\n=b.example\n*.c.example\nkeyword:ads\nregex:^x[0-9]$\n"
)


def read(data: bytes) -> ListContent:
    content = ListReading(LARGE).content([data])
    assert content is not None
    return content


def test_the_copy_says_what_the_list_said(tmp_path: Path) -> None:
    first = read(LINES + b"".join(b"n%d.example\n" % number for number in range(9000)))
    head = Head(source_of("https://x.example/l", "auto", ()), '"5\n"', "Fri", 17, "ab", "hosts", 3, 9004, 1, 2)
    path = tmp_path / "l"
    path.write_bytes(b"".join(text_of(head, first)))
    assert head_of(str(path)) == head
    assert path.stat().st_size < 60_000, "it is packed: it stands in memory"
    again = read(b"".join(unpacked([path.read_bytes()])))
    assert again.ranges == first.ranges
    for kind in ("suffix", "exact", "under"):
        assert sorted(getattr(again.names, kind)) == sorted(getattr(first.names, kind))
    assert [one.text for one in again.names.others] == ["keyword:ads", "regex:^x[0-9]$"]


@pytest.mark.parametrize("line", [b"", b"a.example\n", b"# netpolicy list 1 {}\n", b"# netpolicy list 1 [1]\n",
                                  b'# netpolicy list 1 {"source": "x"}', b"# netpolicy list 1 " + b"[" * 3000 + b"\n",
                                  b"# netpolicy list 1 \xff\n"])  # fmt: skip
def test_a_file_that_is_no_copy_has_no_head(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "l").write_bytes(line)
    assert head_of(str(tmp_path / "l")) is None
    assert head_of(str(tmp_path / "none")) is None


def test_values_of_another_kind_in_a_head_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "l").write_bytes(b'# netpolicy list 1 {"source": "x", "etag": 5, "names": 7}\n')
    assert head_of(str(tmp_path / "l")) == Head("x", names=7)


def test_another_address_or_format_is_another_source_and_its_secrets_are_not_in_it() -> None:
    address = "https://x.example/"
    others = (("https://a:secret@x.example/", "auto", ()), (address, "hosts", ()), (address, "auto", ("cn",)))
    found = {source_of(*one) for one in ((address, "auto", ()), *others)}
    assert len(found) == 4
    assert not any("secret" in one for one in found)


def test_a_copy_stands_under_the_name_of_its_list() -> None:
    source = source_of("https://x.example/", "auto", ())
    assert path_of("/r/lists", "ads", source) == f"/r/lists/ads.{source[:8]}"
    assert path_of("/r/lists", "ads", source, is_new=True) == f"/r/lists/ads.{source[:8]}.new"
