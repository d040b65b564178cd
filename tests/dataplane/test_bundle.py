"""The texts of a revert bundle: complete, in parts that nft has memory for, closed where something was sealed."""

from __future__ import annotations

import re

import pytest

from netpolicy.dataplane.bundle import CHUNK, GATE, MOST_AT_ONCE, InForce, render
from netpolicy.dataplane.limits import Limit, Shaped
from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.policy import Entry, Line, Policy
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.routing import Routing
from netpolicy.dataplane.script import full_text, removal_text
from netpolicy.dataplane.state import Route, RoutingRule
from netpolicy.dataplane.table import build
from tests.dataplane.followed import MAIL, VIDEO, WORK
from tests.router import WAN_A, WAN_B, policy, rule

ROUTING = Routing(
    frozenset(
        [Route(4, 7001, "default", gateway="192.0.2.1", device="wana"), Route(6, 7001, "default", "unreachable")]
    ),
    frozenset([RoutingRule(4, 7001, 7001, 0x1000000, 0x37000000)]),
)
SEALED = policy(
    VIDEO,
    WORK,
    lines=(replace(WAN_A, sealed=True, leaves_by=("wana",)), replace(WAN_B, leaves_by=("wanb",))),
    ways_out=("wana", "wanb"),
    near=("198.51.100.0/24",),
)


def in_force(wanted: Policy, **counters: tuple[int, int]) -> InForce:
    return InForce(wanted, build(wanted), ROUTING, counters)


def long_list(name: str, first: int, count: int) -> Entry:
    return Entry(rule(name, dest_addr=" ".join(f"{first}.{n >> 8}.{n & 255}.0/25" for n in range(count))), 2)


def test_a_small_table_is_one_text_and_it_is_the_whole_table():
    old = in_force(policy(VIDEO, MAIL, WORK))
    files = render(old)
    assert files["table.nft"] == full_text(old.table)
    assert files["kept"] == ""
    assert not [path for path in files if "/" in path]


def test_counters_stand_with_their_elements_and_others_begin_at_nothing():
    text = render(in_force(policy(VIDEO, MAIL), video=(7, 900)))["table.nft"]
    assert re.search(r'0x[0-9a-f]+ counter packets 7 bytes 900 comment "video"', text)
    assert re.search(r'0x[0-9a-f]+ comment "mail"', text)
    assert text.count("counter packets") == 1


def test_long_sets_are_filled_in_steps_and_what_open_connections_ask_is_not():
    old = in_force(policy(long_list("long", 10, 3000), long_list("short", 11, 2000)))
    files = render(old)
    long, short = sorted([one for one in old.table.sets if one.is_list], key=lambda one: -len(one.elements))
    assert files["kept"] == f"{long.name}\n"
    assert f"add element inet netpolicy {long.name}" not in files["table.nft"]
    assert f"add {long.declaration}" in files["table.nft"]
    assert f"add element inet netpolicy {short.name}" in files["table.nft"]
    assert "add element inet netpolicy restore" in files["table.nft"]
    staged = [path for path in files if path.startswith("stage/")]
    assert staged == ["stage/00001.nft", "stage/00002.nft"]
    found = [element for path in staged for element in re.findall(r"10\.\d+\.\d+\.0/25", files[path])]
    assert len(found) == len(set(found)) == 3000
    for path in staged:
        assert files[path].startswith(f"add table inet netpolicy\nadd {long.declaration}\n")
        assert files[path].count("/25") <= CHUNK


