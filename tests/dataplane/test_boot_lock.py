"""The texts that a boot loads: the whole table, and routing that needs no device."""

from __future__ import annotations

import json

import pytest

from netpolicy import __version__
from netpolicy.dataplane.boot_lock import CLASSES, MADE, TABLE, made, render
from netpolicy.dataplane.names import SCHEMA
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.script import full_text
from netpolicy.dataplane.table import build
from tests.dataplane.followed import MAIL, VIDEO, WORK
from tests.router import WAN_A, WAN_B, policy

SEALED = policy(
    VIDEO, WORK,
    lines=(replace(WAN_A, sealed=True, leaves_by=("wana",)), replace(WAN_B, leaves_by=("wanb",))),
    ways_out=("wana", "wanb"),
)  # fmt: skip
NUMBERS = {"wan_b": 2, "wan_a": 1}


def test_where_nothing_is_closed_nothing_is_kept():
    open_ = policy(VIDEO, WORK)
    assert not any(entry.blocks for entry in open_.entries)
    assert render(open_, NUMBERS) == {}


@pytest.mark.parametrize(
    "closed",
    [
        SEALED,
        policy(VIDEO, replace(MAIL, blocks=True)),
        replace(policy(VIDEO), default_forwarded=policy().marks.reject),
    ],
)
def test_a_seal_a_block_and_a_default_that_blocks_are_kept_with_the_whole_table(closed):
    found = render(closed, NUMBERS)
    assert found[TABLE] == full_text(build(closed))
    assert json.loads(found[CLASSES]) == NUMBERS


def test_of_the_routing_there_is_what_leads_the_sealed_line_nowhere():
    found = render(SEALED, NUMBERS)
    for family in ("ip4", "ip6"):
        route, rule = found[family].splitlines()
        assert route == "route replace unreachable default table 7001 metric 4278198272 protocol 78"
        assert rule.startswith("rule add priority 7001 fwmark 0x1000000/0x37000000 table 7001")
        assert "wan" not in found[family]


def test_a_sealed_table_of_somebody_else_is_asked_first_and_then_nothing():
    line = replace(WAN_A, sealed=True, foreign_table=100, device="", hops=(), leaves_by=("tun0",))
    found = render(policy(VIDEO, lines=(line, WAN_B)), NUMBERS)
    assert [row.split()[-3] for row in found["ip4"].splitlines() if row.startswith("rule")] == [
        "7001", "100", "unreachable",
    ]  # fmt: skip


def test_who_comes_to_the_router_by_a_sealed_line_is_answered_by_main():
    both = replace(SEALED, ingress=(("wana", 1), ("wanb", 2)))
    found = render(both, NUMBERS)[TABLE]
    to_router = "add rule inet netpolicy to_router "
    assert [line for line in found.splitlines() if line.startswith(to_router)] == [
        to_router + 'iifname vmap { "wanb" : goto s_02 }', to_router + "goto m_00",
    ]  # fmt: skip
    # What it brings for others keeps its line: its answers wait for it.
    assert '"wana" : goto s_01' in found
    alone = render(replace(SEALED, ingress=(("wana", 1),)), NUMBERS)[TABLE]
    assert [line for line in alone.splitlines() if line.startswith(to_router)] == [to_router + "goto m_00"]


def test_it_says_by_what_and_for_which_devices_it_was_made():
    named = replace(SEALED, device_names=(("lan", "br-lan"), ("wan", "eth1")))
    assert render(named, NUMBERS)[MADE] == made(named) == f"netpolicy {__version__} {SCHEMA}\nlan br-lan\nwan eth1\n"
