"""Lists that are kept up to date: a real server, a real child for each fetch, and rules that follow."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from netpolicy.config import list_file
from netpolicy.core.list_budget import Budget
from netpolicy.service import list_refresh
from netpolicy.service.engine import Places
from netpolicy.service.list_refresh import ListRefresh, fetch_beside
from netpolicy.service.list_trial import try_lists
from netpolicy.service.loading import Loader
from tests.netns import needs_root
from tests.outbounds.web_server import WebServer, says, tagged
from tests.router import router
from tests.service.parts import CONFIG, House

pytestmark = [pytest.mark.kernel, needs_root]

DAY = 86400


def soon(seconds):
    """So many seconds from a moment ago."""
    return pytest.approx(seconds - 3, abs=3) if seconds else 0


class Kept:
    """An engine, a server with the page /l, and what keeps the list `ads` of it."""

    def __init__(self, folder, server):
        url = server.url("/l?token=s3cret", login="me:pw@")
        text = f"\nconfig list 'ads'\n\toption url '{url}'\n\toption refresh '1d'\n"
        text += "\nconfig rule 'no_ads'\n\tlist domain '@ads'\n\tlist dest_addr '@ads'\n\toption block '1'\n"
        self.house = House(folder, CONFIG + text)
        self.engine = self.house.engine
        self.engine.places = Places(str(self.house.config), str(self.house.state), str(folder / "store"))
        self.server = server
        self.now = time.time()
        self.looks: list[str] = []
        self.taken = asyncio.Event()
        self.refresh = self.keeper()

    def look(self, why):
        self.looks.append(why)
        self.taken.set()

    def keeper(self):
        made = ListRefresh(self.engine, self.look, chance=lambda: 0.5, now=lambda: self.now)
        self.engine.loader = Loader(kept=made.folder)
        self.engine.list_warnings = made.warnings
        return made

    async def turn(self):
        self.refresh.fetch_now()
        await self.refresh.turn()
        return self.one()

    def one(self):
        (found,) = self.refresh.document()["lists"]
        return found

    def leave(self, name):
        Path(self.refresh.folder, name).touch()

    def copies(self):
        return sorted(os.listdir(self.refresh.folder))


@pytest.fixture
async def kept(tmp_path):
    with router(), WebServer({"/l": tagged(b"a.example\n192.0.2.1\n", '"1"')}) as server:
        found = Kept(tmp_path, server)
        assert await found.engine.reload() == ""
        found.refresh.configured()
        yield found


async def test_a_list_comes_and_the_rules_follow_and_nothing_secret_is_shown(kept):
    before = kept.one()
    assert (before["names"], before["age"], before["next"]) == (0, None, 0)
    await kept.refresh.turn()
    found = kept.one()
    assert (found["names"], found["addresses"], found["error"], found["format"]) == (1, 1, None, "entries")
    assert found["next"] == soon(DAY) and kept.looks == ["a list was fetched"] and len(kept.copies()) == 1
    assert kept.engine.ruleset.lists[0].names.matches("www.a.example")
    assert await kept.engine.reconcile("list") == ""
    said = str([found, kept.house.events, [entry.message for entry in kept.house.log.since(0, 500)]])
    assert "list ads: 1 addresses, 1 names" in said and "s3cret" not in said and "pw@" not in said


async def test_a_list_grows_older_while_the_machine_sleeps(kept):
    await kept.refresh.turn()
    kept.refresh.woke(DAY / 4)
    assert kept.one()["next"] == soon(DAY * 3 / 4)
    kept.refresh.start()
    kept.refresh.woke(DAY)
    fetched, until = len(kept.server.asked), time.monotonic() + 30
    while len(kept.server.asked) == fetched:
        assert time.monotonic() < until
        await asyncio.sleep(0.02)
    await kept.refresh.close()


async def test_a_failure_empties_nothing_and_is_told_once(kept):
    await kept.refresh.turn()
    kept.server.pages["/l"] = says(b"", 500)
    for wait in (15, 30, 60):
        found = await kept.turn()
        assert (found["names"], found["next"]) == (1, soon(wait))
    assert found["failures"] == 3 and "refuses it (500" in found["error"] and "s3cret" not in found["error"]
    assert len([text for text in kept.house.said("warning") if "refuses it" in text]) == 1
    assert not kept.refresh.warnings() and kept.refresh.summary() == {"total": 1, "fetched": 1, "failing": ["ads"]}
    kept.now += 4 * DAY
    (warning,) = kept.refresh.warnings()
    assert (warning.code, "4 days old" in warning.message, kept.one()["is_stale"]) == ("NP908", True, True)
    kept.now = time.time()
    kept.server.pages["/l"] = tagged(b"a.example\n192.0.2.1\n", '"1"')
    found = await kept.turn()
    assert (found["error"], found["failures"], found["next"]) == (None, 0, soon(DAY))
    assert kept.looks == ["a list was fetched"], "it was the same: no rule was read again"


async def test_nothing_yet_is_a_warning(kept):
    kept.server.pages["/l"] = says(b"<html>")
    await kept.refresh.turn()
    (warning,) = kept.refresh.warnings()
    assert "has nothing that was fetched" in warning.message and kept.one()["next"] == soon(15)


async def test_a_new_daemon_has_the_copy_at_once_and_fetches_when_it_is_time(kept):
    await kept.refresh.turn()
    path = os.path.join(kept.refresh.folder, kept.copies()[0])
    kept.leave("left.tmp")
    os.utime(path, (kept.now - 3600, kept.now - 3600))
    kept.refresh = kept.keeper()
    assert await kept.engine.reload() == ""
    assert kept.one()["names"] == 1
    kept.refresh.configured()
    assert abs(kept.one()["next"] - (DAY - 3600)) < 5 and kept.copies() == [os.path.basename(path)]


async def test_a_copy_that_a_boot_brought_back_is_asked_for_at_once_whatever_the_clock_says(kept):
    await kept.refresh.turn()
    kept.leave("after-boot")  # by the guard
    for due in (0, DAY):
        kept.refresh = kept.keeper()
        kept.refresh.configured()
        assert (kept.one()["names"], kept.one()["next"]) == (1, soon(due)) and len(kept.copies()) == 1


async def test_what_cannot_be_taken_now_is_tried_again_also_by_the_next_daemon(kept):
    kept.engine.frozen = "change r1 waits"
    await kept.refresh.turn()
    assert (kept.one()["waits"], kept.one()["names"], kept.one()["error"]) == ("change r1 waits", 0, None)
    kept.refresh = kept.keeper()
    kept.refresh.configured()
    kept.engine.frozen = ""
    await kept.refresh.turn()
    assert kept.one()["names"] == 1 and not kept.copies()[0].endswith(".new")


async def test_a_list_with_which_the_rules_cannot_be_read_is_a_failure(kept, monkeypatch):
    await kept.refresh.turn()
    kept.server.pages["/l"] = says(b"".join(b"n%d.example\n" % number for number in range(20)))
    monkeypatch.setattr(list_file, "budget_of", lambda _: Budget("a test", 10, 10, 100_000, 4000, 4000))
    found = await kept.turn()
    assert "cannot be read with it" in found["error"] and "more than 10 names" in found["error"]
    assert found["names"] == 1 and len(kept.copies()) == 1


async def test_a_copy_that_is_fetched_while_the_one_before_is_tried_is_tried_too(kept, monkeypatch):
    """Else it counted for the server and the disk, and no rule ever heard of it."""
    await kept.refresh.turn()
    (named,) = kept.engine.ruleset.lists
    kept.server.pages["/l"] = tagged(b"b.example\n", '"2"')
    fetched = []

    async def tried(engine, fresh):
        result = await try_lists(engine, fresh)
        if not fetched:
            kept.server.pages["/l"] = tagged(b"c.example\n", '"3"')
            fetched.append(await fetch_beside(named, kept.refresh.folder))
        return result

    monkeypatch.setattr(list_refresh, "try_lists", tried)
    await kept.turn()
    assert fetched == [{"result": "new", "error": ""}]
    found = await kept.turn()
    assert kept.engine.ruleset.lists[0].names.matches("c.example") and found["error"] is None
    assert len(kept.copies()) == 1


async def test_another_address_is_another_list_and_the_old_copy_goes(kept):
    await kept.refresh.turn()
    (old,) = kept.copies()
    kept.house.write(kept.house.config.read_text().replace("s3cret", "other"))
    assert await kept.engine.reload() == ""
    kept.refresh.configured()
    assert kept.one()["age"] is None and kept.copies() == []
    await kept.refresh.turn()
    assert kept.one()["names"] == 1 and kept.copies() != [old]


async def test_what_hangs_is_ended_and_the_loop_goes_on(kept):
    kept.server.pages["/l"] = lambda request: kept.server.hold.wait(60) and None
    (named,) = kept.engine.ruleset.lists
    fetching = asyncio.create_task(fetch_beside(named, kept.refresh.folder, limit=30))
    for _ in range(10):
        await asyncio.sleep(0.01)
    assert not fetching.done()
    fetching.cancel()
    found = await fetch_beside(named, kept.refresh.folder, limit=0.1)
    assert found == {"result": "failed", "error": "it took longer than 0.1 s"}
    kept.refresh.start()
    await asyncio.sleep(0.1)  # it forks meanwhile, or a little later
    await asyncio.wait_for(kept.refresh.close(), 20)
    assert kept.one()["age"] is None


async def test_a_fetch_that_is_given_up_in_any_moment_is_ended(kept):
    kept.server.pages["/l"] = lambda request: kept.server.hold.wait(60) and None
    (named,) = kept.engine.ruleset.lists
    others = asyncio.all_tasks()
    for steps in range(5):
        fetching = asyncio.create_task(fetch_beside(named, kept.refresh.folder))
        for _ in range(steps):
            await asyncio.sleep(0)
        fetching.cancel()
        await asyncio.wait([fetching])
        for _ in range(5):
            await asyncio.sleep(0)
        assert not asyncio.all_tasks() - others, steps


async def test_a_change_that_is_over_is_not_waited_for(kept):
    kept.server.pages["/l"] = says(b"", 503)
    await kept.refresh.turn()
    assert "503" in kept.one()["error"]
    kept.server.pages["/l"] = says(b"a.example\n")
    kept.engine.frozen = "change r1 waits"
    kept.refresh.fetch_now()
    await kept.refresh.turn()
    assert (kept.one()["waits"], kept.one()["error"], kept.one()["failures"]) == ("change r1 waits", None, 0)
    kept.engine.frozen = ""
    kept.refresh.configured()
    kept.refresh.start()
    await asyncio.wait_for(kept.taken.wait(), 30)
    await kept.refresh.close()
    assert (kept.one()["waits"], kept.one()["names"]) == (None, 1)


class Slow:
    """Servers that answer when they are told to; in the place of processes: which of them there are is asked."""

    def __init__(self):
        self.under_way: list[str] = []
        self.most = 0
        self.answers: dict[str, asyncio.Event] = {name: asyncio.Event() for name in ("l1", "l2", "l3", "l4")}

    async def fetch(self, named, _):
        self.under_way.append(named.name)
        self.most = max(self.most, len(self.under_way))
        await self.answers[named.name].wait()
        self.under_way.remove(named.name)
        return {"result": "failed", "error": f"{named.name} answered"}


@pytest.mark.parametrize("at_once", [1, 2])
async def test_a_slow_server_holds_up_the_others_only_where_one_at_a_time_is_fetched(tmp_path, at_once):
    slow = Slow()
    lists = "".join(f"\nconfig list '{name}'\n\toption url 'http://192.0.2.1/{name}'\n" for name in slow.answers)
    with router():
        house = House(tmp_path, CONFIG + lists)
        refresh = ListRefresh(house.engine, lambda _: None, slow.fetch, chance=lambda: 0.5, at_once=at_once)
        assert await house.engine.reload() == ""
        refresh.configured()
        for name in ("l2", "l3", "l4"):
            slow.answers[name].set()
        refresh.start()
        for _ in range(200):
            await asyncio.sleep(0)
        told = {one["name"]: one["error"] for one in refresh.document()["lists"]}
        assert told == {
            "l1": None,
            **{name: f"{name} answered" if at_once == 2 else None for name in ("l2", "l3", "l4")},
        }
        assert slow.under_way == ["l1"] and slow.most == at_once
        assert [one["is_under_way"] for one in refresh.document()["lists"]] == [True, False, False, False]
        assert refresh.fetch_now("l1") == ["l1"]  # once it is back, not a second time beside itself
        for _ in range(50):
            await asyncio.sleep(0)
        assert slow.under_way == ["l1"]
        slow.answers["l1"].set()
        for _ in range(200):
            await asyncio.sleep(0)
        assert all(one["error"] for one in refresh.document()["lists"])
        await refresh.close()
