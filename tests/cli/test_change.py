"""The commands of the guarded apply, against a stand-in daemon: exit codes, documents, what a person is told to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from netpolicy.bus.status import INVALID_ARGUMENT, NOT_FOUND, UbusError
from netpolicy.cli import login

from .change_documents import (
    CHANGE,
    CHANGE_REPLIES,
    COMMITTED,
    DRIFT,
    HOSTILE,
    ID,
    PLAN,
    REFUSED,
    REVERTED,
    TOKEN,
)
from .conftest import Tool
from .stand_in import StandIn

SSH = "192.168.1.5 40000 192.168.1.1 22"


@pytest.fixture(autouse=True)
def at_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same wherever the tests are started from."""
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(login, "_from_above", lambda: "")


@pytest.fixture
def router(daemon: StandIn) -> StandIn:
    """The daemon, with the answers of a guarded apply."""
    assert daemon.replies is not None
    daemon.replies.update(CHANGE_REPLIES)
    daemon.leave()
    daemon.come_back()
    return daemon


def answer(router: StandIn, **replies: Any) -> None:
    assert router.replies is not None
    router.replies.update(replies)


def refuse(text: str, status: int = INVALID_ARGUMENT) -> Any:
    def refused(arguments: dict[str, Any]) -> dict[str, Any]:
        raise UbusError(status, text)

    return refused


