"""The files of lists: what is read, what is refused, and with which words."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from netpolicy.config import list_file, list_reading
from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.list_file import ListFiles
from netpolicy.config.load import load
from netpolicy.core.list_budget import LARGE, MIB, Budget
from netpolicy.core.list_content import ListContent

PLACE = Place("netpolicy", 3, 2)
TIGHT = Budget("a test", 10, 10, 100_000, 4000, 4000)


class Files:
    """Files of one configuration."""

    def __init__(self, folder: Path, budget: Budget = LARGE) -> None:
        self.findings = Findings()
        self._folder = folder
        self._lists = ListFiles(self.findings, budget)

    def read(self, data: bytes | str, name: str = "l") -> ListContent | None:
        path = self._folder / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return self._lists.read(str(path), name, PLACE)

    @property
    def said(self) -> list[tuple[str, int]]:
        return [(item.code, item.line) for item in self.findings.all]


def test_comments_blanks_and_line_ends_of_others_are_no_entries(tmp_path: Path) -> None:
    files = Files(tmp_path)
    content = files.read("# nets\n\n 192.0.2.0/25\t# one\r\n192.0.2.128/25\r\nWWW.Example.org\nexample.org")
    assert content is not None
    assert not files.said
    assert content.ranges == {4: ((0xC0000200, 0xC00002FF),), 6: ()}
    assert content.names.suffix == ("example.org",)


def test_lines_that_are_no_entries_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    files = Files(tmp_path)
    content = files.read("192.0.2.1\nnot a name\n10.0.0.1/8\nregex:\u200b\nb.example\n")
    assert content is not None
    assert (len(content.ranges[4]), content.names.suffix) == (1, ("b.example",))
    assert files.said == [("NP217", 2)]
    assert files.findings.all[0].message.startswith("3 lines are no entries")


@pytest.mark.parametrize("piece", [1, 7, 1 << 16])
def test_the_size_of_the_pieces_that_are_read_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(list_file, "PIECE", piece)
    monkeypatch.setattr(list_reading, "LINES_BETWEEN_CHECKS", 3)
    files = Files(tmp_path)
    content = files.read("a.example\nb.example\r\nc.example\x0bd.example # ü\n\nno name\n")
    assert content is not None
    assert sorted(content.names.suffix) == ["a.example", "b.example", "c.example", "d.example"]
    assert files.said == [("NP217", 6)]


def test_a_file_that_is_not_text_gives_nothing_and_a_warning(tmp_path: Path) -> None:
    files = Files(tmp_path)
    content = files.read(b"192.0.2.1\n\xff\xfe\n192.0.2.2\n")
    assert content is not None and content.count_addresses() == 0
    assert files.said == [("NP217", 3)]


@pytest.mark.parametrize("kind", ["missing", "fifo", "folder", "with a NUL"])
def test_what_cannot_be_read_gives_nothing_and_a_warning(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "l"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    findings = Findings()
    content = ListFiles(findings, LARGE).read(str(path) + ("\0" if kind == "with a NUL" else ""), "l", PLACE)
    assert content is not None and content.count_addresses() == content.count_names() == 0
    assert [(item.code, item.line) for item in findings.all] == [("NP217", 3)]


TOO_MUCH = {
    "more than 10 addresses, networks and ranges": "".join(f"192.0.2.{2 * number}\n" for number in range(11)),
    "more than 10 names": "".join(f"n{number}.example\n" for number in range(11)),
    "larger than 0 MiB": "a.example\n" * 20_000,
}


@pytest.mark.parametrize("words", sorted(TOO_MUCH))
def test_a_list_beyond_the_budget_is_refused_as_a_whole(tmp_path: Path, words: str) -> None:
    files = Files(tmp_path, TIGHT)
    assert files.read(TOO_MUCH[words]) is None
    found = files.findings.all[0]
    assert (found.code, found.severity) == ("NP004", "error")
    assert words in found.message
    assert found.line >= 10, "where it went over"
    assert "shorter list" in found.hint and "a machine with a test of memory" in found.hint


def test_what_is_tried_on_every_name_is_bounded(tmp_path: Path) -> None:
    files = Files(tmp_path)
    assert files.read("".join(f"keyword:k{number}\n" for number in range(201))) is None
    assert "more than 200 keyword: and regex: entries" in files.findings.all[0].message


def test_reading_ends_where_it_is_clear_that_a_list_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_reading, "LINES_BETWEEN_CHECKS", 10)
    files = Files(tmp_path, TIGHT)
    assert files.read("".join(f"192.0.2.{2 * number}\n" for number in range(100))) is None
    assert files.said == [("NP004", 20)]


def test_entries_that_say_the_same_do_not_count(tmp_path: Path) -> None:
    files = Files(tmp_path, TIGHT)
    assert files.read("".join(f"192.0.2.{number}\n" for number in range(100))) is not None
    assert not files.said


def test_all_lists_together_have_a_limit(tmp_path: Path) -> None:
    files = Files(tmp_path, TIGHT)
    ten = [f"{net}.0.2.{2 * number}\n" for net in (1, 2, 3) for number in range(10)]
    assert files.read("".join(ten[:10]), "first") is not None
    assert files.read("".join(ten[10:20]), "second") is None
    found = files.findings.all[0]
    assert "10 addresses and 0 names, when merged, need" in found.message
    assert "all lists may take" in found.message
    assert files.read("".join(ten[20:22]), "third") is not None, "a refused list takes nothing"


def test_a_rule_that_adds_to_a_list_makes_another_one_and_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hundred rules with a list and one address each were two hundred lists in the kernel, of which one counted."""
    monkeypatch.setattr(list_file, "budget_of", lambda _: Budget("test", 1000, 1000, MIB, 100_000, 200_000))
    (tmp_path / "l").write_text("".join(f"10.0.{n}.0/25\n" for n in range(256)) + "10.1.0.0/25\n2001:db8::/32\n")
    text = "config netpolicy 'main'\nconfig list 'l'\n\toption file 'l'\n"
    alone = "config rule '{}'\n\tlist dest_addr '@l'\n\toption block '1'\n"
    mixed = "config rule '{0}'\n\tlist dest_addr '@l'\n\tlist dest_addr '203.0.113.{0}'\n\toption block '1'\n"
    (tmp_path / "netpolicy").write_text(text + "".join(alone.format(f"a{n}") for n in range(9)) + mixed.format(1))
    loaded = load(str(tmp_path / "netpolicy"))
    assert not loaded.fatal and len(loaded.ruleset.rules) == 10

    (tmp_path / "netpolicy").write_text(text + "".join(mixed.format(n) for n in range(9)))
    loaded = load(str(tmp_path / "netpolicy"))
    assert loaded.fatal
    (found,) = [item for item in loaded.diagnostics if item.severity == "error"]
    assert found.code == "NP004" and (found.rule, found.line) == ("3", 16)
    assert "dest_addr of rule '3' makes another list of its own" in found.message


