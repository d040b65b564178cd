"""Whatever dies, nothing of the lab stays: no process, namespace, mount, file or terminal setting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from netpolicy.lab import starter
from netpolicy.lab.bench import Lab
from netpolicy.lab.network import has_tun
from tests.daemon.running import until

from .lab_terminal import MARK, Terminal, command_of, descendants, marked, namespaces_of, wait_until_gone

pytestmark = pytest.mark.kernel

PICTURE = "a/b cable"
CLIENTS = 3


@pytest.fixture
def shown() -> Iterator[Terminal]:
    terminal = Terminal()
    terminal.read_until(PICTURE)
    # The clients start once the daemon has done its first work; the picture is drawn before.
    while sum("lab.traffic" in command_of(pid) for pid in descendants(terminal.inside)) < CLIENTS:
        terminal.read_until("\x1b")
    yield terminal
    terminal.close()


def all_namespaces(terminal: Terminal) -> set[str]:
    """Of the lab's first process and of everything below it: the nodes' too."""
    found = namespaces_of(terminal.inside)
    for pid in descendants(terminal.inside):
        found |= namespaces_of(pid)
    return found


def assert_plain_terminal(terminal: Terminal) -> None:
    assert terminal.text.rfind("\x1b[?1049l") > terminal.text.rfind("\x1b[?1049h"), "still on the second page"
    assert terminal.text.rfind("\x1b[?25h") > terminal.text.rfind("\x1b[?25l"), "cursor still hidden"


def part(terminal: Terminal, words: str) -> int:
    return next(pid for pid in descendants(terminal.inside) if words in command_of(pid))


def test_the_check_itself_sees_a_running_lab(shown: Terminal) -> None:
    # pid, mount, and the networks of the keeper, three clients, router and internet at least
    until(lambda: len(all_namespaces(shown)) >= 8)
    # outside, unshare, keeper, servers, daemon, three clients; two relays where there is /dev/net/tun
    until(lambda: len(marked(shown.mark)) >= 8)


@pytest.mark.parametrize("end", ["ctrl-c", "q", "sigterm"])
def test_an_asked_end_is_clean(shown: Terminal, end: str) -> None:
    if end == "sigterm":
        os.kill(shown.outside, signal.SIGTERM)
    else:
        shown.type({"ctrl-c": "\x03", "q": "q"}[end])
    assert shown.end() == 0
    wait_until_gone(shown.mark)
    assert shown.attributes() == shown.before
    assert_plain_terminal(shown)
    assert "Traceback" not in shown.text


@pytest.mark.parametrize("victim", ["outside", "unshare", "inside"])
def test_kill_9_of_any_process_of_the_frame_ends_all(shown: Terminal, victim: str) -> None:
    pid = {"outside": shown.outside, "unshare": shown.unshare, "inside": shown.inside}[victim]
    os.kill(pid, signal.SIGKILL)
    shown.end()
    wait_until_gone(shown.mark)
    shown.drain(0.3)
    assert shown.attributes() == shown.before
    assert_plain_terminal(shown)


@pytest.mark.parametrize("victim", ["lab.relay a", "lab.servers", "lab.traffic guest", "netpolicy.daemon.main"])
def test_kill_9_of_a_part_leaves_a_lab_that_still_ends_clean(shown: Terminal, victim: str) -> None:
    if "relay" in victim and not has_tun():
        pytest.skip("no access to /dev/net/tun, so no relay")
    os.kill(part(shown, victim), signal.SIGKILL)
    shown.read_until(PICTURE)
    shown.type("\x03")
    assert shown.end() == 0
    wait_until_gone(shown.mark)
    assert shown.attributes() == shown.before


def test_the_daemon_is_started_again_after_kill_9(shown: Terminal) -> None:
    first = part(shown, "netpolicy.daemon.main")
    shown.type("k")
    shown.read_until("netpolicyd ended (-9)")
    shown.read_until("state ")
    assert part_or_none(shown, first)


def part_or_none(terminal: Terminal, first: int) -> bool:
    for _ in range(600):
        found = [p for p in descendants(terminal.inside) if "netpolicy.daemon.main" in command_of(p) and p != first]
        if found:
            return True
        terminal.drain(0.05)
    return False


def test_nothing_is_written_into_the_machines_run_folder(shown: Terminal) -> None:
    assert not Path("/run/lab").exists()
    inside = Path(f"/proc/{shown.inside}/root/run")
    assert (inside / "lab").is_dir()
    names = {entry.name for entry in (inside / "netns").iterdir()}
    assert "router" in names
    outside = {entry.name for entry in Path("/run/netns").iterdir()} if Path("/run/netns").exists() else set()
    assert not {"isp_a", "isp_b", "laptop"} & outside


@pytest.mark.parametrize("own_user", [False, True])
@pytest.mark.parametrize("victim", ["unshare", "keeper"])
def test_a_test_bench_that_is_killed_leaves_nothing(
    own_user: bool, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    with Lab(user_namespace=own_user or os.geteuid() != 0) as lab:
        lab.udp("router", "192.0.2.9", 7)
        until(lambda: len(marked(mark)) >= 4)
        assert lab._started is not None
        os.kill(lab.pid if victim == "keeper" else lab._started.process.pid, signal.SIGKILL)
    wait_until_gone(mark)


def test_a_test_runner_that_is_killed_leaves_nothing() -> None:
    mark = uuid.uuid4().hex
    code = (
        "from netpolicy.lab.bench import Lab; import time; lab = Lab(); lab.open();"
        "lab.udp('desk', '192.168.1.1', 9); child = lab.popen('guest', ['sleep', '1000']);"
        "print(lab.pid, flush=True); time.sleep(1000)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**starter.environment(), MARK: mark}
    ) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline()
        try:
            until(lambda: len(marked(mark)) >= 6)
        finally:
            runner.kill()
    wait_until_gone(mark)
