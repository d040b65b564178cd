"""The methods of the guarded apply: who asks is told, and a refusal has words."""

from __future__ import annotations

from typing import Any

import pytest

from netpolicy.bus.change_methods import change_methods
from netpolicy.bus.method import Caller, run
from netpolicy.bus.status import INVALID_ARGUMENT, NOT_FOUND, OK
from netpolicy.service.api import NotThere, Refused


class Changes:
    """Answers with what it was given, or refuses."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.refusal = refusal

    def apply(self, given: dict[str, Any], who: str) -> dict[str, Any]:
        if self.refusal:
            raise self.refusal
        return {"who": who}

    async def plan(self, given: dict[str, Any]) -> dict[str, Any]:
        if self.refusal:
            raise self.refusal
        return {"changes": []}

    async def show(self, number: int) -> dict[str, Any]:
        raise self.refusal or AssertionError


async def call(name: str, given: dict[str, Any], refusal: Exception | None = None, user: str = "root") -> Any:
    methods = change_methods(Changes(refusal))  # type: ignore[arg-type]
    return await run(methods[name], given, Caller(1, user, ""), pytest.fail)


@pytest.mark.parametrize(
    ("given", "user", "who"),
    [
        ({}, "root", "root by bus"),
        ({}, "", "unknown by bus"),
        ({"ubus_rpc_session": "0" * 32}, "root", "root by web"),
        ({"from": "anna from 192.0.2.1"}, "root", "root by bus, anna from 192.0.2.1"),
        ({"from": "x" * 1000}, "root", "root by bus, " + "x" * 200),
    ],
)
async def test_who_asks_is_told_with_the_door(given, user, who) -> None:
    assert await call("apply", given, user=user) == (OK, {"who": who})


async def test_refusals_are_statuses_with_words_and_a_plan_says_it_in_the_reply() -> None:
    assert await call("apply", {}, Refused("one is under way")) == (INVALID_ARGUMENT, {"error": "one is under way"})
    assert await call("show", {"generation": 9}, NotThere("no 9")) == (NOT_FOUND, {"error": "no 9"})
    assert await call("plan", {}, Refused("no nft")) == (OK, {"changes": [], "hash": "", "error": "no nft"})


@pytest.mark.parametrize("given", [{"confirm": "60"}, {"force": 1}, {"text": 5}, {"unknown": 1}])
async def test_what_is_not_declared_is_refused(given) -> None:
    assert (await call("apply", given))[0] == INVALID_ARGUMENT
