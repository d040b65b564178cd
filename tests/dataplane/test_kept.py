"""Kept shapes: those of each rule come out again, and only where they would be made the same."""

from __future__ import annotations

from netpolicy.dataplane.kept import Kept
from netpolicy.dataplane.policy import Entry, Policy, in_columns
from netpolicy.dataplane.shape import MOST_RANGES, Shape, shapes
from tests.router import rule

LONG_LIST = " ".join(f"10.0.{number}.0/25" for number in range(MOST_RANGES)) + " 192.0.2.1"
MATCHES = (
    {"dest_addr": "10.0.0.0/8", "proto": "tcp", "dest_port": "80 443"},
    {"dest_addr": "10.1.0.0/16 2001:db8::/32"},
    {},
    {"src_mac": "02:00:00:00:00:01"},
    {"src_iface": "lan lo", "dest_port": "53"},
    {"dest_addr": LONG_LIST, "src_addr": "192.168.1.0/24"},
    {"family": "ipv6", "dest_addr": "192.0.2.0/24"},  # no packet
)


def told(found: tuple[Shape, ...]) -> list[tuple[object, ...]]:
    return [(shape.signature, shape.boxes, shape.count, [one.name for one in shape.large]) for shape in found]


def policy_of(entries: list[Entry], **more: object) -> Policy:
    return Policy(entries=in_columns(entries), **more)


def kept(policy: Policy) -> Kept:
    made = Kept(policy)
    for entry in policy.entries:
        made.add(shapes(entry, policy))
    made.close()
    return made


def test_the_shapes_of_every_rule_come_out_as_they_were_made():
    policy = policy_of([Entry(rule(f"r{number}", **MATCHES[number % len(MATCHES)]), 1) for number in range(30)])
    found = kept(policy)
    for place, entry in enumerate(policy.entries):
        assert told(found.shapes(place)) == told(shapes(entry, policy)), entry.rule.match_text
    assert found.known_to(policy) == {one: place for place, one in enumerate(policy.entries.rules)}


def test_a_rule_that_begins_to_block_and_one_that_is_new_are_not_known():
    entries = [Entry(rule(f"r{number}", dest_port=str(number + 1)), 1) for number in range(3)]
    found = kept(policy_of(entries))
    block = Entry(entries[1].rule, 30, blocks=True)
    fresh = Entry(rule("fresh", dest_port="9"), 1)
    known = found.known_to(policy_of([fresh, block, entries[0]]))
    assert known.keys() & {fresh.rule, block.rule, entries[0].rule} == {entries[0].rule}


def test_rules_that_lead_elsewhere_are_served_until_one_asks_for_something_else():
    rules = [rule(f"r{number}", **match) for number, match in enumerate(MATCHES)]
    found = kept(policy_of([Entry(one, 1) for one in rules]))
    elsewhere = [rule(f"r{number}", **match) for number, match in enumerate(MATCHES)]
    now = policy_of([Entry(one, 2) for one in elsewhere])
    assert found.serves(now) and set(found.known_to(now)) == set(elsewhere)
    for place, match in enumerate(MATCHES):
        other = [*elsewhere]
        other[place] = rule(f"r{place}", **{**match, "dest_port": "4711"})
        assert found.serves(policy_of([Entry(one, 2) for one in other])) == (place == len(MATCHES) - 1)
        assert found.serves(now)


def test_other_devices_blocks_and_numbers_of_rules_are_not_served(monkeypatch):
    entries = [Entry(rule(f"r{number}", src_iface="lan"), 1) for number in range(3)]
    found = kept(policy_of(entries))
    again = [Entry(rule(f"r{number}", src_iface="lan"), 1) for number in range(3)]
    assert found.serves(policy_of(again)) and not found.serves(policy_of(again[:2]))
    assert not found.serves(policy_of(again, device_names=(("lan", "br-lan"),)))
    assert not found.serves(policy_of([*again[:2], Entry(again[2].rule, 30, blocks=True)]))
    monkeypatch.setattr("netpolicy.dataplane.kept.FEW", 2)
    assert found.serves(policy_of(again)) and not found.serves(policy_of(entries))


def test_where_interfaces_are_other_devices_nothing_is_known():
    entries = [Entry(rule("r", src_iface="lan"), 1)]
    found = kept(policy_of(entries, device_names=(("lan", "br-lan"),)))
    assert found.known_to(policy_of(entries, device_names=(("lan", "eth1"),))) == {}
