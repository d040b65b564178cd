"""The audit: whoever changes, removes, adds or moves a line is found out, and nothing ever stops it from going on."""

from __future__ import annotations

import json
import os
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from netpolicy.observe import chain
from netpolicy.observe.journal import ASIDE, LIMIT, LINES, NOTE, Journal
from tests.power import deaths, every_world, memory_folder


@pytest.fixture
def tmp_path():
    with memory_folder() as folder:
        yield folder


@pytest.fixture
def said():
    return []


@pytest.fixture
def journal(tmp_path, said):
    return Journal(str(tmp_path), said.append, lambda: 1700000000.5)


def fill(folder: Path, count: int = 5, **more: object) -> Journal:
    journal = Journal(str(folder), clock=lambda: 1700000000.0)
    for number in range(count):
        journal.append({"kind": "apply", "who": "root", "why": f"change {number}", **more})
    return journal


def whys(folder: Path) -> list[object]:
    return [entry["why"] for entry in reversed(Journal(str(folder)).read(1000)) if "why" in entry]


def lines_of(folder: Path) -> list[bytes]:
    return (folder / LINES).read_bytes().splitlines(keepends=True)


def test_what_was_appended_is_read_newest_first(journal, tmp_path):
    numbers = [journal.append({"kind": "apply", "why": text}) for text in ("one", "two", "three")]
    assert numbers == [1, 2, 3]
    assert [entry["why"] for entry in journal.read()] == ["three", "two", "one"]
    assert [entry["number"] for entry in journal.read(1, 1)] == [2]
    assert journal.read(5, 3) == []
    assert journal.read(1)[0]["time"] == 1700000000.5
    assert [os.stat(tmp_path / name).st_mode & 0o777 for name in (LINES, NOTE)] == [0o600, 0o600]


def test_a_journal_that_was_never_written_is_empty_and_fine(journal):
    assert journal.read() == []
    assert journal.verify().is_fine and journal.verify().lines == 0


def test_another_process_goes_on_with_the_chain(tmp_path, said):
    fill(tmp_path, 2)
    assert Journal(str(tmp_path), said.append).append({"why": "later"}) == 3
    verdict = Journal(str(tmp_path)).verify()
    assert (verdict.is_fine, verdict.lines, verdict.number) == (True, 3, 3)
    assert not said


def test_secrets_do_not_enter(journal, tmp_path):
    journal.append({"why": "moved to vless://8c1f2d60-1111-4222-8333-1234567890ab@vps.example:443?pbk=x", "error": {
        "text": ["ssh://me:hunter2@host refused", "password=hunter3"], "password": "hunter4"}})  # fmt: skip
    text = (tmp_path / LINES).read_text()
    assert "hunter" not in text and "8c1f2d60" not in text and "moved to vless://[removed]" in text


def test_an_entry_cannot_forge_a_line_or_the_numbers(journal, tmp_path):
    journal.append({"why": 'x"}\n{"number":2', "number": 99, "hash": "f" * 64, "previous": ""})
    assert len(lines_of(tmp_path)) == 1 and journal.read()[0]["number"] == 1
    for kind in ("journal", "anchor"):
        with pytest.raises(ValueError):
            journal.append({"kind": kind})
    assert journal.verify().is_fine


def test_an_entry_that_is_too_long_loses_its_longest_parts_by_name(journal):
    rows = [{"from": "lan", "to": "wan", "text": "x" * 100} for _ in range(200)]
    journal.append({"kind": "apply", "why": "a table", "rehearsal": rows, "other": float("nan")})
    entry = journal.read()[0]
    assert (entry["why"], entry["left_out"], entry["other"]) == ("a table", ["rehearsal"], None)
    assert journal.verify().is_fine


# -- tampering -------------------------------------------------------------------------------


