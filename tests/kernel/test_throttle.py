"""Limits of speed with real traffic behind address translation: as fast as written, and gone without a trace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from netpolicy.dataplane.kernel import Kernel, Overtaken, Plan
from netpolicy.dataplane.limits import Limit
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.policy import Entry, Hop, Line, Policy, SourceTranslation
from netpolicy.dataplane.traffic_control import JUST_EMPTIED, TrafficControl
from netpolicy.lab.bench import Lab
from tests.kernel.steering import A4, B4, LINES, SERVER4, reload
from tests.kernel.steering import rule as rule_section
from tests.kernel.throttled import CLIENTS, SERVER, Street
from tests.netns import connect, needs_root, run
from tests.router import rule

pytestmark = [pytest.mark.kernel, needs_root]

MEGABIT = 1_000_000
OFFERED = 24 * MEGABIT
NEARLY = 0.15  # of the rate that is written


@pytest.fixture
def street() -> Iterator[Street]:
    made = Street()
    with made.router.entered():
        yield made
    made.close()


def policy(*limits: tuple[Limit, str]) -> Policy:
    """Each limit for what goes to these ports, by the line."""
    way = ("wan", (Hop(4, SERVER),), 0, ("wan",), False)
    numbers = [limit.number for limit, _ in limits]
    entries = [
        Entry(rule(limit.name, ("route", "wan"), dest_port=ports, proto="tcp udp"), limit.number)
        for limit, ports in limits
    ]
    lines = [Line("wan", 1, *way), *(Line("wan/some", number, *way, home=1) for number in numbers)]
    return Policy(
        lines=tuple(lines),
        entries=tuple(entries),
        ingress=(("wan", 1),),
        default_forwarded=1,
        translations=(SourceTranslation("wan", True),),
        ways_out=("wan",),
        limits=tuple(limit for limit, _ in limits),
    )


def follow(kernel: Kernel, wanted: Policy) -> Plan:
    """As the engine does: what was refused is planned again. Afterwards nothing is left to do."""

    async def go() -> Plan:
        plan = await kernel.plan(wanted)
        try:
            await kernel.apply(plan)
        except Overtaken:
            plan = await kernel.plan(wanted)
            await kernel.apply(plan)
        assert (await kernel.plan(wanted)).changes == ()
        return plan

    return asyncio.run(go())


def queues() -> str:
    return run("tc", "qdisc", "show") + run("nft", "list", "ruleset") + run("ip", "rule")


def near(rate: float, wanted: int) -> bool:
    return abs(rate - wanted) <= wanted * NEARLY


def test_two_profiles_give_their_speeds_in_both_directions_and_then_nothing_of_them_is_left(street: Street) -> None:
    before = queues()
    kernel = Kernel(open_netlink("builtin"))
    # Apart: answers of one connection would wait behind what the other sends.
    send, fetch = (
        Limit("send", 4 * MEGABIT, 9 * MEGABIT, False, (2,)),
        Limit("fetch", 9 * MEGABIT, 6 * MEGABIT, False, (3,)),
    )
    both = Limit("both", 2 * MEGABIT, 8 * MEGABIT, False, (4,))
    plan = follow(kernel, policy((send, "5000"), (fetch, "5001"), (both, "5010-5019")))
    assert {(way.limit, way.direction, way.device, way.how) for way in plan.ways} == {
        (name, direction, device, "shaped")
        for name in ("send", "fetch", "both")
        for direction, device in (("up", "wan"), ("down", "lan"))
    }
    found = street.rates(
        ("tcp", "up", 5000, 0, CLIENTS[0]),
        ("tcp", "down", 5001, 0, CLIENTS[0]),
        ("udp", "up", 5010, OFFERED, CLIENTS[0]),
        ("udp", "down", 5011, OFFERED, CLIENTS[0]),
        ("udp", "up", 5020, OFFERED, CLIENTS[0]),  # no rule holds it
    )
    assert all(map(near, found[:-1], (4 * MEGABIT, 6 * MEGABIT, 2 * MEGABIT, 8 * MEGABIT))), found
    assert found[-1] > 12 * MEGABIT
    counted = asyncio.run(kernel.limit_counters())
    assert counted["both up"].dropped > 500 and counted["both up"].bytes > 2 * MEGABIT / 8
    assert counted["both down"].dropped > 500 and counted["fetch down"].bytes > MEGABIT
    assert asyncio.run(kernel.remove())
    assert queues() == before


def test_where_somebody_else_has_a_queue_and_for_each_client_what_is_too_much_is_dropped(street: Street) -> None:
    run("tc", "qdisc", "add", "dev", "wan", "root", "handle", "1:", "pfifo", "limit", "1000")
    before = queues()
    kernel = Kernel(open_netlink("builtin"))
    shared, each = Limit("shared", 4 * MEGABIT, 0, False, (2,)), Limit("each", 2 * MEGABIT, 4 * MEGABIT, True, (3,))
    plan = follow(kernel, policy((shared, "5000-5009"), (each, "5010-5019")))
    assert [way.why for way in plan.ways if way.limit == "shared"] == ["wan has a queue of somebody else: pfifo"]
    found = street.rates(
        ("udp", "up", 5000, OFFERED, CLIENTS[0]),
        ("udp", "up", 5010, OFFERED, CLIENTS[0]),
        ("udp", "up", 5011, OFFERED, CLIENTS[1]),
        ("udp", "down", 5012, OFFERED, CLIENTS[0]),
    )
    assert all(map(near, found, (4 * MEGABIT, 2 * MEGABIT, 2 * MEGABIT, 4 * MEGABIT))), found
    counted = asyncio.run(kernel.limit_counters())
    assert counted["shared up"].dropped > 500 and counted["each down"].dropped > 500
    assert asyncio.run(kernel.remove())
    assert queues() == before


GUESTS = """
config throttle 'slow'
	option down '8mbit'
	option up '2mbit'
