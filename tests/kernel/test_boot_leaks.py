"""A boot: what may leave by one line alone is seen on no other, also before there is a daemon.

A power cut takes the daemon, RAM, and what is ours in the kernel; the flash stays. Then main leads by line B, and the
boot hook runs, and later the daemon. Whatever of the sealed traffic comes to the far side by line B is a leak.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.leaks import CONFIG, MAIN_BY_B, Cables
from tests.daemon.running import netpolicyd, until
from tests.kernel.booting import BLOCKED, Booting, often
from tests.kernel.streams import FAMILY, place
from tests.netns import needs_root, run

pytestmark = [pytest.mark.kernel, needs_root]

EVERY = {f"{family} {protocol}" for family in ("IPv4", "IPv6") for protocol in (6, 17)}

BLOCK = f"""
config rule 'never'
	option priority '60'
	list dest_port '{BLOCKED}'
	option block 'drop'
"""

OTHER_DEVICE = """
link set wanb down
link set wanb name wanx
link set wanx up
addr replace 2001:db8:b::2/64 dev wanx nodad
route replace default via 198.51.100.1 dev wanx
route replace default via 2001:db8:b::1 dev wanx
"""


@pytest.fixture
def booting(tmp_path) -> Iterator[Booting]:
    with place() as where, netpolicyd(tmp_path, CONFIG + BLOCK) as daemon:
        run("ip", "-batch", "-", text=MAIN_BY_B)
        daemon.settled()
        made = Booting(where, daemon)
        made.lose_power()
        yield made


def test_without_the_boot_hook_main_would_lead_it_by_the_other_line(booting):
    with Cables(booting.where) as cables:
        until(lambda: set(cables.seen) == {f"eth1 {one}" for one in EVERY})


def test_from_the_first_packet_on_until_its_own_line_carries_nothing_is_seen_on_the_other(booting):
    done = booting.guard("lock")
    assert done.returncode == 0, done.stderr
    with Cables(booting.where) as cables:
        assert booting.leaks(cables) == []
        booting.daemon.start()
        until(lambda: often(cables) == {f"eth0 {one}" for one in EVERY})
        assert booting.leaks(cables) == []
    assert booting.daemon.settled()["kernel"]["in_sync"]
    until(lambda: booting.daemon.call("plan")["changes"] == [])


def test_the_routing_alone_keeps_it_from_a_device_that_nobody_knew(booting):
    run("ip", "-batch", "-", text=OTHER_DEVICE)
    assert booting.guard("lock").returncode == 0
    with Cables(booting.where) as cables:
        assert booting.leaks(cables) == []


def test_the_table_alone_keeps_it_where_the_rules_are_flushed(booting):
    assert booting.guard("lock").returncode == 0
    for family in ("-4", "-6"):
        run("ip", family, "rule", "flush", "protocol", "78")
    with Cables(booting.where) as cables:
        assert booting.leaks(cables) == []


@pytest.mark.parametrize("family", [4, 6])
def test_what_is_blocked_is_blocked_before_the_daemon_is_there(booting, family):
    assert booting.arrived(family) == [BLOCKED]  # nothing of ours is there yet
    assert booting.guard("lock").returncode == 0
    assert booting.arrived(family) == []


def test_the_next_daemon_gives_its_lines_the_same_numbers(booting):
    # A line before the others, as somebody writes it into a configuration: numbers follow the order.
    assert booting.guard("lock").returncode == 0
    text = booting.daemon.config.read_text()
    first = "config outbound 'aa'\n\toption type 'interface'\n\toption interface 'wanc'\nconfig outbound 'a'"
    booting.daemon.config.write_text(text.replace("config outbound 'a'", first))
    booting.daemon.start()
    found = until(lambda: {one["name"]: one["class"] for one in booting.daemon.settled()["outbounds"]})
    assert (found["a"], found["b"]) == (1, 2)


def test_a_configuration_that_was_broken_meanwhile_opens_nothing_also_when_the_daemon_has_read_it(booting):
    booting.daemon.config.write_text("config rule\n\toption nonsense")
    assert booting.guard("lock").returncode == 0
    with Cables(booting.where) as cables:
        booting.daemon.start()
        until(lambda: booting.daemon.call("status")["config"]["error"])
        assert booting.leaks(cables) == []


def test_one_that_was_switched_off_meanwhile_is_off_as_soon_as_the_daemon_has_read_it(booting):
    booting.daemon.config.write_text((CONFIG + BLOCK).replace("enabled '1'", "enabled '0'"))
    assert booting.guard("lock").returncode == 0
    booting.daemon.start()
    booting.daemon.settled()
    assert run("nft", "list", "tables") == "" and "proto 78" not in run("ip", "rule")


def test_a_text_that_nft_does_not_take_closes_nothing_and_says_so(booting):
    with (booting.lock / "table.nft").open("a") as file:
        file.write("add rule inet netpolicy pre nonsense\n")
    done = booting.guard("lock")
    assert done.returncode == 1 and "nft does not take" in done.stderr
    assert run("nft", "list", "tables") == ""


def test_in_the_middle_of_a_life_what_is_in_force_stays(booting):
    booting.daemon.start()
    until(lambda: booting.daemon.settled()["kernel"]["in_sync"])
    before = run("nft", "-s", "list", "ruleset")
    (booting.lock / "table.nft").write_text("flush ruleset\n")
    assert booting.guard("lock").returncode == 0
    assert run("nft", "-s", "list", "ruleset") == before


def test_between_two_renames_of_the_locks_the_earlier_ones_are_loaded(booting):
    booting.lock.rename(booting.lock.with_name("lock.old"))
    assert booting.guard("lock").returncode == 0
    with Cables(booting.where) as cables:
        assert booting.leaks(cables) == []


@pytest.mark.parametrize("family", [4, 6])
def test_who_sits_behind_a_sealed_line_reaches_the_router_before_any_daemon(booting, family):
    """As in a router with one port: its line is its LAN, and a daemon that never comes must not lock out for good."""
    assert booting.guard("lock").returncode == 0
    near, far = {4: ("192.0.2.2", "192.0.2.1"), 6: ("2001:db8:a::2", "2001:db8:a::1")}[family]
    listener = socket.create_server((near, 22), family=FAMILY[family])
    with listener, booting.where.server.entered(), socket.socket(FAMILY[family]) as client:
        client.settimeout(20)
        client.bind((far, 0))
        client.connect((near, 22))
        listener.accept()[0].close()


def test_a_table_of_somebody_else_stays_and_is_told(booting):
    run("nft", "add table inet netpolicy; add chain inet netpolicy theirs")
    done = booting.guard("lock")
    assert done.returncode == 4 and "not ours" in done.stderr
    assert "theirs" in run("nft", "list", "ruleset") and "proto 78" not in run("ip", "rule")


def broken(tool: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses whatever it is told, as busybox's ip does a batch."""
    (folder / "bin").mkdir()
    (folder / "bin" / tool).write_text("#!/bin/sh\nexit 1\n")
    (folder / "bin" / tool).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")


