"""A sample of `python -m tests.acceptance.leaks`: a few accidents of one seed; a power cut, a daemon that
dies, rules that somebody flushes, and a line that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.leaks import PORT, _children, end_all_of, play, scene
from tests.daemon.running import Netpolicyd, until
from tests.kernel.streams import FIREWALL, classes
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

# Chosen for what happens in few events (SEED tells `random` all of it), and for short waits between them.
EVENTS, SEED = 7, 11473


def test_nothing_that_may_leave_by_one_line_alone_is_seen_on_the_other(tmp_path: Path) -> None:
    seen, leaks = play(tmp_path, EVENTS, SEED)
    assert leaks == []
    assert {what for what, count in seen.items() if count > 20} == {
        f"eth0 {family} {protocol}" for family in ("IPv4", "IPv6") for protocol in (6, 17)
    }


def test_what_began_without_the_table_is_judged_though_others_put_it_back_before_the_daemon(tmp_path: Path) -> None:
    """`/etc/init.d/firewall stop` and `start`."""
    with scene(tmp_path) as (where, daemon, cables):
        where.router.run("nft", "-f", "-", text=FIREWALL)
        where.router.run("nft", "delete", "table", "inet", "netpolicy")
        begun = where.open(PORT)
        where.router.run("nft", "-f", str(daemon.state / "fw4/netpolicy.nft"))

        def is_judged() -> bool:
            begun.near.send(b"x")
            flow = where.flows().get(begun.ends)
            return flow is not None and classes([flow]) == [1]

        until(is_judged)
        before = len(cables.leaks)
        assert all(is_judged() for _ in range(100)) and len(cables.leaks) == before


def test_a_power_cut_takes_what_the_daemon_started_with_it(tmp_path: Path) -> None:
    daemon = Netpolicyd(tmp_path, "", "sh", "-c", "sh -c 'sleep 999; :' & sleep 999; :")
    daemon.start()
    assert daemon.process
    own = daemon.process.pid
    children = until(lambda: len(found := _children(own)) == 2 and found)
    further = until(lambda: [one for child in children for one in _children(child)])
    end_all_of(daemon)
    assert [one for one in (own, *children, *further) if _lives(one)] == []


def _lives(number: int) -> bool:
    stat = Path(f"/proc/{number}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
