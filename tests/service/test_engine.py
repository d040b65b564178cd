"""The loop: what is configured comes into the kernel, and nothing worse when something is wrong."""

from __future__ import annotations

import asyncio
import gc
import os
import re
from pathlib import Path

import pytest

from netpolicy.outbounds.lines import LogicalInterface
from netpolicy.service import documents, reading
from netpolicy.service.candidate import Files
from netpolicy.service.in_force import InForce
from tests.netns import needs_root, run
from tests.router import everything, of_others, ours, router
from tests.service.parts import CONFIG, OBSERVE, OFF, House, connect_by, leads_to, marks

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.fixture
def here():
    with router() as namespace:
        yield namespace


@pytest.fixture
def house(here, tmp_path):
    return House(tmp_path)


def status(house: House) -> dict:
    return documents.status(house.engine, {})


# -- configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        CONFIG.replace("config rule 'mail'", "config rule 'mail"),
        CONFIG.replace("option enabled '1'", "option enabled 'perhaps'"),
        CONFIG.replace("option block 'reject'", "option block 'rejekt'"),
        CONFIG.replace("option gateway '198.51.100.1'", "option gateway 'x'"),
        "\0\0\0",
    ],
)
async def test_a_bad_configuration_keeps_the_old_one_and_is_told_once(house, bad):
    assert await house.load() == ""
    before = everything()
    error = await house.load(bad)
    assert error and await house.engine.reconcile("again") == ""
    assert everything() == before
    document = status(house)
    assert document["config"]["error"] == error
    assert document["warnings"][0]["code"] == "NP900"
    assert document["rules"]["active"] == 2 and document["kernel"]["in_sync"]
    assert len([text for text in house.said("error") if "not taken over" in text]) == 1
    assert ("netpolicy.config", {"ok": False, "error": error}) in house.events
    assert await house.load(CONFIG) == "" and status(house)["config"]["error"] is None


async def test_a_missing_file_keeps_the_old_configuration(house):
    await house.load()
    house.config.unlink()
    assert "netpolicy" in await house.load()
    assert leads_to("video") == "v_02"


async def test_one_broken_rule_that_protects_nothing_is_left_out(house):
    broken = CONFIG + "config rule 'odd'\n\tlist dest_port 'x'\n\toption route 'wan_a'\n"
    assert await house.load(broken) == ""
    assert [one["name"] for one in status(house)["rules"]["skipped"]] == ["odd"]
    assert "odd" not in ours() and leads_to("video") == "v_02"


async def test_a_start_with_a_broken_configuration_leaves_in_force_what_a_killed_daemon_left(house, tmp_path):
    await house.load()
    before = everything()
    (tmp_path / "2").mkdir()
    restarted = House(tmp_path / "2", "config rule 'x")
    assert await restarted.load()
    await restarted.engine.reconcile("start")
    assert everything() == before
    assert not status(restarted)["kernel"]["in_sync"]


