"""The methods about lists: what they pass on, and how a list that is not there is refused."""

from __future__ import annotations

from typing import Any

import pytest

from netpolicy.bus.list_methods import list_methods
from netpolicy.bus.method import Caller, run
from netpolicy.bus.status import NOT_FOUND, OK
from netpolicy.service.api import NotThere

CALLER = Caller(1, "root", "root")


class Asked:
    """The use cases, as far as these methods ask them."""

    def lists(self) -> dict[str, Any]:
        return {"lists": [{"name": "ads"}]}

    def refresh_lists(self, name: str) -> dict[str, Any]:
        if name == "none":
            raise NotThere("there is no list 'none' with a url")
        return {"lists": [name or "all"]}


async def call(name: str, **given: Any) -> Any:
    return await run(list_methods(Asked())[name], given, CALLER, pytest.fail)  # type: ignore[arg-type]


async def test_lists_are_shown_and_fetched_again() -> None:
    assert await call("lists") == (OK, {"lists": [{"name": "ads"}]})
    assert await call("refresh_lists") == (OK, {"lists": ["all"]})
    assert await call("refresh_lists", list="ads") == (OK, {"lists": ["ads"]})


async def test_a_list_that_is_not_there_is_not_found() -> None:
    assert await call("refresh_lists", list="none") == (NOT_FOUND, {"error": "there is no list 'none' with a url"})
