"""What a change moves beside table and routes: queues, and what dnsmasq reads. Old or new, no mix: tests 24, 25."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.acceptance.scene import ROUTER, Scene
from tests.kernel.steering import LINES, rule, throttle
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

HELD = LINES + throttle("2mbit", "8mbit") + rule("held", "+dest_port=31000", "route=wan_b", "throttle=slow")
# Other speeds, and by another line.
MOVED = LINES + throttle("3mbit", "9mbit") + rule("held", "+dest_port=31000", "route=wan_a", "throttle=slow")
VIDEO = LINES + rule("names", "+domain=video.example.net", "route=wan_b")
NEWS = LINES + rule("names", "+domain=news.example.net", "route=wan_b")
MAIL = rule("mail", "+dest_port=25", "block=reject")
ADDRESS = "192.0.2.20"


@pytest.fixture(scope="module")
def named() -> Iterator[Scene]:
    """A router with a dnsmasq, there before the daemon."""
    if not shutil.which("dnsmasq"):
        pytest.skip("there is no dnsmasq")
    with Scene() as scene:
        scene.serve_ssh()
        scene.serve_names()
        scene.start(LINES)
        yield scene
        assert "Traceback" not in scene.lab.daemon_log()


@pytest.fixture
def router(named: Scene) -> Iterator[Scene]:
    """A router on which everything may change."""
    yield named
    named.inside("sh", "-c", "tc qdisc del dev wanb root handle 1: 2>/dev/null; :")


def take_back(router: Scene, who: str) -> None:
    if who == "daemon":
        assert router.answer("abort")["state"] == "reverted"
        return
    router.kill_daemon()
    router.wait(lambda: (router.pending / "outcome").exists(), "the guard has led back")
    assert (router.pending / "outcome").read_text().startswith("reverted"), router.told()


def test_24_queues_are_those_of_before(router: Scene) -> None:
    router.rest(HELD)
    before = router.kernel()
    assert "htb 4e50:" in before and "rate 8Mbit" in before
    router.applied(MOVED)
    assert "rate 9Mbit" in router.kernel() and "wanb class" not in router.kernel()
    take_back(router, "guard")
    assert router.kernel() == before


def test_24_where_a_queue_of_somebody_else_stands_by_then_it_stays_and_limits_drop(router: Scene) -> None:
    router.rest(HELD)
    before = router.kernel()
    router.applied(MOVED)
    router.inside("tc", "qdisc", "add", "dev", "wanb", "root", "handle", "1:", "pfifo")
    take_back(router, "guard")
    found = router.kernel()
    assert "qdisc pfifo 1: dev wanb" in found, "it is not ours to remove"
    assert "limit rate over 250000 bytes/second" in found and 'oifname "wanb" accept' not in found
    router.inside("tc", "qdisc", "del", "dev", "wanb", "root", "handle", "1:")
    router.start()
    assert router.kernel() == before


def learned(router: Scene) -> str:
    """The addresses in sets of names."""
    return router.inside("sh", "-c", "nft list sets inet | grep -o 'elements = .*' | grep -o '192[0-9.]*'; :").strip()


@pytest.mark.parametrize("who", ["daemon", "guard"])
def test_25_dnsmasq_reads_what_it_read_before_whoever_leads_back(router: Scene, who: str) -> None:
    router.rest(VIDEO)
    router.wait(lambda: "/video.example.net/" in router.name_file, "dnsmasq has our file")
    # The one that answers first may be the one of before.
    router.wait(lambda: ADDRESS in asked(router) and learned(router), "it has put the address into our set")
    assert learned(router) == ADDRESS
    before, starts = router.kernel(), router.name_starts
    # A router takes some seconds for it.
    router.path("/run/dnsmasq.slow").touch()
    router.applied(NEWS)
    assert "/news.example.net/" in router.kernel().partition("LOADED")[2], "a change waits for what dnsmasq reads"
    assert learned(router) == ""
    take_back(router, who)
    assert router.kernel() == before and router.name_starts == starts + 2
    router.path("/run/dnsmasq.slow").unlink()
    assert learned(router) == ADDRESS, "what was known by then is known"
    # Where nothing of it changes nobody restarts it.
    if who == "daemon":
        router.applied(VIDEO + MAIL)
        take_back(router, "guard")
        assert router.kernel() == before and router.name_starts == starts + 2


def asked(router: Scene) -> list[str]:
    return list(router.lab.dns("desk", "video.example.net", address=ROUTER[4]).get("addresses") or ())
