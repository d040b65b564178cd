"""The guarded apply as doors see it: documents in and out, and every refusal in words."""

from __future__ import annotations

import pytest

from netpolicy.service.api import NotThere, Refused
from netpolicy.service.change import AWAITING, COMMITTED
from tests.netns import needs_root, run
from tests.router import everything, router
from tests.service.changing import ChangingHouse
from tests.service.parts import CONFIG

pytestmark = [pytest.mark.kernel, needs_root]

OTHER = CONFIG.replace("443", "444")


@pytest.fixture
async def house(tmp_path):
    with router():
        house = ChangingHouse(tmp_path)
        assert await house.load() == ""
        yield house
        await house.end()


async def test_the_plan_says_what_is_missing_and_changes_nothing(house):
    assert (await house.changes.plan({}))["changes"] == []
    run("ip", "rule", "del", "priority", "7002")
    before = everything()
    plan = await house.changes.plan({})
    assert plan["changes"] == ["+ ip -4 rule priority 7002 fwmark 0x2000000/0x37000000 lookup 7002"]
    assert plan["drift"] == plan["changes"]  # nobody wished it
    assert len(plan["hash"]) == 64 and everything() == before


async def test_a_collision_is_in_the_plan(house):
    run("ip", "rule", "add", "priority", "7150", "from", "10.1.1.1", "lookup", "main")
    assert "7150" in (await house.changes.plan({}))["conflicts"][0]["message"]


async def test_what_cannot_be_planned_is_refused_in_words(house, monkeypatch, tmp_path):
    run("nft", "add", "chain", "inet", "netpolicy", "of_others")  # from now on our table has to be read again
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="install nftables"):
        await house.changes.plan({})


async def test_the_token_is_in_the_job_alone(house):
    house.write(OTHER)
    job = house.changes.apply({"confirm": 60, "message": "why not"}, "a test")["job"]
    await house.until(house.guarded.find(job), AWAITING)
    told = house.changes.job(job)
    assert (told["state"], told["why"], told["who"]) == (AWAITING, "why not", "a test")
    token = told["token"]
    assert token.startswith(job + ".") and 0 < told["seconds_left"] <= 60
    pending = house.changes.pending()
    assert (pending["id"], pending["state"]) == (job, AWAITING)
    secret = token.partition(".")[2]
    seen = [
        str(pending),
        str(house.events),
        str(house.entries()),
        str([entry.message for entry in house.log.since(0, 500)]),
    ]
    assert not [text for text in seen if secret in text]
    assert (await house.changes.confirm(token, {}, "a test"))["state"] == COMMITTED
    assert house.changes.job(job)["token"] is None and house.changes.pending() is None


async def test_rules_from_elsewhere_are_applied_in_the_spelling_of_the_configuration(house):
    dsl = "netpolicy:\n  enabled true\noutbound wan_a interface wana gateway=192.0.2.1\n"
    dsl += "rule calls:\n  match dest_port=5060\n  action route=wan_a\n"
    house.changes.apply({"confirm": 60, "text": dsl, "format": "dsl"}, "a test")
    change = await house.until(house.guarded.find(), AWAITING)
    assert change.state == AWAITING, change.error
    assert "config rule 'calls'" in house.config.read_text()
    await house.changes.abort("", "a test")
    assert house.config.read_text() == CONFIG
    house.write(OTHER)  # a draft that nobody applied
    house.changes.apply({"confirm": 60, "text": dsl, "format": "dsl"}, "a test")
    await house.until(house.guarded.find(), AWAITING)
    await house.changes.abort("", "a test")
    assert OTHER in [path.read_text() for path in house.folder.glob("rejected*")]
    with pytest.raises(Refused, match=r":2"):
        house.changes.apply({"confirm": 60, "text": "netpolicy:\n  oops oops\n", "format": "dsl"}, "a test")


async def test_a_spelling_or_a_generation_that_does_not_exist_is_refused_in_words(house):
    with pytest.raises(Refused, match="none of dsl, uci, yaml"):
        house.changes.apply({"text": CONFIG, "format": "\x1b[1mtoml"}, "a test")
    for number in (-1, 99):
        with pytest.raises(NotThere, match=f"there is no generation {number}: "):
            await house.changes.show(number)


async def test_nobody_goes_without_a_confirmation_by_accident(house):
    with pytest.raises(Refused, match="console"):
        house.changes.apply({"confirm": 0}, "a test")
    house.write(OTHER)
    house.changes.apply({"confirm": 0, "console": True}, "a test")
    await house.guarded.ended()
    assert house.guarded.find().state == COMMITTED


async def test_history_generations_and_what_changed_between_them(house):
    assert await house.load(OTHER) == ""
    told = await house.changes.history()
    assert (told["generations"], told["current"]) == ([1, 2], 2)
    assert [entry["event"] for entry in told["entries"]] == ["adopted", "adopted"]
    assert (await house.changes.verify())["fine"]
    shown = await house.changes.show(1)
    assert shown["files"][0]["text"] == CONFIG and shown["parent"] == 0
    assert (await house.changes.show(0))["number"] == 2
    found = await house.changes.diff(1, 2)
    assert [one["name"] for one in found["changes"]] == ["video"]
    assert (await house.changes.diff(1, 0))["changes"] == found["changes"]
    assert (await house.changes.diff(2, 0))["changes"] == []
    for asking in (house.changes.show(9), house.changes.diff(9, 1), house.changes.rollback(9, {}, "a test")):
        with pytest.raises(NotThere):
            await asking


async def test_drift_is_shown_and_can_be_put_right_by_hand(house):
    assert not house.changes.drift({})["is_there"]
    assert await house.load(CONFIG.replace("enabled '1'", "enabled '1'\n\toption drift 'alert'")) == ""
    before = everything()
    run("nft", "delete", "table", "inet", "netpolicy")
    assert await house.engine.reconcile("seen") == ""
    told = house.changes.drift({})
    assert (told["mode"], told["is_there"], told["last"]["treatment"]) == ("alert", True, "alert")
    assert await house.changes.heal() == {"ok": True, "error": None}
    assert everything() == before and not house.changes.drift({})["is_there"]
