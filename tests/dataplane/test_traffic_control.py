"""Queues in a real kernel: put there, read back, taken away; never in the place of another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netpolicy.dataplane import shaping
from netpolicy.dataplane.shaping import REST, REST_RATE, Step
from netpolicy.dataplane.state import NetlinkError
from netpolicy.dataplane.traffic_control import JUST_EMPTIED, TrafficControl
from netpolicy.dataplane.vacancies import REST_SECONDS
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
    other = TrafficControl()
    put(other)
    index = other.observe().devices["wan"].index
    with pytest.raises(NetlinkError):  # below a queue that is not there
        other.take(Step("add", "class", "wan", index, 0x10104, 8_000))
    assert other.observe().refusal("wan") and not other.observe().refusal("lo")


def test_a_queue_that_goes_before_its_classes_come_is_no_refusal():
    now = [0.0]
    traffic = TrafficControl(clock=lambda: now[0])
    root, *classes = shaping.change(WANTED, traffic.observe()).before
    traffic.take(root)
    run("tc", "qdisc", "replace", "dev", "wan", "root", "handle", "8:", "pfifo")
    with pytest.raises(NetlinkError):
        traffic.take(classes[0])
    assert traffic.observe().refusal("wan") == ""
    run("tc", "qdisc", "del", "dev", "wan", "root")
    assert traffic.observe().refusal("wan") == JUST_EMPTIED
    now[0] += REST_SECONDS + 1
    put(traffic)
    assert shaping.change(WANTED, traffic.observe()).is_empty