def test_labels_of_very_many_rules_come_after_the_switch_because_their_chains_do():
    rules = [Entry(rule(f"r{n}", dest_port=str(n + 1)), 2) for n in range(MOST_AT_ONCE // 2 + 600)]
    files = render(in_force(policy(*rules), r5=(3, 4)))
    late = "".join(text for path, text in files.items() if path.startswith("late/"))
    assert "add element inet netpolicy verdicts_a" in late or "add element inet netpolicy hits_a" in late
    assert "verdicts_a" not in files["kept"] and "hits_a" not in files["kept"]
    everything = files["table.nft"] + "".join(text for path, text in files.items() if "/" in path)
    assert everything.count(" comment ") == len(rules)
    assert 'counter packets 3 bytes 4 comment "r5"' in everything


def test_routes_and_rules_are_added_and_nothing_is_flushed():
    files = render(in_force(policy(VIDEO)))
    assert files["route4"] == "route replace default via 192.0.2.1 dev wana table 7001 protocol 78\n"
    assert files["rule4"] == "rule add priority 7001 fwmark 0x1000000/0x37000000 table 7001 protocol 78\n"
    assert files["route6"] == "route replace unreachable default table 7001 protocol 78\n"
    assert files["rule6"] == ""


def test_a_device_name_that_is_not_one_word_makes_no_bundle():
    routing = Routing(frozenset([Route(4, 7001, "default", device="a b")]))
    with pytest.raises(ValueError, match="cannot be written"):
        render(replace_routing(in_force(policy(VIDEO)), routing))


def replace_routing(old: InForce, routing: Routing) -> InForce:
    return InForce(old.policy, old.table, routing, old.counters)


def test_nothing_in_force_is_led_back_to_by_removal():
    files = render(None)
    assert files["table.nft"] == "" and files["gate.nft"] == ""
    assert files["rescue.nft"] == removal_text()
    assert {files[name] for name in ("route4", "route6", "rule4", "rule6")} == {""}


def test_without_hooks_there_is_nothing_to_close():
    assert render(in_force(Policy()))["gate.nft"] == ""


def test_the_gate_stops_what_nobody_decided_and_never_what_is_for_the_router():
    gate = render(in_force(policy(VIDEO)))["gate.nft"]
    assert gate.startswith(f"add table {GATE}\ndelete table {GATE}\nadd table {GATE}\n")
    lines = gate.splitlines()
    for chain in ("pre", "out"):
        rules = [line for line in lines if line.startswith(f"add rule {GATE} {chain} ")]
        assert rules[-1].endswith("ct state new,invalid,untracked drop")
        assert any("fib daddr type { local" in line for line in rules[:-1])
    assert " post " not in gate


def test_where_a_line_is_sealed_the_rescue_leaves_it_closed():
    old = in_force(SEALED)
    assert old.is_sealed
    files = render(old)
    for name in ("gate.nft", "rescue.nft"):
        assert 'ct mark & 0x37000000 . oifname { 0x01000000 . "wanb" } drop' in files[name]
        assert "ip daddr { 198.51.100.0/24 } accept" in files[name]
    rescue = files["rescue.nft"]
    assert 'oifname { "wanb" } ct state new,invalid,untracked drop' in rescue
    assert "np_schema_2" in rescue and rescue.startswith(removal_text())
    assert "hook input" not in rescue and "hook forward" not in rescue


def test_where_nothing_is_sealed_the_rescue_is_the_removal():
    old = in_force(policy(VIDEO, lines=(Line("wan_a", 1, "wana"), WAN_B)))
    assert not old.is_sealed
    assert render(old)["rescue.nft"] == removal_text()


def test_queues_are_led_back_by_tc_and_what_may_be_missing_is_dropped():
    limits = (Limit("slow", 8000, 8000, False, (3,)),)
    stays, goes = Shaped("wana", 0x106, 8000), Shaped("lan", 0x107, 8000)
    wanted = policy(VIDEO, limits=limits, shaped=(stays, goes))
    old = InForce(wanted, build(wanted), ROUTING, {})
    files = render(old, (stays,))
    assert files["table.nft"] == full_text(old.table)
    assert files["queue"].count("qdisc add") == 2 and "dev wana parent 4e50: classid 4e50:106" in files["queue"]
    dropped = "limit rate over 1000 bytes/second"
    assert files["police.nft"].count(dropped) == 2 and "accept" not in files["police.nft"]
    # Without tc a queue that the change leaves alone stands as it stood.
    files = render(old, (stays,), with_tc=False)
    assert "queue" not in files and files["table.nft"] == full_text(old.table)
    assert files["police.nft"].count(dropped) == 1 and "flush chain inet netpolicy d_03" in files["police.nft"]


def test_addresses_that_were_learned_come_back_with_the_time_that_is_left():
    wanted = policy(Entry(rule("names", domain="video.example"), 2))
    table = build(wanted)
    (four, six) = sorted(one.name for one in table.sets if one.timeout)
    address = Element(bytes([192, 0, 2, 20]), timeout_ms=3_600_000, expires_ms=61_900)
    files = render(InForce(wanted, table, ROUTING, {}, learned={four: [address], "gone": [address]}))
    assert files["loose"].split() == [four, six] and files["kept"] == ""
    told = f"add element inet netpolicy {four} {{ 192.0.2.20 timeout 3600s expires 61s }}\n"
    assert {path: text for path, text in files.items() if "/" in path} == {"learned/00001.nft": told}
    files = render(InForce(wanted, table, ROUTING, {}, learned={four: [address] * (MOST_AT_ONCE + 1)}))
    assert files["kept"].split() == [four, six]  # nft has no memory to list them
