"""What a rehearsal forbids."""

from __future__ import annotations

from netpolicy.service.eyes import Rehearsal


def test_only_what_is_broken_for_certain_forbids_a_change() -> None:
    rows = [{"what": "a", "ok": True}, {"what": "b", "ok": None}, {"what": "c", "ok": False}]
    assert [row["what"] for row in Rehearsal({"rows": rows}).broken] == ["c"]
    assert not Rehearsal().broken
