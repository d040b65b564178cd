"""Messages to traffic control, byte for byte; and what the kernel makes of them beside the filters of others."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows.ebpf import clsact
from netpolicy.flows.ebpf.clsact import EGRESS, HANDLE, INGRESS, Filter, TrafficControl, free_priority
from tests.netns import needs_root, private_netns, run

from .trial import Trial

little = pytest.mark.skipif(sys.byteorder != "little", reason="the bytes are those of little-endian machines")
ALL = clsact.ALL_PROTOCOLS


@little
def test_the_request_for_a_clsact_is_these_bytes() -> None:
    built = wire.message(clsact.NEW_QDISC, 0x605, 1, clsact.qdisc_body(5))
    assert built == bytes.fromhex(
        "30000000 24000506 01000000 00000000 00000000 05000000 0000ffff f1ffffff 00000000 0b000100 636c7361 63740000"
    )


@little
def test_the_request_for_a_filter_is_these_bytes() -> None:
    built = wire.message(clsact.NEW_FILTER, 0x505, 1, clsact.filter_body(5, INGRESS, 1, 7, "np_up"))
    assert built == bytes.fromhex(
        "4c000000 2c000505 01000000 00000000 00000000 05000000 706e0000 f2ffffff 00030100 08000100 62706600"
        "20000200 08000600 07000000 0a000700 6e705f75 70000000 08000800 01000000"
    )


def one(priority: int, handle: int = 1, kind: str = "bpf", name: str = "theirs", protocol: int = ALL) -> Filter:
    return Filter(5, INGRESS, priority, protocol, handle, kind, name)


def test_our_filter_goes_first_where_it_can() -> None:
    assert free_priority([]) == 1
    assert free_priority([one(1)]) == 1  # beside another program
    assert free_priority([one(1, kind="u32")]) == 2
    assert free_priority([one(1, protocol=8)]) == 2
    assert free_priority([one(1, handle=HANDLE)]) == 2  # somebody else has that number
    assert free_priority([one(priority, kind="u32") for priority in range(1, 17)]) == 0


def test_our_filter_of_another_life_is_replaced_where_it_is() -> None:
    ours = one(7, HANDLE, "bpf", "netpolicy_up")
    assert ours.is_ours and free_priority([one(1), ours]) == 7
    assert not one(7, HANDLE).is_ours
    assert not one(7, HANDLE, "u32", "netpolicy_up").is_ours


def test_answers_that_are_cut_short_name_nothing() -> None:
    whole = clsact.TCMSG.pack(0, 5, HANDLE, INGRESS, 1 << 16) + wire.attribute(clsact.KIND, b"bpf\0")
    for end in range(len(whole) + 1):
        for kind in (clsact.NEW_FILTER, clsact.NEW_QDISC, 3):
            answers = [wire.Message(kind, 0, 1, whole[:end])]
            assert len(clsact.filters(answers)) <= 1
            assert clsact.qdisc_kinds(answers) == {}


@pytest.fixture
def control() -> Iterator[TrafficControl]:
    """In a namespace whose device 2 is a veth."""
    with private_netns():
        run("ip", "link", "add", "lan", "index", "20", "type", "veth", "peer", "name", "far")
        kernel = KernelSocket(ROUTE)
        yield TrafficControl(kernel)
        kernel.close()


@needs_root
@pytest.mark.kernel
def test_a_clsact_is_made_once_and_one_of_others_stays(control: TrafficControl) -> None:
    assert control.kinds() == {}
    assert control.provide_clsact(20, "lan")
    assert not control.provide_clsact(20, "lan")  # nothing says that it is ours
    assert control.kinds() == {20: "clsact"}
    assert control.remove(20) == 0
    assert control.kinds() == {20: "clsact"}
    assert control.remove(20, with_clsact=True) == 0
    assert control.kinds() == {}


@needs_root
@pytest.mark.kernel
def test_our_clsact_goes_with_our_filters_also_those_of_a_killed_process(control: TrafficControl, shown: Trial) -> None:
    program = shown.loaded.program(True, False)
    assert control.provide_clsact(20, "lan")
    control.attach(20, INGRESS, program, f"{clsact.NAME_WITH_CLSACT}_up")
    assert control.provide_clsact(20, "lan")  # the filter says that it is ours
    assert control.remove_all() == 1 and control.kinds() == {}
    run("tc", "qdisc", "add", "dev", "lan", "ingress")


@needs_root
@pytest.mark.kernel
def test_our_clsact_stays_where_others_have_filters_in_it_by_now(control: TrafficControl, shown: Trial) -> None:
    control.provide_clsact(20, "lan")
    control.attach(20, INGRESS, shown.loaded.program(True, False), f"{clsact.NAME_WITH_CLSACT}_up")
    run("tc", "filter", "add", "dev", "lan", "egress", "protocol", "ip", "u32", "match", "u32", "0", "0")
    before = run("tc", "filter", "show", "dev", "lan", "egress")
    assert control.remove(20) == 1 and control.kinds() == {20: "clsact"}
    assert run("tc", "filter", "show", "dev", "lan", "egress") == before


@needs_root
@pytest.mark.kernel
def test_a_device_that_somebody_shapes_is_refused_and_left_alone(control: TrafficControl) -> None:
    run("tc", "qdisc", "add", "dev", "lan", "ingress")
    before = run("tc", "qdisc", "show", "dev", "lan")
    with pytest.raises(NetlinkError, match="'ingress' queueing discipline"):
        control.provide_clsact(20, "lan")
    assert run("tc", "qdisc", "show", "dev", "lan") == before
    assert not control.has_ours(20) and control.remove(20) == 0


@needs_root
@pytest.mark.kernel
def test_our_filter_is_replaced_and_removed_and_others_stay(control: TrafficControl, shown: Trial) -> None:
    run("tc", "qdisc", "add", "dev", "lan", "clsact")
    foreign = ("u32", "match", "u32", "0", "0")
    run("tc", "filter", "add", "dev", "lan", "ingress", "prio", "1", "protocol", "ip", *foreign)
    before = run("tc", "filter", "show", "dev", "lan", "ingress")
    program = shown.loaded.program(True, False)
    for _ in range(2):
        control.attach(20, INGRESS, program, "netpolicy_up")
        control.attach(20, EGRESS, program, "netpolicy_down")
    ours = [(found.priority, found.name) for found in control.filters(20, INGRESS) if found.is_ours]
    assert ours == [(2, "netpolicy_up")]
    assert control.has_ours(20)
    listing = run("tc", "filter", "show", "dev", "lan", "ingress")
    assert "netpolicy_up direct-action" in listing and "handle 0x6e70" in listing
    assert control.remove_all() == 2
    assert run("tc", "filter", "show", "dev", "lan", "ingress") == before
    assert not control.has_ours(20) and control.remove_all() == 0


@needs_root
@pytest.mark.kernel
def test_beside_a_filter_of_the_same_kind_and_priority_ours_comes_and_goes(
    control: TrafficControl, shown: Trial
) -> None:
    program = shown.loaded.program(True, False)
    control.provide_clsact(20, "lan")
    kernel = KernelSocket(ROUTE)
    theirs = clsact.filter_body(20, INGRESS, 1, program, "theirs")
    theirs = theirs.replace(HANDLE.to_bytes(4, sys.byteorder), (1).to_bytes(4, sys.byteorder), 1)
    kernel.request("add theirs", clsact.NEW_FILTER, wire.F_CREATE | wire.F_EXCL, theirs)
    kernel.close()
    control.attach(20, INGRESS, program, "netpolicy_up")
    assert {(found.name, found.priority) for found in control.filters(20, INGRESS) if found.name} == {
        ("theirs", 1),
        ("netpolicy_up", 1),
    }
    assert control.remove(20) == 1
    assert [found.name for found in control.filters(20, INGRESS) if found.name] == ["theirs"]


@needs_root
@pytest.mark.kernel
def test_a_device_that_is_gone_is_an_error_with_its_name(control: TrafficControl) -> None:
    with pytest.raises(NetlinkError, match="add a clsact to gone: no such device"):
        control.provide_clsact(99, "gone")
