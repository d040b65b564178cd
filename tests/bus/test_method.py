"""What a method accepts and how a call ends."""

from __future__ import annotations

import pytest

from netpolicy.bus.method import Caller, Method, check, run
from netpolicy.bus.status import UbusError

NOBODY = Caller(1, "root", "root")


async def give_back(arguments, caller):
    return arguments


def test_the_refusal_names_the_argument_and_the_known_ones():
    with pytest.raises(UbusError, match=r"unknown argument 'portt'; known: port, name"):
        check(Method(give_back, {"port": int, "name": str}), {"portt": 1})
    with pytest.raises(UbusError, match=r"argument 'port' must be a whole number"):
        check(Method(give_back, {"port": int}), {"port": True})


def test_a_null_argument_counts_as_missing():
    assert check(Method(give_back, {"port": int}), {"port": None}) == {}


def test_an_argument_of_any_type_is_taken_as_it_is():
    assert check(Method(give_back, {"value": object}), {"value": [1]}) == {"value": [1]}


async def test_a_bug_is_reported_and_not_shown_to_the_caller():
    async def broken(arguments, caller):
        raise KeyError("secret")

    reports: list[str] = []
    assert await run(Method(broken), {}, NOBODY, reports.append) == (9, None)
    assert "KeyError" in reports[0]


async def test_a_chosen_status_travels_with_its_words():
    async def refuse(arguments, caller):
        raise UbusError(6, "not while an apply waits")

    answer = await run(Method(refuse), {}, NOBODY, print)
    assert answer == (6, {"error": "not while an apply waits"})
