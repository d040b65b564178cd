"""A change that nobody confirms is taken back; one that is confirmed stays; and the journal says which."""

from __future__ import annotations

import asyncio
import os
import re

import pytest

from netpolicy.dataplane.guard import find_pending
from netpolicy.service.change import AWAITING, COMMITTED, PROBING, REFUSED, REVERTED, UNCHANGED
from netpolicy.service.change_tools import ApplyRefused
from netpolicy.service.eyes import Eyes, Rehearsal
from tests.netns import needs_root, run
from tests.router import everything, router
from tests.service.changing import ChangingHouse
from tests.service.parts import CONFIG

pytestmark = [pytest.mark.kernel, needs_root]


def state() -> list[str]:
    """What is in the kernel. The order in which sets were made means nothing, nor do labels but for their order."""
    listing = re.sub(r"_[0-9a-f]{10}\b", "_CONTENT", everything())
    return sorted(re.sub(r"\b[0-9a-f]{1,4}:[0-9a-f]{1,4}(-root)?\b", "LABEL", listing).splitlines())


OTHER = CONFIG.replace("443", "444")
OFF = CONFIG.replace("enabled '1'", "enabled '0'")


@pytest.fixture
async def house(tmp_path):
    with router():
        house = ChangingHouse(tmp_path)
        assert await house.load() == ""
        yield house
        await house.end()
        assert find_pending(house.places) is None


async def test_what_is_in_force_first_becomes_the_first_generation_and_nothing_is_written_for_the_same_again(house):
    assert (house.store.current(), house.store.read(1).config) == (1, CONFIG.encode())
    assert await house.load() == ""
    assert house.store.numbers() == (1,)
    assert await house.load(OTHER) == ""
    assert (house.store.current(), house.store.read(2).config) == (2, OTHER.encode())
    assert [entry["event"] for entry in house.entries()] == ["adopted", "adopted"]


async def test_a_confirmed_change_stays_and_is_the_generation_that_counts(house):
    before = state()
    change = await house.until(house.begin(OTHER, why="the port moved"), AWAITING)
    assert change.state == AWAITING and state() != before
    assert house.store.current() == 1  # a power cut now leads back
    assert house.guard.is_alive()
    ended = await house.guarded.confirm(change.token, {}, "a test")
    assert (ended.state, house.store.current()) == (COMMITTED, 2)
    assert house.config.read_text() == OTHER and find_pending(house.places) is None
    begin, end = house.entries()[-2:]
    assert (begin["event"], end["event"], end["outcome"], end["why"]) == (
        "begin",
        "change",
        COMMITTED,
        "the port moved",
    )
    assert await house.engine.reconcile("again") == ""
    assert [name for name, _ in house.events].count("netpolicy.apply") == 2  # once loaded, once changed


async def test_without_a_confirmation_everything_is_as_before(house):
    before = state()
    change = house.begin(OTHER, window=1)
    await house.guarded.ended()
    assert (change.state, change.error) == (REVERTED, "nobody confirmed it in time")
    assert state() == before
    assert house.config.read_text() == CONFIG and (house.folder / "rejected").read_text() == OTHER
    assert (house.store.current(), house.store.numbers()) == (1, (1,))
    assert house.entries()[-1]["outcome"] == REVERTED
    assert await house.engine.reconcile("again") == "" and state() == before


@pytest.mark.parametrize("text", [OTHER, OFF, CONFIG.replace("'mail'", "'post'"), CONFIG.replace("0.1'", "0.7'")])
async def test_every_kind_of_change_is_taken_back_when_it_is_aborted(house, text):
    before = state()
    change = await house.until(house.begin(text), AWAITING)
    assert state() != before
    assert (await house.guarded.abort(change.id, "a test")).state == REVERTED
    assert state() == before and house.config.read_text() == CONFIG


