"""How plans, changes, drift and the journal look."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from netpolicy.cli import change_picture
from netpolicy.cli.terminal import Terminal

from .change_documents import (
    BEGIN,
    CHANGE,
    DRIFT,
    END,
    GENERATION,
    HASH,
    HELD,
    HISTORY,
    LOCKED,
    PLAN,
    RECOVERED,
    TOKEN,
    UNTOLD,
)


def drawn(picture: Callable[..., None], *given: Any) -> list[str]:
    out = io.StringIO()
    picture(Terminal(out, out), *given)
    return out.getvalue().splitlines()


# -- plans -----------------------------------------------------------------------------------


def test_a_short_plan_without_rules_lists_the_kernel() -> None:
    """Drift: nothing but the lines themselves says what would happen."""
    found = {"changes": ["+ chain a", "+ chain b"], "drift": ["+ chain a", "+ chain b"], "hash": HASH}
    assert drawn(change_picture.plan, found) == [
        "+ chain a", "+ chain b", "2 changes pending",
        "2 of them put right what others changed of ours: netpolicy drift",
        f"make exactly this change: netpolicy apply --plan {HASH[:16]}",
    ]  # fmt: skip


def test_a_long_plan_without_rules_shows_its_beginning() -> None:
    lines = drawn(change_picture.plan, {"changes": [f"+ {n}\nmore of it" for n in range(200)]})
    assert lines == [*(f"+ {n}" for n in range(20)), "180 more in the kernel: --verbose lists them"]


def test_a_plan_that_changes_only_a_title_leaves_the_kernel_alone() -> None:
    lines = drawn(change_picture.plan, {"changes": [], "rules": [1], "text": ["~ rule a: title"], "unchanged": False})
    assert lines == ["~ rule a: title", "the kernel stays as it is; the files would be kept as a new generation"]
    assert drawn(change_picture.plan, {"changes": [], "unchanged": True}) == ["nothing to do"]


def test_the_risk_has_its_reasons() -> None:
    lines = drawn(change_picture.change, {"plan": {"risk": {"level": "high", "reasons": [{"text": "x " * 60}, "y"]}}})
    assert lines[0] == "risk: high" and lines[1].startswith("  - x x") and lines[2].startswith("    x")
    assert lines[-1] == "  - y" and max(map(len, lines)) <= 80
    assert drawn(change_picture.change, {"plan": {"risk": {"level": "none"}}}) == []


def test_a_plan_that_apply_refuses_says_why_and_invites_to_nothing() -> None:
    found = {**PLAN, "refused": {"error": "rule video cannot be used", "hint": "mend it"}}
    lines = drawn(change_picture.plan, found)
    assert lines[-2:] == ["apply refuses this: rule video cannot be used", "  hint: mend it"]
    assert not any("make exactly" in line for line in lines)
    assert "make exactly" in drawn(change_picture.plan, {**PLAN, "refused": None})[-1]
    nothing = {"changes": [], "unchanged": True, "refused": {"error": "rule video cannot be used"}}
    assert drawn(change_picture.plan, nothing)[-1] == "apply refuses this: rule video cannot be used"


def test_a_change_that_waits_is_told_before_the_plan() -> None:
    pending = {"id": "r1", "cause": "apply", "state": "await", "seconds_left": 90}
    text = " ".join(" ".join(drawn(change_picture.plan, {**PLAN, "pending": pending})).split())
    assert text.startswith("change r1 (apply) is under way: await, taken back in 90 s unless it is confirmed.")
    assert drawn(change_picture.plan, {**PLAN, "pending": None}) == drawn(change_picture.plan, PLAN)


# -- rehearsals ------------------------------------------------------------------------------


def test_what_is_broken_comes_first_and_says_why() -> None:
    lines = drawn(change_picture.rehearsal, {"how": "packets", "rows": [HELD, UNTOLD, LOCKED]})
    assert [line.split()[0] for line in lines[:4]] == ["VERDICT", "BROKEN", "not", "ok"]
    assert "admin 192.168.1.5 -> 192.168.1.1 tcp/22" in lines[1] and "answered → refused" in lines[1]
    assert lines[3].endswith("  forwarded via eth1")
    assert "refused (no_ssh: block reject)" in " ".join(lines[4:]) and "nobody is there" in " ".join(lines[4:])
    assert max(map(len, lines)) <= 80


def test_many_rows_are_cut_and_none_that_is_broken() -> None:
    rows = [*([HELD] * 40), LOCKED]
    lines = drawn(change_picture.rehearsal, {"rows": rows})
    assert lines[1].startswith("BROKEN") and lines[-1] == "and 21 more: --verbose shows them"
    assert len(drawn(change_picture.rehearsal, {"rows": rows}, True)) == 1 + 41 + 1


def test_a_rehearsal_without_packets_says_so() -> None:
    found = {"how": "rules", "why": "no network namespaces", "notes": ["only our own rules were judged"], "rows": []}
    assert drawn(change_picture.rehearsal, found) == [
        "not tried with packets, judged by our own rules alone: no network namespaces",
        "only our own rules were judged",
    ]


# -- changes ---------------------------------------------------------------------------------


def test_it_is_said_what_to_do_and_until_when() -> None:
    lines = drawn(change_picture.how_to_confirm, CHANGE, TOKEN)
    assert "118 s, at " in lines[0] and f"  netpolicy confirm {TOKEN}" in lines
    assert not any("console" in line for line in lines)
    assert any("console" in line for line in drawn(change_picture.how_to_confirm, CHANGE, TOKEN, True))
    assert "in - s," in drawn(change_picture.how_to_confirm, {}, "")[0]


def test_a_confirmed_change_says_by_what() -> None:
    found = {"state": "committed", "generation": 8, "notes": ["confirmed by root by bus: SSH from 192.168.1.5"]}
    assert drawn(change_picture.ended, found) == [
        "confirmed: generation 8 is in force", "confirmed by root by bus: SSH from 192.168.1.5",
    ]  # fmt: skip


# -- drift -----------------------------------------------------------------------------------


def test_drift_that_is_left_says_when_it_is_put_right() -> None:
    lines = drawn(change_picture.drift, DRIFT)
    assert lines[0].startswith("7 s ago others changed what is ours (left: put right twice in ten minutes")
    assert "  + ip rule 7001" in lines
    assert lines[-1] == "put it right: by itself in 412 s; now: netpolicy drift --heal"


def test_of_much_drift_the_beginning_is_shown() -> None:
    last = {**DRIFT["last"], "changes": [f"+ chain {n}" for n in range(27)]}
    lines = drawn(change_picture.drift, {**DRIFT, "last": last})
    assert "  + chain 9" in lines and "  + chain 10" not in lines and "  and 17 more: --json has them" in lines


def test_drift_that_was_healed_needs_nothing() -> None:
    last = {"seconds_ago": 7, "treatment": "heal", "changes": ["+ chain a"]}
    lines = drawn(change_picture.drift, {"mode": "heal", "is_there": False, "last": last, "heals_again_in": None})
    assert lines == ["7 s ago others changed what is ours (put right):", "  + chain a"]
    assert drawn(change_picture.drift, {"last": None}) == ["nobody else changed what is ours"]


def test_drift_that_is_only_told_of_names_the_mode() -> None:
    found = {**DRIFT, "mode": "alert", "heals_again_in": None, "last": {**DRIFT["last"], "treatment": "alert"}}
    lines = drawn(change_picture.drift, found)
    assert "(left: drift is alert), and it is still so:" in " ".join(lines)
    assert lines[-1] == "put it right: now: netpolicy drift --heal"


# -- the past --------------------------------------------------------------------------------


def test_the_beginning_of_a_change_is_shown_while_its_end_is_not_there() -> None:
    lines = drawn(change_picture.history, HISTORY)
    assert len(lines) == 4 and "apply: reverted  " in lines[1]
    assert lines[2:] == ["  nobody confirmed it in time", "kept: 6, 7; confirmed: 7"]
    assert "apply: began" in drawn(change_picture.history, {"entries": [BEGIN]})[1]
    assert "began" not in "".join(drawn(change_picture.history, {"entries": [RECOVERED, BEGIN]}))


def test_every_kind_of_line_has_words() -> None:
    said = [
        (END, "apply: reverted"),
        (RECOVERED, "found reverted"),
        ({"event": "adopted", "cause": "reload"}, "adopted: reload"),
        ({"kind": "journal", "event": "begin", "text": "x"}, "journal: begin"),
        ({"line": "nonsense", "problem": "not a line"}, "unreadable"),
        ({}, "-"),
    ]
    for row, words in said:
        assert change_picture.what(row) == words


def test_times_that_cannot_be_are_dashes() -> None:
    for time in (None, "x", 1e300, float("nan"), -1e18):
        assert change_picture.moment(time) == "-"
    assert change_picture.moment(1_700_000_000).startswith("2023-11-1")


def test_a_generation_shows_its_files_and_what_it_has_not() -> None:
    lines = drawn(change_picture.generation, GENERATION)
    assert lines[0] == "generation 7, after 6" and "why: mail" in lines
    assert "    option enabled '1'" in lines and lines[-1] == "(not shown; sha256 cd)"
    assert drawn(change_picture.generation, {"number": 1, "parent": 0})[0] == "generation 1, the first one"


def test_long_differences_are_wrapped() -> None:
    lines = drawn(change_picture.lines, ["~ rule a: " + "dest_port 443 " * 20])
    assert len(lines) > 1 and max(map(len, lines)) <= 80 and lines[1].startswith("    ")


def test_a_plan_may_be_for_a_file() -> None:
    assert drawn(change_picture.plan, PLAN, False, "netpolicy apply --rules a.np")[-1].startswith(
        "make exactly this change: netpolicy apply --rules a.np --plan 0123"
    )


def test_the_journal_says_where_a_text_that_was_taken_back_is_kept() -> None:
    note = "what stood in /c is kept as /s/rejected"
    assert f"  {note}" in drawn(change_picture.history, {"entries": [{**END, "notes": [note]}]})
    assert f"  {note}" not in drawn(
        change_picture.history, {"entries": [{**END, "outcome": "committed", "notes": [note]}]}
    )
