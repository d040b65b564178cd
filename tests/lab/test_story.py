"""What the client measured and what the daemon says, put together in one row."""

from __future__ import annotations

from netpolicy.lab import story
from netpolicy.lab.control import Lines
from netpolicy.lab.watch import Answers

from . import fake_daemon


def test_a_connection_shows_its_rule_its_way_out_and_the_line_the_server_saw() -> None:
    rows = [story.connection_row(item) for item in story.tries(fake_daemon.REPORTS, fake_daemon.answers())]
    assert rows[0] == ("desk", "tls video v4", "video", "wan_b", "from B 26 ms")


def test_a_refused_connection_shows_the_rule_the_daemon_decides_for_it() -> None:
    facts = story.unexplained(fake_daemon.REPORTS)
    assert facts == [{"src_addr": "192.168.3.13", "dest_addr": "192.0.2.25", "proto": "tcp", "dest_port": 25}]
    rows = [story.connection_row(item) for item in story.tries(fake_daemon.REPORTS, fake_daemon.answers(facts))]
    assert rows[1] == ("guest", "mail mail v4", "guest_no_mail", "block", "refused")


def test_without_a_daemon_the_clients_own_findings_stay() -> None:
    rows = [story.connection_row(item) for item in story.tries(fake_daemon.REPORTS, Answers())]
    assert rows[0][2:] == ("-", "-", "from B 26 ms")
    assert "daemon silent" in story.headline(Answers())


def test_until_the_daemon_has_answered_once_it_is_starting_but_not_for_ever() -> None:
    silent = Answers(silence="cannot connect")
    assert story.headline(silent, 0.5) == "starting …"
    assert "cannot connect" in story.headline(silent, story.STARTING_SECONDS)
    first = {**fake_daemon.DOCUMENTS["status"], "kernel": {"in_sync": False, "generation": 0}}
    assert story.headline(Answers(status=first, silence=""), 0.5) == "starting …"
    assert "line 3" in story.headline(Answers(status={**first, "config": {"error": "line 3"}}, silence=""), 0.5)
    assert "OUT OF STEP" in story.headline(Answers(status={**first, "mode": "observe"}, silence=""), 0.5)
    later = Answers(status=fake_daemon.DOCUMENTS["status"], silence="cannot connect")
    assert "cannot connect" in story.headline(later, 0.5)


def test_what_the_lab_did_to_a_line_stands_beside_its_outbound() -> None:
    rows = story.outbound_rows(fake_daemon.answers(), Lines(unplugged={"wan_a"}, silent={"wan_b"}))
    assert [row[4] for row in rows] == ["cable out", "silent"]


def test_a_refused_configuration_is_in_the_headline() -> None:
    status = {**fake_daemon.DOCUMENTS["status"], "config": {"error": "line 3: unknown option"}}
    assert "configuration refused: line 3" in story.headline(Answers(status=status, silence=""))


def test_sizes_stay_short() -> None:
    assert [story.size(n) for n in (0, 999, 1000, 123456, 5e9, 5e13)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "123 kB",
        "5.0 GB",
        "50000 GB",
    ]