@pytest.mark.parametrize("text", [OFF, CONFIG.replace("'video'", "'films'"), OTHER])
async def test_rules_that_come_back_go_on_counting_where_they_were(house, text):
    run("nft", "delete", "table", "inet", "netpolicy")
    counted = {"video": (7, 700)}
    house.engine.kernel.remember_counters(counted)
    assert await house.engine.reconcile("heal") == ""
    house.engine.kernel.remember_counters({})
    assert (await house.engine.kernel.counters())["video"] == (7, 700)
    change = await house.until(house.begin(text), AWAITING)
    await house.guarded.abort(change.id, "a test")
    assert (await house.engine.kernel.counters())["video"] == (7, 700)


async def test_a_second_change_a_reload_and_a_wrong_word_are_refused_while_one_is_pending(house):
    change = await house.until(house.begin(OTHER), AWAITING)
    with pytest.raises(ApplyRefused, match=change.id):
        house.begin()
    assert change.id in await house.load()
    for word in ("", change.id, change.id + "." + "0" * 32, "rffffffff." + change.token.partition(".")[2]):
        with pytest.raises(ApplyRefused):
            await house.guarded.confirm(word, {}, "a test")
    assert change.state == AWAITING
    assert (await house.guarded.confirm(change.token, {}, "a test")).state == COMMITTED
    with pytest.raises(ApplyRefused):
        await house.guarded.confirm(change.token, {}, "a test")


async def test_the_time_to_confirm_can_be_made_longer(house):
    change = await house.until(house.begin(OTHER, window=2), AWAITING)
    await house.guarded.extend(change.id, 60)
    assert change.shown(0)["seconds_left"] >= 60
    await asyncio.sleep(2.2)  # past the first end: nothing can be awaited that does not happen
    assert change.state == AWAITING
    for wrong in (0, -1, 3601):
        with pytest.raises(ApplyRefused):
            await house.guarded.extend(change.id, wrong)


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


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (CONFIG.replace("option block 'reject'", "option block 'rejekt'"), "rejekt"),
        ("", "main section"),
        (CONFIG.replace("enabled '1'", "enabled '1'\n\toption fwmark_mask '0x1'"), "fwmark_mask"),
    ],
)
async def test_a_configuration_that_cannot_be_used_is_refused_and_changes_nothing(house, text, says):
    before = state()
    change = house.begin(text)
    await house.guarded.ended()
    assert change.state == REFUSED and says in change.error
    assert state() == before and house.store.numbers() == (1,)
    assert house.config.read_text() == text  # the owner's draft stays
    assert house.entries()[-1]["outcome"] == REFUSED


async def test_a_plan_that_was_looked_at_binds_the_apply(house):
    house.write(OTHER)
    planned = await house.changes.plan({})
    assert planned["changes"] and not planned["drift"]
    house.write(OTHER + "\n# later\n")
    change = house.begin(plan=planned["hash"])
    await house.guarded.ended()
    assert change.state == REFUSED and "since that plan" in change.error
    house.write(OTHER)
    run("ip", "rule", "del", "priority", "7002")
    change = house.begin(plan=planned["hash"])
    await house.guarded.ended()
    assert change.state == REFUSED
    assert await house.engine.reconcile("heal") == ""
    change = await house.until(house.begin(plan=planned["hash"][:12]), AWAITING)
    assert change.state == AWAITING


async def test_a_disk_that_is_full_refuses_the_change_before_anything_happened(house):
    before = state()
    run("mount", "-t", "tmpfs", "-o", "size=64k", "none", str(house.folder))
    try:
        (house.folder / "filling").write_bytes(b"x" * 4096 * 15)
        change = house.begin(OTHER)
        await house.guarded.ended()
        assert change.state == REFUSED and "No space left" in change.error
        assert state() == before
    finally:
        run("umount", str(house.folder))


async def test_a_guard_that_dies_is_replaced_and_one_that_cannot_be_started_ends_the_change(house):
    before = state()
    change = await house.until(house.begin(OTHER), AWAITING)
    first = house.guard._process
    os.kill(first[0], 9)
    for _ in range(500):  # another process's life cannot be awaited
        if house.guard._process != first and house.guard.is_alive():
            break
        await asyncio.sleep(0.02)
    assert house.guard._process != first
    assert change.state == AWAITING
    os.kill(house.guard._process[0], 9)
    object.__setattr__(house.places, "program", "/nonexistent/guard")
    await house.guarded.ended()
    assert change.state == REVERTED and "nobody guards it" in change.error
    assert state() == before


