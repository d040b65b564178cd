"""Who is locked out, who may say that a change stays, and what the lines have to say: tests 1, 2, 7 to 10 and 17."""

from __future__ import annotations

import pytest

from netpolicy.dataplane.guard import uptime
from tests.acceptance.scene import ROUTER, Scene
from tests.kernel.steering import A4, A6, B4, B6, LINES, rule
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

FAMILIES = (4, 6)
BY_A, BY_B = {4: A4, 6: A6}, {4: B4, 6: B6}

# Who administers from the internet by line B is answered by line B: without it the answers leave by A, and are lost.
WITHOUT_B = LINES[: LINES.index("config outbound 'wan_b'")]
MOVED = LINES + rule("moved", "+dest_port=31000", "route=wan_b")
NO_SUCH_GATEWAY = {
    4: LINES.replace("198.51.100.1", "198.51.100.77"),
    6: LINES.replace("2001:db8:b::1", "2001:db8:b::7"),
}
SILENT = {4: "ping:192.0.2.10", 6: "ping:2001:db8:1::10"}


@pytest.mark.parametrize("family", FAMILIES)
def test_01_a_lock_out_is_refused_by_the_rehearsal(router: Scene, family: int) -> None:
    session = router.login("internet", BY_B[family])
    before = router.kernel()
    refused = router.apply(WITHOUT_B)
    assert (refused["state"], refused["exit"]) == ("refused", 4), refused["rehearsal"]
    broken = [row["what"] for row in refused["rehearsal"]["rows"] if row["ok"] is False]
    assert any(f"-> {BY_B[family]} tcp/22" in what for what in broken), refused["error"]
    assert router.kernel() == before and not router.record()
    assert router.reaches_router("internet", to=BY_B[family])
    assert session.say("echo still") == "still"
    assert router.journal()[-1]["outcome"] == "refused"


def test_02_with_force_the_lock_out_is_taken_back_in_time_as_new_connections_show(router: Scene) -> None:
    for family in FAMILIES:
        router.login("internet", BY_B[family])
    before = router.kernel()
    router.write(WITHOUT_B)
    change = router.answer("apply", "--force", "--confirm", "3")
    assert change["state"] == "await", change
    deadline = int(router.record().get("DEADLINE", "0"))
    for family in FAMILIES:
        is_reached = router.reaches_router("internet", to=BY_B[family], timeout=0.3)
        assert not is_reached or uptime() >= deadline  # on a machine that takes seconds for it
    for family in FAMILIES:
        router.wait(lambda family=family: router.reaches_router("internet", to=BY_B[family], timeout=1.5), "it is back")
    assert uptime() >= deadline
    router.wait(lambda: router.events()[-1:] == ["change reverted"], "it is written down")
    assert router.kernel() == before and router.config.read_text() == LINES


@pytest.mark.parametrize("family", FAMILIES)
def test_07_a_confirmation_from_an_old_session_is_refused_and_one_from_a_new_one_is_believed(
    router: Scene, family: int
) -> None:
    old = router.login("desk", ROUTER[family])
    change = router.applied(MOVED)
    assert old.say(f"{router.folder}/bin/netpolicy confirm {change['token']} >/dev/null 2>&1; echo $?") == "4"
    elsewhere = router.tool("confirm", change["token"])  # at the router itself, with no connection at all
    assert elsewhere.returncode == 4 and not elsewhere.stdout
    wrong = router.ssh(f"{router.folder}/bin/netpolicy", "confirm", change["id"] + "." + "0" * 32, to=ROUTER[family])
    assert wrong.returncode == 4
    assert router.lab.call("job")["state"] == "await"
    router.confirm(change, to=ROUTER[family])
    assert router.events()[-1] == "change committed" and router.config.read_text() == MOVED
    assert router.goes_by(family) == BY_B[family]


@pytest.mark.parametrize("family", FAMILIES)
def test_08_a_change_of_the_lan_address_is_confirmed_at_the_new_one(router: Scene, family: int) -> None:
    new = {4: "192.168.1.77", 6: "fd00:c0de:1::77"}[family]
    change = router.applied(MOVED)
    move(router, family, ROUTER[family], new)
    try:
        router.confirm(change, to=new)
        assert router.events()[-1] == "change committed"
        assert not router.reaches_router(family=family, timeout=0.3) and router.reaches_router(to=new)
    finally:
        move(router, family, new, ROUTER[family])


def move(router: Scene, family: int, old: str, new: str) -> None:
    """The LAN has another address, as netifd does it."""
    length, words = (24, []) if family == 4 else (64, ["nodad"])
    router.inside("ip", "address", "del", f"{old}/{length}", "dev", "br-lan")
    router.inside("ip", "address", "add", f"{new}/{length}", "dev", "br-lan", *words)


@pytest.mark.parametrize("family", FAMILIES)
def test_09_a_probe_that_fails_since_the_change_takes_it_back_long_before_the_deadline(
    router: Scene, family: int
) -> None:
    before = router.kernel()
    # With force: who came in by that line is seen to be locked out already in the rehearsal.
    change = router.apply(NO_SUCH_GATEWAY[family], "--confirm", "600", "--force")
    assert (change["state"], change["exit"]) == ("reverted", 3), change
    assert "wan_b" in change["error"] and f"IPv{family}" in change["error"]
    assert router.kernel() == before and router.config.read_text() == LINES
    assert [row["what"] for row in change["probes"] if not row["ok"]] == [f"wan_b: gateway IPv{family}"]


@pytest.mark.parametrize("family", FAMILIES)
def test_10_a_probe_that_failed_before_is_not_required_after(router: Scene, family: int) -> None:
    asking = LINES + f"\tlist probe '{SILENT[family]}'\n"
    router.rest(asking)
    router.lab.relay("b", "drop")
    change = router.applied(asking + rule("moved", "+dest_port=31000", "route=wan_a"))
    asked = {row["what"]: (row["before"], row["ok"]) for row in change["probes"]}
    assert asked[f"wan_b: {SILENT[family]}"] == ("failed", True)
    router.confirm(change)
    assert router.events()[-1] == "change committed"


def test_17_of_two_applies_at_once_one_is_refused(router: Scene) -> None:
    router.write(MOVED)
    both = [router.start_tool("apply", "--confirm", "60", "-m", f"number {number}") for number in (1, 2)]
    said = [one.communicate(timeout=60)[0] for one in both]
    codes = sorted(one.returncode for one in both)
    assert codes == [2, 4], said
    refused = said[[one.returncode for one in both].index(4)]
    change = router.lab.call("job")
    assert change["state"] == "await" and change["id"] in refused
    again = router.tool("apply")
    assert again.returncode == 4 and change["id"] in again.stderr
    router.confirm(change)
    assert [row["event"] for row in router.journal()][-2:] == ["begin", "change"]


def test_17_a_change_that_was_refused_does_not_stand_in_the_way_of_the_next(router: Scene) -> None:
    assert router.apply("config netpolicy 'main'\n\toption enabled 'perhaps'\n")["exit"] == 4
    change = router.applied(MOVED)
    router.confirm(change)
    assert router.events()[-2:] == ["change refused", "change committed"]
