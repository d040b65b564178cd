"""Back to the old state, from whatever state: table, counters, ip rules and routes, and nothing of others."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netpolicy.dataplane import bundle
from netpolicy.dataplane.guard import find_pending, start_of, uptime
from netpolicy.dataplane.limits import Limit
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import Entry, Hop, Line, Policy, SourceTranslation
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.shaping import Observed
from tests.dataplane.followed import MAIL, OTHER, VIDEO, WORK, count_hits
from tests.kernel.guarded import NEW_CONFIG, OLD_CONFIG, SHELLS, GuardedRouter, applier, places, set_clock, state
from tests.netns import needs_root, run
from tests.router import WAN_A, WAN_B, of_others, policy, router, rule

pytestmark = [pytest.mark.kernel, needs_root]

OLD = policy(
    VIDEO,
    MAIL,
    WORK,
    lines=(replace(WAN_A, sealed=True, leaves_by=("wana",)), replace(WAN_B, leaves_by=("wanb",))),
    ways_out=("wana", "wanb"),
    ingress=(("wanb", 2),),
)
CANDIDATE = policy(OTHER, VIDEO)
THIRD = Line("wan_c", 3, "lan", (Hop(4, "192.168.1.9"),))


# Of the shells of a router and of a PC: what is told apart by them is tried under both.
BOTH = pytest.mark.parametrize("guarded", SHELLS, indirect=True)


def by_turns(count: int) -> pytest.MarkDecorator:
    """Seeds, each under one of the shells."""
    cases = [(tuple(SHELLS)[seed % 2], seed) for seed in range(count)]
    return pytest.mark.parametrize(("guarded", "seed"), cases, indirect=["guarded"])


@pytest.fixture
async def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[GuardedRouter]:
    """The old policy is in force, with hits."""
    with router():
        made = GuardedRouter(places(tmp_path, getattr(request, "param", "dash")))
        await made.follow(OLD)
        count_hits(video=7, mail=3)
        yield made
        await made.guard.finish()
        if made.watcher is not None:
            made.watcher.wait(60)


# -- from any state -----------------------------------------------------------------------------


def any_policy(rng: random.Random) -> Policy:
    """Another policy: rules, actions, lines, marks, translations."""
    entries = [
        Entry(
            rule(f"r{number}", dest_port=str(rng.randrange(1, 9)), dest_addr=f"203.0.{number}.0/24"), rng.choice((1, 2))
        )
        for number in range(rng.randrange(6))
    ]
    for one in (VIDEO, MAIL, WORK, OTHER):
        if rng.random() < 0.5:
            entries.append(replace(one, number=1) if rng.random() < 0.3 and not one.blocks else one)
    rng.shuffle(entries)
    more = (THIRD,) if rng.random() < 0.3 else ()
    changes: dict[str, object] = {"lines": (WAN_A, WAN_B, *more)}
    if rng.random() < 0.3:
        changes["default_forwarded"] = 2
    if rng.random() < 0.3:
        changes["translations"] = (SourceTranslation("wanb", True, True),)
    if rng.random() < 0.2 and not any(entry.blocks for entry in entries):
        changes["marks"] = Marks(0x7E000000)
    return policy(*entries, **changes)


def disturb(rng: random.Random) -> None:
    """Somebody's hand in what is ours."""
    hands = (
        ("nft", "delete", "table", "inet", "netpolicy"),
        ("nft", "add", "table", "inet", "netpolicy", "{", "flags", "dormant;", "}"),
        ("nft", "add", "chain", "inet", "netpolicy", "more", "{ type filter hook input priority 0; }"),
        ("nft", "add", "set", "inet", "netpolicy", "more", "{ type ipv4_addr; }"),
        ("nft", "add", "counter", "inet", "netpolicy", "more"),
        ("nft", "flush", "chain", "inet", "netpolicy", "pre"),
        ("nft", "add", "rule", "inet", "netpolicy", "k_01", "drop"),
        ("nft", "flush", "map", "inet", "netpolicy", "restore"),
        ("ip", "rule", "flush", "protocol", "78"),
        ("ip", "-6", "route", "flush", "table", "7002"),
        ("ip", "rule", "add", "priority", "7033", "fwmark", "0x5/0xff", "unreachable", "protocol", "78"),
        ("ip", "route", "add", "unreachable", "10.3.0.0/16", "table", "7009", "protocol", "78"),
        ("ip", "-6", "rule", "add", "priority", "7000", "oif", "nowhere", "lookup", "7009", "protocol", "78"),
        ("ip", "route", "replace", "default", "via", "198.51.100.1", "dev", "wanb", "table", "7001", "protocol", "78"),
    )  # fmt: skip
    # What is not there cannot be changed: that is a state too.
    subprocess.run(rng.choice(hands), check=False, stderr=subprocess.DEVNULL)