async def test_without_a_guard_nothing_is_changed(house):
    before = state()
    object.__setattr__(house.places, "program", "/nonexistent/guard")
    change = house.begin(OTHER)
    await house.guarded.ended()
    assert change.state == REFUSED and state() == before and house.store.numbers() == (1,)


async def test_rolling_back_is_as_guarded_as_any_change(house):
    first = state()
    await house.load(OTHER)
    second = state()
    job = (await house.changes.rollback(1, {"confirm": 60}, "a test"))["job"]
    change = await house.until(house.guarded.find(job), AWAITING)
    assert change.state == AWAITING and house.config.read_text() == CONFIG
    assert (await house.guarded.abort("", "a test")).state == REVERTED
    assert state() == second and house.config.read_text() == OTHER
    job = (await house.changes.rollback(0, {"confirm": 60}, "a test"))["job"]
    change = await house.until(house.guarded.find(job), AWAITING)
    assert (await house.guarded.confirm(change.token, {}, "a test")).state == COMMITTED
    assert house.config.read_text() == CONFIG and house.store.current() == 4
    assert _without_labels(state()) == _without_labels(first)


def _without_labels(listing: list[str]) -> list[str]:
    """Routes and rules: the same rules may have other labels in the table the second time."""
    return [line for line in listing if "proto 78" in line]


# -- what others see ---------------------------------------------------------------------------


class Told(Eyes):
    """Sees what the test says."""

    def __init__(self) -> None:
        self.rows: tuple[dict, ...] = ()
        self.worse = ""
        self.doubt = ""
        self.seen: list[str] = []

    async def rehearse(self, *_):
        return Rehearsal({"rows": list(self.rows)})

    async def probe(self, *_):
        self.seen.append("probe")

    async def switched(self, *_):
        self.seen.append("switched")

    async def compare(self, *_):
        self.seen.append("compare")
        return [{"what": "ping", "before": "passed", "after": "failed"}], self.worse

    async def evidence(self, *_):
        return ("", self.doubt) if self.doubt else ("seen", "")


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


async def test_without_evidence_a_confirmation_is_refused_and_the_change_waits_on(watched):
    eyes = watched.eyes
    eyes.doubt = "that connection was open before"
    change = await watched.until(watched.begin(OTHER), AWAITING)
    with pytest.raises(ApplyRefused, match="was open before"):
        await watched.guarded.confirm(change.token, {"ssh": "x"}, "a test")
    assert change.state == AWAITING
    eyes.doubt = ""
    assert (await watched.guarded.confirm(change.token, {}, "a test")).state == COMMITTED
    assert "seen" in watched.entries()[-1]["notes"][0]


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


async def test_a_bug_in_a_step_takes_the_change_back(watched):
    before = state()

    async def broken(*_):
        raise ZeroDivisionError("a bug")

    watched.eyes.compare = broken
    change = watched.begin(OTHER)
    await watched.guarded.ended()
    assert change.state == REVERTED and "please report it" in change.error and state() == before


async def test_when_the_way_back_fails_the_daemon_leaves_it_to_the_guard(watched):
    change = await watched.until(watched.begin(OTHER), AWAITING)

    async def refuses(_):
        return "nft is gone"

    real, watched.engine.__class__.reconcile = watched.engine.__class__.reconcile, lambda self, cause: refuses(cause)
    try:
        await watched.guarded.abort(change.id, "a test")
    finally:
        watched.engine.__class__.reconcile = real
    assert watched.died == ["now"]
    assert watched.guard.verdict().startswith("revert") and watched.guard.outcome() == ""
    assert "left it to the guard" in watched.entries()[-1]["notes"][0]
    change.state = PROBING  # the guard ends this process now, if it lived in its own
    await watched.guard.write_outcome("reverted by the test")
    await watched.guard.finish()
    change.state = REVERTED
