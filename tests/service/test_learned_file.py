"""What is kept for a kernel that loses it is read again strictly, with the time that is left."""

from __future__ import annotations

from pathlib import Path

from netpolicy.dataplane.nft_element import Element
from netpolicy.service import learned_file

FOUR, KEY = "d_00000000004", bytes((192, 0, 2, 20))


def test_what_was_written_is_read_and_strange_lines_are_not(tmp_path: Path) -> None:
    learned_file.write(str(tmp_path), [(FOUR, KEY, 100.0), ("d_00000000006", bytes(16), 50.0)])
    file = tmp_path / learned_file.NAME
    file.write_text(file.read_text() + "x\nhits_a 01 99\n" + FOUR + " c000 9e9\n" + FOUR + " c0000214 99999999999\n")
    found = learned_file.read(str(tmp_path))
    keys = {name: [one.key for one in held] for name, held in found.items()}
    assert keys == {FOUR: [KEY], "d_00000000006": [bytes(16)]}
    assert 90_000 < found[FOUR][0].timeout_ms <= 101_000


def test_only_sets_that_are_there_and_empty_get_back_what_they_had() -> None:
    kept = {FOUR: [Element(KEY)], "d_11111111114": [Element(KEY)], "d_22222222224": [Element(KEY)]}
    there = {FOUR: [], "d_11111111114": [Element(KEY)]}
    assert learned_file.missing(kept, there) == {FOUR: kept[FOUR]}


def test_a_file_of_another_boot_and_no_file_say_nothing(tmp_path: Path) -> None:
    assert learned_file.read(str(tmp_path)) == {}
    learned_file.write(str(tmp_path), [(FOUR, KEY, 100.0)])
    file = tmp_path / learned_file.NAME
    file.write_text("another boot\n" + file.read_text().split("\n", 1)[1])
    assert learned_file.read(str(tmp_path)) == {}
