"""Queues in a real kernel: put there, read back, taken away; never in the place of another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netpolicy.dataplane import shaping
from netpolicy.dataplane.shaping import REST, REST_RATE, Step
from netpolicy.dataplane.state import NetlinkError
from netpolicy.dataplane.traffic_control import TrafficControl
from tests.netns import needs_root, private_netns, run

pytestmark = [pytest.mark.kernel, needs_root]

WANTED = (shaping.Shaped("wan", 0x104, 2_000_000), shaping.Shaped("wan", 0x106, 40_000_000_000))


@pytest.fixture(autouse=True)
def _here() -> Iterator[None]:
    with private_netns():
        run("ip", "link", "add", "wan", "type", "veth", "peer", "name", "far")
        run("ip", "link", "set", "wan", "up")
        yield


def put(traffic: TrafficControl) -> None:
    for step in shaping.change(WANTED, traffic.observe()).before:
        traffic.take(step)


def test_what_is_put_there_reads_back_also_for_somebody_who_did_not_put_it():
    traffic = TrafficControl()
    before = run("tc", "qdisc", "show")
    put(traffic)
    device = TrafficControl().observe().devices["wan"]
    assert device.is_ours and {one.handle & 0xFFFF: one.rate * 8 for one in device.classes} == {
        REST: REST_RATE, 0x104: 2_000_000, 0x106: 40_000_000_000,
    }  # fmt: skip
    assert shaping.change(WANTED, TrafficControl().observe()).is_empty
    assert "4e50:104 root leaf" in run("tc", "class", "show", "dev", "wan")
    for step in shaping.change((), traffic.observe()).after:
        traffic.take(step)
        traffic.take(step)  # gone already is no fault
    assert run("tc", "qdisc", "show") == before
    traffic.close()
    traffic.close()


def test_a_queue_of_somebody_else_is_not_replaced_even_when_it_came_a_moment_ago():
    traffic = TrafficControl()
    steps = shaping.change(WANTED, traffic.observe()).before
    run("tc", "qdisc", "add", "dev", "wan", "root", "handle", "1:", "pfifo", "limit", "100")
    with pytest.raises(NetlinkError, match="put a queue on wan: it exists already"):
        traffic.take(steps[0])
    assert "pfifo 1:" in run("tc", "qdisc", "show", "dev", "wan")
    seen = traffic.observe()
    assert not seen.devices["wan"].is_free and seen.refusal("wan") == ""  # it may go again


def test_what_cannot_be_had_is_remembered_with_the_reason():
    traffic = TrafficControl("no_such")
    with pytest.raises(NetlinkError):
        put(traffic)
    assert "no queue of kind no_such" in traffic.observe().refusal("lo")
    index = TrafficControl().observe().devices["wan"].index
    other = TrafficControl()
    with pytest.raises(NetlinkError):  # no root to stand below
        other.take(Step("add", "class", "wan", index, 0x104, 8_000))
    assert other.observe().refusal("wan") and not other.observe().refusal("lo")