def tampered(folder: Path, change) -> tuple[int, str]:
    """What verifying says after the lines were changed; and that appending goes on whatever it is."""
    lines = change(lines_of(folder))
    (folder / LINES).write_bytes(b"".join(lines))
    verdict = Journal(str(folder)).verify()
    said: list[str] = []
    journal = Journal(str(folder), said.append)
    assert journal.append({"why": "and on"}) > 0
    assert journal.verify().is_fine and whys(folder)[-1] == "and on"
    if not verdict.is_fine:
        assert said, "it was repaired without a word"
    return (0, "") if verdict.is_fine else (verdict.line, verdict.why)


@pytest.mark.parametrize(
    ("change", "line", "word"),
    [
        (lambda lines: [*lines[:2], lines[2].replace(b"change 2", b"change 9"), *lines[3:]], 3, "changed"),
        (lambda lines: [*lines[:2], *lines[3:]], 3, "number 3 is missing"),
        (lambda lines: [lines[0], lines[4]], 2, "numbers 2 to 4 are missing"),
        (lambda lines: lines[1:], 1, "before number 2 were removed"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2, "another order"),
        (lambda lines: [*lines[:3], lines[1], *lines[3:]], 4, "inserted"),
        (lambda lines: [*lines, lines[4]], 6, "inserted"),
        (lambda lines: lines[:4], 5, "1 line(s) at the end are missing"),
        (lambda lines: [*lines[:4], lines[4][:30]], 5, "at the end are missing"),
        (lambda lines: [], 1, "5 line(s) at the end are missing"),
        (lambda lines: [*lines[:2], b"\n", *lines[2:]], 3, "no line"),
        (lambda lines: [b"\x00" * 100], 1, "missing"),
        (lambda lines: [*lines, b"hello"], 6, "not written to its end"),
    ],
)
def test_tampering_is_found_with_its_line(tmp_path, change, line, word):
    fill(tmp_path)
    found = tampered(tmp_path, change)
    assert found[0] == line and word in found[1]


def test_a_line_written_anew_with_a_right_hash_of_its_own_is_found_by_the_next_one(tmp_path):
    fill(tmp_path)

    def change(lines: list[bytes]) -> list[bytes]:
        line = chain.parse(lines[1][:-1])
        return [lines[0], chain.render(2, line.previous, {**line.entry, "why": "nothing"}), *lines[2:]]

    assert tampered(tmp_path, change) == (3, "line 3: number 2 before it was replaced by another line")


def test_the_last_line_written_anew_is_found_by_the_note(tmp_path):
    fill(tmp_path)

    def change(lines: list[bytes]) -> list[bytes]:
        line = chain.parse(lines[4][:-1])
        return [*lines[:4], chain.render(5, line.previous, {**line.entry, "why": "nothing"})]

    assert "number 5 was replaced" in tampered(tmp_path, change)[1]


def test_lines_added_by_somebody_else_are_found(tmp_path):
    fill(tmp_path)

    def change(lines: list[bytes]) -> list[bytes]:
        for number in (6, 7):
            lines.append(chain.render(number, chain.parse(lines[-1][:-1]).hash, {"why": "forged"}))
        return lines

    assert "not noted" in tampered(tmp_path, change)[1]


def test_a_chain_written_anew_with_its_note_shows_to_who_noted_a_hash(tmp_path):
    before = fill(tmp_path).verify()
    for name in (LINES, NOTE):
        (tmp_path / name).unlink()
    journal = fill(tmp_path, 6, who="mallory")
    assert journal.verify().is_fine, "this is what a chain without a key cannot know"
    assert "rewritten" in journal.verify(before.number, before.hash).why
    now = journal.verify()
    assert journal.verify(now.number, now.hash).is_fine


