"""Following a change: progress in order, waiting, Ctrl-C, and a daemon that dies in the middle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from netpolicy.bus.status import UNKNOWN_ERROR, UbusError
from netpolicy.cli import change_watch, login

from .change_documents import BEGIN, CHANGE, CHANGE_REPLIES, COMMITTED, END, HISTORY, ID, RECOVERED, REVERTED, TOKEN
from .conftest import Tool
from .stand_in import StandIn


@pytest.fixture
def router(daemon: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setattr(login, "ssh_words", lambda: "")
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert daemon.replies is not None
    daemon.replies.update(CHANGE_REPLIES)
    daemon.leave()
    daemon.come_back()
    return daemon


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What happens in each pause of the tool, one after the other; then nothing. Nobody sleeps."""
    todo: list[Callable[[], None]] = []
    monkeypatch.setattr(change_watch.time, "sleep", lambda seconds: todo.pop(0)() if todo else None)
    return todo


def interrupt() -> None:
    raise KeyboardInterrupt


def nothing() -> None:
    """A pause in which nothing happens."""


def states(router: StandIn, *found: Any) -> None:
    """The change is another at each look; a callable is called instead."""
    left = list(found)

    def job(arguments: dict[str, Any]) -> dict[str, Any]:
        one = left.pop(0) if len(left) > 1 else left[0]
        return one() if callable(one) else one

    assert router.replies is not None
    router.replies["job"] = job


def at(state: str, **more: Any) -> dict[str, Any]:
    return {**CHANGE, "state": state, **more}


@pytest.mark.usefixtures("pauses")
def test_progress_stands_on_standard_error_in_order(tool: Tool, router: StandIn) -> None:
    states(router, at("planning"), at("checked"), at("checked"), at("armed"), at("applying"), at("probing"), COMMITTED)
    result = tool("apply")
    assert result.err.splitlines() == [
        "reading and planning …", "rehearsing …", "the guard watches …", "changing the kernel …", "probing the lines …",
    ]  # fmt: skip
    assert result.code == 0 and "generation 8" in result.out


@pytest.mark.usefixtures("pauses")
def test_a_state_that_is_not_known_is_shown_as_it_is(tool: Tool, router: StandIn) -> None:
    states(router, at("pondering\x1b[2J"), COMMITTED)
    assert tool("apply").err == "pondering?[2J\n"


@pytest.mark.usefixtures("pauses")
def test_waiting_counts_down_and_notices_more_time(tool: Tool, router: StandIn) -> None:
    waits = [at("await", seconds_left=left) for left in (118, 90, 60, 59, 300, 31, 30, 4)]
    states(router, *waits, REVERTED)
    result = tool("apply", "--wait")
    assert result.code == 3
    assert f"netpolicy confirm {TOKEN}" in result.out
    assert result.err.splitlines()[:-1] == [
        "in force, not confirmed yet", "60 s left", "the time was extended: 300 s left", "31 s left", "30 s left",
        "4 s left",
    ]  # fmt: skip


@pytest.mark.usefixtures("pauses")
def test_waiting_ends_when_somebody_confirms_elsewhere(tool: Tool, router: StandIn) -> None:
    states(router, at("await"), COMMITTED)
    result = tool("apply", "--wait")
    assert result.code == 0 and "generation 8 is in force" in result.out


@pytest.mark.usefixtures("pauses")
def test_a_program_that_waits_gets_the_token_and_one_document(tool: Tool, router: StandIn) -> None:
    states(router, at("applying"), at("await"), COMMITTED)
    result = tool("apply", "--wait", "--json")
    assert result.json == COMMITTED
    assert f"netpolicy confirm {TOKEN}" in result.err


def test_ctrl_c_while_waiting_says_that_the_change_waits_on(
    tool: Tool, router: StandIn, pauses: list[Callable[[], None]]
) -> None:
    pauses += [nothing, interrupt]
    result = tool("apply", "--wait")
    assert result.code == 130
    assert f"change {ID} goes on waiting" in result.err
    assert f"netpolicy confirm {TOKEN}" in result.err and "netpolicy abort" in result.err and "118 s" in result.err
    assert router.names == ["apply", "job", "job"]


