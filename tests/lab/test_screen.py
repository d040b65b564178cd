"""The picture fits a terminal of 80 columns and 24 lines; without a terminal only changes are printed."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from netpolicy.lab import screen, story
from netpolicy.lab.control import COMMANDS, Lines
from netpolicy.lab.traffic import PLANS

from . import fake_daemon


def drawn(helping: bool = False) -> list[str]:
    console = pytest.importorskip("rich.console").Console(width=80, height=24, file=io.StringIO())
    everything = {
        (client, n): fake_daemon.REPORTS[("desk", 1)] for client, plan in PLANS.items() for n in range(len(plan))
    }
    answers = fake_daemon.answers()
    middle = screen.help_table() if helping else screen.connection_table(story.tries(everything, answers))
    console.print(screen.picture(answers, Lines(), middle, "said", 24))
    return console.file.getvalue().splitlines()


def test_the_picture_fits_80_columns_and_24_lines() -> None:
    lines = drawn()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert any("video" in line and "route wan_b" in line and "1.2 MB" in line for line in lines)
    assert any("from B 26 ms" in line for line in lines)
    assert lines[-1].startswith(screen.KEYS[:20])


def test_the_help_names_every_command() -> None:
    text = "\n".join(drawn(helping=True))
    assert all(command.says in text for command in COMMANDS)


def test_plain_lines_repeat_nothing_that_did_not_change() -> None:
    out = io.StringIO()
    plain = screen.PlainScreen(out)
    tries = story.tries(fake_daemon.REPORTS, fake_daemon.answers())
    plain.show(fake_daemon.answers(), tries, Lines(), 0.0)
    first = out.getvalue()
    assert "connection desk tls video v4: rule video, outbound wan_b, from B\n" in first
    plain.show(fake_daemon.answers(), tries, Lines(), 1.0)
    assert out.getvalue() == first
    plain.show(fake_daemon.answers(), tries, Lines(unplugged={"wan_b"}), 2.0)
    assert out.getvalue()[len(first) :] == "outbound   wan_b wanb up cable out\n"


def test_counters_are_printed_now_and_then() -> None:
    out = io.StringIO()
    screen.PlainScreen(out).show(fake_daemon.answers(), [], Lines(), screen.COUNTERS_EVERY_SECONDS)
    assert "rule       video route wan_b hits=12 1.2 MB\n" in out.getvalue()


def test_while_the_daemon_starts_no_line_is_called_down() -> None:
    out = io.StringIO()
    plain = screen.PlainScreen(out)
    first = {**fake_daemon.DOCUMENTS["status"], "kernel": {"in_sync": False, "generation": 0}}
    starting = replace(fake_daemon.answers(), status=first)
    plain.show(starting, [], Lines(), 0.5)
    assert out.getvalue() == "netpolicy  starting …\n"
    plain.show(fake_daemon.answers(), [], Lines(), 1.0)
    assert "outbound   wan_a wana up" in out.getvalue()
