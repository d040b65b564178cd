"""What is shown of a change and what is kept: never the token."""

from __future__ import annotations

import json

from netpolicy.service.change import AWAITING, COMMITTED, ENDED, PENDING, PLANNING, REFUSED, Change, Request


def change(state: str = AWAITING) -> Change:
    made = Change("r00000001", Request("root", "why not", 60), state, token="r00000001.secret", deadline=100)
    made.plan = {"hash": "abc", "risk": {"level": "low"}, "changes": ["+ x"], "text": ["~ rule x"]}
    return made


def test_the_token_is_neither_shown_nor_kept() -> None:
    assert "secret" not in json.dumps(change().shown(40)) + json.dumps(change().kept())


def test_the_time_left_is_told_while_it_matters() -> None:
    assert change().shown(40)["seconds_left"] == 60
    assert change().shown(140)["seconds_left"] == 0
    assert change(COMMITTED).shown(40)["seconds_left"] is None
    assert change(PLANNING).shown(40)["seconds_left"] is None


def test_states_are_over_or_pending_or_before_both() -> None:
    assert not set(ENDED) & set(PENDING)
    assert change(REFUSED).is_over and not change(REFUSED).is_pending
    assert change(AWAITING).is_pending and not change(AWAITING).is_over
    assert not change(PLANNING).is_pending and not change(PLANNING).is_over


def test_the_journal_gets_what_was_decided_on_and_how_it_ended() -> None:
    kept = change(COMMITTED).kept()
    assert kept["plan"] == {"hash": "abc", "risk": {"level": "low"}, "changes": ["+ x"]}
    assert (kept["who"], kept["why"], kept["outcome"]) == ("root", "why not", COMMITTED)
