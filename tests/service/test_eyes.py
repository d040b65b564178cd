"""What a rehearsal forbids."""

from __future__ import annotations

import asyncio
from typing import Any

from netpolicy.service.engine import Engine
from netpolicy.service.eyes import Closed, Eyes, Rehearsal


def test_only_what_is_broken_for_certain_forbids_a_change() -> None:
    rows = [{"what": "a", "ok": True}, {"what": "b", "ok": None}, {"what": "c", "ok": False}]
    assert [row["what"] for row in Rehearsal({"rows": rows}).broken] == ["c"]
    assert not Rehearsal().broken


class _Seeing(Eyes):
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def probe(self, engine: Engine) -> object:
        self.asked.append("probe")
        await asyncio.sleep(0)
        return 3

    async def compare(self, engine: Engine, before: object) -> tuple[list[dict[str, Any]], str]:
        self.asked.append(f"compare {before}")
        return [], "worse"


def test_closed_eyes_are_opened_once_and_only_when_somebody_looks() -> None:
    made: list[_Seeing] = []

    def make() -> Eyes:
        made.append(_Seeing())
        return made[-1]

    async def look() -> None:
        closed: Any = Closed(make)
        assert not made
        assert await asyncio.gather(closed.probe(None), closed.probe(None)) == [3, 3]
        assert await closed.compare(None, 3) == ([], "worse")

    asyncio.run(look())
    assert [one.asked for one in made] == [["probe", "probe", "compare 3"]]


def test_closed_eyes_are_asked_all_that_eyes_are_asked() -> None:
    asked = [name for name in vars(Eyes) if not name.startswith("_")]
    assert asked and all(name in vars(Closed) for name in asked)
