"""Disks that are full, damaged ways back, boots that go wrong, others that interfere, forgery: tests 18 to 22."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from netpolicy.lab import starter
from tests.acceptance.scene import ROUTER, Scene
from tests.kernel.steering import A4, A6, B4, B6, LINES, rule
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

MOVED = LINES + rule("moved", "+dest_port=31000", "route=wan_b")
ALERT = MOVED.replace("option enabled '1'", "option enabled '1'\n\toption drift 'alert'")


def ways(router: Scene) -> tuple[str, str]:
    """By which lines new connections of the LAN go now, IPv4 and IPv6."""
    return router.goes_by(4), router.goes_by(6)


# -- the disk ----------------------------------------------------------------------------------


@pytest.fixture
def small(router: Scene):  # type: ignore[no-untyped-def]
    """The store lies on a file system of its own, with little room."""
    store = str(router.folder / "store")
    copy = f"cp -a {store}/. /run/kept && mount -t tmpfs -o size=256k none {store} && cp -a /run/kept/. {store}/"
    router.stop()
    in_lab(router, f"rm -rf /run/kept && mkdir /run/kept && {copy}")
    router.start()
    yield router
    router.stop()
    router.wait(lambda: not guards(router), "no guard is at work there")
    in_lab(router, f"umount {store}")
    router.start()


def guards(router: Scene) -> str:
    """The processes of guards: one that has nothing left to do ends a moment later."""
    # The brackets: what looks must not find itself.
    return router.inside("sh", "-c", "grep -l netpolicy/[g]uard /proc/[0-9]*/cmdline 2>/dev/null; :").strip()


def in_lab(router: Scene, command: str) -> None:
    """As a shell of the lab: what is mounted there all of it sees."""
    subprocess.run(router.lab.inside(["sh", "-c", command]), check=True, env=starter.environment(), capture_output=True)


def fill(router: Scene) -> None:
    """Not one byte more."""
    in_lab(router, f"cat /dev/zero > {router.folder}/store/filling 2>/dev/null; rm -f /run/x; exit 0")


def test_18_on_a_full_disk_a_change_is_refused_before_anything_is_changed(small: Scene) -> None:
    before = small.kernel()
    fill(small)
    refused = small.apply(MOVED)
    assert (refused["state"], refused["exit"]) == ("refused", 4)
    assert "No space left" in refused["error"]
    assert small.kernel() == before and small.current and not small.record()
    (small.store / "filling").unlink()
    small.confirm(small.applied(MOVED))
    assert ways(small) == (B4, B6)


@pytest.mark.parametrize("end", ["abort", "deadline", "daemon", "confirm"])
def test_18_a_disk_that_fills_up_while_a_change_waits_ends_in_one_of_the_two(small: Scene, end: str) -> None:
    old = small.kernel()
    small.write(MOVED)
    change = small.answer("apply", "--confirm", "2" if end == "deadline" else "60")
    new = small.kernel()
    fill(small)
    if end == "abort":
        small.tool("abort")
    elif end == "daemon":
        small.kill_daemon()
    elif end == "confirm":
        small.ssh(f"{small.folder}/bin/netpolicy", "confirm", change["token"])
        small.tool("abort")  # refused, or not needed
    small.wait(lambda: small.kernel() == old or (end == "confirm" and small.kernel() == new), "it is led back")
    assert all(small.reaches_router(family=family) for family in (4, 6))
    (small.store / "filling").unlink()
    if not small.is_dead:
        small.kill_daemon()  # whatever is not written down by then is found at the next start
    small.wait(lambda: not small.record() or (small.pending / "outcome").exists() or verdict(small), "it is decided")
    small.start()
    text = small.config.read_text()
    assert text in (LINES, MOVED) and (small.store / f"generations/{small.current:06}/config").read_text() == text
    assert small.kernel() == (old if text == LINES else new)
    assert not small.record() and small.lab.call("verify")["fine"]
    assert end == "confirm" or text == LINES


def verdict(router: Scene) -> bool:
    """Whether it was decided for or against the change."""
    return (router.pending / "verdict").exists()


# -- the bundle --------------------------------------------------------------------------------


def test_19_a_way_back_that_does_not_work_is_refused_before_the_change(router: Scene) -> None:
    router.rest(MOVED)
    router.stop()
    router.start(MOVED, steps=True)
    before = router.kernel()
    router.write(LINES)
    router.watch_steps("stop 1 start guard --run take")
    tool = router.start_tool("apply", "--confirm", "60")
    bundle = router.guard_folder / "bundle.new/table.nft"
    step = "1 start guard --run take"  # noted before the daemon stops at it
    router.wait(lambda: step in router.seen_steps() and router.is_stopped, "the bundle is written and not tried yet")
    text = bundle.read_text()
    assert "masquerade" in text
    bundle.write_text(text.replace("masquerade", "accept"))
    assert router.lab.daemon is not None
    router.steps()
    router.go_on()
    said, _ = tool.communicate(timeout=60)
    assert tool.returncode == 4, said
    assert "the way back does not work, so nothing was changed" in said
    assert router.kernel() == before and not router.record() and ways(router) == (B4, B6)


def test_19_a_bundle_that_is_damaged_later_means_rescue_and_the_lan_administers_the_router(router: Scene) -> None:
    old = router.kernel()
    others = router.others()
    router.applied(MOVED)
    (router.guard_folder / "bundle/table.nft").write_text("table inet netpolicy { chain x { drop; } }\n")
    router.kill_daemon()
    router.wait(lambda: (router.pending / "outcome").exists(), "the guard is done")
    assert (router.pending / "outcome").read_text().startswith("rescue")
    for node, family in (("desk", 4), ("desk", 6), ("laptop", 4), ("laptop", 6)):
        assert router.reaches_router(node, family)
    assert "proto 78" not in router.kernel() and router.others() == others
    assert router.ssh("echo", "here").stdout == "here\n" and router.ssh("echo", "here", to=ROUTER[6]).stdout == "here\n"
    router.start()
    assert router.kernel() == old and ways(router) == (A4, A6)
    assert router.events()[-1] == "recovered rescue"


# -- boots -------------------------------------------------------------------------------------


def test_20_a_generation_that_never_ran_well_is_left_at_its_third_boot(router: Scene) -> None:
    router.rest(LINES)
    old, good = router.kernel(), router.current
    (router.store / f"generations/{good:06}/healthy").touch()  # as after three minutes
    router.confirm(router.applied(MOVED))
    bad = router.current
    for _ in range(2):
        router.cut_power()
        router.boot()
        assert (router.current, router.config.read_text()) == (bad, MOVED)
    router.cut_power()
    router.guard("recover")
    assert (router.current, router.config.read_text()) == (good, LINES), "before anybody reads it"
    router.start_ssh()
    router.start()
    assert router.kernel() == old and ways(router) == (A4, A6)
    assert router.events()[-1] == "recovered fallback"
    assert (router.store / "rejected").read_text() == MOVED


# -- others ------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["rule", "table", "route"])
def test_21_what_others_change_is_put_right_twice_and_never_a_third_time(router: Scene, what: str) -> None:
    router.stop()  # another daemon, so that nothing was healed before
    router.start(MOVED)
    good = router.kernel()
    for number in (1, 2):
        break_ours(router, what)
        router.wait(lambda: router.kernel() == good, "it is put right")  # by itself it looks once a minute
        # And told: what is broken before that is healed by the same turn.
        router.wait(lambda number=number: healed(router) == number, f"{number} times")
    break_ours(router, what)
    router.wait(lambda: router.lab.call("drift")["is_there"], "it is told")
    time.sleep(1.0)  # nothing can be awaited that must not happen
    found = router.answer("drift")
    assert (found["last"]["treatment"], found["exit"]) == ("paused", 1)
    assert router.kernel() != good
    assert router.tool("drift", "--heal").returncode == 0
    assert router.kernel() == good and ways(router) == (B4, B6)


def test_21_who_wants_to_be_told_alone_is_told_within_a_second(router: Scene) -> None:
    router.rest(ALERT)
    good = router.kernel()
    took: list[float] = []
    while len(took) < 3 or (min(took) >= 1.0 and len(took) < 12):  # most of them may have waited for a busy machine
        what = ("rule", "route", "table")[len(took) % 3]
        assert router.lab.call("heal")["ok"]
        break_ours(router, what)
        begin = time.monotonic()
        router.wait(lambda: router.lab.call("drift")["is_there"], "it is told")
        took.append(time.monotonic() - begin)
        assert router.lab.call("drift")["last"]["treatment"] == "alert" and router.kernel() != good
    assert min(took) < 1.0


def healed(router: Scene) -> int:
    """How often drift was found and put right; -1 while it is there."""
    found = router.lab.call("drift")
    return -1 if found["is_there"] else int(found["count"])


def break_ours(router: Scene, what: str) -> None:
    """As somebody does by hand, in both families: one change to the daemon, however long it takes here."""
    with router.held():
        for family in ("-4", "-6"):
            if what == "rule":
                router.inside("ip", family, "rule", "del", "priority", "7002")
            elif what == "route":
                router.inside("ip", family, "route", "flush", "table", "7002")
        if what == "table":
            router.inside("nft", "delete", "table", "inet", "netpolicy")


# -- the journal -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["changed", "removed", "cut", "added", "exchanged"])
def test_22_a_journal_that_was_tampered_with_is_found_out(router: Scene, how: str) -> None:
    for _ in range(2):
        router.answer("apply", "--rules", str(router.config), "-m", "nothing")
        router.applied(MOVED)
        router.tool("abort")
    assert router.tool("history", "verify").returncode == 0
    path = router.store / "history.jsonl"
    kept = path.read_bytes()
    lines = kept.splitlines(keepends=True)
    assert len(lines) >= 3
    if how == "changed":
        lines[-2] = lines[-2].replace(b'"who":"root', b'"who":"none', 1)
        assert lines[-2] not in kept
    elif how == "removed":
        del lines[-2]
    elif how == "cut":
        del lines[-1]
    elif how == "added":
        entry = {**json.loads(lines[-1]), "who": "nobody"}
        lines.append(json.dumps(entry).encode() + b"\n")
    else:
        lines[-2:] = lines[:-3:-1]
    path.write_bytes(b"".join(lines))
    try:
        found = router.tool("history", "verify")
        assert found.returncode == 1 and "not what was written" in found.stderr
    finally:
        path.write_bytes(kept)
    assert router.tool("history", "verify").returncode == 0
