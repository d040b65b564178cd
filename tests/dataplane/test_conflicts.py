"""Others who use our marks, priorities, tables or table name are named, with what to do."""

from __future__ import annotations

import pytest

from netpolicy.dataplane import conflicts
from netpolicy.dataplane.listing import Listing, LoadedChain
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.state import Route, RoutingRule

OURS = Policy()


def other(
    priority: int = 100, mark: int = 0, mask: int = 0, protocol: int = 0, table: int = 42, **more: str
) -> RoutingRule:
    return RoutingRule(4, priority, table, mark, mask, protocol=protocol, **more)


def found(policy: Policy = OURS, routes=(), rules=(), table=None) -> str:
    return " | ".join(f"{one.message}: {one.hint}" for one in conflicts.find(policy, routes, rules, table))


def test_an_empty_box_is_ours():
    assert found() == ""


@pytest.mark.parametrize(
    ("mask", "owner"),
    [
        (0x00FF0000, "pbr, keen-pbr, podkop or Tailscale"),
        (0x3F00, "mwan3"),
        (0xFF, "passwall2"),
        (0x0F00000F, "another program"),
    ],
)
def test_who_uses_bits_of_our_mask_is_named(mask, owner):
    marks = Marks(0x77000000 if mask == 0x0F00000F else mask)
    text = found(Policy(marks=marks), rules=[other(mark=mask & -mask, mask=mask)])
    assert owner in text and "fwmark_mask" in text


@pytest.mark.parametrize(
    ("mark", "mask"),
    [
        (0x10000, 0xFF0000),
        (0x100, 0x3F00),
        (0x8000000, 0x8000000),
        (0x1, 0xFFFFFFFF),
        (0xCA6C, 0xFFFFFFFF),
        (0, 0),
    ],
)
def test_the_marks_of_known_packages_do_not_disturb_the_usual_mask(mark, mask):
    assert found(rules=[other(mark=mark, mask=mask)]) == ""


def test_an_exact_mark_inside_our_mask_is_a_conflict_and_one_outside_is_skipped():
    passwall, greedy = other(mark=1, mask=0xFFFFFFFF), other(mark=0x01000000, mask=0xFFFFFFFF)
    ours = other(mark=0x77, mask=0xFFFFFFFF, protocol=78)
    assert "uses mark bits of ours" in found(rules=[greedy])
    assert conflicts.foreign_exact_marks(OURS.marks, [passwall, greedy, ours, other(mark=2, mask=0xFF)]) == (1,)


def test_a_mark_that_others_lead_to_main_before_us_is_found():
    tailscale = other(5210, table=254, mark=0x80000, mask=0xFF0000)
    different = [
        other(5270, table=52),
        other(2001, table=1, mark=0x100, mask=0x3F00),  # mwan3: a line of its own
        other(30000, table=254, mark=0x100, mask=0x3F00),
        other(5210, table=254, mark=1, mask=0xFFFFFFFF),
        other(5250, mark=0x80000, mask=0xFF0000, action="unreachable"),
        other(100, table=254, mark=0x40000, mask=0xF0000, protocol=78),
        other(100, table=254, mark=0x01000000, mask=0xFF000000),
        other(100, table=254, mark=0x20000, mask=0xFF0000, selectors="from 10.0.0.0/8"),
    ]
    assert conflicts.led_to_main(OURS.marks, [tailscale, *different, tailscale], 7000) == ((0x80000, 0xFF0000),)


@pytest.mark.parametrize("priority", [7000, 7013, 7199])
def test_a_foreign_rule_among_our_priorities_is_named(priority):
    assert f"priority {priority} belongs to another program" in found(rules=[other(priority)])
    assert "rule_priority" in found(rules=[other(priority)])
    assert found(rules=[other(priority, protocol=78)]) == ""


@pytest.mark.parametrize("priority", [6999, 7200, 0, 32766])
def test_priorities_around_ours_are_free(priority):
    assert found(rules=[other(priority)]) == ""


def test_foreign_routes_in_our_tables_are_named_once():
    routes = [
        Route(4, 7005, "default", device="x", protocol=3),
        Route(6, 7005, "default", device="x", protocol=3),
        Route(4, 7001, "default", device="x"),
        Route(4, 7200, "default", protocol=3),
    ]
    assert found(routes=routes) == (
        "routing table 7005 holds routes of another program: set option table_base to a free range of 200 tables"
    )


def test_an_empty_table_of_our_name_is_in_nobodys_way():
    """What a `flush ruleset` in the middle of one of our changes may leave."""
    assert found(table=Listing({}, {})) == ""


def test_a_table_of_our_name_without_our_chain_is_named():
    strange = Listing({"mine": LoadedChain("", ())}, {})
    assert "find its owner, then `nft delete table inet netpolicy`" in found(table=strange)