def test_every_byte_counts(tmp_path):
    """Each byte of the two files changed, removed and doubled: never fine, never an exception."""
    fill(tmp_path, 2)
    original = {name: (tmp_path / name).read_bytes() for name in (LINES, NOTE)}
    for name, data in original.items():
        for place in range(0, len(data), 3 if name == LINES else 1):
            for other in (bytes([data[place] ^ 1]), b"", data[place : place + 1] * 2, b"\n", b"\x00"):
                changed = data[:place] + other + data[place + 1 :]
                if changed != data:
                    (tmp_path / name).write_bytes(changed)
                    assert not Journal(str(tmp_path)).verify().is_fine, (name, place, other)
        (tmp_path / name).write_bytes(data)
    assert Journal(str(tmp_path)).verify().is_fine


def test_a_note_that_is_gone_is_told_and_written_again(tmp_path, said):
    fill(tmp_path)
    (tmp_path / NOTE).unlink()
    assert "cannot be told" in Journal(str(tmp_path)).verify().why
    journal = Journal(str(tmp_path), said.append)
    journal.append({"why": "on"})
    assert journal.verify().is_fine and len(said) == 1
    assert [one.get("event") for one in journal.read(2)] == [None, "note"]


def test_a_damaged_journal_is_kept_beside_and_the_new_one_says_so(tmp_path, said):
    fill(tmp_path)
    data = (tmp_path / LINES).read_bytes().replace(b"change 3", b"change 9")
    (tmp_path / LINES).write_bytes(data)
    journal = Journal(str(tmp_path), said.append)
    assert journal.append({"why": "on"}) == 7
    first = journal.read()[-1]
    assert (first["event"], first["number"], first["sha256"]) == ("begin", 6, chain.digest_of(data))
    assert (tmp_path / str(first["aside"])).read_bytes() == data
    assert "damaged" in said[0] and str(first["aside"]) in said[0]


def test_only_so_many_damaged_ones_are_kept(tmp_path):
    for _ in range(5):
        fill(tmp_path, 2)
        (tmp_path / LINES).write_bytes((tmp_path / LINES).read_bytes().replace(b"root", b"toor"))
    fill(tmp_path, 1)
    assert len([name for name in os.listdir(tmp_path) if name.startswith(ASIDE)]) == 2


@pytest.mark.parametrize("what", ["folder", "fifo", "link", "huge", "note folder"])
def test_something_else_in_its_place_does_not_stop_it(tmp_path, said, what):
    target = tmp_path / "elsewhere"
    target.write_text("precious")
    path = tmp_path / (NOTE if what == "note folder" else LINES)
    if what in ("folder", "note folder"):
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "link":
        path.symlink_to(target)
    else:
        with path.open("wb") as file:
            file.truncate(1 << 32)
    journal = Journal(str(tmp_path), said.append)
    if what == "note folder":
        with pytest.raises(OSError, match="history"):
            journal.append({"why": "on"})
        return
    assert not journal.verify().is_fine
    journal.append({"why": "on"})
    assert journal.verify().is_fine and target.read_text() == "precious" and len(said) == 1


def test_made_up_numbers_do_not_end_the_numbers(tmp_path):
    (tmp_path / LINES).write_bytes(chain.render(chain.MOST - 1, chain.BEGIN, {"why": "forged"}))
    (tmp_path / NOTE).write_text(f"{chain.MOST - 1} {'0' * 64}\n")
    fill(tmp_path, 3)
    assert Journal(str(tmp_path)).verify().is_fine


# -- size ------------------------------------------------------------------------------------


def test_the_oldest_half_is_dropped_and_the_chain_still_holds(tmp_path):
    journal = Journal(str(tmp_path), limit=16 << 10)
    for number in range(300):
        journal.append({"why": f"change {number}"})
        assert (tmp_path / LINES).stat().st_size <= 16 << 10
    assert journal.verify().is_fine and Journal(str(tmp_path), limit=16 << 10).verify().is_fine
    kept = [text for text in whys(tmp_path) if text]
    assert kept[-1] == "change 299" and kept == [f"change {n}" for n in range(300 - len(kept), 300)]
    assert len(kept) > 20


