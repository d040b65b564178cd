"""Real connections through a real NAT, as ctnetlink tells them."""

from __future__ import annotations

import os
import select
import sys
import time
from dataclasses import replace

import pytest

from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows import ctnetlink, proc
from netpolicy.flows.marks import Conntrack
from netpolicy.flows.model import ASSURED, ICMP, ICMPV6, SEEN_REPLY, SOURCE_NAT, TCP, UDP, Flow, FlowEvent
from tests.flows.crowd import client, fill
from tests.flows.street import CLIENT, MARK, OUTSIDE, SERVER, street
from tests.netns import needs_root, private_netns, run

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.fixture
def place():
    with street() as built:
        yield built


def collect(events: ctnetlink.Events, enough, seconds: float = 30.0) -> list[FlowEvent]:
    """Events until `enough(events)`; fails with what was heard."""
    heard: list[FlowEvent] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        select.select([events], [], [], max(0.0, deadline - time.monotonic()))
        heard += events.read()
        if enough(heard):
            return heard
    raise AssertionError(f"not heard in {seconds} s; heard {heard}")


def only(flows: list[Flow], protocol: int, port: int = 0) -> Flow:
    (flow,) = (one for one in flows if one.protocol == protocol and one.destination_port == port)
    return flow


@pytest.mark.parametrize("family", [4, 6])
def test_a_tcp_connection_is_told_with_nat_mark_and_bytes(place, family):
    near, far = place.tcp(family, 443)
    near.sendall(b"x" * 5000)
    received = 0
    while received < 5000:
        received += len(far.recv(8192))
    flow = only(ctnetlink.dump(), TCP, 443)
    assert (flow.family, flow.source, flow.destination) == (family, CLIENT[family], SERVER[family])
    assert flow.source_port == near.getsockname()[1]
    assert (flow.reply_source, flow.reply_destination) == (SERVER[family], OUTSIDE[family])
    assert flow.reply_destination_port == far.getpeername()[1]
    assert (flow.state, flow.mark) == ("ESTABLISHED", MARK)
    assert flow.status & (SEEN_REPLY | ASSURED | SOURCE_NAT) == SEEN_REPLY | ASSURED | SOURCE_NAT
    assert flow.is_answered and not flow.is_offloaded
    assert flow.packets >= 4 and 5000 < flow.bytes < 7000
    assert flow.timeout > 100_000 and flow.id


@pytest.mark.parametrize("family", [4, 6])
def test_udp_and_icmp_are_told(place, family):
    near = place.udp(family, 5000)
    place.ping(family)
    flows = ctnetlink.dump()
    udp = only(flows, UDP, 5000)
    assert (udp.source_port, udp.mark, udp.state, udp.packets) == (near.getsockname()[1], 0, "", 1)
    assert not udp.is_answered  # the port is closed, and an ICMP error is no answer of the flow
    icmp = only(flows, ICMP if family == 4 else ICMPV6)  # its id is any number, 0 as well
    assert (icmp.icmp_type, icmp.icmp_code) == (8 if family == 4 else 128, 0)
    assert icmp.is_answered and icmp.packets == 2


def test_the_kernel_filters_by_mark_under_a_mask(place):
    place.tcp(4, 443)
    place.tcp(6, 443)
    place.tcp(4, 80)
    marked = ctnetlink.dump(0x01000000, 0x37000000)
    assert [(one.family, one.destination_port) for one in sorted(marked, key=lambda one: one.family)] == [
        (4, 443), (6, 443),
    ]  # fmt: skip
    assert [one.destination_port for one in ctnetlink.dump(0, 0x37000000) if one.protocol == TCP] == [80]
    assert ctnetlink.dump(0x02000000, 0x37000000) == []


@pytest.mark.parametrize("family", [4, 6])
def test_a_life_is_heard_from_first_packet_to_deletion(place, family):
    events = ctnetlink.Events()
    near, _far = place.tcp(family, 443)
    established = collect(events, lambda heard: any(one.flow and one.flow.state == "ESTABLISHED" for one in heard))
    assert established[0].kind == "new"
    assert established[0].flow.source_port == near.getsockname()[1]
    assert established[0].flow.mark == MARK
    assert {one.kind for one in established[1:]} == {"update"}
    flow = only(ctnetlink.dump(), TCP, 443)
    assert Conntrack().delete([flow]) == [flow]
    heard = collect(events, lambda heard: any(one.kind == "destroy" for one in heard))
    gone = next(one.flow for one in heard if one.kind == "destroy")
    assert (gone.key, gone.packets > 0, gone.mark) == (flow.key, True, MARK)
    assert Conntrack().delete([flow]) == []
    events.close()