@by_turns(4)
async def test_from_any_state_it_is_exactly_the_old_one(guarded, seed, monkeypatch):
    if seed // 2:
        # As with long sets: they stay where they are, or are filled in steps.
        monkeypatch.setattr(bundle, "MOST_AT_ONCE", 2)
        monkeypatch.setattr(bundle, "CHUNK", 1)
    rng = random.Random(seed)
    old, others = state(), of_others()
    await guarded.arm(CANDIDATE)
    os.kill(guarded.guard_process, signal.SIGKILL)
    folder = str(guarded.guard_folder / "bundle")
    for _ in range(3):
        await GuardedRouter(guarded.places).follow(any_policy(rng))
        for _ in range(rng.randrange(4)):
            disturb(rng)
        assert state() != old
        first = guarded.ask("try", folder, "keep")
        if first.returncode:
            # What cannot be changed in place is made anew.
            assert guarded.ask("try", folder, "whole").returncode == 0, guarded.log
        assert state() == old
        assert of_others() == others


async def test_nothing_in_force_is_led_back_to_as_well(tmp_path):
    with router():
        guarded = GuardedRouter(places(tmp_path))
        guarded.plan = await guarded.kernel.plan(Policy())
        old, others = state(), of_others()
        assert old == ""
        await guarded.arm(CANDIDATE, nothing=True)
        await guarded.follow(CANDIDATE)
        guarded.daemon_dies()
        assert guarded.wait_for_outcome().startswith("reverted")
        assert (state(), of_others()) == (old, others)
        assert guarded.config == OLD_CONFIG


async def test_a_table_of_that_name_that_is_not_ours_is_left_alone(guarded):
    await guarded.arm(CANDIDATE)
    run("nft", "delete", "table", "inet", "netpolicy")
    run("nft", "add", "table", "inet", "netpolicy")
    guarded.daemon_dies()
    assert guarded.wait_for_outcome() == f"rescue {guarded.guard.pending.id} the-daemon-died foreign-table"
    assert run("nft", "list", "table", "inet", "netpolicy") == "table inet netpolicy {\n}\n"


async def test_long_lists_stay_where_they_are_and_are_brought_back_where_they_are_not(tmp_path):
    values = " ".join(f"10.{number >> 8}.{number & 255}.0/25" for number in range(4000))
    more = " ".join(f"11.{number >> 8}.{number & 255}.0/25" for number in range(1000))
    old = policy(Entry(rule("long", dest_addr=values), 2), Entry(rule("other", dest_addr=more), 1), VIDEO)
    with router():
        guarded = GuardedRouter(places(tmp_path))
        await guarded.follow(old)
        before = state()
        await guarded.arm(CANDIDATE)
        os.kill(guarded.guard_process, signal.SIGKILL)
        folder = guarded.guard_folder / "bundle"
        (kept,) = (folder / "kept").read_text().split()
        # Another table with the same list, then none.
        for other in (policy(Entry(rule("long", dest_addr=values), 1)), CANDIDATE):
            await GuardedRouter(guarded.places).follow(other)
            assert guarded.ask("try", str(folder), "keep").returncode == 0, guarded.log
            assert state() == before
        run("nft", "flush", "set", "inet", "netpolicy", kept)
        assert guarded.ask("try", str(folder), "whole").returncode == 0, guarded.log
        assert state() == before
        await guarded.guard.finish()


