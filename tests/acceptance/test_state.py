"""What a change touches and what it leaves alone: tests 11 to 16."""

from __future__ import annotations

import re
import subprocess
import time

import pytest

from netpolicy.lab import keeper
from tests.acceptance.scene import Scene
from tests.kernel.steering import B4, B6, LINES, SERVER4, SERVER6, rule
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

VIDEO = LINES + rule("video", "+dest_port=31000", "route=wan_b")
# Another way for the same, and more: what counts goes on counting under its name.
OTHER = LINES + rule("video", "+dest_port=31000,31001", "route=wan_a") + rule("mail", "+dest_port=25", "block=reject")

# Without the rule: it has to come back with what it counted.
GONE = LINES + rule("mail", "+dest_port=25", "block=reject")

FOREIGN = """
table inet fw4 {
	set banned { type ipv4_addr; flags timeout; elements = { 192.0.2.200 timeout 1h expires 30m } }
	set banned6 { type ipv6_addr; flags timeout; elements = { 2001:db8:1::200 timeout 1h expires 30m } }
	quota month { over 100 mbytes used 7 mbytes }
	counter seen { packets 11 bytes 1100 }
	chain watched { ip saddr @banned drop; ip6 saddr @banned6 drop; quota name month; counter name seen; }
}
"""


def counted(router: Scene, name: str) -> tuple[int, int]:
    """Packets and bytes of a rule, as the tool shows them."""
    shown = next(one for one in router.answer("rules")["rules"] if one["name"] == name)
    return shown["hits"], shown["bytes"]


@pytest.mark.parametrize("who", ["daemon", "guard"])
def test_11_what_counted_before_counts_on_after_the_way_back(router: Scene, who: str) -> None:
    router.rest(VIDEO)
    for family in (4, 6):
        for _ in range(3):
            router.goes_by(family)
    router.wait(lambda: counted(router, "video")[0] == 6, "they are counted")  # asked for at most once a second
    before = counted(router, "video")
    change = router.applied(GONE)
    if who == "daemon":
        assert router.answer("abort")["state"] == "reverted"
    else:
        router.kill_daemon()
        router.wait(lambda: (router.pending / "outcome").exists(), "the guard leads back")
        router.start()
        assert change["id"] in router.journal()[-1]["detail"]
    router.wait(lambda: counted(router, "video") == before, "as many as before")
    assert (router.goes_by(4), router.goes_by(6)) == (B4, B6)
    router.wait(lambda: counted(router, "video")[0] == before[0] + 2, "it goes on where it was")


@pytest.mark.parametrize("who", ["daemon", "guard", "rescue"])
def test_12_and_11_tables_of_others_keep_every_byte_their_timeouts_and_their_quotas(router: Scene, who: str) -> None:
    router.nft(FOREIGN)
    router.inside("ip", "route", "add", "203.0.113.99/32", "dev", "wana", "table", "555")
    router.inside("ip", "-6", "rule", "add", "from", "2001:db8:5::/48", "lookup", "555", "priority", "31000")
    try:
        before, listed = router.others(), everything_of_others(router)
        expires = times_left(router)
        router.applied(OTHER)
        assert everything_of_others(router) == listed
        if who == "daemon":
            router.tool("abort")
        else:
            if who == "rescue":
                (router.guard_folder / "bundle/table.nft").write_text("table inet netpolicy {}\n")
            router.kill_daemon()
            router.wait(lambda: (router.pending / "outcome").exists(), "the guard is done")
            assert (router.pending / "outcome").read_text().startswith("rescue" if who == "rescue" else "reverted")
        assert (router.others(), everything_of_others(router)) == (before, listed)
        assert all(0 <= then - now < 120 for then, now in zip(expires, times_left(router), strict=True))
    finally:
        router.nft(DELETED)
        router.inside("ip", "route", "flush", "table", "555")
        router.inside("ip", "-6", "rule", "del", "priority", "31000")


DELETED = """
flush chain inet fw4 watched
delete chain inet fw4 watched
delete set inet fw4 banned
delete set inet fw4 banned6
delete quota inet fw4 month
delete counter inet fw4 seen
"""


def everything_of_others(router: Scene) -> str:
    """Every table but ours with its handles; only what passes by itself is left out."""
    listing = router.inside("nft", "-a", "list", "ruleset")
    listing = re.sub(r"(?ms)^table inet netpolicy\w* \{.*?^\}\n", "", listing)
    return re.sub(r" expires \w+", "", listing)


def times_left(router: Scene) -> list[int]:
    """Seconds that the banned addresses stay banned."""
    found = re.findall(r"expires (\w+)", router.inside("nft", "list", "table", "inet", "fw4"))
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0}
    return [
        sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|h|m|s)", text)) for text in found
    ]  # fmt: skip


@pytest.mark.parametrize("who", ["daemon", "guard", "stop"])
def test_13_links_and_addresses_that_were_there_stay_as_they_are(router: Scene, who: str) -> None:
    router.inside("ip", "link", "add", "br-old", "type", "bridge")
    router.inside("ip", "address", "add", "10.9.9.1/24", "dev", "br-old")
    router.inside("ip", "address", "add", "fd00:9::1/64", "dev", "br-old", "nodad")
    router.inside("ip", "link", "set", "br-old", "up")
    try:
        before = links(router)
        router.applied(OTHER)
        assert links(router) == before
        if who == "daemon":
            router.tool("abort")
        elif who == "guard":
            router.kill_daemon()
            router.wait(lambda: (router.pending / "outcome").exists(), "the guard leads back")
        else:
            router.stop()
            assert "proto 78" not in router.inside("ip", "rule") + router.inside("ip", "-6", "rule")
        assert links(router) == before
    finally:
        router.inside("ip", "link", "del", "br-old")


