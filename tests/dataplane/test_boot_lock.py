"""The texts that a boot loads: the whole table, and routing that needs no device."""

from __future__ import annotations

import json
import random

import pytest

from netpolicy import __version__
from netpolicy.core.address import V4, format_address
from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Rule
from netpolicy.core.named_list import Lists, NamedList
from netpolicy.dataplane import boot_lists, boot_lock
from netpolicy.dataplane.boot_lock import (
    ADDRESSES,
    CLASSES,
    DNSMASQ,
    FOLDERS,
    MADE,
    NOTHING,
    TABLE,
    Known,
    is_stale,
    lock,
    made,
    render,
)
from netpolicy.dataplane.learned_sets import base_name, set_name
from netpolicy.dataplane.names import SCHEMA
from netpolicy.dataplane.policy import Entry
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.script import full_text
from netpolicy.dataplane.table import build
from tests.dataplane.followed import MAIL, VIDEO, WORK
from tests.router import WAN_A, WAN_B, policy, rule

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
        to_router + 'iifname "wanb" goto s_02', to_router + "goto m_00",
    ]  # fmt: skip
    # What it brings for others keeps its line: its answers wait for it.
    assert 'classify iifname "wana" goto s_01' in found
    alone = render(replace(SEALED, ingress=(("wana", 1),)), NUMBERS)[TABLE]
    assert [line for line in alone.splitlines() if line.startswith(to_router)] == [to_router + "goto m_00"]


def test_it_says_by_what_and_for_which_devices_it_was_made():
    named = replace(SEALED, device_names=(("lan", "br-lan"), ("wan", "eth1")))
    assert (
        lock(named, NUMBERS, NOTHING).texts[MADE]
        == made(named)
        == f"netpolicy {__version__} {SCHEMA}\nlan br-lan\nwan eth1\n"
    )


SECRET = Entry(rule("secret", ("route", "wan_a"), domain="secret.example"), 1)
OPEN = Entry(rule("open", ("route", "wan_b"), domain="open.example"), 2)
NAMED = policy(SECRET, OPEN, lines=SEALED.lines, ways_out=SEALED.ways_out)
SETS = [base_name(entry.rule.fields[0]) for entry in (SECRET, OPEN)]
KNOWN = Known(
    tuple((set_name(base, family), bytes(size), 7300.0) for base in SETS for family, size in ((4, 4), (6, 16))),
    "nftset=/secret.example/...\n",
    ("/tmp/dnsmasq.d",),
    {"long.12345678": b"a copy"},
)


def test_of_names_there_is_what_rules_ask_that_close_something():
    found = lock(NAMED, NUMBERS, KNOWN).further
    assert found[ADDRESSES].decode() == (
        f"add element inet netpolicy {SETS[0]}4 {{ 0.0.0.0 timeout 2h }}\n"
        f"add element inet netpolicy {SETS[0]}6 {{ :: timeout 2h }}\n"
    )
    assert found[DNSMASQ].decode() == KNOWN.dnsmasq and found[FOLDERS] == b"/tmp/dnsmasq.d\n"
    assert found["copy.long.12345678"] == b"a copy"
    without = lock(policy(OPEN, WORK, lines=SEALED.lines), NUMBERS, KNOWN).further
    assert list(without) == ["copy.long.12345678"]
    assert lock(policy(OPEN), NUMBERS, KNOWN) == ({}, {}, ())


def test_an_address_stays_for_an_hour_at_least_and_those_that_stay_longest_come_first(monkeypatch):
    monkeypatch.setattr(boot_lock, "MOST_ADDRESSES", 2)
    known = Known(tuple((f"{SETS[0]}4", bytes((10, 0, 0, left)), left * 1800.0) for left in (1, 3, 47)))
    assert lock(NAMED, NUMBERS, known).further[ADDRESSES].decode().split("{ ")[1] == (
        "10.0.0.3 timeout 1h, 10.0.0.47 timeout 23h }\n"
    )


def test_it_is_stale_by_other_addresses_lists_or_names_and_not_by_time():
    kept = lock(NAMED, NUMBERS, KNOWN)
    now = (kept.texts[MADE], kept.further[ADDRESSES].decode(), NAMED)
    later = tuple((name, key, left - 3600.0) for name, key, left in KNOWN.addresses)
    assert not is_stale(*now, KNOWN._replace(addresses=later))
    assert is_stale(*now, KNOWN._replace(addresses=KNOWN.addresses[1:]))
    assert is_stale(*now, KNOWN._replace(dnsmasq="others"))
    assert is_stale(*now, KNOWN._replace(copies={"long.12345678": b"a new one"}))


def listed(name: str, count: int, to: str) -> Entry:
    """A rule by a list of so many addresses, some three bytes each."""
    numbers = random.Random(count).sample(range(1 << 24, 1 << 31, 2), count)
    lists = Lists((NamedList("long", tuple(format_address(V4, number) for number in numbers)),))
    field = parse_field("dest_addr", ("@long",), lists)
    return Entry(Rule(name, 10, (field,), Action("route", to)), {"wan_a": 1, "wan_b": 2}[to])


LISTED = policy(
    listed("s", 9_000, "wan_a"), listed("l", 20_000, "wan_a"), listed("o", 5_000, "wan_b"),
    lines=SEALED.lines, ways_out=SEALED.ways_out,
)  # fmt: skip


@pytest.mark.parametrize(
    ("room", "files", "left_out"),
    [(1 << 20, [2, 3, 1], ()), (50_000, [2, 1], ("that of l",)), (100, [], ("that of s", "that of l"))],
)
def test_what_has_no_room_is_told_and_what_closes_comes_first(monkeypatch, room, files, left_out):
    monkeypatch.setattr(boot_lock, "MOST_FURTHER", room)
    found = lock(LISTED, NUMBERS, NOTHING._replace(copies={"far.12345678": b""}))  # too long to be read
    parts = [boot_lists.part_of(name) for name in found.further]
    assert [part.of for part in parts if part.number == 0] == files
    assert found.left_out == (*left_out, "far")
    assert sum(len(data) for data in found.further.values()) <= room