async def test_a_device_that_is_gone_is_no_failure(guarded):
    await guarded.arm(CANDIDATE)
    await guarded.follow(CANDIDATE)
    run("ip", "link", "del", "wanb")
    guarded.daemon_dies()
    assert guarded.wait_for_outcome().startswith("reverted")
    assert "does not take these routes now" in guarded.log and "dev wanb" in guarded.log
    assert "unreachable default" in run("ip", "route", "show", "table", "7002")
    assert "fwmark 0x2000000/0x37000000 lookup 7002" in run("ip", "rule")


@pytest.mark.parametrize("tc", ["works", "broken", "absent"])
async def test_queues_come_back_where_tc_can_and_else_limits_drop(guarded, tc, tmp_path, monkeypatch):
    if tc == "broken":
        tools = tmp_path / "tools"
        tools.mkdir()
        (tools / "tc").write_text("#!/bin/sh\nexit 1\n")
        (tools / "tc").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr("netpolicy.dataplane.guard.has_tc", lambda: tc != "absent")
    slow, other = Limit("slow", 8_000_000, 0, False, (2,)), Limit("other", 9_000_000, 0, False, (1,))
    await guarded.follow(replace(OLD, limits=(slow, other)))
    assert {(one.device, one.rate) for one in guarded.plan.policy.shaped} == {("wanb", 8_000_000), ("wana", 9_000_000)}
    old, queues = state(), guarded.kernel.queues()
    candidate = replace(
        CANDIDATE, limits=(Limit("slow", 5_000_000, 0, False, (2,)), other), lines=OLD.lines, ways_out=OLD.ways_out
    )
    await guarded.arm(candidate)
    assert guarded.guard.leads_queues == (tc == "works")
    await guarded.follow(candidate)
    assert guarded.kernel.queues() != queues
    guarded.daemon_dies()
    assert guarded.wait_for_outcome().endswith("the-daemon-died by-guard")
    if tc == "works":
        assert (state(), classes(guarded)) == (old, rates(queues))
        return
    # What the change touches may not be what it was; what it leaves alone is.
    dropped = "limit rate over 1000000 bytes/second"
    assert dropped in state() and "limit rate over 1125000 bytes/second" in old
    assert 'oifname "wana" accept' in state() and 'oifname "wanb" accept' not in state()


def rates(seen: Observed) -> dict[str, list[tuple[int, int]]]:
    return {name: sorted((one.handle, one.rate) for one in device.classes) for name, device in seen.devices.items()}


def classes(guarded: GuardedRouter) -> dict[str, list[tuple[int, int]]]:
    return rates(guarded.kernel.queues())


# -- who dies -----------------------------------------------------------------------------------


@BOTH
async def test_the_daemon_is_killed_and_all_is_led_back_at_once(guarded):
    old, others = state(), of_others()
    await guarded.arm(CANDIDATE)
    await guarded.follow(CANDIDATE)
    assert state() != old
    begun = uptime()
    guarded.daemon_dies()
    assert guarded.wait_for_outcome() == f"reverted {guarded.guard.pending.id} the-daemon-died by-guard"
    assert uptime() - begun < 100, "before the deadline"
    assert (state(), of_others()) == (old, others)
    assert guarded.config == OLD_CONFIG
    assert (Path(guarded.places.store) / "rejected").read_bytes() == NEW_CONFIG
    assert run("nft", "list", "tables").count("netpolicy_gate") == 0
    assert find_pending(guarded.places).is_refused


@BOTH
async def test_a_daemon_that_hangs_is_ended_after_the_deadline(guarded):
    old = state()
    await guarded.arm(CANDIDATE)
    with applier() as hanging:
        guarded.applier_is(hanging.pid)  # before any deadline: who hangs is killed
        await guarded.follow(CANDIDATE)
        deadline = uptime() + 1
        await guarded.guard.extend(deadline)
        assert guarded.wait_for_outcome().startswith(f"reverted {guarded.guard.pending.id} deadline")
        assert hanging.wait(30) == -signal.SIGKILL
    assert uptime() > deadline + 1, "the daemon had its chance"
    assert state() == old


