"""The documents that scripts rely on: their keys stay, whatever state the engine is in."""

from __future__ import annotations

import json

import pytest

from netpolicy.service import documents
from tests.netns import needs_root
from tests.router import router
from tests.service.parts import CONFIG, House

pytestmark = [pytest.mark.kernel, needs_root]

STATUS = {
    "version",
    "mode",
    "enabled",
    "state",
    "outbounds",
    "rules",
    "pending",
    "inspector",
    "warnings",
    "config",
    "kernel",
}
RULE = {
    "name",
    "title",
    "priority",
    "enabled",
    "active",
    "match",
    "action",
    "on_fail",
    "outbound",
    "hits",
    "bytes",
    "enforced",
    "log",
}
OUTBOUND = {"name", "title", "type", "up", "reason", "device", "gateway", "gateway6", "families", "class", "table"}


@pytest.fixture
def house(tmp_path):
    with router():
        yield House(tmp_path)


def keys_are_there(house: House) -> None:
    status = documents.status(house.engine, {"tier": "none"})
    assert set(status) >= STATUS
    assert all(set(one) >= OUTBOUND for one in status["outbounds"])
    assert all(set(one) >= RULE for one in documents.rules(house.engine, {})["rules"])
    json.dumps([status, documents.rules(house.engine, {}), documents.logs(house.engine, 0, 10, "debug")])


@pytest.mark.parametrize(
    "text",
    [
        CONFIG,
        CONFIG.replace("enforce", "observe"),
        CONFIG.replace("enabled '1'", "enabled '0'"),
        "",
        "config rule 'x",
        CONFIG.replace("'wanb'", "'usb9'"),
    ],
)
async def test_the_keys_are_there_in_every_state(house, text):
    keys_are_there(house)
    await house.load(text)
    keys_are_there(house)


async def test_a_rule_shows_what_it_did_and_how_it_stands(house):
    await house.load(CONFIG)
    video, mail = documents.rules(house.engine, {"c_video": (3, 180)})["rules"]
    assert (video["hits"], video["bytes"], video["active"], video["enforced"]) == (3, 180, True, "kernel")
    assert (mail["action"], mail["outbound"], mail["hits"]) == ("block reject", "block", 0)
    assert "443" in video["match"] and "tcp" in video["match"]


async def test_an_outbound_shows_its_place_in_the_kernel(house):
    await house.load(CONFIG)
    shown = documents.outbounds(house.engine)["outbounds"][1]
    assert (shown["name"], shown["class"], shown["table"], shown["gateway"]) == ("wan_b", 2, 7002, "198.51.100.1")
    assert shown["families"] == [4] and shown["device"] == "wanb"


async def test_warnings_are_bounded(house):
    rules = "".join(f"config rule 'r{n}'\n\tlist dest_port 'x{n}'\n\toption route 'wan_a'\n" for n in range(200))
    await house.load(CONFIG + rules)
    assert len(documents.status(house.engine, {})["warnings"]) == documents.WARNING_LIMIT


async def test_logs_are_paged(house):
    for number in range(20):
        house.log.add("info", "state", str(number))
    assert [one["id"] for one in documents.logs(house.engine, 18, 100, "debug")["entries"]] == [19, 20]
    assert documents.logs(house.engine, 0, -3, "debug")["entries"] == []
    assert len(documents.logs(house.engine, 0, 10**9, "info")["entries"]) == 20
