"""The table of a change: administrators and assertions, by packets, or by our rules where there are none to be had."""

from __future__ import annotations

import asyncio

import pytest

from netpolicy.dataplane.chains import Chain
from netpolicy.dataplane.rehearsal import Refused
from netpolicy.flows.administrators import Peer
from netpolicy.service.rehearsing import OWN_RULES_ALONE, PACKETS, RULES, Scene, Standing, try_change
from tests.netns import needs_root, run
from tests.router import router
from tests.service.parts import CONFIG
from tests.service.standings import situation

pytestmark = [pytest.mark.kernel, needs_root]

ENABLED = "\toption enabled '1'\n"
ASSERTS = """	list assert 'lan can wanb tcp/443'
	list assert 'lan cannot wanb tcp/80'
	list assert 'lan can wana tcp/80'
"""
MOVED = CONFIG.replace("list dest_port '443'", "list dest_port '80'")
ADMIN = Peer("192.168.1.5", 0, "192.168.1.1", 22, "ssh")


@pytest.fixture
def here():
    with router() as namespace:
        namespace.sysctl("net/ipv6/conf/all/forwarding", 1)
        yield namespace


def tried(config, nft="nft", peers=(ADMIN,)):
    before, _ = situation(CONFIG)
    after, scene = situation(config.replace(ENABLED, ENABLED + ASSERTS), peers)
    return asyncio.run(try_change(before, after, scene, nft))


def column(trial, key):
    return [row[key] for row in trial.rows]


def test_a_change_that_moves_traffic_breaks_what_was_asserted_of_it_and_nobody_is_locked_out(here):
    run("ip", "-6", "addr", "flush", "dev", "lan")  # of two families one has no line here
    held, broken = tried(CONFIG), tried(MOVED)
    assert (held.how, held.why) == (PACKETS, "")
    assert column(held, "ok") == [True] * 4 and held.is_ok
    assert column(broken, "ok") == [True, False, False, False] and not broken.is_ok and not broken.locks_out
    assert broken.rows[1]["before"] == "forwarded via wanb" and broken.rows[1]["after"] == "forwarded via wana"
    assert broken.rows[2]["because"].endswith("forwarded via wanb (the rule video sends it to wan_b)")


def test_without_namespaces_our_rules_are_asked_and_the_table_says_so(here, tmp_path):
    run("ip", "-6", "addr", "flush", "dev", "lan")
    nft = str(tmp_path / "no_nft")
    held, broken = tried(CONFIG, nft), tried(MOVED, nft)
    assert held.how == RULES and "cannot be listed" in held.why and held.notes == (OWN_RULES_ALONE,)
    assert column(held, "ok") == [True] * 4
    assert column(broken, "ok") == [True, False, False, False]


def test_a_lock_out_is_told_apart_from_an_assertion_that_breaks(here):
    before, _ = situation(CONFIG)
    after, scene = situation(CONFIG, [ADMIN])
    after.table.chains["shut"] = Chain(("tcp dport 22 drop",), "type filter hook input priority 0; policy accept;")
    after.table.order += ("shut",)
    trial = asyncio.run(try_change(before, after, scene))
    assert trial.locks_out and not trial.is_ok
    assert trial.document()["rows"][0] == {
        "kind": "administration", "what": "admin 192.168.1.5 -> 192.168.1.1 tcp/22", "before": "answered",
        "after": "silent", "wanted": "answered", "ok": False, "because": "silent",
    }  # fmt: skip


def test_a_router_where_nothing_of_ours_was_in_force_can_be_compared(here):
    after, scene = situation(CONFIG, [ADMIN])
    trial = asyncio.run(try_change(Standing(), after, scene))
    assert column(trial, "before") == ["answered"] and trial.is_ok


def test_a_candidate_that_does_not_load_is_refused(here):
    after, scene = situation(CONFIG)
    after.table.chains["bad"] = Chain(("no such word",))
    after.table.order += ("bad",)
    with pytest.raises(Refused):
        asyncio.run(try_change(Standing(), after, scene))


def test_the_router_does_not_administer_itself(here):
    _, scene = situation(CONFIG, [Peer("192.168.1.1", 0, "192.168.1.1", 22, "ssh")])
    assert scene.questions() == []
    assert Scene(scene.view).questions() == []
