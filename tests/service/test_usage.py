"""Last hits: what counters say when they are compared, over reloads, restarts and reboots."""

from __future__ import annotations

import json
import time

import pytest

from netpolicy.config.load import load_text
from netpolicy.service.standing import ENFORCED
from netpolicy.service.usage import CLOCK_IS_SET, DAY_SECONDS, FILE, NOTHING_KNOWN, SAVE_SECONDS, Usage, Use
from tests.service.open_flows import rule

START = CLOCK_IS_SET + 1000.0
VIDEO, MAIL = rule("video", "+dest_port=443", "block=1"), rule("mail", "+dest_port=25", "block=1")
STANDING = {"video": ENFORCED, "mail": ENFORCED}


def rules(*texts: str):
    return load_text("".join(texts)).ruleset.rules


BOTH = rules(VIDEO, MAIL)


def noted(usage: Usage, now: float, video: int = 0, mail: int = 0, those=BOTH, standing=None, older=None) -> list[Use]:
    counters = {"video": (video, 60 * video), "mail": (mail, 60 * mail)}
    usage.note(those, STANDING if standing is None else standing, counters, now, older or {})
    return [usage.of(position, one) for position, one in enumerate(those)]


@pytest.fixture
def usage(tmp_path):
    return Usage(str(tmp_path))


def test_a_counter_that_grew_is_a_hit_and_one_that_did_not_is_none(usage):
    assert noted(usage, START) == [Use(None, START), Use(None, START)]
    assert noted(usage, START + 300, video=3) == [Use(START + 300, START), Use(None, START)]
    assert noted(usage, START + 600, video=3) == [Use(START + 300, START), Use(None, START)]
    assert usage.of(99, BOTH[0]) == usage.of(0, rules(VIDEO)[0]) == NOTHING_KNOWN  # not noted yet


def test_a_rule_that_began_with_us_is_known_from_its_beginning(usage):
    assert noted(usage, START, video=1) == [Use(START, START), Use(None, START)]


@pytest.mark.parametrize(("at_first", "last"), [(500, None), (501, START)])
def test_what_was_counted_before_this_process_is_no_hit_of_now(usage, at_first, last):
    assert noted(usage, START, video=at_first, older={"video": 500})[0] == Use(last, START)
    assert noted(usage, START + 300, video=502)[0] == Use(START + 300, START)


def test_a_rule_that_came_with_a_reload_is_known_from_its_beginning(usage):
    noted(usage, START, those=rules(VIDEO))
    assert noted(usage, START + 300, mail=2)[1] == Use(START + 300, START + 300)


def test_counters_that_began_anew_are_no_hits_but_what_they_say_now_is(usage):
    noted(usage, START)
    noted(usage, START + 300, video=100, mail=100)
    used = noted(usage, START + 600, video=0, mail=4)
    assert [one.last_hit for one in used] == [START + 300, START + 600]


def test_a_restart_remembers_and_a_reboot_is_no_hit(usage, tmp_path):
    noted(usage, START)
    noted(usage, START + 300, video=7)
    usage.save_now(START + 300)
    for video, older, last in ((7, 7, 300), (8, 7, 900), (8, 8, 900), (0, 0, 300), (2, 2, 300), (3, 2, 900)):
        again = Usage(str(tmp_path))
        assert noted(again, START + 900, video, older={"video": older})[0] == Use(START + last, START)


def test_after_a_stop_counting_begins_anew_and_as_many_hits_as_before_are_hits(usage, tmp_path):
    noted(usage, START, video=1)
    usage.save_now(START)
    assert noted(Usage(str(tmp_path)), START + 900, video=1)[0] == Use(START + 900, START)


def test_rules_keep_their_past_in_another_order_and_lose_it_with_another_match(usage):
    noted(usage, START)
    noted(usage, START + 300, video=7)
    turned = noted(usage, START + 600, video=7, those=rules(MAIL, VIDEO))
    assert turned == [Use(None, START), Use(START + 300, START)]
    other = rules(MAIL, VIDEO.replace("443", "444"))
    assert noted(usage, START + 900, video=7, those=other)[1] == Use(None, START + 900)
    assert noted(usage, START + 1200, video=8, those=other)[1] == Use(START + 1200, START + 900)