COMMANDS = {
    "plan": (["plan"], 2, PLAN),
    "apply": (["apply"], 2, CHANGE),
    "confirm": (["confirm", "--console", TOKEN], 0, COMMITTED),
    "extend": (["extend", "300"], 2, {**CHANGE, "seconds_left": 300}),
    "abort": (["abort"], 3, CHANGE_REPLIES["abort"]),
    "rollback": (["rollback", "6"], 2, CHANGE),
    "history": (["history"], 0, CHANGE_REPLIES["history"]),
    "verify": (["history", "verify"], 0, CHANGE_REPLIES["verify"]),
    "show": (["show", "7"], 0, CHANGE_REPLIES["show"]),
    "diff": (["diff", "6", "7"], 1, CHANGE_REPLIES["diff"]),
    "drift": (["drift"], 1, DRIFT),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_json_is_one_document_and_the_code_is_that_of_the_text(name: str, tool: Tool, router: StandIn) -> None:
    words, code, document = COMMANDS[name]
    as_json = tool(*words, "--json")
    assert (as_json.code, as_json.json) == (code, document)
    assert as_json.err == ("" if name not in ("apply", "rollback") else as_json.err)
    assert tool(*words).code == code


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", [60, 80, 132])
def test_no_line_is_wider_than_the_terminal(
    name: str, columns: int, tool: Tool, router: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    words, _, _ = COMMANDS[name]
    # Below 80 the least widths of a table's columns may need more than there is; a digest is never cut.
    lines = [line for line in tool(*words).out.splitlines() if "its hash: " not in line]
    assert lines
    assert max(len(line) for line in lines) <= max(columns, 80)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_document_with_nothing_in_it_still_shows(name: str, tool: Tool, router: StandIn) -> None:
    words, _, _ = COMMANDS[name]
    ended = {"job": {"state": "await"}, "apply": {"job": ID}, "rollback": {"job": ID}}
    answer(router, **{method: ended.get(method, {}) for method in CHANGE_REPLIES})
    result = tool(*words)
    assert "internal error" not in result.err and result.code in (0, 1, 2)
    for method in CHANGE_REPLIES:
        odd = {"text": 5, "rules": "x", "changes": 7, "entries": [3, {}], "files": [{}], "meta": [], "last": 1,
               "rehearsal": [], "plan": 3, "risk": 4, "state": "await", "seconds_left": "soon"}  # fmt: skip
        answer(router, **{method: {**odd, **({"job": ID} if method in ("apply", "rollback") else {})}})
    result = tool(*words)
    assert "internal error" not in result.err and "Traceback" not in result.err


@pytest.mark.parametrize("name", COMMANDS)
def test_names_from_elsewhere_cannot_steer_the_terminal(name: str, tool: Tool, router: StandIn) -> None:
    words, _, _ = COMMANDS[name]

    def poisoned(value: Any) -> Any:
        if isinstance(value, dict):
            kept = ("state", "job", "ok", "fine", "event")
            return {key: one if key in kept else poisoned(one) for key, one in value.items()}
        if isinstance(value, list):
            return [poisoned(one) for one in value]
        return HOSTILE if isinstance(value, str) else value

    answer(router, **{method: poisoned(reply) for method, reply in CHANGE_REPLIES.items()})
    result = tool(*words)
    assert "?" in result.out + result.err
    assert all(c.isprintable() or c == "\n" for c in result.out + result.err)


# -- plan ------------------------------------------------------------------------------------


def test_a_large_plan_names_the_rules_and_counts_the_kernel(tool: Tool, router: StandIn) -> None:
    lines = tool("plan").out.splitlines()
    assert lines[0] == "~ rule video: dest_port 443 → 8443"
    assert "200 changes of the kernel: --verbose lists them" in lines
    assert not any("element" in line for line in lines)
    assert lines[-1] == "make exactly this change: netpolicy apply --plan 0123456789abcdef"
    assert sum("element" in line for line in tool("plan", "--verbose").out.splitlines()) == 200


def test_a_plan_for_a_file_hands_the_file_over(tool: Tool, router: StandIn, tmp_path: Path) -> None:
    rules = tmp_path / "mine.np"
    rules.write_text("rule a:\n  match any\n  action block\n", encoding="utf-8")
    assert f"netpolicy apply --rules {rules} --plan" in tool("plan", "--rules", str(rules)).out
    assert router.calls == [("plan", {"text": rules.read_text(encoding="utf-8"), "format": "dsl"})]


def test_a_plan_that_cannot_be_made_says_why(tool: Tool, router: StandIn) -> None:
    answer(router, plan={"changes": [], "hash": "", "error": "netpolicy:7:2: unknown option 'prioritty'"})
    result = tool("plan")
    assert (result.code, result.out) == (1, "")
    assert "unknown option 'prioritty'" in result.err
    assert tool("plan", "--json").json["error"].endswith("'prioritty'")


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_file_that_cannot_be_handed_over_is_refused_here(
    command: str, tool: Tool, router: StandIn, tmp_path: Path
) -> None:
    (tmp_path / "long.np").write_text("#" * 1_000_001, encoding="utf-8")
    (tmp_path / "latin.np").write_bytes(b"# \xe9\n")
    reasons = {"none.np": "No such file", ".": "Is a directory", "long.np": "longer than 1000000 bytes",
               "latin.np": "not UTF-8"}  # fmt: skip
    for name, reason in reasons.items():
        result = tool(command, "--rules", str(tmp_path / name))
        assert result.code == 1
        assert reason in result.err
    assert router.calls == []


def test_the_longest_file_fits_into_a_message(tool: Tool, router: StandIn, tmp_path: Path) -> None:
    rules = tmp_path / "long.np"
    rules.write_text("#" * 999_999 + "\n", encoding="utf-8")
    assert tool("plan", "--rules", str(rules)).code == 2
    assert len(router.calls[0][1]["text"]) == 1_000_000


# -- apply and rollback ----------------------------------------------------------------------


def test_an_apply_says_what_to_do_and_by_when(tool: Tool, router: StandIn) -> None:
    result = tool("apply", "--confirm", "120", "-m", "mail", "--plan", "01234567")
    text = " ".join(result.out.split())
    assert result.code == 2
    assert "taken back in 118 s, at " in text and "ANEW by SSH" in text
    assert f"  netpolicy confirm {TOKEN}\n" in result.out
    assert "netpolicy extend SECONDS" in text and "netpolicy abort" in text and "--console" not in text
    assert router.calls == [("apply", {"confirm": 120, "message": "mail", "plan": "01234567"}), ("job", {"id": ID})]


def test_at_the_console_it_says_that_too(tool: Tool, router: StandIn) -> None:
    assert "at the console: the same with --console" in tool("apply", "--console").out
    assert router.calls[0] == ("apply", {"console": True})


ENDS = [
    ({**CHANGE, "state": "unchanged"}, 0, "nothing to do"),
    (COMMITTED, 0, "confirmed: generation 8 is in force"),
    (REVERTED, 3, "taken back, what was confirmed before is in force again: nobody confirmed it in time"),
    (REFUSED, 4, "not applied: the rehearsal shows: admin 192.168.1.5"),
    ({**REVERTED, "state": "rescue"}, 5, "only minimal rules are in force"),
]


@pytest.mark.parametrize("command", ["apply", "rollback"])
@pytest.mark.parametrize(("found", "code", "words"), ENDS)
def test_every_end_has_its_code_and_its_words(
    found: dict[str, Any], code: int, words: str, command: str, tool: Tool, router: StandIn
) -> None:
    answer(router, job=found)
    result = tool(command)
    assert result.code == code
    assert words in " ".join((result.out + result.err).split())
    as_json = tool(command, "--json")
    assert (as_json.code, as_json.json) == (code, found)


def test_a_refused_apply_shows_whom_it_would_lock_out_first(tool: Tool, router: StandIn) -> None:
    answer(router, job=REFUSED)
    result = tool("apply")
    rows = [line for line in result.out.splitlines() if "admin" in line or "assert" in line]
    assert rows[0].startswith("BROKEN") and "admin 192.168.1.5" in rows[0]
    assert "hint: change the rules" in result.err


@pytest.mark.parametrize(
    "words", [["apply"], ["rollback", "6"], ["confirm", "--console", TOKEN], ["extend", "9"], ["abort"]]
)
def test_what_the_daemon_refuses_ends_with_4(words: list[str], tool: Tool, router: StandIn) -> None:
    answer(router, **{words[0]: refuse("change r1 is under way (await)")})
    for more in ([], ["--json"]):
        result = tool(*words, *more)
        assert result.code == 4
        assert "change r1 is under way (await)" in result.err
    assert "under way" in result.json["error"]


def test_a_generation_that_is_not_there_is_a_negative_answer(tool: Tool, router: StandIn) -> None:
    gone = refuse("generation 99 is damaged: it is not there", NOT_FOUND)
    answer(router, rollback=gone, show=gone, diff=gone)
    for words in (["rollback", "99"], ["show", "99"], ["diff", "99"]):
        result = tool(*words)
        assert result.code == 1 and "generation 99" in result.err


def test_a_rollback_names_files_that_it_cannot_bring_back(tool: Tool, router: StandIn) -> None:
    answer(router, rollback={"job": ID, "not_kept": ["/etc/netpolicy/long.txt", HOSTILE]})
    result = tool("rollback")
    assert "/etc/netpolicy/long.txt stays as it is now" in result.err
    assert "\x1b" not in result.err
    assert router.calls[0] == ("rollback", {"generation": 0})


def test_a_window_beyond_an_hour_is_a_wrong_command_line(tool: Tool, router: StandIn) -> None:
    for words in (["apply", "--confirm", "3601"], ["apply", "--confirm", "-1"], ["extend", "x"], ["rollback", "two"],
                  ["confirm"], ["history", "verfy"], ["diff"]):  # fmt: skip
        assert tool(*words).code == 64
    assert router.calls == []


# -- confirm, extend, abort ------------------------------------------------------------------


def test_a_confirmation_hands_over_the_words_of_ssh_and_asks_nothing_more(
    tool: Tool, router: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", SSH)
    result = tool("confirm", TOKEN)
    assert result.code == 0
    assert "generation 8 is in force" in result.out and "SSH from 192.168.1.5:40000" in result.out
    assert router.calls == [("confirm", {"id": TOKEN, "ssh": SSH, "from": "from 192.168.1.5"})]


def test_without_a_login_a_confirmation_says_what_to_do_and_how_long(tool: Tool, router: StandIn) -> None:
    answer(router, status={"pending": {"id": ID, "seconds_left": 57}})
    result = tool("confirm", TOKEN)
    assert result.code == 4
    assert "no SSH login" in result.err and "57 s left" in result.err
    assert "log in to this router by SSH" in result.err and "--console" in result.err
    assert router.names == ["status"]


def test_without_a_change_a_confirmation_says_so(tool: Tool, router: StandIn) -> None:
    result = tool("confirm", TOKEN)
    assert result.code == 4
    assert "no change waits" in result.err and "netpolicy history" in result.err


def test_the_console_does_not_count_for_a_change_from_elsewhere(tool: Tool, router: StandIn) -> None:
    answer(router, confirm=refuse("the confirmation does not say by which connection it came"))
    result = tool("confirm", "--console", TOKEN)
    assert result.code == 4
    assert "only for a change that was applied with --console" in result.err


def test_more_time_and_an_end_are_told(tool: Tool, router: StandIn) -> None:
    assert tool("extend", "300").out == f"change {ID} waits: 300 s left\n"
    result = tool("abort", ID)
    assert (result.code, result.err) == (3, "")
    assert "taken back: what was confirmed before is in force again" in result.out
    assert router.calls == [("extend", {"id": "", "seconds": 300}), ("abort", {"id": ID})]


def test_an_abort_that_came_too_late_says_what_is_in_force(tool: Tool, router: StandIn) -> None:
    answer(router, abort=COMMITTED)
    result = tool("abort")
    assert result.code == 0 and "generation 8 is in force" in result.out


# -- looking back ----------------------------------------------------------------------------


def test_a_journal_that_is_not_what_was_written_ends_with_1(tool: Tool, router: StandIn) -> None:
    answer(router, verify={"fine": False, "lines": 2, "number": 2, "hash": "ab", "line": 3, "why": "line 3: its hash"})
    for words in (["history", "verify"], ["history", "verify", "--json"]):
        assert tool(*words).code == 1
    assert "not what was written: line 3: its hash" in tool("history", "verify").err


def test_generations_that_say_the_same_end_with_0(tool: Tool, router: StandIn) -> None:
    answer(router, diff={"from": 7, "to": 0, "changes": [], "text": []})
    result = tool("diff", "7")
    assert (result.code, result.out) == (0, "")
    assert router.calls == [("diff", {"from": 7, "to": 0})]


def test_drift_can_be_put_right_at_once(tool: Tool, router: StandIn) -> None:
    answer(router, drift={**DRIFT, "is_there": False})
    assert tool("drift", "--heal").code == 0
    assert router.names == ["heal", "drift"]


def test_drift_that_stays_says_why(tool: Tool, router: StandIn) -> None:
    answer(router, heal={"ok": False, "error": "nft: Operation not permitted"})
    for words in (["drift", "--heal"], ["drift", "--heal", "--json"]):
        result = tool(*words)
        assert result.code == 1 and "Operation not permitted" in result.err
    assert result.json == {"ok": False, "error": "nft: Operation not permitted"}


def test_a_plan_that_is_nothing_but_refused_ends_with_1(tool: Tool, router: StandIn) -> None:
    answer(router, plan={"changes": [], "rules": [], "unchanged": False, "refused": {"error": "rule video is broken"}})
    result = tool("plan")
    assert result.code == 1 and "apply refuses this: rule video is broken" in result.out
    answer(router, plan={**PLAN, "refused": {"error": "rule video is broken"}})
    assert tool("plan").code == 2


def test_what_is_wrong_with_a_file_is_told_by_its_name(tool: Tool, router: StandIn, tmp_path: Path) -> None:
    file = tmp_path / "new.uci"
    file.write_text("x")
    wrong = "<text>:0:0: error[NP210] there is no main section"
    answer(router, plan={"changes": [], "hash": "", "error": wrong})
    assert f"plan: {file}:0:0: error[NP210]" in tool("plan", "--rules", str(file)).err.replace("\n", "")
    answer(router, plan={**PLAN, "refused": {"error": wrong}}, job={**REFUSED, "error": wrong})
    assert f"{file}:0:0:" in tool("plan", "--rules", str(file)).out.replace("\n  ", "")
    assert f"{file}:0:0:" in tool("apply", "--rules", str(file)).err
    answer(router, apply=refuse(wrong))
    result = tool("apply", "--rules", str(file))
    assert result.code == 4 and f"{file}:0:0:" in result.err


def test_a_change_that_was_taken_back_says_where_its_text_is_kept(tool: Tool, router: StandIn) -> None:
    note = "what stood in /etc/config/netpolicy is kept as /etc/netpolicy/rejected"
    answer(router, job={**REVERTED, "notes": [note]}, abort={**REVERTED, "notes": [note]})
    assert note in tool("apply", "--wait").err
    assert note in tool("abort").out.replace("\n", " ")
