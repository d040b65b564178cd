"""Rules that are to stop something and cannot always: kill switches with a gap.

What loading says of one rule's own enforcement stays in lint.py (NP207); here it is about what
passes meanwhile. Judges the rules, never the lines of this machine.
"""

from __future__ import annotations

from itertools import combinations

from netpolicy.config.analysis_family import protects
from netpolicy.config.analysis_place import Places
from netpolicy.config.diagnostic import Findings
from netpolicy.core.field import LEARNED_FIELDS, MEASURED_FIELDS
from netpolicy.core.field_kind import Field
from netpolicy.core.model import BLOCK, BUILT_IN_OUTBOUNDS, DIRECT, GROUP, ROUTES, Outbound, Rule, Ruleset

# Devices and names of lines that people take for privacy, as the programs that make them call them.
VPN_PREFIXES = ("wg", "awg", "tun", "tap", "ovpn", "tailscale", "zt", "ipsec", "nordlynx", "proton", "mullvad")

FieldKey = tuple[str, tuple[str, ...]]
WIDER = 2  # fields of a wider block that is looked for


def check_protection(ruleset: Ruleset, places: Places, findings: Findings) -> None:
    """Report protecting rules with a gap, and private lines without protection."""
    if _leads_to_block(ruleset, ruleset.settings.default):
        return  # whatever goes past a rule is stopped
    ranked = [rule for rule in ruleset.ranked if rule.enabled]
    blocks = _Blocks(ruleset, ranked)
    for rank, rule in enumerate(ranked):
        if protects(ruleset, rule):
            _check_first_packet(ruleset, rule, places, findings)
            _check_way_past(ruleset, rule, places, findings)
        elif rule.action.kind in ROUTES:
            _check_private_line(ruleset, rule, blocks.below(rank, rule), places, findings)


def _check_first_packet(ruleset: Ruleset, rule: Rule, places: Places, findings: Findings) -> None:
    for field in rule.fields:
        place = places.field(rule, field.name)
        if field.name in MEASURED_FIELDS:
            text = f"this protection waits for {field.name}: until that was measured, everything passes"
            hint = "protect by what packets show: addresses, ports, src_iface, src_mac"
            findings.warning("NP430", place, text, hint)
        elif field.name == "domain" and ruleset.blocks(rule):
            text = "a block by name holds for the addresses that this router's DNS told: others pass"
            findings.info(
                "NP431",
                place,
                text,
                "set dns_guard in the main section and block port 53 to others, or block the addresses",
            )
        elif field.name in LEARNED_FIELDS:
            text = f"this protection waits for {field.name}: while the name is not known, the connection passes"
            hint = "protect the whole client (src_iface, src_mac) or the addresses, and let names lead elsewhere"
            findings.warning("NP430", place, text, hint)


def _check_way_past(ruleset: Ruleset, rule: Rule, places: Places, findings: Findings) -> None:
    """on_fail block has its turn when all lines are down; one that cannot be down takes it away."""
    action = rule.action
    if action.kind not in ROUTES or action.on_fail != BLOCK or ruleset.blocks(rule):
        return
    for target in action.targets:
        for name in ruleset.lines_of(target):
            if never_down(ruleset, name) and not _leads_to_block(ruleset, name):
                said = f"through the group {target!r}" if name != target else "itself"
                text = f"on_fail block never has its turn: {name!r}, named {said}, is never down, and passes everything"
                hint = f"take {name!r} out, or leave out on_fail"
                findings.warning("NP432", places.option("rule", rule.name, "on_fail"), text, hint)
                return


def never_down(ruleset: Ruleset, name: str) -> bool:
    """Whether the outbound is one that needs no line."""
    outbound = ruleset.outbound(name)
    return name in BUILT_IN_OUTBOUNDS or (outbound is not None and outbound.type in (DIRECT, BLOCK))


def _leads_to_block(ruleset: Ruleset, name: str) -> bool:
    outbound = ruleset.outbound(name)
    return outbound is not None and outbound.type == BLOCK


def _check_private_line(ruleset: Ruleset, rule: Rule, is_guarded: bool, places: Places, findings: Findings) -> None:
    action = rule.action
    if action.on_fail != "next" or not action.targets:
        return
    lines = [ruleset.outbound(name) for target in action.targets for name in ruleset.lines_of(target)]
    if not all(line is not None and is_private(line) for line in lines):
        return
    if is_guarded:
        return
    named = ", ".join(repr(target) for target in action.targets)
    text = f"while {named} is down, this traffic goes on without it"
    hint = "write on_fail block where that must not be, on_fail direct where it may"
    findings.info("NP433", places.option("rule", rule.name, action.kind), text, hint)


def is_private(outbound: Outbound) -> bool:
    """Whether the line looks like a VPN or a proxy."""
    if outbound.type in ("xray", "tunnel"):
        return True
    if outbound.type == GROUP or outbound.type in BUILT_IN_OUTBOUNDS:
        return False
    names = (outbound.name.lower(), outbound.interface.lower())
    return any(name.startswith(VPN_PREFIXES) or "vpn" in name for name in names)


class _Blocks:
    """The blocking rules by their fields, so that thousands of routes need not look at each of them."""

    def __init__(self, ruleset: Ruleset, ranked: list[Rule]) -> None:
        self._by_fields: dict[frozenset[FieldKey], int] = {}
        for rank, rule in enumerate(ranked):
            if ruleset.blocks(rule) and not rule.when and not rule.disable:
                self._by_fields[frozenset(map(_key, rule.fields))] = rank  # the lowest stays

    def below(self, rank: int, rule: Rule) -> bool:
        """Whether a block below surely counts for all that the rule matches: by the same values, or fewer fields."""
        keys = [_key(field) for field in rule.fields]
        wider = [frozenset(some) for count in range(min(len(keys), WIDER) + 1) for some in combinations(keys, count)]
        return any(self._by_fields.get(one, -1) > rank for one in (*wider, frozenset(keys)))


def _key(field: Field) -> FieldKey:
    return field.name, tuple(sorted(set(field.values)))
