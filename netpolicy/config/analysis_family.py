"""Rules that guard or steer IPv4 only, where the same would go past them by IPv6.

A judgement, not a proof, with limits that docs/lints.md states: only addresses that IPv6 has a
counterpart of, and only while no other rule does the same for IPv6. Changes nothing.
"""

from __future__ import annotations

from netpolicy.config.analysis_place import Places
from netpolicy.config.diagnostic import Findings
from netpolicy.core.address import V4, V6
from netpolicy.core.evaluate import UNSTEERED
from netpolicy.core.field_address import Addresses
from netpolicy.core.field_kind import Numbers
from netpolicy.core.model import BLOCK, BUILT_IN_OUTBOUNDS, ROUTES, Rule, Ruleset
from netpolicy.core.packet import PROTOCOLS
from netpolicy.core.ranges import merge, subtract

# Inside a site: nobody writes these networks a second time for IPv6 (RFC 1918, RFC 6598).
PRIVATE = merge(
    [(0x0A000000, 0x0AFFFFFF), (0xAC100000, 0xAC1FFFFF), (0xC0A80000, 0xC0A8FFFF), (0x64400000, 0x647FFFFF)]
    + [(low, high) for low, high, _ in UNSTEERED[V4]]
)
IPV4_ONLY = tuple((PROTOCOLS[name], PROTOCOLS[name]) for name in ("icmp", "igmp"))


def check_families(ruleset: Ruleset, places: Places, findings: Findings) -> None:
    """Report rules that forget IPv6."""
    rules = [rule for rule in ruleset.rules if rule.enabled]
    if _default_blocks(ruleset) or any(_blocks_ipv6(ruleset, rule) for rule in rules):
        return  # what goes past a rule is stopped
    is_public = _Public()
    remembered = {key for rule in rules if V6 in families(rule) for key in _purposes(ruleset, rule)}
    for rule in rules:
        if families(rule) != {V4} or rule.field("family") is not None or _is_ipv4_only(rule):
            continue
        field = _forgetful(ruleset, rule, is_public)
        if field is not None and not remembered & set(_purposes(ruleset, rule)):
            _report(ruleset, rule, field, places, findings)


def families(rule: Rule) -> set[int]:
    """The families that the fields of the rule admit."""
    found = {V4, V6}
    for field in rule.fields:
        if isinstance(field, Addresses):
            found &= {family for family in (V4, V6) if field.ranges[family]}
        elif field.name == "family":
            found = {family for family in found if field.matches(family)}
    return found


def _is_ipv4_only(rule: Rule) -> bool:
    proto = rule.field("proto")
    return isinstance(proto, Numbers) and all(pair in IPV4_ONLY for pair in proto.ranges)


def protects(ruleset: Ruleset, rule: Rule) -> bool:
    """Whether the rule stops something: by blocking, or while its line is down."""
    return ruleset.blocks(rule) or (rule.action.kind in ROUTES and rule.action.on_fail == BLOCK)


def _forgetful(ruleset: Ruleset, rule: Rule, is_public: _Public) -> Addresses | None:
    """The field for whose sake the rule is IPv4 only, None where that is probably meant."""
    is_guard = protects(ruleset, rule)
    if not is_guard and all(target in BUILT_IN_OUTBOUNDS for target in rule.action.targets):
        return None
    target, source = rule.field("dest_addr"), rule.field("src_addr")
    if isinstance(target, Addresses) and not target.ranges[V6]:
        return target if is_public(target) and not _is_open(ruleset, target) else None
    if isinstance(source, Addresses) and not source.ranges[V6]:
        # A client by its address: it has IPv6 addresses too. For a plain route that is a matter of taste.
        return source if is_guard and not _is_open(ruleset, source) else None
    return None


class _Public:
    """Whether a field has addresses outside of sites. Remembered: a list of thousands stands in many rules."""

    def __init__(self) -> None:
        self._known: dict[int, bool] = {}

    def __call__(self, field: Addresses) -> bool:
        if id(field) not in self._known:  # the rules keep their fields
            self._known[id(field)] = bool(subtract(field.ranges[V4], PRIVATE))
        return self._known[id(field)]


def _is_open(ruleset: Ruleset, field: Addresses) -> bool:
    names = [value.lstrip("!")[1:] for value in field.values if value.lstrip("!").startswith("@")]
    return any(one.name in names and one.is_open for one in ruleset.lists)


def _default_blocks(ruleset: Ruleset) -> bool:
    default = ruleset.outbound(ruleset.settings.default)
    return default is not None and default.type == BLOCK


def _blocks_ipv6(ruleset: Ruleset, rule: Rule) -> bool:
    """Whether it stops IPv6 as a whole, for everybody or for a network."""
    names = {field.name for field in rule.fields}
    return ruleset.blocks(rule) and V4 not in families(rule) and names <= {"family", "src_iface"}


def _purposes(ruleset: Ruleset, rule: Rule) -> list[tuple[object, ...]]:
    """What the rule is for; a rule with one of the same purposes in IPv6 is its counterpart."""
    action = ("blocks",) if ruleset.blocks(rule) else (rule.action.kind, *rule.action.targets)
    other = tuple(repr(field) for field in rule.fields if not isinstance(field, Addresses) and field.name != "family")
    return [(action, other)]


def _report(ruleset: Ruleset, rule: Rule, field: Addresses, places: Places, findings: Findings) -> None:
    place = places.field(rule, field.name)
    if field.name == "src_addr":
        text = "the rule knows its clients by IPv4 addresses: what they do by IPv6 goes past it"
        hint = "add their IPv6 addresses, name them by src_mac or src_iface, or write family ipv4 if that is meant"
    else:
        text = f"the rule names IPv4 {field.name} only: the same site by IPv6 goes past it"
        hint = "add the IPv6 addresses, or write family ipv4 if that is meant"
    if protects(ruleset, rule):
        findings.warning("NP420", place, text, hint)
    else:
        findings.info("NP421", place, text, hint)
