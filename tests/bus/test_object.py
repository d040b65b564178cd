"""The object `netpolicy`: every method leads to its use case, refusals have their status."""

from __future__ import annotations

from typing import Any

import pytest

from netpolicy.bus.method import Caller, check, run
from netpolicy.bus.object import methods
from netpolicy.bus.status import INVALID_ARGUMENT, NOT_FOUND, OK
from netpolicy.service.api import NotThere, Refused

CALLER = Caller(1, "root", "root")

AT_ONCE = (
    "status", "outbounds", "connections", "decide", "lint", "convert", "logs", "apply", "job", "drift", "lists",
    "refresh_lists",
)  # fmt: skip


class Service:
    """Answers with the name of what was asked, and with what it was given."""

    def __init__(self, refusal: str = "") -> None:
        self.refusal = refusal

    def __getattr__(self, name: str) -> Any:
        def answer(*given: Any) -> dict[str, Any]:
            if self.refusal:
                raise Refused(self.refusal)
            return {"asked": name, "given": list(given)}

        async def later(*given: Any) -> dict[str, Any]:
            return answer(*given)

        return answer if name in AT_ONCE else later


async def call(method: str, refusal: str = "", **given: Any) -> Any:
    asked = Service(refusal)
    return await run(methods(asked, asked)[method], given, CALLER, pytest.fail)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("status", {}, []),
        ("rules", {}, [1000, 0, 30]),
        ("rules", {"limit": 5, "offset": 2, "unused_days": 7}, [5, 2, 7]),
        ("explain", {"flow": "17"}, ["17"]),
        ("outbounds", {}, []),
        ("outbound_set", {"name": "wan", "state": "down"}, ["wan", "down", None, None]),
        ("outbound_set", {"name": "g", "weight": 3, "member": ["b"]}, ["g", "", 3, ["b"]]),
        ("plan", {}, [{}]),
        ("plan", {"text": "x", "format": "dsl"}, [{"text": "x", "format": "dsl"}]),
        (
            "apply",
            {"confirm": 60, "from": "ssh 192.0.2.1"},
            [{"confirm": 60, "from": "ssh 192.0.2.1"}, "root by bus, ssh 192.0.2.1"],
        ),
        ("apply", {"ubus_rpc_session": "0" * 32}, [{"ubus_rpc_session": "0" * 32}, "root by web"]),
        ("rollback", {"generation": 3}, [3, {"generation": 3}, "root by bus"]),
        ("job", {}, [""]),
        (
            "confirm",
            {"id": "r1.n", "ssh": "192.0.2.1 5 192.0.2.2 22"},
            ["r1.n", {"ssh": "192.0.2.1 5 192.0.2.2 22", "console": False, "web": False, "address": ""}, "root by bus"],
        ),
        ("extend", {"id": "r1", "seconds": 9}, ["r1", 9]),
        ("abort", {}, ["", "root by bus"]),
        ("history", {"limit": 3}, [3, 0]),
        ("verify", {}, []),
        ("show", {"generation": 2}, [2]),
        ("diff", {"from": 2}, [2, 0]),
        ("drift", {}, [{}]),
        ("heal", {}, []),
        ("doctor", {}, []),
        ("lists", {}, []),
        ("refresh_lists", {"list": "ads"}, ["ads"]),
        ("reload", {}, []),
        ("connections", {}, [100, 0, ""]),
        ("connections", {"limit": 5, "offset": 2, "filter": "x"}, [5, 2, "x"]),
        ("decide", {"facts": {"port": 1}}, [{"port": 1}]),
        ("lint", {"text": "x"}, ["x", "uci"]),
        ("convert", {"text": "x", "from": "yaml", "to": "uci"}, ["x", "yaml", "uci"]),
        ("logs", {"since": 7, "level": "error"}, [7, 100, "error"]),
        ("status", {"ubus_rpc_session": "0" * 32}, []),
    ],
)
async def test_a_method_asks_its_use_case(name, given, expected):
    assert await call(name, **given) == (OK, {"asked": name, "given": expected})


@pytest.mark.parametrize(
    ("name", "given"),
    [("status", {"x": 1}), ("connections", {"limit": "5"}), ("decide", {"facts": []}), ("logs", {"since": True})],
)
async def test_what_is_not_declared_is_refused(name, given):
    status, reply = await call(name, **given)
    assert status == INVALID_ARGUMENT and reply["error"]


@pytest.mark.parametrize("name", ["decide", "explain", "rules", "lint", "convert", "apply", "confirm", "abort"])
async def test_a_refusal_is_a_status_with_words(name):
    assert await call(name, refusal="no such fact") == (INVALID_ARGUMENT, {"error": "no such fact"})


async def test_a_plan_that_cannot_be_made_says_why_in_the_reply():
    status, reply = await call("plan", refusal="install nftables")
    assert status == OK and reply["error"] == "install nftables" and reply["changes"] == []


def test_the_documented_methods_are_there():
    assert set(methods(Service(), Service())) == {  # type: ignore[arg-type]
        "status",
        "rules",
        "outbounds",
        "outbound_set",
        "connections",
        "explain",
        "decide",
        "plan",
        "reload",
        "lint",
        "convert",
        "logs",
        "apply",
        "rollback",
        "job",
        "confirm",
        "extend",
        "abort",
        "history",
        "verify",
        "show",
        "diff",
        "drift",
        "heal",
        "doctor",
        "lists",
        "refresh_lists",
    }
    assert check(methods(Service(), Service())["logs"], {"limit": None}) == {}  # type: ignore[arg-type]


async def test_what_does_not_exist_is_not_found():
    class Empty(Service):
        def __getattr__(self, name: str) -> Any:
            async def answer(*_: Any) -> dict[str, Any]:
                raise NotThere("no open connection '17'")

            return answer

    found = await run(methods(Empty(), Empty())["explain"], {"flow": "17"}, CALLER, pytest.fail)  # type: ignore[arg-type]
    assert found == (NOT_FOUND, {"error": "no open connection '17'"})
