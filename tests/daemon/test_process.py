"""The whole process on a real kernel: start, reload, damage, death and end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from netpolicy.bus.status import UbusError
from netpolicy.daemon import process
from netpolicy.service.engine import Places
from tests.daemon.running import Listener, Netpolicyd, netpolicyd, until
from tests.netns import needs_root, run
from tests.router import everything, of_others, ours, router
from tests.service.parts import CONFIG, leads_to

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.fixture(autouse=True)
def here():
    with router() as namespace:
        yield namespace


@pytest.fixture
def daemon(tmp_path):
    with netpolicyd(tmp_path, CONFIG) as started:
        started.settled()
        yield started


def wrapper(folder: Path, script: str) -> str:
    """A folder with an nft that runs the script before the real one."""
    place = folder / "bin"
    place.mkdir()
    (place / "nft").write_text(f'#!/bin/sh\n{script}\nexec /usr/sbin/nft "$@"\n')
    (place / "nft").chmod(0o755)
    return str(place)


@contextlib.contextmanager
def killed_in_the_end(numbers: Path) -> Iterator[None]:
    """What hangs outlives a daemon that is killed, and would outlive the test."""
    try:
        yield
    finally:
        for number in numbers.read_text().split() if numbers.exists() else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)


# Well below the minute after which it would look by itself.
SOON = 20.0


def shape() -> list[str]:
    return sorted(
        re.sub(r"\bg\d+_", "g_", re.sub(r"packets \d+ bytes \d+", "", line)) for line in everything().splitlines()
    )


# -- life ----------------------------------------------------------------------------------------


def test_a_resting_daemon_is_small_before_and_after_reloads(daemon):
    """23 MB where this was written. The ceiling is for what doubles it: pyroute2, OpenSSL, the garbage of reading."""
    assert daemon.process

    def resident() -> int:
        status = Path(f"/proc/{daemon.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    first = resident()
    for _ in range(20):
        daemon.call("reload")
    assert first < 40_000 and resident() < first + 8_000  # kB
    children = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children")
    until(lambda: not children.read_text().strip())  # its own changes cause one more turn


def test_it_enforces_answers_and_leaves_nothing_behind(tmp_path):
    before = everything()
    with netpolicyd(tmp_path, CONFIG) as daemon:
        status = daemon.settled()
        assert status["rules"]["active"] == 2 and status["config"]["error"] is None
        assert [one["up"] for one in status["outbounds"]] == [True, True]
        assert leads_to("video") == "v_02"
        run(
            "conntrack",
            "-I",
            "-p",
            "udp",
            "-s",
            "192.168.1.50",
            "-d",
            "203.0.113.5",
            "--sport",
            "1",
            "--dport",
            "9",
            "-t",
            "600",
            "-m",
            "0x42000001",
        )
        assert daemon.end(signal.SIGTERM) == 0
    assert everything() == before
    assert "mark=1 " in run("conntrack", "-L")
    assert sorted(path.name for path in daemon.state.rglob("*") if path.is_file()) == ["lock", "usage.json"]


def test_every_method_answers(daemon):
    assert [one["name"] for one in daemon.call("rules")["rules"]] == ["video", "mail"]
    assert len(daemon.call("outbounds")["outbounds"]) == 2
    assert daemon.call("connections")["disagreements"] == 0
    assert daemon.call("decide", facts={"protocol": "tcp", "port": 443})["outbound"] == "wan_b"
    assert daemon.call("plan")["changes"] == []
    assert daemon.call("lint", text="config rule 'x'\n")["ok"] is False
    assert any("is running" in one["message"] for one in daemon.call("logs", limit=500)["entries"])
    with pytest.raises(UbusError, match="unknown argument"):
        daemon.call("status", colour="red")
    with pytest.raises(UbusError):
        daemon.call("decide", facts={"port": "no"})


def test_a_reload_follows_the_file_and_a_bad_one_keeps_the_old(daemon):
    listener = Listener(daemon.socket)
    daemon.config.write_text(CONFIG.replace("'443'", "'8443'"))
    daemon.send(signal.SIGHUP)
    until(lambda: "netpolicy.apply" in listener.names())  # told at the end: maps are laid out before the switch
    assert "8443" in ours()
    assert daemon.call("plan")["changes"] == []  # waits for the end of the turn
    before = everything()
    daemon.config.write_text("config rule 'x")
    daemon.send(signal.SIGHUP)
    until(lambda: daemon.call("status")["config"]["error"])
    assert everything() == before
    assert daemon.call("reload")["ok"] is False
    daemon.config.write_text(CONFIG)
    assert daemon.call("reload") == {"ok": True, "error": None}
    until(lambda: listener.names().count("netpolicy.apply") == 2)
    configs = [data["ok"] for name, data in listener.heard if name == "netpolicy.config"]
    assert configs[0] is True and False in configs and configs[-1] is True


def test_a_line_that_goes_down_is_followed_and_told(daemon):
    listener = Listener(daemon.socket)
    run("ip", "link", "set", "wanb_far", "down")
    until(lambda: not leads_to("video"))
    until(lambda: ("netpolicy.outbound", False) in [(name, data.get("up")) for name, data in listener.heard])
    run("ip", "link", "set", "wanb_far", "up")
    until(lambda: leads_to("video"))
    until(lambda: ("netpolicy.outbound", True) in [(name, data.get("up")) for name, data in listener.heard])
    until(lambda: "netpolicy.apply" in listener.names())


# -- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        ("nft", "delete", "table", "inet", "netpolicy"),
        ("ip", "rule", "del", "priority", "7002"),
        ("ip", "route", "flush", "table", "7002"),
        ("nft", "flush", "chain", "inet", "netpolicy", "pre"),
        ("ip", "-6", "rule", "del", "priority", "7001"),
        ("nft", "flush", "ruleset"),
    ],
)
def test_what_somebody_takes_away_is_back_within_seconds(daemon, damage):
    before = sorted(_plain(ours()))
    time.sleep(0.8)  # its own changes cause one more turn, which would heal by luck
    run(*damage)
    until(lambda: sorted(_plain(ours())) == before, SOON)


def _plain(text: str) -> list[str]:
    return [re.sub(r"\bg\d+_", "g_", re.sub(r"packets \d+ bytes \d+", "", line)) for line in text.splitlines()]


def test_a_change_of_somebody_elses_table_is_none_of_its_business(daemon):
    daemon.call("logs")
    before = daemon.call("status")["kernel"]["revision"]
    run("nft", "add", "element", "inet", "other", "np_words", "{ 172.16.0.0/12 }")
    run("ip", "rule", "add", "priority", "1011", "from", "10.7.7.7", "lookup", "main")
    daemon.settled()
    assert daemon.call("plan")["changes"] == []
    assert daemon.call("status")["kernel"]["revision"] == before


# -- at the start ----------------------------------------------------------------------------------


@pytest.fixture
def starting(tmp_path):
    """One that has read its configuration, and waits for nft until there is no file `hold`."""
    waiting = f"[ -e {tmp_path}/hold ] && touch {tmp_path}/waits && while [ -e {tmp_path}/hold ]; do sleep 0.02; done"
    (tmp_path / "hold").touch()
    with netpolicyd(tmp_path, CONFIG, path=wrapper(tmp_path, waiting)) as started:
        until(lambda: (tmp_path / "waits").exists())
        yield started


def test_a_reload_during_the_start_is_made_after_it(starting, tmp_path):
    starting.config.write_text(CONFIG.replace("'443'", "'8443'"))
    starting.send(signal.SIGHUP)
    (tmp_path / "hold").unlink()
    until(lambda: "8443" in ours() and starting.settled())
    assert starting.end() == 0


def test_who_is_ended_during_the_start_ends_in_good_order(starting, tmp_path):
    before = everything()
    starting.send(signal.SIGTERM)
    (tmp_path / "hold").unlink()
    assert starting.process.wait(60) == 0
    assert everything() == before and not os.path.exists(starting.socket)


def test_who_is_restarted_during_the_start_hands_over_what_it_found(tmp_path):
    """Also before its first turn: a kill switch of the one before stays shut."""
    waiting = f"[ -e {tmp_path}/hold ] && touch {tmp_path}/waits && while [ -e {tmp_path}/hold ]; do sleep 0.02; done"
    with netpolicyd(tmp_path, CONFIG, path=wrapper(tmp_path, waiting)) as daemon:
        daemon.settled()
        daemon.end(signal.SIGKILL)
        before = shape()
        (tmp_path / "hold").touch()
        daemon.start()
        until(lambda: (tmp_path / "waits").exists())
        (daemon.state / "handover").touch()  # as the init script does before the signal
        daemon.send(signal.SIGTERM)
        (tmp_path / "hold").unlink()
        assert daemon.process.wait(60) == 0
    assert shape() == before and leads_to("video") == "v_02"


async def test_who_is_restarted_while_it_waits_for_the_lock_takes_the_word_for_its_own(tmp_path, monkeypatch):
    daemon = process.Daemon(Places(str(tmp_path / "netpolicy"), str(tmp_path), str(tmp_path)), str(tmp_path / "bus"))
    word, found = tmp_path / "handover", []

    async def take():
        word.touch()
        os.kill(os.getpid(), signal.SIGTERM)
        await daemon._ended.wait()

    async def recover(*_):
        found.append(word.exists())
        raise process.CannotStart("far enough")

    monkeypatch.setattr(daemon._lock, "take", take)
    monkeypatch.setattr(process.recovery, "recover", recover)
    monkeypatch.setattr(process.gc, "set_threshold", lambda *_: None)
    with pytest.raises(process.CannotStart, match="far enough"):
        await daemon.run()
    assert found == [True]


# -- death and twins -----------------------------------------------------------------------------


def test_after_kill_9_the_state_is_adopted_and_leftovers_are_cleaned(tmp_path):
    clean = of_others()
    with netpolicyd(tmp_path, CONFIG) as daemon:
        daemon.settled()
        daemon.end(signal.SIGKILL)
        assert leads_to("video") == "v_02"
        before = shape()
        run(
            "nft",
            "-f",
            "-",
            text="add chain inet netpolicy g77_forwarded\nadd chain inet netpolicy r_half\n"
            "add rule inet netpolicy g77_forwarded goto r_half\n",
        )
        daemon.start()
        daemon.settled()
        until(lambda: "g77" not in ours())
        assert daemon.call("plan")["changes"] == []
        assert shape() == before and of_others() == clean
        daemon.end(signal.SIGKILL)
        daemon.start()
        assert daemon.settled()["kernel"]["revision"] == 0  # nothing had to be changed
        assert daemon.end() == 0
    assert ours() == ""


def test_a_second_one_is_refused_in_one_sentence(daemon, tmp_path):
    before = everything()
    command = [
        sys.executable,
        "-m",
        "netpolicy.daemon.main",
        "--config",
        str(daemon.config),
        "--state-dir",
        str(daemon.state),
        "--store-dir",
        str(daemon.store),
        "--socket",
        str(tmp_path / "other.sock"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("netpolicyd: another netpolicyd is running") and done.stderr.count("\n") == 1
    assert everything() == before
    assert daemon.call("status")["kernel"]["in_sync"]


def test_a_state_folder_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "state").write_text("a file")
    daemon = Netpolicyd(tmp_path, CONFIG)
    daemon.start()
    assert daemon.process and daemon.process.wait(60) == 1
    until(lambda: "netpolicyd: cannot use" in daemon.said())
    assert "Traceback" not in daemon.said()


# -- when the system fails -----------------------------------------------------------------------


def test_status_answers_while_nft_hangs(tmp_path):
    hanging = wrapper(tmp_path, f"[ -e {tmp_path}/hang ] && echo $$ >>{tmp_path}/hangs && exec sleep 600")
    with killed_in_the_end(tmp_path / "hangs"), netpolicyd(tmp_path, CONFIG, path=hanging) as daemon:
        daemon.settled()
        (tmp_path / "hang").touch()
        run("ip", "link", "set", "wanb_far", "down")
        until(
            lambda: (
                not daemon.call("status")["kernel"]["in_sync"] or daemon.call("status")["outbounds"][1]["up"] is False
            )
        )
        hung = int(until(lambda: (tmp_path / "hangs").read_text().split())[-1])
        for _ in range(20):
            daemon.call("status")
            daemon.call("outbounds")
            daemon.call("decide", facts={"port": 25})
        assert Path(f"/proc/{hung}").exists(), "nobody waited for it"
        (tmp_path / "hang").unlink()


def test_an_nft_that_refuses_is_reported_and_retried(tmp_path):
    refusing = wrapper(tmp_path, f"[ -e {tmp_path}/refuse ] && {{ echo 'Error: refused by the test' >&2; exit 1; }}")
    (tmp_path / "refuse").touch()
    before = everything()
    with netpolicyd(tmp_path, CONFIG, path=refusing) as daemon:
        until(lambda: "refused by the test" in (daemon.call("status")["kernel"]["error"] or ""))
        assert everything() == before
        (tmp_path / "refuse").unlink()
        daemon.settled()
        assert leads_to("video") == "v_02"


def test_without_privileges_it_says_so_and_changes_nothing(tmp_path):
    """As an unprivileged service would run: root's files, but no capability over the network."""
    before = everything()
    without = ("setpriv", "--bounding-set", "-net_admin,-sys_admin", "--inh-caps", "-all")
    with netpolicyd(tmp_path, CONFIG, *without) as daemon:
        until(lambda: daemon.process.poll() is not None or _error(daemon))
        if daemon.process.poll() is None:
            assert "ermitted" in _error(daemon) or "ermission" in _error(daemon)
            daemon.end()
        else:
            assert "netpolicyd: " in daemon.said() and "CAP_NET_ADMIN" in daemon.said()
    assert everything() == before


def _error(daemon: Netpolicyd) -> str:
    return daemon.call("status")["kernel"]["error"] or ""


def test_without_a_configuration_it_waits_for_one(tmp_path):
    with netpolicyd(tmp_path, CONFIG) as daemon:
        daemon.settled()
        daemon.end(signal.SIGKILL)
        daemon.config.unlink()
        daemon.start()
        assert until(lambda: daemon.call("status")["config"]["error"])
        time.sleep(0.3)  # the first turn: nothing can be awaited that must not happen
        assert leads_to("video") == "v_02"
        daemon.config.write_text(CONFIG)
        daemon.send(signal.SIGHUP)
        daemon.settled()
        assert daemon.end() == 0


def test_the_bus_socket_is_for_root_alone_and_goes_with_the_daemon(daemon):
    assert os.stat(daemon.socket).st_mode & 0o007 == 0
    daemon.end()
    assert not os.path.exists(daemon.socket)