"""


def test_from_the_configuration_to_a_queue_on_the_bridge_and_back_to_what_was_there(lab: Lab) -> None:
    def listed() -> str:
        return lab.run("router", ["tc", "qdisc", "show"]).stdout

    before = listed()
    guests = rule_section("guests", "+dest_port=31000", "route=wan_b", "throttle=slow")
    lab.start_daemon(LINES + GUESTS + guests + rule_section("plain", "+dest_port=31001", "throttle=slow"))
    try:
        (slow,) = lab.call("rules")["throttles"]
        held = {(way["device"], way["how"]) for one in slow["directions"] for way in one["devices"]}
        assert {("wanb", "shaped"), ("br-lan", "shaped")} <= held and not any(how != "shaped" for _, how in held)
        assert lab.tcp("desk", SERVER4, 31000)["seen"] == B4 and lab.tcp("desk", SERVER4, 31001)["seen"] == A4
        opened = [lab.ask("desk", "open", address=SERVER4, port=port)["id"] for port in (31000, 31001)]
        (slow,) = lab.call("rules")["throttles"]
        assert all(one["packets"] > 5 and one["dropped"] == 0 for one in slow["directions"])
        lab.wait_for(
            lambda: {one["outbound"] for one in lab.call("connections")["connections"]} >= {"direct", "wan_b"},
            30.0, "both connections are known",
        )  # fmt: skip
        lab.run("router", ["tc", "qdisc", "del", "dev", "br-lan", "root"])
        lab.wait_for(lambda: "htb 4e50: dev br-lan" in listed(), 30.0, "the queue is back")
        # SQM comes: it stays, and so does the limit.
        lab.run("router", ["tc", "qdisc", "replace", "dev", "wanb", "root", "handle", "8:", "pfifo"])
        told = "dropped on wanb, not queued: wanb has a queue of somebody else"
        lab.wait_for(lambda: told in str(lab.call("status")["warnings"]), 30.0, "the foreign queue is seen")
        assert "pfifo 8: dev wanb" in listed()
        lab.run("router", ["tc", "qdisc", "del", "dev", "wanb", "root"])
        lab.wait_for(lambda: "htb 4e50: dev wanb" in listed(), 30.0, "the queue is back on the line")
        # Without the profile they stay by their lines, though no rule sends there any more.
        reload(lab, LINES)
        assert "4e50" not in listed()
        assert all(lab.ask("desk", "talk", id=one)["ok"] for one in opened)
    finally:
        assert lab.stop_daemon() == 0
    assert "Traceback" not in lab.daemon_log()
    assert listed() == before


def test_a_kernel_without_that_kind_of_queue_holds_the_limit_all_the_same(street: Street) -> None:
    kernel = Kernel(open_netlink("builtin"), traffic=TrafficControl("no_such"))
    before = run("tc", "qdisc", "show")
    plan = follow(kernel, policy((Limit("slow", 4 * MEGABIT, 8 * MEGABIT, False, (2,)), "5000-5009")))
    assert {way.how for way in plan.ways} == {"policed"}
    assert "kind no_such" in plan.ways[0].why
    assert run("tc", "qdisc", "show") == before
    found = street.rates(("udp", "up", 5000, OFFERED, CLIENTS[0]), ("udp", "down", 5001, OFFERED, CLIENTS[1]))
    assert all(map(near, found, (4 * MEGABIT, 8 * MEGABIT))), found


def test_a_limit_that_changes_or_is_not_named_any_more_changes_its_queue_alone(street: Street) -> None:
    kernel = Kernel(open_netlink("builtin"))
    slow, fast = Limit("slow", MEGABIT, 0, False, (2,)), Limit("fast", 4 * MEGABIT, 8 * MEGABIT, False, (3,))
    follow(kernel, policy((slow, "5000"), (fast, "5010")))
    plan = follow(kernel, policy((Limit("slow", 3 * MEGABIT, 0, False, (2,)), "5000"), (fast, "5010")))
    assert plan.shaping.changes == ("~ tc class dev wan classid 4e50:104 rate 3000000bit",)
    assert "rate 3Mbit" in run("tc", "class", "show", "dev", "wan")
    plan = follow(kernel, policy((Limit("slow", 3 * MEGABIT, 0, False, (2,)), "5000")))
    assert plan.shaping.changes == (
        "- tc qdisc dev lan root handle 4e50: htb",
        "- tc class dev wan classid 4e50:106",
    )
    assert "4e50" not in run("tc", "qdisc", "show", "dev", "lan")


def test_what_somebody_takes_away_or_puts_in_its_place_is_seen(street: Street) -> None:
    now = [0.0]
    kernel = Kernel(open_netlink("builtin"), traffic=TrafficControl(clock=lambda: now[0]))
    wanted = policy((Limit("slow", MEGABIT, 0, False, (2,)), "5000"))
    follow(kernel, wanted)
    run("tc", "qdisc", "del", "dev", "wan", "root")
    # Who took it away may be about to put another one there.
    plan = follow(kernel, wanted)
    assert plan.changes == ("~ chain u_02",) and plan.ways[0].why == JUST_EMPTIED
    now[0] += kernel.rests_for()
    assert follow(kernel, wanted).changes == (
        "~ chain u_02",
        "+ tc qdisc dev wan root handle 4e50: htb",
        "+ tc class dev wan classid 4e50:1 rate 100000000000bit",
        "+ tc class dev wan classid 4e50:104 rate 1000000bit",
    )
    run(
        "tc",
        "qdisc",
        "replace",
        "dev",
        "wan",
        "root",
        "handle",
        "7:",
        "tbf",
        "rate",
        "9mbit",
        "burst",
        "9k",
        "limit",
        "90k",
    )
    assert follow(kernel, wanted).changes == ("~ chain u_02",)
    assert "limit rate over 125000 bytes/second" in run("nft", "list", "chain", "inet", "netpolicy", "u_02")
    asyncio.run(kernel.remove())
    assert "tbf 7:" in run("tc", "qdisc", "show", "dev", "wan")


def test_a_device_that_comes_back_gets_its_queue_again_and_what_the_router_fetches_itself_is_held_too(
    street: Street,
) -> None:
    kernel = Kernel(open_netlink("builtin"))
    wanted = policy((Limit("slow", MEGABIT, 4 * MEGABIT, False, (2,)), "5000-5009"))
    follow(kernel, wanted)
    run("ip", "link", "del", "wan")
    connect(street.router, "wan", street.server, "eth0")
    run("ip", "addr", "add", "192.0.2.2/24", "dev", "wan")
    run("ip", "route", "add", "default", "via", SERVER)
    street.server.run("ip", "addr", "add", f"{SERVER}/24", "dev", "eth0")
    assert "+ tc qdisc dev wan root handle 4e50: htb" in follow(kernel, wanted).changes
    street.client = street.router
    (found,) = street.rates(("udp", "down", 5000, OFFERED, "192.0.2.2"))
    assert near(found, 4 * MEGABIT), found
