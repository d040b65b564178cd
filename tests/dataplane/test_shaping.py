"""Where queues of ours stand, what separates them from what is there, and what is left to others."""

from __future__ import annotations

import pytest

from netpolicy.dataplane import shaping
from netpolicy.dataplane.limits import Limit
from netpolicy.dataplane.netlink_tc import ROOT, HtbClass, Queue
from netpolicy.dataplane.policy import Entry, Line, Policy
from netpolicy.dataplane.shaping import HANDLE, PER_CLIENT, Device, Observed
from netpolicy.dataplane.state import Address
from tests.router import rule

SLOW = Limit("slow", 2_000_000, 8_000_000, False, (2,))
ADDRESSES = (
    Address(4, "lan", "192.168.1.1", 24),
    Address(4, "guest", "192.168.2.1", 24),
    Address(4, "wan", "192.0.2.2", 24),
    Address(6, "modem", "fe80::1", 64, "link"),
    Address(4, "lo", "127.0.0.1", 8),
)
OURS = Queue(2, "htb", HANDLE, ROOT, 1)


def seen(**roots: Queue | None) -> Observed:
    every = {"lan": None, "guest": None, "wan": None, **roots}
    return Observed({name: Device(name, index, root) for index, (name, root) in enumerate(every.items(), 1)}, {})


def policy(*entries: Entry, limit: Limit = SLOW) -> Policy:
    lines = (Line("wan", 1, "wan", leaves_by=("wan",)), Line("wan/slow", 2, "wan", leaves_by=("wan",), home=1))
    return Policy(lines=lines, entries=entries, limits=(limit,))


def ways(found: Observed, *entries: Entry, limit: Limit = SLOW) -> dict[tuple[str, str], str]:
    return {
        (way.direction, way.device): way.why
        for way in shaping.place(policy(*entries, limit=limit), found, ADDRESSES)[1]
    }


def test_what_goes_up_is_held_on_the_line_and_what_comes_down_on_every_device_behind_the_router():
    assert ways(seen()) == {("up", "wan"): "", ("down", "guest"): "", ("down", "lan"): ""}
    classes, _ = shaping.place(policy(), seen(), ADDRESSES)
    assert [(one.device, one.minor, one.rate) for one in classes] == [
        ("wan", 0x104, 2_000_000), ("guest", 0x105, 8_000_000), ("lan", 0x105, 8_000_000),
    ]  # fmt: skip


def test_rules_that_name_where_clients_are_need_a_queue_there_only():
    guests = Entry(rule("g", src_iface="guest"), 2)
    assert ("down", "lan") not in ways(seen(), guests)
    assert ("down", "lan") in ways(seen(), guests, Entry(rule("any", dest_port="80"), 2))
    assert ("down", "lan") in ways(seen(), Entry(rule("g", src_iface="wlan0"), 2))  # a port of a bridge, perhaps


def test_without_a_line_the_ways_out_of_the_main_table_are_meant():
    wanted = Policy(limits=(SLOW,), ways_out=("wan",))
    assert [one.device for one in shaping.place(wanted, seen(), ADDRESSES)[0]] == ["wan", "guest", "lan"]


@pytest.mark.parametrize(
    ("root", "why"),
    [
        (Queue(3, "cake", 0x80010000, ROOT), "wan has a queue of somebody else: cake"),
        (Queue(3, "htb", 0x10000, ROOT), "wan has a queue of somebody else: htb"),
        (Queue(3, "mq", 0, ROOT), ""),
        (OURS, ""),
    ],
)
def test_a_queue_of_somebody_else_stays_and_the_reason_is_told(root, why):
    assert ways(seen(wan=root))["up", "wan"] == why


def test_a_limit_for_each_client_has_no_queue_and_neither_has_a_device_that_refused_one():
    assert set(ways(seen(), limit=Limit("slow", 1, 1, True, (2,))).values()) == {PER_CLIENT}
    refusing = Observed(seen().devices, {"lan": "no"})
    assert ways(refusing) == {("up", "wan"): "", ("down", "guest"): "", ("down", "lan"): "no"}
    assert set(ways(Observed(seen().devices, {"": "nowhere"})).values()) == {"nowhere"}
    assert ways(Observed({}, {}))["up", "wan"] == "there is no device wan"


def there(*rates: tuple[int, int], leaf: str = "bfifo") -> Observed:
    classes = tuple(HtbClass(HANDLE | minor, rate // 8, rate // 8) for minor, rate in rates)
    leaves = tuple(Queue(1, leaf, 0x80010000, HANDLE | minor) for minor, _ in rates)
    return Observed({"wan": Device("wan", 1, OURS, classes, leaves)}, {})


def texts(wanted: int, found: Observed) -> tuple[str, ...]:
    classes = (shaping.Shaped("wan", 0x104, wanted),) if wanted else ()
    return shaping.change(classes, found).changes


def test_the_change_is_what_is_missing_different_or_too_much():
    rest = (shaping.REST, shaping.REST_RATE)
    assert texts(2_000_000, there(rest, (0x104, 2_000_000))) == ()
    assert texts(3_000_000, there(rest, (0x104, 2_000_000))) == ("~ tc class dev wan classid 4e50:104 rate 3000000bit",)
    assert texts(2_000_001, there(rest, (0x104, 2_000_000))) == ()  # the kernel counts in bytes
    assert texts(2_000_000, there(rest, (0x104, 2_000_000), (0x106, 9))) == ("- tc class dev wan classid 4e50:106",)
    assert len(texts(2_000_000, there(rest, (0x104, 2_000_000), leaf="pfifo"))) == 2
    assert texts(0, there(rest)) == ("- tc qdisc dev wan root handle 4e50: htb",)
    assert len(texts(2_000_000, seen())) == 3
    assert texts(0, seen()) == ()


def test_what_a_queue_holds_fits_its_speed():
    assert shaping.target_us(100_000_000) == 5000 and shaping.target_us(512_000) == 35_484
    assert shaping.burst(8_000) == 3028 and shaping.burst(1_000_000_000) == 250_000
    assert shaping.quantum(8_000) == 1514 and shaping.quantum(1_000_000_000) == 60_000
    assert shaping.fifo_size(8_000) == 131_072 and shaping.fifo_size(100_000_000) == 2_500_000


def test_drops_of_one_class_on_several_devices_are_one_number():
    classes = (HtbClass(HANDLE | 0x104, 1, 1, drops=3),)
    found = Observed({name: Device(name, 1, OURS, classes) for name in ("lan", "guest")}, {})
    assert shaping.drops(found) == {0x104: 6}
