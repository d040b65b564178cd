"""The documents that scripts rely on: their keys stay, whatever state the engine is in."""

from __future__ import annotations

import json
import time

import pytest

from netpolicy.bus import blobmsg
from netpolicy.config.load import load_text
from netpolicy.service import documents
from netpolicy.service.usage import DAY_SECONDS, Usage
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
    "last_hit",
    "in_force_since",
    "unused",
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
    video, mail = documents.rules(house.engine, {"video": (3, 180)})["rules"]
    assert (video["hits"], video["bytes"], video["active"], video["enforced"]) == (3, 180, True, "kernel")
    assert (mail["action"], mail["outbound"], mail["hits"]) == ("block reject", "block", 0)
    assert "443" in video["match"] and "tcp" in video["match"]


async def test_a_rule_shows_when_it_was_hit_last_and_that_nobody_needs_it(house):
    await house.load(CONFIG)
    usage = Usage(str(house.state))
    now = time.time()
    standing = house.engine.compiled.standing
    usage.note(house.engine.ruleset.rules, standing, {}, now - 40 * DAY_SECONDS)
    usage.note(house.engine.ruleset.rules, standing, {"video": (1, 60)}, now - 20 * DAY_SECONDS)
    page = documents.rules(house.engine, {}, usage=usage)
    video, mail = page["rules"]
    assert (video["last_hit"], video["unused"]) == (int(now - 20 * DAY_SECONDS), False)
    assert (mail["last_hit"], mail["in_force_since"], mail["unused"]) == (None, int(now - 40 * DAY_SECONDS), True)
    assert page["unused_days"] == 30
    assert [one["unused"] for one in documents.rules(house.engine, {}, usage=usage, unused_days=10)["rules"]] == [
        True
    ] * 2
    assert [one["unused"] for one in documents.rules(house.engine, {})["rules"]] == [False] * 2


async def test_an_outbound_shows_its_place_in_the_kernel(house):
    await house.load(CONFIG)
    shown = documents.outbounds(house.engine)["outbounds"][1]
    assert (shown["name"], shown["class"], shown["table"], shown["gateway"]) == ("wan_b", 2, 7002, "198.51.100.1")
    assert shown["families"] == [4] and shown["device"] == "wanb"


async def test_warnings_are_bounded(house):
    rules = "".join(f"config rule 'r{n}'\n\tlist dest_port 'x{n}'\n\toption route 'wan_a'\n" for n in range(200))
    await house.load(CONFIG + rules)
    assert len(documents.status(house.engine, {})["warnings"]) == documents.WARNING_LIMIT


def many(count: int, title: str = "", ports: int = 1) -> str:
    values = "".join(f"\tlist dest_port '{10000 + 2 * n}'\n" for n in range(ports))
    return CONFIG + "".join(f"config rule 'r{n}'\n\toption name '{title}'\n{values}\toption route 'wan_a'\n"
                            for n in range(count))  # fmt: skip


async def test_rules_come_in_pages_that_fit_a_bus_message(house):
    """With titles of four-byte letters a thousand rules would be too long: the page ends earlier."""
    house.engine.ruleset = load_text(many(2000, "\U0001d538" * 120, ports=70)).ruleset
    names: list[str] = []
    while True:
        page = documents.rules(house.engine, {}, 5000, len(names))
        assert page["total"] == 2002 and len(blobmsg.encode_table(page)) < 1 << 20
        if not page["rules"]:
            break
        names += [rule["name"] for rule in page["rules"]]
    assert names == [rule.name for rule in house.engine.ruleset.rules]


def test_a_page_of_rules_is_what_was_asked(house):
    house.engine.ruleset = load_text(many(1500)).ruleset
    first = documents.rules(house.engine, {})
    assert (first["total"], len(first["rules"])) == (1502, 1000)
    assert [rule["name"] for rule in documents.rules(house.engine, {}, 2, 3)["rules"]] == ["r1", "r2"]
    for limit, offset in ((0, 0), (-1, 0), (5, 1502), (5, 10**9)):
        assert documents.rules(house.engine, {}, limit, offset) == {
            "total": 1502,
            "unused_days": 30,
            "rules": [],
            "throttles": [],
        }
    assert len(documents.rules(house.engine, {}, 10**9, -5)["rules"]) == 1000


def test_a_long_match_is_cut(house):
    house.engine.ruleset = load_text(many(1, ports=4096)).ruleset
    (rule,) = documents.rules(house.engine, {}, 1, 2)["rules"]
    assert len(rule["match"]) == 300 and rule["match"].startswith("dest_port=10000") and rule["match"].endswith("…")


async def test_logs_are_paged(house):
    for number in range(20):
        house.log.add("info", "state", str(number))
    assert [one["id"] for one in documents.logs(house.engine, 18, 100, "debug")["entries"]] == [19, 20]
    assert documents.logs(house.engine, 0, -3, "debug")["entries"] == []
    assert len(documents.logs(house.engine, 0, 10**9, "info")["entries"]) == 20