def test_ctrl_c_before_it_waits_says_that_it_goes_on(
    tool: Tool, router: StandIn, pauses: list[Callable[[], None]]
) -> None:
    pauses += [interrupt]
    states(router, at("applying", token=None))
    result = tool("apply", "--json")
    assert result.code == 130
    assert "goes on without this command" in result.err and "netpolicy call job" in result.err
    assert result.json["state"] == "applying"


def dying(router: StandIn) -> Callable[[], dict[str, Any]]:
    """The daemon dies right after this answer."""

    def die() -> dict[str, Any]:
        router.leave()
        return at("applying")

    return die


ENDS = [
    ([RECOVERED, BEGIN], 3, "taken back, what was confirmed before is in force again: the daemon died (by-guard)"),
    ([{**RECOVERED, "outcome": "rescue"}], 5, "only minimal rules"),
    ([{**RECOVERED, "outcome": "confirmed", "detail": f"{ID} rolled-forward 8"}], 0, "generation 8 is in force"),
    ([END, BEGIN], 3, "nobody confirmed it in time"),
    ([RECOVERED, BEGIN], 3, "is kept in the store: /etc/netpolicy/rejected"),
    ([{**END, "notes": ["what stood in /c is kept as /s"]}, BEGIN], 3, "what stood in /c is kept as /s"),
]


@pytest.mark.parametrize(("entries", "code", "words"), ENDS)
def test_when_the_daemon_dies_the_next_one_tells_the_end(
    entries: list[Any], code: int, words: str, tool: Tool, router: StandIn, pauses: list[Callable[[], None]]
) -> None:
    def return_and_tell() -> None:
        assert router.replies is not None
        router.replies["history"] = {**HISTORY, "entries": entries}
        router.come_back()

    pauses += [nothing, nothing, nothing, return_and_tell]
    states(router, at("applying"), dying(router))
    result = tool("apply")
    assert result.code == code
    assert "the guard takes the change back" in result.err
    assert words in " ".join((result.out + result.err).split())


def test_a_daemon_that_only_lost_the_bus_is_followed_again(
    tool: Tool, router: StandIn, pauses: list[Callable[[], None]]
) -> None:
    assert router.replies is not None
    router.replies["history"] = {**HISTORY, "entries": [BEGIN]}
    pauses += [nothing, nothing, router.come_back]
    states(router, at("applying"), dying(router), at("probing"), COMMITTED)
    assert tool("apply").code == 0


def test_a_daemon_that_lives_and_cannot_show_the_change_is_not_waited_for(
    tool: Tool, router: StandIn, pauses: list[Callable[[], None]]
) -> None:
    def too_long() -> dict[str, Any]:
        raise UbusError(UNKNOWN_ERROR, "the answer is too long")

    assert router.replies is not None
    router.replies["status"] = {"pending": {"id": ID, "state": "await"}}
    router.replies["history"] = {**HISTORY, "entries": [BEGIN]}
    states(router, at("applying"), too_long)
    result = tool("apply")
    assert result.code == 2
    assert f"change {ID} goes on (job: the answer is too long)" in result.err and "netpolicy abort" in result.err


def test_when_nobody_comes_back_it_is_said_where_to_look(
    tool: Tool, router: StandIn, pauses: list[Callable[[], None]]
) -> None:
    waited: list[int] = []
    pauses += [nothing, nothing, *(lambda: waited.append(1) for _ in range(change_watch.LOST_SECONDS + 5))]
    states(router, at("applying"), dying(router))
    result = tool("apply")
    assert result.code == 1
    assert f"nobody says what became of change {ID}" in result.err
    assert "guard status" in result.err and "netpolicy history" in result.err
    assert len(waited) == change_watch.LOST_SECONDS


def test_a_line_of_another_change_is_no_end() -> None:
    other = {**END, "id": "r00000000"}
    assert change_watch._end_in(other, ID) == ("", "")
    assert change_watch._end_in({**END, "outcome": "reverting"}, ID) == ("", "")
    assert change_watch._end_in({**RECOVERED, "outcome": "fallback", "detail": "7 6 unhealthy-boots"}, ID) == ("", "")
