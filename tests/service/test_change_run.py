"""The steps of one change: each that fails leads back, and none that is not needed is taken."""

from __future__ import annotations

import asyncio

import pytest

from netpolicy.service.change import AWAITING, COMMITTED, REFUSED, REVERTED, UNCHANGED
from tests.netns import needs_root, run
from tests.router import router
from tests.service.changing import ChangingHouse, Told, state
from tests.service.parts import CONFIG

pytestmark = [pytest.mark.kernel, needs_root]

OTHER = CONFIG.replace("443", "444")
OFF = CONFIG.replace("enabled '1'", "enabled '0'")


@pytest.fixture
async def house(tmp_path):
    with router():
        house = ChangingHouse(tmp_path)
        assert await house.load() == ""
        yield house
        await house.end()


@pytest.fixture
async def watched(tmp_path):
    with router():
        house = ChangingHouse(tmp_path, eyes=Told())
        assert await house.load() == ""
        yield house
        await house.end()


async def test_a_lock_out_in_the_rehearsal_is_refused_unless_it_is_forced(watched):
    before = state()
    eyes = watched.eyes
    eyes.rows = ({"what": "admin 192.168.1.5 → ssh", "before": "answered", "after": "silent", "ok": False},)
    change = watched.begin(OTHER)
    await watched.guarded.ended()
    assert change.state == REFUSED and "192.168.1.5" in change.error and state() == before
    assert watched.entries()[-1]["rehearsal"]["rows"][0]["ok"] is False
    change = await watched.until(watched.begin(OTHER, force=True), AWAITING)
    assert change.state == AWAITING


async def test_a_probe_that_fails_since_the_change_takes_it_back_at_once(watched):
    before = state()
    watched.eyes.worse = "ping by wan_a"
    change = watched.begin(OTHER, window=600)
    await watched.guarded.ended()
    assert change.state == REVERTED and "ping by wan_a" in change.error and state() == before
    assert watched.eyes.seen == ["probe", "switched", "compare"]
    assert watched.entries()[-1]["probes"]


async def test_an_abort_before_the_switch_changes_nothing(watched):
    before = state()
    waiting = asyncio.Event()

    async def slow(*_):
        await waiting.wait()

    watched.eyes.probe = slow
    change = watched.begin(OTHER)
    await asyncio.sleep(0)
    asking = asyncio.ensure_future(watched.guarded.abort("", "a test"))
    await asyncio.sleep(0)
    waiting.set()
    assert (await asking) is change
    assert change.state == REVERTED and state() == before
    assert [name for name, _ in watched.events].count("netpolicy.apply") == 1


async def test_a_reload_is_refused_from_the_first_step_of_a_change_on_and_not_after_its_end(watched):
    waiting = asyncio.Event()

    async def slow(*_):
        await waiting.wait()

    watched.eyes.probe = slow
    change = await watched.until(watched.begin(OTHER), "rehearsed")
    assert change.id in await watched.load(OFF)
    watched.write(OTHER)
    waiting.set()
    await watched.until(change, "await")
    await watched.guarded.abort("", "a test")
    assert await watched.load(OFF) == ""


async def test_a_bug_in_a_step_takes_the_change_back(watched):
    before = state()

    async def broken(*_):
        raise ZeroDivisionError("a bug")

    watched.eyes.compare = broken
    change = watched.begin(OTHER)
    await watched.guarded.ended()
    assert change.state == REVERTED and "please report it" in change.error and state() == before


async def test_a_change_of_nothing_is_no_change_and_one_of_a_comment_needs_no_confirmation(house):
    before = state()
    change = house.begin()
    await house.guarded.ended()
    assert (change.state, house.store.numbers()) == (UNCHANGED, (1,))
    change = house.begin("# a word\n" + CONFIG, window=None)
    await house.guarded.ended()
    assert (change.state, change.window, house.store.current()) == (COMMITTED, 0, 2)
    assert state() == before
    assert len([name for name, _ in house.events if name == "netpolicy.apply"]) == 1


async def test_what_others_change_meanwhile_is_told_and_no_reason_to_go_back(watched):
    async def meddled(*_):
        run("nft", "add", "table", "inet", "meddler")
        return [], ""

    watched.eyes.compare = meddled
    change = await watched.until(watched.begin(OTHER), AWAITING)
    assert (change.state, change.notes) == (AWAITING, ["changed meanwhile, not by netpolicy: table inet meddler"])
    watched.eyes = None
    await watched.guarded.abort("", "a test")
    assert change.state == REVERTED


async def test_of_an_apply_alone_others_notice_nothing(watched):
    run("nft", "add table inet bystander { chain c { type filter hook forward priority 0; counter; }; }")
    change = await watched.until(watched.begin(OTHER), AWAITING)
    assert (change.state, change.notes) == (AWAITING, [])


class Refusing:
    """A name server that lives with nothing new."""

    refused, is_armed = "", False

    async def followed(self, refused: str = "") -> str:
        return "dnsmasq: it did not start with our file" if self.is_armed else ""

    async def kept(self, candidate: object) -> tuple[dict[str, str], dict[str, str]]:
        self.is_armed = True
        return {"names/places": "absent /nowhere/netpolicy.conf\n"}, {}


async def test_a_name_server_that_does_not_live_with_the_new_names_ends_the_change(house):
    before = state()
    house.tools.names = Refusing()
    change = house.begin(OTHER)
    await house.guarded.ended()
    assert (change.state, change.error) == (REVERTED, "dnsmasq: it did not start with our file")
    assert state() == before