@pytest.mark.parametrize("is_decided", [False, True])
async def test_a_daemon_that_slept_through_the_deadline_with_the_machine_is_given_its_time(
    guarded, tmp_path, is_decided
):
    await guarded.arm(CANDIDATE)
    clock, deadline = tmp_path / "uptime", guarded.guard.pending.deadline
    set_clock(clock, deadline - 60)
    with applier() as daemon:
        guarded.applier_is(daemon.pid)
        await guarded.follow(CANDIDATE)
        if is_decided:
            assert await guarded.guard.claim_revert("a test")
        guarded.watch_by(clock)
        set_clock(clock, deadline + 3600)
        assert guarded.wait_for_outcome(0.5) == "" and daemon.poll() is None
        for again in range(2, 200):  # each that it sees counts as one look: it does not wait for ever
            set_clock(clock, deadline + 3600 * again)
            if guarded.wait_for_outcome(0.3):
                break
        assert guarded.guard.outcome().startswith("reverted") and daemon.wait(30) == -signal.SIGKILL


async def test_the_deadline_can_be_moved_while_it_is_watched(guarded, tmp_path):
    await guarded.arm(CANDIDATE)
    clock, deadline = tmp_path / "uptime", guarded.guard.pending.deadline
    set_clock(clock, deadline - 60)
    with applier() as waiting:
        guarded.applier_is(waiting.pid)
        guarded.watch_by(clock)
        await guarded.guard.extend(deadline + 900)
        for late in range(1, 11, 3):  # steps that it takes for time that passed
            set_clock(clock, deadline + late)
            assert guarded.wait_for_outcome(0.5) == ""
        assert waiting.poll() is None and guarded.guard.verdict() == ""
        await guarded.guard.finish()
        waiting.kill()


async def test_a_confirmation_ends_the_watch_and_nothing_is_led_back(guarded):
    await guarded.arm(CANDIDATE)
    await guarded.follow(CANDIDATE)
    new = state()
    watching = guarded.guard_process
    assert await guarded.guard.confirm(guarded.guard.pending.nonce)
    guarded.daemon_dies()
    for _ in range(300):
        if start_of(watching) is None:
            break
        guarded.wait_for_outcome(0.1)
    else:
        raise AssertionError("it goes on watching")
    assert state() == new and guarded.guard.outcome() == ""
    assert guarded.config == NEW_CONFIG


@BOTH
async def test_the_guard_that_is_too_late_changes_neither_verdict_nor_kernel(guarded):
    await guarded.arm(CANDIDATE)
    await guarded.follow(CANDIDATE)
    new = state()
    with applier() as daemon:
        guarded.applier_is(daemon.pid)
        assert await guarded.guard.confirm(guarded.guard.pending.nonce)
        done = guarded.ask("revert", "by", "hand")
        assert done.returncode == 3 and "confirmed already" in done.stderr
        assert daemon.poll() is None
        daemon.kill()
    assert find_pending(guarded.places).is_confirmed
    assert state() == new and guarded.guard.outcome() == ""


async def test_what_a_firewall_restart_loads_is_put_back_too(guarded):
    include, classes = (Path(guarded.places.state, name) for name in ("fw4/netpolicy.nft", "classes.json"))
    include.parent.mkdir()
    include.write_text("# old\n")
    await guarded.arm(CANDIDATE)
    await guarded.follow(CANDIDATE)
    include.write_text("# new\n")
    classes.write_text("{}")
    guarded.daemon_dies()
    assert guarded.wait_for_outcome().startswith("reverted")
    assert include.read_text() == "# old\n" and not classes.exists(), "there was none"


async def test_an_nft_that_did_not_do_what_it_said_is_asked_again(guarded):
    """The first switch is lost without a word; what is read back tells."""
    old = state()
    await guarded.arm(CANDIDATE)
    await guarded.follow(CANDIDATE)
    guarded.put_in_front_of(
        "nft",
        'if [ "$*" = "-f -" ] && [ ! -e "$0.once" ]; then : >"$0.once"; exec cat >/dev/null; fi',
    )
    guarded.daemon_dies()
    assert guarded.wait_for_outcome().startswith("reverted")
    assert "does not read as before" in guarded.log and "attempt 1 of 3" in guarded.log
    assert state() == old