@pytest.mark.parametrize("how", ["anchor removed", "more dropped"])
def test_nobody_else_can_drop_lines_behind_an_anchor(tmp_path, how):
    journal = Journal(str(tmp_path), limit=16 << 10)
    for number in range(100):
        journal.append({"why": f"change {number}"})
    lines = lines_of(tmp_path)
    assert chain.parse(lines[0][:-1]).entry["kind"] == "anchor"
    if how == "anchor removed":
        lines = lines[1:]
    else:
        last = chain.parse(lines[3][:-1])
        lines = [chain.render(last.number, last.hash, {"kind": "anchor", "lines": 9}), *lines[4:]]
    (tmp_path / LINES).write_bytes(b"".join(lines))
    verdict = Journal(str(tmp_path), limit=16 << 10).verify()
    assert not verdict.is_fine and "removed" in verdict.why


def test_reading_the_newest_of_a_long_journal_reads_its_end_only(tmp_path):
    (tmp_path / LINES).write_bytes(b"".join([chain.render(n, chain.BEGIN, {"why": "x" * 500}) for n in range(1, 400)]))
    read = 0
    real = os.fdopen

    class Counting:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def seek(self, *arguments):
            return self.file.seek(*arguments)

        def read(self, size):
            nonlocal read
            read += size
            return self.file.read(size)

    try:
        os.fdopen = lambda *arguments: Counting(real(*arguments))  # type: ignore[assignment]
        assert [one["number"] for one in Journal(str(tmp_path)).read(3)] == [399, 398, 397]
    finally:
        os.fdopen = real
    assert 0 < read <= 32 << 10


# -- death, power, space ---------------------------------------------------------------------


def is_in_order(folder: Path, limit: int = LIMIT) -> bool:
    """Or torn, as a power cut leaves it."""
    verdict = Journal(str(folder), limit=limit).verify()
    return verdict.is_fine or "power cut" in verdict.why


def states(folder: Path) -> list[object]:
    """What the journal says of changes, after somebody goes on with it: and it must be in order then."""
    assert is_in_order(folder)
    said: list[str] = []
    journal = Journal(str(folder), said.append)
    journal.append({"why": "next"})
    assert journal.verify().is_fine, journal.verify()
    assert not [text for text in said if "damaged" in text], said
    found = whys(folder)
    assert found.pop() == "next"
    return found


def act(folder: Path) -> None:
    Journal(str(folder)).append({"why": "new"})


def small_act(folder: Path) -> None:
    Journal(str(folder), limit=4 << 10).append({"why": "new"})


def test_a_death_at_any_call_leaves_the_line_or_not(tmp_path):
    seen = {tuple(states(place)[3:]) for place in deaths(lambda p: fill(p, 3), act, tmp_path)}
    assert seen == {(), ("new",)}


def test_the_first_line_survives_every_death_too(tmp_path):
    seen = {tuple(states(place)) for place in deaths(lambda p: None, act, tmp_path)}
    assert seen == {(), ("new",)}


def test_a_power_cut_at_any_moment_leaves_the_line_or_not(tmp_path):
    seen = {tuple(states(place)[3:]) for place in every_world(lambda p: fill(p, 3), act, tmp_path)}
    assert seen == {(), ("new",)}


def full(folder: Path) -> None:
    journal = Journal(str(folder), limit=4 << 10)
    journal.append({"why": "old"})
    while (folder / LINES).stat().st_size + len(lines_of(folder)[-1]) <= 4 << 10:
        journal.append({"why": "old"})


@pytest.mark.parametrize("way", [deaths, every_world])
def test_dropping_the_oldest_survives_death_and_power_cuts(tmp_path, way):
    seen = set()
    for place in way(full, small_act, tmp_path):
        assert is_in_order(place, 4 << 10)
        journal = Journal(str(place), limit=4 << 10)
        seen.add("new" in [one.get("why") for one in journal.read(100)])
        journal.append({"why": "next"})
        assert journal.verify().is_fine
        found = journal.read(100)
        assert len([one for one in found if one.get("event") == "dropped"]) == 1
        assert len([one for one in found if one.get("why") == "old"]) >= 7, "more than the older half is gone"
        assert not list(place.glob(ASIDE + "*"))
    assert seen == {True, False}


