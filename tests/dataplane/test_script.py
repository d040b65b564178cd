"""The whole text: complete, repeatable, in words that tools take. tests/kernel/test_script.py loads it."""

from __future__ import annotations

import pytest

from netpolicy.dataplane.policy import Entry
from netpolicy.dataplane.routing import Routing
from netpolicy.dataplane.script import (
    full_text,
    ip_batch,
    ip_commands,
    nft_script,
    rebuild_text,
    removal_text,
    structure_text,
)
from netpolicy.dataplane.state import Route, RoutingRule
from netpolicy.dataplane.table import build
from tests.router import policy, rule

POLICY = policy(Entry(rule("video", dest_port="443"), 2))

ROUTES = (
    Route(4, 7002, "default", "unreachable", metric=4278198272),
    Route(4, 7002, "default", gateway="198.51.100.1", device="wanb"),
    Route(4, 7002, "192.168.1.0/24", device="lan", scope="link"),
    Route(6, 7002, "default", gateway="fe80::1", device="wanb", metric=1024),
)
RULES = (
    RoutingRule(4, 7034, 100, 0x2000000, 0x37000000),
    RoutingRule(4, 7066, 0, 0x2000000, 0x37000000, "unreachable"),
    RoutingRule(4, 7000, 7002, oif="wanb"),
    RoutingRule(4, 7000, 7001, oif="wana"),
)
ROUTING = Routing(frozenset(ROUTES), frozenset(RULES))


def test_the_script_begins_by_taking_away_what_was_there():
    lines = nft_script(POLICY).splitlines()
    assert lines[:3] == ["add table inet netpolicy", "delete table inet netpolicy", "add table inet netpolicy"]
    assert nft_script(POLICY) == rebuild_text(build(POLICY)) == removal_text() + full_text(build(POLICY))


def test_every_chain_and_set_is_declared_before_the_first_rule_and_chains_before_what_leads_to_them():
    words = [line.split()[:2] for line in nft_script(POLICY).splitlines()]

    def last(*kinds: str) -> int:
        return max(place for place, word in enumerate(words) if word in [["add", kind] for kind in kinds])

    assert last("chain") < words.index(["add", "element"]) < last("element") < words.index(["flush", "chain"])
    assert last("set", "map") < words.index(["flush", "chain"]) < words.index(["add", "rule"])


def test_the_structure_is_the_text_without_elements():
    lines = full_text(build(POLICY)).splitlines()
    assert [line for line in lines if not line.startswith("add element")] == structure_text(build(POLICY)).splitlines()
    assert sum(line.startswith("add element") for line in lines) == len(build(POLICY).sets)


def test_long_lists_stand_empty_in_the_text_for_the_boot_and_nothing_else_does():
    named = Entry(rule("long", dest_addr=" ".join(f"10.0.{number}.0/25" for number in range(256)) + " 192.0.2.1"), 2)
    table = build(policy(named, *[Entry(rule(f"r{port}", dest_port=str(port)), 2) for port in range(300)]))
    (long,) = [one for one in table.sets if one.is_list]
    lines = full_text(table).splitlines()
    assert len(long.elements) == 257
    assert full_text(table, 257).splitlines() == lines, "as many as that are still in it"
    left = [line for line in lines if not line.startswith(f"add element inet netpolicy {long.name} ")]
    assert full_text(table, 256).splitlines() == left
    assert f"add {long.declaration}" in left and len(left) < len(lines)
    assert any(f"@{long.name} " in line for line in left)


def test_ip_lines_are_complete_and_in_an_order_that_works():
    assert ip_batch(ROUTING, 4) == (
        "rule flush protocol 78",
        "route flush table all protocol 78",
        "route replace 192.168.1.0/24 dev lan table 7002 scope link protocol 78",
        "route replace default via 198.51.100.1 dev wanb table 7002 protocol 78",
        "route replace unreachable default table 7002 metric 4278198272 protocol 78",
        "rule add priority 7000 oif wana table 7001 protocol 78",
        "rule add priority 7000 oif wanb table 7002 protocol 78",
        "rule add priority 7034 fwmark 0x2000000/0x37000000 table 100 protocol 78",
        "rule add priority 7066 fwmark 0x2000000/0x37000000 type unreachable protocol 78",
    )


def test_commands_are_the_batches_of_both_families():
    found = ip_commands(ROUTING)
    assert found == (
        *(f"ip -4 {line}" for line in ip_batch(ROUTING, 4)),
        *(f"ip -6 {line}" for line in ip_batch(ROUTING, 6)),
    )
    assert found[-1] == "ip -6 route replace default via fe80::1 dev wanb table 7002 metric 1024 protocol 78"


@pytest.mark.parametrize("device", ["a b", "wan;reboot", "$(x)", "wan'0", "wän0", "a\nb"])
def test_a_device_name_that_is_not_one_word_is_refused(device):
    with pytest.raises(ValueError, match="cannot be written"):
        ip_commands(Routing(frozenset([Route(4, 7001, "default", device=device)])))
    with pytest.raises(ValueError, match="cannot be written"):
        ip_commands(Routing(rules=frozenset([RoutingRule(4, 7000, 7001, oif=device)])))
