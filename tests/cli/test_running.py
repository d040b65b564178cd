"""What a person reads when the daemon does not answer."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from netpolicy.cli import running
from netpolicy.cli.exit_code import Failure

from .conftest import Tool
from .stand_in import StandIn

ASKING = [["status"], ["rules"], ["outbounds"], ["connections"], ["connections", "--follow"], ["decide", "port=1"],
          ["plan"], ["reload"], ["logs"], ["logs", "--follow"], ["events"], ["call", "status"]]  # fmt: skip


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_without_a_bus_the_command_says_how_to_start_the_daemon(words: list[str], tool: Tool, tmp_path: Path) -> None:
    path = str(tmp_path / "none.sock")
    result = tool("--socket", path, *words)
    assert result.code == 1
    assert f"netpolicyd is not running (no ubus at {path}): start it with " in result.err
    assert result.out == ""


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_on_a_bus_without_the_object_too(words: list[str], tool: Tool, empty_bus: StandIn) -> None:
    result = tool(*words)
    assert result.code == 1
    assert "netpolicyd is not running" in result.err and "has no object 'netpolicy'" in result.err


def test_a_socket_that_nobody_serves_is_not_running(tool: Tool, tmp_path: Path) -> None:
    path = str(tmp_path / "left.sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    result = tool("status", "--socket", path)
    assert result.code == 1
    assert "netpolicyd is not running" in result.err and "refused" in result.err


def test_without_a_daemon_json_is_still_one_document(tool: Tool, tmp_path: Path) -> None:
    result = tool("status", "--json", "--socket", str(tmp_path / "none"))
    assert result.code == 1
    assert "not running" in result.json["error"]


def test_a_daemon_that_is_silent_is_not_waited_for_for_ever(daemon: StandIn) -> None:
    given_up = threading.Event()

    def sleep(arguments: dict[str, object]) -> dict[str, object]:
        given_up.wait(60)  # blocks the stand-in, which is the point
        return {}

    assert daemon.replies
    daemon.replies["plan"] = sleep
    try:
        with running.Daemon(None) as asked, pytest.raises(Failure, match="did not answer"):
            asked.call("plan", seconds=0.1)
    finally:
        given_up.set()


def test_the_option_wins_over_the_environment(
    tool: Tool, daemon: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NETPOLICY_UBUS_SOCKET", str(tmp_path / "elsewhere"))
    assert "NetPolicy" not in tool("status").out
    assert "NetPolicy" in tool("status", "--socket", daemon.path).out
    assert "NetPolicy" in tool("--socket", daemon.path, "status").out


def test_a_socket_of_root_says_to_be_root() -> None:
    with tempfile.NamedTemporaryFile() as closed:  # mode 0600, in a folder that everybody may enter
        assert in_a_child_of_nobody(lambda: "as root" in running.unreachable(closed.name, "").hint)


def test_somebody_else_than_root_hears_that_ubus_may_hide_the_daemon() -> None:
    assert in_a_child_of_nobody(lambda: "as root" in running.not_running("why").text)


def in_a_child_of_nobody(question: Callable[[], bool]) -> bool:
    """The answer that an unprivileged process gets."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            os._exit(0 if question() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_start_command_is_the_one_of_this_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "netpolicy"
    script.touch()
    monkeypatch.setattr(running, "INIT_SCRIPT", str(script))
    assert f"start it with {script} start" in running.not_running("why").text