def damage(folder: Path) -> None:
    fill(folder, 3)
    (folder / LINES).write_bytes((folder / LINES).read_bytes().replace(b"change 1", b"change 9"))


@pytest.mark.parametrize("way", [deaths, every_world])
def test_putting_a_damaged_one_aside_survives_death_and_power_cuts(tmp_path, way):
    for place in way(damage, act, tmp_path):
        journal = Journal(str(place))
        journal.append({"why": "next"})
        assert journal.verify().is_fine
        begin = journal.read(100)[-1]
        assert begin["event"] == "begin" and "line 2" in str(begin["text"])
        assert [path.name for path in place.glob(ASIDE + "*")] == [begin["aside"]], "kept twice, or lost"
        assert b"change 9" in (place / str(begin["aside"])).read_bytes()


def test_a_torn_line_is_cut_and_the_cut_is_told(tmp_path, said):
    fill(tmp_path, 3)
    with (tmp_path / LINES).open("ab") as file:
        file.write(b'{"number":4,"previous":"')
    assert "power cut" in Journal(str(tmp_path)).verify().why
    journal = Journal(str(tmp_path), said.append)
    journal.append({"why": "on"})
    assert journal.verify().is_fine and len(said) == 1
    cut = journal.read(2)[1]
    assert (cut["event"], cut["sha256"]) == ("cut", chain.digest_of(b'{"number":4,"previous":"'))


@pytest.mark.kernel
def test_a_full_disk_is_an_error_and_changes_nothing(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no mount here")
    try:
        fill(disk, 3)
        before = {name: (disk / name).read_bytes() for name in (LINES, NOTE)}
        free = os.statvfs(disk).f_bavail * 4096
        for left in (0, 4096):  # not even the line; the line, and no note
            (disk / "ballast").write_bytes(b"x" * (free - left))
            with pytest.raises(OSError, match="history"):
                Journal(str(disk)).append({"why": "x" * 1990 + " " + "y" * 1900, "more": ["z" * 1000] * 3})
            assert {name: (disk / name).read_bytes() for name in (LINES, NOTE)} == before
            (disk / "ballast").unlink()
        assert Journal(str(disk)).append({"why": "room again"}) == 4
        assert Journal(str(disk)).verify().is_fine
    finally:
        subprocess.run(["umount", disk], check=True)


# -- fuzz ------------------------------------------------------------------------------------


def test_whatever_stands_there_reading_and_appending_go_on(tmp_path):
    chance = random.Random(5)
    fill(tmp_path, 4)
    seeds = [(tmp_path / name).read_bytes() for name in (LINES, NOTE)]
    for _ in range(250):
        for name, seed in zip((LINES, NOTE), seeds, strict=True):
            data = bytearray(seed)
            for _ in range(chance.randint(0, 4)):
                place = chance.randrange(len(data) + 1)
                piece = chance.choice(
                    [
                        b"",
                        b"\n",
                        b"{",
                        b"[" * 3000,
                        b'"',
                        b"9" * 30,
                        bytes([chance.randrange(256)]),
                        seed[: place % 300],
                    ]
                )
                data[place : place + chance.choice((0, 1, 40))] = piece
            (tmp_path / name).write_bytes(bytes(data))
        journal = Journal(str(tmp_path))
        assert all(isinstance(json.dumps(one), str) for one in journal.read(100))
        journal.verify()
        journal.append({"why": "on"})
        assert journal.verify().is_fine


def test_many_workers_make_one_chain(tmp_path):
    journal = Journal(str(tmp_path))
    with ThreadPoolExecutor(8) as workers:
        numbers = list(workers.map(lambda n: journal.append({"why": f"change {n}"}), range(100)))
    assert sorted(numbers) == list(range(1, 101)) and journal.verify().lines == 100 and journal.verify().is_fine