def test_a_rule_that_waits_is_not_in_force_yet(usage):
    assert noted(usage, START, standing={"mail": ENFORCED, "video": "waits: outbound x is down"})[0] == NOTHING_KNOWN
    assert noted(usage, START + 300)[0] == Use(None, START + 300)


def test_while_the_clock_is_not_set_nothing_is_noted(usage, tmp_path):
    assert noted(usage, 100.0, video=5) == [NOTHING_KNOWN, NOTHING_KNOWN]
    usage.save_now(100.0)
    assert list(tmp_path.iterdir()) == []
    # Nobody knows when those five came.
    assert noted(usage, START, video=5)[0] == Use(None, START)
    assert noted(usage, START + 300, video=6)[0] == Use(START + 300, START)


@pytest.mark.parametrize(
    ("use", "days_later", "unused"),
    [
        (Use(None, START), 29.9, False),
        (Use(None, START), 30.0, True),
        (Use(START + DAY_SECONDS, START), 30.5, False),
        (Use(START + DAY_SECONDS, START), 31.0, True),
        (NOTHING_KNOWN, 1000.0, False),
    ],
)
def test_unused_is_who_was_in_force_for_so_long_without_a_hit(use, days_later, unused):
    assert use.is_unused(START + days_later * DAY_SECONDS, 30) is unused


def test_a_process_that_starts_again_and_again_does_not_write_each_time(usage, tmp_path):
    noted(usage, time.time())
    usage.save(time.time())
    before = (tmp_path / FILE).stat().st_ino
    again = Usage(str(tmp_path))
    noted(again, time.time(), video=1)
    again.save(time.time())
    assert (tmp_path / FILE).stat().st_ino == before
    again.save_now(time.time())
    assert (tmp_path / FILE).stat().st_ino != before


def test_the_file_is_written_once_an_hour_at_most_and_only_with_something_new(usage, tmp_path):
    file = tmp_path / FILE
    noted(usage, START)
    usage.save(START)
    first = file.stat().st_ino
    noted(usage, START + 300, video=1)
    usage.save(START + 300)
    assert file.stat().st_ino == first
    usage.save(START + SAVE_SECONDS)
    assert file.stat().st_ino != first
    assert json.loads(file.read_text())["video"][1:] == [1, int(START), int(START + 300)]
    second = file.stat().st_mtime_ns
    usage.save(START + 5 * SAVE_SECONDS)
    assert file.stat().st_mtime_ns == second
    assert list(tmp_path.iterdir()) == [file]


ROWS = ("5", "[1, 2, 3]", "[1, 2, 3, true]", "[-1, 2, 3, 4]", "[4294967296, 2, 3, 4]", "[1, 1e400, 3, 4]",
        "[1, 2, 3, 99999999999999]")  # fmt: skip


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "[" * 9999, *(f'{{"video": {row}}}' for row in ROWS)])
def test_a_file_that_is_not_ours_is_no_past(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    assert noted(Usage(str(tmp_path)), START) == [Use(None, START)] * 2


def test_ten_thousand_rules_take_three_hundred_kilobytes_and_a_fraction_of_a_second(usage):
    text = "".join(rule(f"r{number}", f"+dest_port={number + 1}", "block=1") for number in range(10_000))
    many = rules(text)
    standing = dict.fromkeys([one.name for one in many], ENFORCED)
    usage.note(many, standing, {}, START)
    table = usage._now[1]
    assert (
        sum(len(column) * column.itemsize for column in (table.prints, table.packets, table.since, table.last))
        < 300_000
    )
    taken = []
    for turn in range(1, 4):  # whatever else the process has to do, a collection of all its garbage, only adds to it
        began = time.thread_time()
        usage.note(many, standing, {"r5": (turn, turn)}, START + 300 * turn)
        taken.append(time.thread_time() - began)
        assert usage.of(5, many[5]).last_hit == START + 300 * turn
    assert min(taken) < 0.5  # as it is: 10 ms