def test_with_an_ip_that_knows_no_batch_the_table_alone_keeps_it_and_the_log_says_so(booting, tmp_path, monkeypatch):
    with monkeypatch.context() as lacking:
        broken("ip", tmp_path, lacking)
        done = booting.guard("lock")
    assert done.returncode == 1 and "known devices alone" in done.stderr
    with Cables(booting.where) as cables:
        assert booting.leaks(cables) == []


def test_where_nft_cannot_be_asked_it_says_that_nothing_is_closed(booting, tmp_path, monkeypatch):
    broken("nft", tmp_path, monkeypatch)
    done = booting.guard("lock")
    assert done.returncode == 1 and "nothing is closed" in done.stderr


@pytest.mark.parametrize(
    "change",
    [
        ("'1'", "'1'\n\toption fwmark_mask '0x00ff0000'"),
        ("'1'", "'1'\n\toption table_base '9000'\n\toption rule_priority '12000'"),
        ("'1'", "'1'\n\toption mode 'observe'"),
    ],
    ids=["marks", "numbers", "observe"],
)
def test_after_the_start_the_kernel_is_as_without_locks_also_with_other_settings_and_after_a_stop_empty(
    booting, change
):
    booting.daemon.config.write_text((CONFIG + BLOCK).replace(*change, 1))
    found = []
    for is_locked in (False, True):
        if is_locked:
            assert booting.guard("lock").returncode == 0
        booting.daemon.start()
        until(lambda: booting.daemon.call("plan")["changes"] == [] or "observe" in change[1])
        until(lambda: booting.daemon.call("status")["config"]["error"] is None)
        until(
            lambda: (
                "observe" not in change[1] or not [one for one in kernel() if "netpolicy" in one or "proto 78" in one]
            )
        )
        found.append(kernel())
        booting.daemon.end()
        assert run("nft", "list", "tables") == "" and "proto 78" not in "".join(kernel())
    assert found[0] == found[1]


def kernel() -> list[str]:
    """Tables, rules and routes, ours and others."""
    by_family = [run("ip", family, *what) for family in ("-4", "-6")
                 for what in (("rule",), ("route", "show", "table", "all"))]  # fmt: skip
    return [run("nft", "-s", "list", "ruleset"), *by_family]
