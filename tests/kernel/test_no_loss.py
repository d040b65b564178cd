"""Reloads under traffic: no datagram is lost and no open connection notices.

Twenty thousand numbered datagrams at a steady rate, echoed and counted at the sender, while
a hundred reloads change matches, actions, blocks and outbounds around them.
"""

from __future__ import annotations

import itertools

import pytest

from netpolicy.lab.bench import Lab
from tests.kernel.steering import A4, A6, B4, B6, LINES, SERVER4, SERVER6, reload, rule

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(400)]

DATAGRAMS = 20_000
RATE = 1_000.0  # per second, in each direction; two streams
RELOADS = 100
PATIENCE = 20.0  # seconds for what is late and not lost

VARIANTS = (
    "",
    rule("one", "+dest_port=443", "route=wan_a", priority=90),
    rule("one", "+dest_port=443", "route=wan_b", priority=90),
    rule("many", "+dest_addr=10.0.0.0/8", "+dest_addr=198.18.0.0-198.18.3.9", "block=reject", priority=95)
    + rule("more", "+src_addr=!192.168.1.99", "+dest_port=1-1000,5000-6000", "route=wan_a", "log=1", priority=20),
    rule("all", "any=1", "route=wan_a", priority=1),
)


@pytest.mark.slow  # ten seconds of traffic are the point
def test_a_hundred_reloads_lose_no_datagram_and_disturb_no_open_connection(lab: Lab) -> None:
    kept = rule("kept", "+dest_port=31000", "route=wan_b", priority=80)
    lab.start_daemon(LINES + kept)
    opened = [
        (node, lab.ask(node, "open", address=server, port=port, timeout=PATIENCE))
        for node, server, port in (("desk", SERVER4, 31000), ("laptop", SERVER6, 31000), ("desk", SERVER4, 31009))
    ]
    assert [answer["seen"] for _, answer in opened] == [B4, B6, A4]
    streams = [
        lab.start("desk", "stream", address=server, port=31000, count=DATAGRAMS // 2, rate=RATE / 2, patience=PATIENCE)
        for server in (SERVER4, SERVER6)
    ]
    variants = itertools.cycle(VARIANTS)
    revision = 0
    for _ in range(RELOADS):
        revision = reload(lab, LINES + kept + next(variants))["kernel"]["revision"]
        for node, answer in opened:
            assert lab.ask(node, "talk", id=answer["id"])["ok"]
    assert revision > RELOADS * 4 // 5  # the reloads were changes, not repetitions
    results = [stream.result() for stream in streams]
    assert [(r["received"], r["refused"], r["missing"]) for r in results] == [(DATAGRAMS // 2, 0, [])] * 2
    assert [set(r["seen"]) for r in results] == [{B4}, {B6}]
    assert lab.stop_daemon() == 0


def test_every_new_flow_finds_rules_in_force_during_reloads(lab: Lab) -> None:
    """New flows are the hard case: each asks the rules that are being exchanged. Unruled ones would leave by A."""
    # Not the port of the test before: the kernel knows its flows yet, and one of their source ports is no new flow.
    kept = rule("kept", "+dest_port=31001", "+src_addr=192.168.1.0/25", "+src_addr=fd00:c0de:1::/64", "route=wan_b",
                priority=80)  # fmt: skip
    lab.start_daemon(LINES + kept)
    targets = [[server, 31001, 0] for server in (SERVER4, SERVER6) for _ in range(2_000)]
    asking = lab.start("desk", "udp_many", targets=targets, timeout=PATIENCE)
    variants = itertools.cycle(VARIANTS)
    for _ in range(30):
        reload(lab, LINES + kept + next(variants))
    seen = asking.result()
    assert {address: seen.count(address) for address in set(seen)} == {B4: 2_000, B6: 2_000}
    assert A6 not in seen
    assert lab.stop_daemon() == 0