def links(router: Scene) -> str:
    """Links and addresses."""
    return re.sub(
        r"valid_lft \w+|preferred_lft \w+", "", router.inside("ip", "address") + router.inside("bridge", "link")
    )


def test_14_a_second_apply_is_empty_and_touches_neither_kernel_nor_file(router: Scene) -> None:
    router.confirm(router.applied(VIDEO))
    files = {path: path.stat() for path in [router.config, *files_below(router)]}
    others = listeners(router)
    listening = router.lab.popen("router", ["nft", "monitor"], stdout=subprocess.PIPE, text=True)
    routing = router.lab.popen("router", ["ip", "monitor", "rule", "route"], stdout=subprocess.PIPE, text=True)
    try:
        # A change of somebody else shows that the listeners hear.
        assert listening.stdout is not None and routing.stdout is not None
        router.wait(lambda: listeners(router) == [one + 1 for one in others], "both listen")
        heard = sign(router, "first", listening.stdout, routing.stdout)
        again = router.answer("apply")
        assert (again["state"], again["exit"]) == ("unchanged", 0)
        assert router.answer("plan")["changes"] == []
        assert router.lab.call("reload")["ok"]
        heard += sign(router, "last", listening.stdout, routing.stdout)
        heard = re.sub(r"# new generation .*", "", heard)  # the sign's own: it tells the number of a process
        assert "netpolicy" not in heard and "proto 78" not in heard, heard
    finally:
        for one in (listening, routing):
            one.kill()
            one.communicate()
    now = {path: path.stat() for path in [router.config, *files_below(router)]}
    assert {path: (one.st_ino, one.st_mtime_ns) for path, one in files.items()} == {
        path: (one.st_ino, one.st_mtime_ns) for path, one in now.items()
    }


def listeners(router: Scene) -> list[int]:
    """How many sockets there hear of changes: of rules and routes, and of nft."""
    rows = [line.split() for line in router.inside("cat", "/proc/net/netlink").splitlines()[1:]]
    return [sum(row[1] == protocol and int(row[3], 16) != 0 for row in rows) for protocol in ("0", "12")]


def files_below(router: Scene) -> list:  # type: ignore[type-arg]
    """What the store holds, and what a firewall restart would load."""
    folders = (router.store, router.path(str(keeper.STATE), "fw4"))
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


def sign(router: Scene, name: str, *listeners) -> str:  # type: ignore[no-untyped-def]
    """Makes a change of somebody else; everything that the listeners hear until then."""
    router.inside("nft", "add", "table", "ip", f"sign_{name}")
    router.inside("ip", "route", "add", "192.0.2.254/32", "dev", "wana", "table", "556")
    router.inside("ip", "route", "del", "192.0.2.254/32", "dev", "wana", "table", "556")
    router.inside("nft", "delete", "table", "ip", f"sign_{name}")
    heard = ""
    for listener, end in zip(listeners, (f"delete table ip sign_{name}", "Deleted 192.0.2.254"), strict=True):
        begin = time.monotonic()
        line = ""
        while end not in line and time.monotonic() - begin < 10:
            line = listener.readline()
            heard += "" if "sign_" in line or "192.0.2.254" in line else line
        assert end in line
    return heard


def test_15_what_is_removed_from_the_file_is_removed_from_the_router(router: Scene) -> None:
    bare = router.kernel()
    router.confirm(router.applied(OTHER))
    assert router.lab.tcp("desk", SERVER4, 25)["error"] == "refused"
    full = router.kernel()
    assert full != bare
    router.confirm(router.applied(LINES))
    assert router.kernel() == bare
    for server in (SERVER4, SERVER6):
        assert router.lab.tcp("desk", server, 25, timeout=2.0)["error"] is None
    # And what a line had: its routes, rules and class.
    router.write(LINES[: LINES.index("config outbound 'wan_b'")])
    change = router.answer("apply", "--force", "--confirm", "60")
    router.confirm(change)
    left = router.kernel()
    assert "198.51.100.1" not in left and "2001:db8:b::1 " not in left
    router.stop()
    assert "proto 78" not in router.kernel()
    router.start()
    assert router.kernel() == left, "a daemon that never knew the line has the same"


@pytest.mark.slow  # traffic for as long as the changes take
def test_16_changes_confirmed_and_taken_back_lose_no_datagram_and_no_open_connection_notices(router: Scene) -> None:
    """A hundred swaps under 20 000 datagrams: tests/kernel/test_no_loss.py. Here: whole changes, to both ends."""
    router.rest(VIDEO)
    kept = [
        (server, router.lab.ask("desk", "open", address=server, port=31000, timeout=20.0))
        for server in (SERVER4, SERVER6)
    ]
    assert [one["seen"] for _, one in kept] == [B4, B6]
    streams = [
        router.lab.start("desk", "stream", address=server, port=31000, count=5_000, rate=500.0, patience=20.0)
        for server in (SERVER4, SERVER6)
    ]
    more = VIDEO + rule("mail", "+dest_port=25", "block=reject")
    for text, end in ((more, "confirm"), (VIDEO, "abort"), (VIDEO, "confirm"), (more, "guard")):
        change = router.applied(text)
        if end == "confirm":
            router.confirm(change)
        elif end == "abort":
            router.tool("abort")
        else:
            router.kill_daemon()
            router.wait(lambda: (router.pending / "outcome").exists(), "the guard leads back")
        for _, one in kept:
            assert router.lab.ask("desk", "talk", id=one["id"])["ok"]
    results = [stream.result() for stream in streams]
    assert [(one["received"], one["refused"], one["missing"]) for one in results] == [(5_000, 0, [])] * 2
    assert [set(one["seen"]) for one in results] == [{B4}, {B6}]