def test_deleting_takes_one_flow_and_leaves_the_others(place):
    place.tcp(4, 443)
    place.tcp(6, 443)
    place.udp(4, 5000)
    place.ping(4)
    place.ping(6)
    flows = ctnetlink.dump()
    for number, flow in enumerate(flows, 1):
        assert Conntrack().delete([flow]) == [flow]
        assert len(ctnetlink.dump()) == len(flows) - number


def test_another_flow_with_the_same_addresses_is_not_deleted(place):
    """Its id differs (mostly: the kernel makes ids from memory places, and reuses those)."""
    place.udp(4, 5000)
    flow = only(ctnetlink.dump(), UDP, 5000)
    assert Conntrack().delete([replace(flow, id=flow.id ^ 1)]) == []
    assert only(ctnetlink.dump(), UDP, 5000).id == flow.id


def test_a_storm_beyond_the_buffer_is_an_overrun_and_listening_goes_on(place):
    events = ctnetlink.Events(receive_buffer=2048)
    for port in range(6000, 6200):
        place.udp(4, port)
    heard = collect(events, lambda heard: any(one.kind == "overrun" for one in heard))
    assert heard[-1].kind == "overrun" or len(heard) < 200
    place.udp(4, 7000)
    collect(events, lambda heard: any(one.flow and one.flow.destination_port == 7000 for one in heard))
    events.close()


def test_six_thousand_events_at_once_are_all_heard(place):
    events = ctnetlink.Events()
    fill(client(number, MARK) for number in range(3000))
    flows = ctnetlink.dump(MARK, MARK)
    assert len(Conntrack().delete(flows)) == 3000
    heard = collect(events, lambda heard: sum(one.kind == "destroy" for one in heard) >= 3000)
    assert {one.kind for one in heard} == {"new", "destroy"}
    for kind in ("new", "destroy"):
        assert {flow.key for flow in flows} <= {one.flow.key for one in heard if one.kind == kind}
    events.close()


def test_proc_and_ctnetlink_tell_the_same(place):
    if not os.path.exists(proc.PATH):
        pytest.skip("this kernel has no /proc/net/nf_conntrack (CONFIG_NF_CONNTRACK_PROCFS)")
    near, far = place.tcp(4, 443)
    place.tcp(6, 80)
    place.udp(4, 5000)
    place.udp(6, 5000)
    place.ping(4)
    place.ping(6)
    near.sendall(b"x" * 100)
    far.recv(100)

    def comparable(flow: Flow) -> tuple:
        return (
            flow.key[1:], flow.reply_source, flow.reply_source_port, flow.reply_destination,
            flow.reply_destination_port, flow.mark, flow.packets, flow.bytes, flow.state,
            flow.icmp_type, flow.icmp_code, flow.status & (SEEN_REPLY | ASSURED),
        )  # fmt: skip

    for _ in range(5):  # the kernel's own neighbour discovery and timers may come between the two reads
        with open(proc.PATH, encoding="ascii") as lines:
            text = sorted(map(comparable, proc.parse_lines(lines)))
        messages = sorted(map(comparable, ctnetlink.dump()))
        if text == messages:
            break
    assert text == messages
    assert len(text) >= 6


def test_an_empty_namespace_has_no_flows():
    with private_netns():
        assert ctnetlink.dump() == []


def test_without_privileges_the_error_says_what_to_do(place):
    code = (
        "from netpolicy.flows import ctnetlink\n"
        "for call in (ctnetlink.dump, ctnetlink.Events):\n"
        "    try: call()\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
    )
    told = run("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", sys.executable, "-c", code)
    assert told.splitlines()[0].startswith("NetlinkError list connections: not permitted; run as root")
    assert all(line.startswith("NetlinkError") for line in told.splitlines())


def test_a_dead_socket_is_a_netlink_error(place):
    events = ctnetlink.Events()
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, events.fileno())
    os.close(null)
    with pytest.raises(NetlinkError, match="watch connections"):
        events.read()
    events.close()