def test_a_file_of_something_else_is_refused_before_all_of_it_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_reading, "MAX_BAD_LINES", 5)
    monkeypatch.setattr(list_reading, "LINES_BETWEEN_CHECKS", 10)
    files = Files(tmp_path)
    assert files.read("good.example\n" + "<li>an advertisement</li>\n" * 100) is None
    assert files.said == [("NP004", 2)]
    assert "the file is no list" in files.findings.all[0].message


def test_a_file_that_is_written_to_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a list is one, to whoever reads it: an updater that writes in place would weaken a block."""
    pieces = list_file._pieces

    def meanwhile(stream: BinaryIO) -> Iterator[bytes]:
        for piece in pieces(stream):
            yield piece
            with Path(stream.name).open("a") as file:
                file.write("b.example\n")
            return

    monkeypatch.setattr(list_file, "_pieces", meanwhile)
    files = Files(tmp_path)
    assert files.read("a.example\n" * 3) is None
    assert files.said == [("NP001", 0)]


def test_a_line_without_an_end_is_refused(tmp_path: Path) -> None:
    files = Files(tmp_path)
    assert files.read("a.example\n" + "x" * (3 * list_reading.LONGEST_LINE)) is None
    assert "longer than any entry" in files.findings.all[0].message


def test_a_block_by_a_refused_list_is_not_taken_for_a_block_by_nothing(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("".join(f"keyword:k{number}\n" for number in range(201)))
    text = "config netpolicy 'main'\nconfig list 'l'\n\toption file 'l'\n"
    text += "config rule 'r'\n\tlist domain '@l'\n\toption block '1'\n"
    text += "config rule 's'\n\toption any '1'\n\toption route 'direct'\n"
    (tmp_path / "netpolicy").write_text(text)
    loaded = load(str(tmp_path / "netpolicy"))
    errors = [(item.code, item.message) for item in loaded.diagnostics if item.severity == "error"]
    assert sorted(code for code, _ in errors) == ["NP004", "NP212"]
    assert loaded.skipped == (("r", "the list 'l' has errors"),)
    assert loaded.blocked_skip
    assert [rule.name for rule in loaded.ruleset.rules] == ["s"]


MEASURED = """
import sys, time
from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.list_file import ListFiles
from netpolicy.core.list_budget import LARGE

def memory(what):  # not ru_maxrss, which begins with that of the parent
    with open("/proc/self/status") as stream:
        return next(int(line.split()[1]) * 1024 for line in stream if line.startswith(what))

before = memory("VmRSS")
start = time.thread_time()
findings = Findings()
content = ListFiles(findings, LARGE).read(sys.argv[1], "l", Place("f"))
took = time.thread_time() - start
assert not findings.all, findings.all[0].text()
after, peak = memory("VmRSS") - before, memory("VmHWM") - before
print(content.count_addresses(), content.count_names(), content.memory, after, peak, took)
"""


def measured(path: Path) -> list[float]:
    """(addresses, names, bytes as estimated, bytes more afterwards, bytes more at the peak, seconds)."""
    done = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def test_100_000_networks_are_read_in_a_moment_and_little_memory(tmp_path: Path) -> None:
    rng = random.Random(4)
    numbers = [32 * number for number in rng.sample(range(1 << 26), 100_000)]
    text = "".join(f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/27\n" for n in numbers)
    (tmp_path / "l").write_text(text)
    addresses, _, memory, after, peak, seconds = measured(tmp_path / "l")
    assert 99_000 < addresses <= 100_000
    assert memory == addresses * 8
    assert after < 6 * MIB, after
    assert peak < 16 * MIB, peak
    assert seconds < 5.0, seconds


def test_500_000_names_are_read_in_little_memory(tmp_path: Path) -> None:
    rng = random.Random(4)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=9)) for _ in range(20_000)]
    names = [f"{rng.choice(words)}{number}.{'example' if number % 3 else 'org'}" for number in range(500_000)]
    (tmp_path / "l").write_text("\n".join(names))
    _, count, memory, after, peak, seconds = measured(tmp_path / "l")
    assert count == 500_000
    assert after < 24 * MIB, after
    assert 0.5 < memory / after < 1.5, "the estimate is about right"
    assert peak < 30 * MIB, peak
    assert seconds < 20.0, seconds