async def test_what_cannot_be_changed_in_place_is_made_anew(guarded, monkeypatch):
    monkeypatch.setattr(bundle, "MOST_AT_ONCE", 2)
    old = state()
    await guarded.arm(CANDIDATE)
    assert (guarded.guard_folder / "bundle/kept").read_text() != ""
    await guarded.follow(CANDIDATE)
    run("nft", "add counter inet netpolicy more")
    guarded.daemon_dies()
    assert guarded.wait_for_outcome().startswith("reverted")
    assert "attempt 1 of 3" in guarded.log and "attempt 2" not in guarded.log
    assert state() == old


async def test_of_many_guards_at_once_one_leads_back(guarded):
    old = state()
    await guarded.arm(CANDIDATE)
    await guarded.follow(CANDIDATE)
    guarded.daemon_dies()
    others = [guarded.start(command) for command in ("watch", "recover", "recover", "watch")]
    assert guarded.wait_for_outcome().startswith("reverted")
    for one in others:
        assert one.wait(60) == 0
    assert guarded.log.count("leading back") == 1
    assert state() == old


async def test_one_that_recovers_leaves_the_outcome_to_the_guard_that_is_just_writing_it(guarded):
    await guarded.arm(CANDIDATE)
    await guarded.follow(CANDIDATE)
    guarded.put_in_front_of("sync", 'case "$1" in */outcome.guard) sleep 0.5 ;; esac')
    guarded.daemon_dies()
    finished = guarded.guard_folder / "finished"
    while not finished.exists():  # it is just before the outcome, which ends this too
        if guarded.wait_for_outcome(0.05):
            break
    assert (await guarded.guard.recover()).startswith("reverted")
    assert guarded.watcher.wait(60) == 0
    assert "is full" not in guarded.log and "cannot be written" not in guarded.log, guarded.log


async def test_where_nft_refuses_three_times_it_is_rescue_and_the_gate_is_open(guarded):
    others = of_others()
    await guarded.arm(CANDIDATE)
    await guarded.follow(CANDIDATE)
    # Not the fourth: with it the gate is opened.
    guarded.put_in_front_of(
        "nft",
        'if [ "$*" = "-f -" ] && [ "$(cat "$0.count" 2>/dev/null)" != xxx ]; then printf x >>"$0.count"; exit 1; fi',
    )
    guarded.daemon_dies()
    assert guarded.wait_for_outcome() == f"rescue {guarded.guard.pending.id} the-daemon-died closed"
    assert "attempt 3 of 3" in guarded.log
    assert "netpolicy_gate" not in run("nft", "list", "tables")
    assert "rescue_np" in state() and "proto 78" not in state(), "line A is sealed in the old policy"
    assert of_others() == others


@BOTH
async def test_the_hang_up_of_a_session_and_signals_change_nothing(guarded):
    await guarded.arm(CANDIDATE)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        os.kill(guarded.guard_process, number)
    assert os.getsid(guarded.guard_process) != os.getsid(0)
    guarded.wait_for_outcome(1.5)
    assert guarded.guard.is_alive()


async def test_a_guard_that_was_killed_is_followed_by_one_that_goes_on(guarded):
    old = state()
    with guarded.start("serve") as resident:
        await _served(guarded)
        await guarded.arm(CANDIDATE)
        assert guarded.guard_process == resident.pid
        await guarded.follow(CANDIDATE)
        resident.kill()
        resident.wait()
        # As procd does.
        with guarded.start("serve") as next_one:
            guarded.daemon_dies()
            assert guarded.wait_for_outcome().startswith("reverted")
            assert state() == old
            next_one.kill()


async def _served(guarded: GuardedRouter) -> None:
    for _ in range(600):
        if (guarded.guard_folder / "guard.pid").exists():
            return
        guarded.wait_for_outcome(0.05)
    raise AssertionError("it does not serve")


