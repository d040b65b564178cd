"""Packets that are aimed at rules: at the borders of their values, and one beyond.

Random packets hardly ever meet a rule of four fields; these do, and a wrong `<` for `<=` shows.
Only packets that a kernel takes in at all; which it drops before any hook is said in `arrives`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

from netpolicy.core.address import BITS, V4, V6, parse_range
from netpolicy.core.facts import Facts
from netpolicy.core.packet import PORT_PROTOCOLS, parse_dscp, parse_protocol
from tests.prove.packet import Sample, sample
from tests.prove.scene import LOGICAL, OF_NAMES, RuleText, Scene
from tests.prove.values import DEVICES, DSCP, MACS, NAME_IN_LISTS, World

# Never on the wire as the last header of IPv6: extension headers, and "no next header".
NOT_OVER_IPV6 = (0, 43, 44, 51, 59, 60, 135)

LOOPBACK4 = 127  # the first byte
LOOPBACK6 = 1
MAPPED6 = 0xFFFF  # the upper 96 bits of ::ffff:0.0.0.0/96


def samples(
    rng: random.Random, scene: Scene, world: World, count: int, first: int = 1, rules: Sequence[RuleText] = ()
) -> list[Sample]:
    """Packets number `first` and on, aimed at these rules, or at any of the scene."""
    aimed = rules or scene.rules
    with_lists = [rule for rule in aimed if any("@" in value for _, values in rule.fields for value in values)]
    return [sample(first + index, _facts(rng, scene, world, aimed, with_lists)) for index in range(count)]


def _facts(
    rng: random.Random, scene: Scene, world: World, rules: Sequence[RuleText], with_lists: Sequence[RuleText]
) -> Facts:
    rule = rng.choice(rules) if rules and rng.random() < 0.9 else None
    if with_lists and rng.random() < 0.2:
        rule = rng.choice(with_lists)
    while True:
        facts = _Aim(rng, scene, world, rule).facts()
        if arrives(facts):
            return facts


def arrives(facts: Facts) -> bool:
    """Whether the kernel shows the packet to any hook: ipv6_rcv() and raw sockets throw some away before."""
    source, target = facts.src_addr[1], facts.dest_addr[1]
    if facts.family == V4:
        # For an own packet the kernel would fill in an address, or refuse the way out.
        return not (facts.src_iface == "lo" and (source == 0 or source >> 24 == LOOPBACK4))
    if LOOPBACK6 in (source, target) or MAPPED6 in (source >> 32, target >> 32):
        return False
    scope = target >> 112 & 15
    return source >> 120 != 0xFF and not (target >> 120 == 0xFF and scope < 2)


@lru_cache(maxsize=64)
def _ends(addresses: tuple[str, ...], family: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    found = [one for one in map(parse_range, addresses) if one[0] == family]
    return min(found), max(found, key=lambda one: one[2])


class _Aim:
    """One packet at one rule (or at none)."""

    def __init__(self, rng: random.Random, scene: Scene, world: World, rule: RuleText | None) -> None:
        self.rng = rng
        self.scene = scene
        self.world = world
        self.fields = dict(rule.fields) if rule is not None else {}
        # One field is left to chance: what matches all but one field is decided by another rule.
        if self.fields and rng.random() < 0.2:
            del self.fields[rng.choice(sorted(self.fields))]

    def facts(self) -> Facts:
        facts = Facts()
        facts.family = self._family()
        facts.src_addr = facts.family, self._address("src_addr", facts.family)
        facts.dest_addr = facts.family, self._destination(facts.family)
        facts.proto = self._protocol(facts.family)
        if facts.proto in PORT_PROTOCOLS:
            facts.src_port, facts.dest_port = self._port("src_port"), self._port("dest_port")
        facts.src_iface = self._device()
        if facts.src_iface != "lo":
            facts.src_mac = self._word("src_mac", MACS)
        facts.dscp = self._number("dscp", parse_dscp, 63, DSCP)
        facts.schedule = self.scene.active
        return facts

    def _family(self) -> int:
        word = self._value("family")
        if word:
            return 4 if (word == "ipv4") != self._is_negated("family") else 6
        families = [self._range(name) for name in ("dest_addr", "src_addr") if name in self.fields]
        return self.rng.choice(families)[0] if families else self.rng.choice((V4, V6))

    def _address(self, name: str, family: int) -> int:
        for _ in range(4):
            found = self._range(name)
            if found[0] == family:
                return self._border(found[1], found[2], (1 << BITS[family]) - 1)
        low, high = self.rng.choice([(low, high) for one, low, high in self.world.ranges if one == family])
        return self._border(low, high, (1 << BITS[family]) - 1)

    def _destination(self, family: int) -> int:
        """Mostly an address that was told for some name, where the rule asks for one."""
        if self.rng.random() < (0.7 if set(OF_NAMES) & set(self.fields) else 0.02):
            told = [parse_range(text) for _, addresses in self.scene.heard for text in addresses]
            told = [low for one, low, _ in told if one == family]
            if told:
                return self.rng.choice(told)
        return self._address("dest_addr", family)

    def _range(self, name: str) -> tuple[int, int, int]:
        text = self._value(name)
        if text.startswith("@"):
            return self._entry(dict(self.scene.lists)[text[1:]])
        return parse_range(text) if text else self.rng.choice(self.world.ranges)

    def _entry(self, entries: Sequence[str]) -> tuple[int, int, int]:
        """An entry of a list; often the first or last of its family, where a tree of them ends."""
        addresses = [entry for entry in entries if entry != NAME_IN_LISTS]
        if self.rng.random() < 0.6:
            return parse_range(self.rng.choice(addresses))
        some = [parse_range(entry) for entry in addresses[:: max(1, len(addresses) // 50)]]
        family = self.rng.choice(some)[0]
        ends = _ends(tuple(addresses), family)
        return self.rng.choice(ends)

    def _port(self, name: str) -> int:
        text = self._value(name)
        low, _, high = (text or str(self.rng.choice(self.world.ports))).partition("-")
        return self._border(int(low), int(high or low), 65535)

    def _protocol(self, family: int) -> int:
        wants_ports = "src_port" in self.fields or "dest_port" in self.fields
        if "proto" not in self.fields and wants_ports and self.rng.random() < 0.9:
            return self.rng.choice(PORT_PROTOCOLS)
        number = self._number("proto", parse_protocol, 255, self.world.protocols)
        return 17 if family == V6 and number in NOT_OVER_IPV6 else number

    def _device(self) -> str:
        word = self._word("src_iface", (*DEVICES, "lan", "guest", "lo"))
        device = LOGICAL.get(word, word)
        return device if device in (*DEVICES, "lo") else self.rng.choice(DEVICES)

    def _word(self, name: str, others: Sequence[str]) -> str:
        word = self._value(name)
        if not word or (self._is_negated(name) and self.rng.random() < 0.7):
            return self.rng.choice(others)
        return word

    def _number(self, name: str, parse, limit: int, others: Sequence[str]) -> int:
        number = parse(self._word(name, others))
        return number if self.rng.random() < 0.85 else min(limit, max(0, number + self.rng.choice((-1, 1))))

    def _value(self, name: str) -> str:
        """One of the field's values without its sign, "" where the rule has no such field."""
        values = self.fields.get(name)
        return self.rng.choice(values).lstrip("!") if values else ""

    def _is_negated(self, name: str) -> bool:
        return all(value.startswith("!") for value in self.fields.get(name, ()))

    def _border(self, low: int, high: int, limit: int) -> int:
        """Mostly the first and the last, often one beyond, now and then any of the middle."""
        draw = self.rng.random()
        if draw < 0.3:
            return low
        if draw < 0.6:
            return high
        if draw < 0.75:
            return min(limit, high + 1)
        if draw < 0.85:
            return max(0, low - 1)
        return low + self.rng.randrange(high - low + 1)
