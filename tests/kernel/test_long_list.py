"""A list of 100 000 networks in force: what it costs, and that it decides. `long_list.py` is what runs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.fixture(scope="module")
def seen() -> dict:
    done = subprocess.run([sys.executable, "-m", "tests.kernel.long_list"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_packets_to_the_first_the_last_and_to_no_network_of_the_list_are_told_apart(seen: dict) -> None:
    assert seen["inside"] == [1, 1, 1, 1]
    assert seen["outside"] == [0, 0, 0, 0]
    assert seen["left_to_do"] == []


def test_no_program_needs_much_memory_for_it(seen: dict) -> None:
    assert seen["nft"] <= 16, "MiB"
    assert seen["nft_after_boot"] <= 16


def test_this_process_needs_little_more_than_before(seen: dict) -> None:
    assert seen["peak"] - seen["rss_before"] < 6, "MiB"
    assert seen["peak_after_change"] - seen["rss_before"] < 12


def test_one_entry_less_changes_that_list_and_what_names_it(seen: dict) -> None:
    before, after = seen["sets"]
    assert len(before) == len(after) == 1 and before != after
    assert seen["changes"] == ["~ chain classify", "~ chain classify_own", f"+ set {after[0]}", f"- set {before[0]}"]
    assert seen["changed"] == [0, 1]


def test_at_boot_it_is_empty_until_it_is_filled(seen: dict) -> None:
    assert seen["boot_text"] < 10_000, "the text that nft loads at boot has no elements of it"
    assert seen["at_boot"] == [0]
    assert seen["after_boot"] == [1, 1, 0]
    assert seen["left_after_boot"] == []