async def test_a_gate_that_nobody_is_left_to_open_is_opened(guarded):
    await guarded.arm(CANDIDATE)
    os.kill(guarded.guard_process, signal.SIGKILL)
    # Killed behind the gate, and then somebody removes the record.
    guarded.close_gate()
    await guarded.guard.finish()
    assert "netpolicy_gate" in run("nft", "list", "tables")
    assert guarded.ask("recover").returncode == 0
    assert "netpolicy_gate" not in run("nft", "list", "tables")


@BOTH
async def test_guard_and_daemon_are_killed_and_the_next_daemon_recovers(guarded):
    old = state()
    await guarded.arm(CANDIDATE)
    await guarded.follow(CANDIDATE)
    os.kill(guarded.guard_process, signal.SIGKILL)
    guarded.daemon_dies()
    assert await guarded.guard.recover() == f"reverted {guarded.guard.pending.id} recovered by-guard"
    assert state() == old and guarded.config == OLD_CONFIG
    before = guarded.log
    assert await guarded.guard.recover() != "", "and again it changes nothing"
    assert guarded.log == before and state() == old


async def test_recovering_while_the_daemon_lives_does_nothing(guarded):
    await guarded.arm(CANDIDATE)
    await guarded.follow(CANDIDATE)
    new = state()
    assert guarded.ask("recover").returncode == 0
    assert (state(), guarded.guard.verdict(), guarded.config) == (new, "", NEW_CONFIG)


@by_turns(4)
async def test_killed_at_any_moment_of_leading_back_the_next_one_finishes(guarded, seed):
    rng = random.Random(seed)
    old, others = state(), of_others()
    await guarded.arm(CANDIDATE)
    await guarded.follow(CANDIDATE)
    os.kill(guarded.guard_process, signal.SIGKILL)
    guarded.daemon_dies()
    for _ in range(4):
        process = guarded.start("watch")
        try:
            process.wait(rng.uniform(0.02, 0.7))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert await guarded.guard.recover() != ""
    assert guarded.guard.outcome().startswith("reverted"), guarded.log
    assert (state(counters=False), of_others()) == (_without_counters(old), others)
    assert guarded.config == OLD_CONFIG


def test_where_a_folder_is_gone_meanwhile_nobody_waits_for_all_disks(tmp_path):
    """As when the daemon is done with the change while the guard still writes."""
    told, sync = tmp_path / "told", tmp_path / "sync"
    sync.write_text(f'#!/bin/sh\necho "$*" >>{told}\nexit 1\n')  # as one that knows no names
    sync.chmod(0o755)
    program = tmp_path / "each"
    program.write_text(
        f'PATH="{tmp_path}:$PATH"\n{functions(tmp_path)}\nsettle {tmp_path}/gone && settle {program}\n:\n'
    )
    run("dash", str(program))
    assert told.read_text() == f"{program}\n\n"


def functions(folder: Path) -> str:
    """The guard up to its commands."""
    return Path(places(folder).program).read_text().partition('[ "$#" -gt 0 ] || {')[0]


NO_NAME_SERVER = """
name_servers() { :; }
bundle_is_whole() { :; }
put_names_back() { :; }
sleep() { wait; }
start_name_server() { %s; }
kill() { echo "kill $*"; command kill "$@"; }
lead_names_back
"""


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("does", ["exit 1", "exec sleep 60"])
def test_a_start_of_dnsmasq_that_is_over_is_not_killed_long_after(tmp_path, shell, does):
    """Its number may be another process's by then."""
    names = tmp_path / "run/guard/bundle/names"
    names.mkdir(parents=True)
    (names / "places").touch()
    (names / "read").write_text("1 1\n")
    program = tmp_path / "each"
    is_over = does == "exit 1"
    text = NO_NAME_SERVER % does
    program.write_text(functions(tmp_path) + (text if is_over else text.replace("wait", ":")))
    said = run(*SHELLS[shell], str(program), "--run", str(tmp_path / "run"))
    assert ("kill -9" in said) != is_over
    assert "dnsmasq did not come back" in (tmp_path / "run/guard/log").read_text()


def _without_counters(text: str) -> str:
    return re.sub(r"packets \d+ bytes \d+", "", text)
