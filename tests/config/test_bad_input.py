"""Files that nobody should have written, through the tool: a diagnostic, in bounded time and memory.

Nothing on disk changes, the exit code is 1, and nobody sees a traceback.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 1 << 20
LIMIT = 4 * MEBIBYTE  # of a file

# Generous: a busy machine is slow, and 64-bit Python takes twice the memory of a router's.
SECONDS = 40
KIBIBYTES = 200 << 10
SMALL_KIBIBYTES = 64 << 10  # for what is refused before it is read

GOOD = {
    "uci": "config rule 'a'\n\toption priority '1'\n\toption any '1'\n\toption block '1'\n",
    "dsl": "rule a:\n  priority 1\n  match any\n  action block\n",
    "yaml": "rules:\n  - name: a\n    priority: 1\n    match:\n      any: true\n    action:\n      block: true\n",
}
FILES = {"uci": "netpolicy", "dsl": "rules.dsl", "yaml": "rules.yaml"}
EVERY = ("lint", "fmt", "convert")
SPELLINGS = pytest.mark.parametrize("format", GOOD)


class Done:
    """What the commands did to one file."""

    def __init__(
        self, folder: Path, format: str, data: bytes, commands: tuple[str, ...] = EVERY, seconds: float = SECONDS
    ) -> None:
        path = folder / FILES[format]
        path.write_bytes(data)
        before = path.stat()
        words = [sys.executable, "-m", "tests.config.measured", str(folder / "result"), str(path), *commands]
        done = subprocess.run(
            words, cwd=ROOT, capture_output=True, check=False, preexec_fn=lambda: _limit(seconds), timeout=110
        )
        self.out = (done.stdout + done.stderr).decode("utf-8", "replace").replace(str(path), FILES[format])
        assert done.returncode == 0, f"the process ended with {done.returncode}: {self.out[-2000:]}"
        result = json.loads((folder / "result").read_text())
        self.codes = result["codes"]
        self.peak = result["peak"]
        after = path.stat()
        same = (before.st_ino, before.st_mtime_ns, before.st_mode) == (after.st_ino, after.st_mtime_ns, after.st_mode)
        self.is_untouched = same and path.read_bytes() == data
        self.left = sorted(one.name for one in folder.iterdir() if one not in (path, folder / "result"))

    def must_be_refused(self, *words: str, peak: int = SMALL_KIBIBYTES) -> None:
        """Exit code 1 each time, in words, and nothing on disk is another."""
        assert set(self.codes) == {1}, self.out[-2000:]
        assert self.is_untouched
        assert self.left == []
        assert "Traceback" not in self.out
        assert "internal error" not in self.out
        assert any(word in self.out for word in words), self.out[-2000:]
        assert self.peak < peak


def _limit(seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))


SMALL = {
    "binary junk": (lambda good: bytes(range(256)) * 400, "not UTF-8 text"),
    "a program": (lambda good: Path(sys.executable).resolve().read_bytes()[:MEBIBYTE], "not UTF-8 text"),
    "a NUL byte": (lambda good: good + b"\0" + good, "control character 0x00"),
    "an escape": (lambda good: good + b"# \x1b[2J\n", "control character 0x1b"),
    "a byte order mark": (lambda good: b"\xef\xbb\xbf" + good, "byte order mark"),
    "UTF-16": (lambda good: good.decode().encode("utf-16"), "not UTF-8 text"),
    "two encodings": (lambda good: good + "# ü ".encode() + "ü\n".encode("latin-1"), "not UTF-8 text"),
    "half a character": (lambda good: good + b"# \xe2\x82", "not UTF-8 text"),
    "a surrogate": (lambda good: good + b"# \xed\xa0\x80\n", "not UTF-8 text"),
}


@SPELLINGS
@pytest.mark.parametrize("case", SMALL)
def test_what_is_no_text_is_refused(tmp_path, format, case):
    make, words = SMALL[case]
    Done(tmp_path, format, make(GOOD[format].encode())).must_be_refused(words)


QUOTES = {
    "uci": ["option x 'a", 'option x "a', "config rule 'b", 'option x "a\\"', "list x 'a' \"b"],
    "dsl": ["  match sni='a", '  match sni="a', 'rule "b', '  match sni="a\\"', "  action route=\"wan' log"],
    "yaml": ["  - name: 'b", '  - name: "b', '"b', '  - {name: "b\\"', "  - [a, 'b, c]"],
}


@SPELLINGS
@pytest.mark.parametrize("number", range(5))
def test_a_quote_that_nobody_closed_is_said_at_its_place(tmp_path, format, number):
    text = GOOD[format] + QUOTES[format][number] + "\n" + GOOD[format]
    Done(tmp_path, format, text.encode()).must_be_refused(f"{FILES[format]}:")


@SPELLINGS
def test_a_file_of_100_megabytes_is_refused_unread(tmp_path, format):
    Done(tmp_path, format, b"#" * (100 * MEBIBYTE)).must_be_refused("larger than 4 MiB")


MILLION = {"uci": "config rule\n", "dsl": "rule a:\n", "yaml": "  - {}\n"}


@SPELLINGS
def test_a_million_rules_are_refused(tmp_path, format):
    head = "rules:\n" if format == "yaml" else ""
    Done(tmp_path, format, (head + MILLION[format] * 1_000_000).encode()).must_be_refused("larger than 4 MiB")


AS_MANY = {
    "uci": "config rule\n\toption any 1\n\toption block 1\n",
    "dsl": "rule a:\n match any\n action block\n",
    "yaml": "- {name: a, priority: 1, match: {any: true}, action: {block: true}}\n",
}


@pytest.mark.slow  # four megabytes, read to the limit of sections
@SPELLINGS
def test_as_many_rules_as_fit_into_a_file_are_refused_as_a_whole(tmp_path, format):
    head = "rules:\n" if format == "yaml" else ""
    text = head + AS_MANY[format] * ((LIMIT - len(head)) // len(AS_MANY[format]))
    done = Done(tmp_path, format, text.encode(), ("lint",))
    done.must_be_refused("at most 10000 are possible", "more than 500000 values", peak=KIBIBYTES)


# Each fills a file up to its limit.
ROWS = ('"', "\\", "[", "- ", "a: ", "a\\\n")


@pytest.mark.slow  # a second each
@SPELLINGS
@pytest.mark.parametrize("row", ROWS)
def test_rows_and_nests_as_deep_as_a_file_is_long_are_refused(tmp_path, format, row):
    data = (row * (LIMIT // len(row))).encode()
    Done(tmp_path, format, data, ("lint",)).must_be_refused(f"{FILES[format]}:", peak=KIBIBYTES)


INSIDE = {
    "uci": "config rule 'a'\n\tlist sni {}\n\toption block '1'\n",
    "dsl": "rule a:\n  match sni={}\n  action block\n",
    "yaml": "rules:\n  - name: a\n    priority: 1\n    match: {{sni: {}}}\n    action: {{block: true}}\n",
}


@pytest.mark.slow  # a second each
@SPELLINGS
@pytest.mark.parametrize("row", ["'a'", "a,", "é"])
def test_a_value_as_long_as_a_file_is_refused(tmp_path, format, row):
    text = INSIDE[format].format(row * ((LIMIT - 200) // len(row.encode())))
    Done(tmp_path, format, text.encode(), ("lint",)).must_be_refused(f"{FILES[format]}:", peak=KIBIBYTES)


@SPELLINGS
def test_line_ends_of_another_system_are_read(tmp_path, format):
    done = Done(tmp_path, format, GOOD[format].replace("\n", "\r\n").encode())
    assert done.codes == [0, 0, 0]
    assert done.out.count("error") == 0
    assert (tmp_path / FILES[format]).read_bytes() == GOOD[format].encode()


@SPELLINGS
def test_a_carriage_return_alone_ends_no_line(tmp_path, format):
    Done(tmp_path, format, GOOD[format].replace("\n", "\r").encode()).must_be_refused(f"{FILES[format]}:")


@pytest.mark.parametrize("action", ["route=x{}", "throttle=x{}"])
def test_many_names_that_nothing_has_are_reported_in_bounded_time(tmp_path, action):
    long = "abcdefghij_" * 5
    text = "".join(f"outbound o{n:04}{long} direct\nthrottle t{n:04}{long} up=1mbit\n" for n in range(5000))
    text += "".join(f"rule r{n}:\n  match any\n  action {action.format(str(n) + long[::-1])}\n" for n in range(5000))
    done = Done(tmp_path, "dsl", text.encode(), ("lint",), 30)
    done.must_be_refused("is not an outbound", "is not defined", peak=KIBIBYTES)


def test_groups_in_groups_in_groups_are_checked_in_bounded_time(tmp_path):
    text = "".join(f"outbound g{n} group g{n + 1}\n" for n in range(20_000))
    Done(tmp_path, "dsl", text.encode(), ("lint",)).must_be_refused("is not an outbound", peak=KIBIBYTES)


@SPELLINGS
def test_the_program_itself_ends_with_1(tmp_path, format):
    path = tmp_path / FILES[format]
    path.write_bytes(b"\xff\0")
    for words in (["lint"], ["fmt"], ["convert", "--to", "yaml"], ["--json", "lint"]):
        command = [sys.executable, "-m", "netpolicy.cli.main", *words, str(path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ)
        assert done.returncode == 1
        assert "not UTF-8 text" in done.stdout + done.stderr
    assert path.read_bytes() == b"\xff\0"