async def test_files_that_are_taken_while_a_turn_ends_are_kept_by_the_turn_that_puts_them_in_force(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the locks for the next boot, made of what is in force, were the old rules' beside the new files."""
    engine, kept = house.engine, []

    async def keep(files: Files, cause: str) -> None:
        kept.append((files, cause))

    engine.adopt = keep
    assert await house.load() == "" and len(kept) == 1
    house.config.write_text(CONFIG.replace("'25'", "'26'"))
    found = await reading.read(engine.loader, str(house.config), engine.ruleset)

    def taken(this: InForce) -> bool:
        monkeypatch.undo()
        engine.take_files(found)
        return this.succeeded()

    monkeypatch.setattr(InForce, "succeeded", taken)
    assert await engine.reconcile("a line came back") == "" and len(kept) == 1
    assert await engine.reconcile("reload") == "" and kept[1:] == [(found.files, "reload")]


# -- modes ---------------------------------------------------------------------------------------


async def test_observing_changes_nothing_and_says_what_it_would(house):
    before = everything()
    assert await house.load(OBSERVE) == ""
    assert everything() == before
    document = status(house)
    assert document["mode"] == "observe" and document["kernel"]["waiting"] > 0 and not document["kernel"]["in_sync"]
    assert documents.rules(house.engine, {})["rules"][0]["enforced"] == "observe: nothing is enforced"


# -- what may be missing -------------------------------------------------------------------------


async def test_a_missing_interface_is_reported_and_the_rest_works(house):
    assert await house.load(CONFIG.replace("'wanb'", "'usb9'")) == ""
    shown = {one["name"]: one for one in status(house)["outbounds"]}
    assert (shown["wan_b"]["up"], shown["wan_b"]["reason"]) == (False, "there is no device usb9")
    assert shown["wan_a"]["up"]
    assert leads_to("mail") == "v_30" and leads_to("video") == ""


@pytest.mark.parametrize(("on_fail", "chain"), [("next", ""), ("direct", "v_00"), ("block", "v_30")])
@pytest.mark.parametrize("how", [("down", "up"), ("del", None)])
async def test_a_line_that_goes_and_comes_back(house, on_fail, chain, how):
    await house.load(CONFIG.replace("option route 'wan_b'", f"option route 'wan_b'\n\toption on_fail '{on_fail}'"))
    before = sorted(everything().splitlines())
    connect_by(0x42000000)
    connect_by(0x41000000)
    if how[1]:
        run("ip", "link", "set", "wanb", "down")
    else:
        run("ip", "link", "del", "wanb")
    assert await house.engine.reconcile("link") == ""
    assert ("netpolicy.outbound", "wan_b", False) in [
        (name, data.get("name"), data.get("up")) for name, data in house.events
    ]
    assert leads_to("video") == chain
    assert "unreachable default" in run("ip", "route", "show", "table", "7002")
    assert marks() == ["1090519040"]  # the connection of the line that stayed
    assert await house.engine.reconcile("again") == ""
    if how[1]:
        run("ip", "link", "set", "wanb", "up")
        run("ip", "address", "replace", "2001:db8:b::2/64", "dev", "wanb", "nodad")
        run("ip", "route", "add", "default", "via", "198.51.100.1", "dev", "wanb", "table", "901")
        assert await house.engine.reconcile("link") == ""
        assert _shape(everything().splitlines()) == _shape(before)


async def test_who_hears_of_lines_is_told_each_at_first_and_the_device_that_one_lost(house):
    told = []
    house.engine.carries = lambda state, device: told.append((state.name, state.up, device))

    async def netifd() -> dict[str, LogicalInterface]:
        return logical

    logical = {"wan6": LogicalInterface("wanb", True)}
    house.engine.ask_netifd = netifd
    await house.load(CONFIG.replace("'wanb'", "'wan6'"))
    assert told == [("wan_a", True, "wana"), ("wan_b", True, "wanb")]
    logical = {"wan6": LogicalInterface("", False, {}, "NO_DEVICE")}  # an alias of one that is down
    await house.engine.reconcile("netifd")
    await house.engine.reconcile("again")
    assert told[2:] == [("wan_b", False, "wanb")]
    assert {one["name"]: one["device"] for one in status(house)["outbounds"]}["wan_b"] == ""


def _shape(lines: list[str]) -> list[str]:
    """Without generation numbers, and without the kernel's own IPv6 entries, which come back when they like."""
    return sorted(
        re.sub(r"\bg\d+_", "g_", line)
        for line in lines
        if "fe80" not in line
        and "ff00" not in line
        and "handle" not in line
        and not line.startswith(("local", "anycast"))
    )


# -- classes -------------------------------------------------------------------------------------


async def test_classes_survive_a_restart_and_a_new_order(house, tmp_path):
    await house.load()
    assert dict(house.engine.numbers) == {"wan_a": 1, "wan_b": 2}
    a, b = CONFIG.index("config outbound 'wan_a'"), CONFIG.index("config outbound 'wan_b'")
    rules = CONFIG.index("config rule 'video'")
    again = House(tmp_path, CONFIG[:a] + CONFIG[b:rules] + CONFIG[a:b] + CONFIG[rules:])
    assert await again.load() == ""
    assert dict(again.engine.numbers) == {"wan_a": 1, "wan_b": 2}
    assert again.engine.in_force.revision == 0  # nothing to do: adopted as it is


async def test_connections_of_an_outbound_that_was_removed_are_forgotten_and_its_class_can_be_used_again(house):
    await house.load()
    connect_by(0x42000000)
    connect_by(0x41000000)
    only_a = CONFIG.replace("route 'wan_b'", "route 'wan_a'")
    only_a = only_a[: only_a.index("config outbound 'wan_b'")] + only_a[only_a.index("config rule 'video'") :]
    assert await house.load(only_a) == ""
    assert marks() == ["1090519040"]
    third = only_a + "config outbound 'wan_c'\n\toption type 'interface'\n\toption interface 'wanb'\n"
    assert await house.load(third) == ""
    # A number that never meant anything comes first; the old one is remembered for its outbound.
    assert dict(house.engine.numbers) == {"wan_a": 1, "wan_c": 3}
    assert await house.load(CONFIG) == ""
    assert dict(house.engine.numbers) == {"wan_a": 1, "wan_b": 2}


async def test_more_outbounds_than_the_mask_can_number_are_refused_in_words(house):
    await house.load()
    before = everything()
    more = "".join(f"config outbound 'x{n}'\n\toption type 'interface'\n\toption interface 'wana'\n" for n in range(40))
    assert "fwmark_mask" in await house.load(CONFIG + more)
    assert everything() == before


# -- asking --------------------------------------------------------------------------------------


async def test_a_second_turn_does_nothing_at_all(house):
    await house.load()
    house.events.clear()
    logged = len(house.log.since(0, 500))
    before = {path: path.stat().st_mtime_ns for path in house.state.rglob("*")}
    assert await house.engine.reconcile("nothing") == ""
    assert house.events == [] and len(house.log.since(0, 500)) == logged
    assert {path: path.stat().st_mtime_ns for path in house.state.rglob("*")} == before


async def test_turns_at_the_same_time_wait_for_each_other(house):
    await house.load(OFF)
    house.write(CONFIG)
    await house.engine.read_config()
    assert await asyncio.gather(*(house.engine.reconcile(str(n)) for n in range(4))) == [""] * 4
    assert house.engine.in_force.revision == 1


async def test_things_of_others_are_not_touched_by_any_of_it(house):
    clean = of_others()
    for text in (CONFIG, OBSERVE, CONFIG.replace("'wanb'", "'usb9'"), OFF, CONFIG):
        await house.load(text)
        assert of_others() == clean
    await house.engine.stop()
    assert of_others() == clean
    assert ours() == ""


# -- size ----------------------------------------------------------------------------------------


async def test_three_hundred_rules_are_one_table(house):
    rules = "".join(
        f"config rule 'a_long_name_{n}'\n\toption priority '{n}'\n\tlist dest_addr '10.{n % 200}.{n}.0/24'\n"
        f"\tlist dest_port '{1000 + n}'\n\toption route 'wan_{'ab'[n % 2]}'\n"
        for n in range(250)
    ) + "".join(f"config rule 'b{n}'\n\tlist src_addr '10.0.{n}.0/24'\n\toption block '1'\n" for n in range(50))
    assert await house.load(CONFIG + rules) == ""
    assert status(house)["rules"]["active"] == 302
    plan = await house.engine.plan()
    assert plan is not None and plan.is_empty
    assert ours().count(" comment ") == 302


@pytest.mark.slow  # a thousand turns, each with a run of nft
async def test_a_thousand_turns_leak_neither_memory_nor_descriptors(house):
    await house.load()

    async def turns(count: int) -> None:
        for number in range(count):
            if number % 50 == 0:  # and a change now and then
                house.write(CONFIG.replace("'443'", str(1000 + number)))
                await house.engine.read_config()
            assert await house.engine.reconcile("again") == ""

    await turns(200)
    before, opened = _resident(), len(os.listdir("/proc/self/fd"))
    await turns(1000)
    assert len(os.listdir("/proc/self/fd")) == opened
    assert _resident() - before < 1024


def _resident() -> int:
    gc.unfreeze()  # what earlier tests left is freed now, and not in the middle of the turns
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


async def test_a_configuration_that_is_being_read_when_a_change_begins_is_not_taken_over(house):
    assert await house.load() == ""
    house.write(CONFIG.replace("443", "444"))
    real = house.engine.loader.load

    async def load(*given, **named):
        found = await real(*given, **named)
        house.engine.frozen = "change r1 waits"
        return found

    house.engine.loader.load = load
    before = everything()
    assert await house.engine.reload() == "change r1 waits"
    assert everything() == before


async def test_what_was_read_while_a_change_was_made_and_taken_back_is_read_again(house, monkeypatch):
    """Else the candidate, which stood in the file for a moment, would be in force, and kept."""
    assert await house.load() == ""
    house.write(CONFIG.replace("443", "444"))
    engine, real = house.engine, reading.read

    async def read(*given, **named):
        monkeypatch.undo()
        found = await real(*given, **named)
        house.write(CONFIG)
        assert engine.take(engine.loaded) == ""
        return found

    monkeypatch.setattr(reading, "read", read)
    before = everything()
    assert await engine.reload() == ""
    assert everything() == before
