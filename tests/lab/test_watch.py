"""What the lab learns from the daemon, and what it does when the daemon is silent."""

from __future__ import annotations

from netpolicy.lab import watch

from . import fake_daemon


def test_all_documents_are_there_after_one_look() -> None:
    found = fake_daemon.answers()
    assert found.silence == ""
    assert [o["name"] for o in found.outbounds] == ["wan_a", "wan_b"]


def test_a_connection_is_found_by_its_origin() -> None:
    found = fake_daemon.answers()
    entry = found.connection("tcp", "192.168.1.11", 40001)
    assert entry is not None
    assert entry["rule"] == "video"
    assert found.connection("udp", "192.168.1.11", 40001) is None


def test_a_silent_daemon_leaves_the_last_documents_and_a_reason() -> None:
    later = watch.look(fake_daemon.silent, fake_daemon.answers())
    assert later.silence == "nobody there"
    assert len(later.outbounds) == 2


def test_a_bus_that_is_not_there_is_an_unanswered_question(tmp_path) -> None:
    found = watch.look(watch.bus_call(str(tmp_path / "none.sock"), 0.5), watch.Answers())
    assert "cannot connect" in found.silence
