"""Rules whose own parts exclude each other, so that no connection can ever match them.

Goes on where loading stopped (lint.py): exact over the hours of the week, name patterns, states
and the traffic that no rule is asked about. Never compares two rules. Reports each rule once.
"""

from __future__ import annotations

from netpolicy.config.analysis_place import Places
from netpolicy.config.analysis_shape import Shape
from netpolicy.config.analysis_side import NEVER_STEERED, measured, within
from netpolicy.config.diagnostic import Findings
from netpolicy.config.lint import never_matches
from netpolicy.core.address import V4, V6
from netpolicy.core.evaluate import gate
from netpolicy.core.field_address import Addresses
from netpolicy.core.field_kind import Comparator, Field, Numbers, Words
from netpolicy.core.health import STATES
from netpolicy.core.model import ROUTER_ITSELF, Rule, Ruleset
from netpolicy.core.packet import PROTOCOLS

# Protocols that exist in one family only, by that family.
OF_FAMILY = {
    V4: (PROTOCOLS["icmp"], PROTOCOLS["igmp"]),
    V6: (PROTOCOLS["icmpv6"],),
}

Fault = tuple[str, str, str]  # the field or option, what is wrong, what to do


def check_contradictions(ruleset: Ruleset, shapes: tuple[Shape, ...], places: Places, findings: Findings) -> None:
    """Report rules that can never match, and routes for what no rule sends anywhere."""
    for shape in shapes:
        rule = shape.rule
        if not rule.enabled or never_matches(rule):
            continue
        fault = _fault(rule, shape)
        if fault is not None:
            option, reason, hint = fault
            text = f"the rule can never match: {reason}"
            findings.warning("NP206", places.option("rule", rule.name, option), text, hint)
        else:
            _check_way_in(ruleset, rule, places, findings)


def _fault(rule: Rule, shape: Shape) -> Fault | None:
    for find in (_states, _comparators, _router, _protocol):
        fault = find(rule)
        if fault is not None:
            return fault
    return _sides(rule, shape)


def _states(rule: Rule) -> Fault | None:
    if all(gate(rule, state) for state in STATES):
        option = "disable" if rule.disable else "state"
        return option, "disable leaves no state in which it counts", "take a state out of disable"
    return None


def _comparators(rule: Rule) -> Fault | None:
    for field in rule.fields:
        if isinstance(field, Comparator) and not measured(field):
            return field.name, f"{field!r} is true of no measured number", "compare with a bound that can be passed"
    return None


def _router(rule: Rule) -> Fault | None:
    """What leaves the router itself has no sender's MAC address."""
    came_in = rule.field("src_iface")
    if rule.field("src_mac") is None or not isinstance(came_in, Words):
        return None
    if came_in.wanted == (ROUTER_ITSELF,):
        return "src_mac", "the router's own connections (src_iface lo) have no MAC address", "remove one of the two"
    return None


def _protocol(rule: Rule) -> Fault | None:
    proto = rule.field("proto")
    if not isinstance(proto, Numbers):
        return None
    for family, other in ((V4, V6), (V6, V4)):
        only_there = tuple((number, number) for number in OF_FAMILY[family])
        if within(proto.ranges, only_there) and not _admits(rule, family):
            reason = f"{proto!r} exists in IPv{family} only, and the rule is for IPv{other}"
            return "proto", reason, f"write {'icmpv6' if other == V6 else 'icmp'} for IPv{other}"
    return None


def _admits(rule: Rule, family: int) -> bool:
    for field in rule.fields:
        if field.name == "family" and not field.matches(family):
            return False
        if isinstance(field, Addresses) and not field.ranges[family]:
            return False
    return True


def _sides(rule: Rule, shape: Shape) -> Fault | None:
    """Fields of which nothing is left, one by one, and then together."""
    for field in rule.fields:
        if _is_left(field, shape):
            continue
        if field.name == "src_iface":
            return field.name, "a block spares the router's own connections unless it names lo", "write src_iface lo"
        return field.name, f"{field.name} leaves nothing", "take out the exclusions, or the rule"
    target = shape.sides.get("dest_addr")
    if target is not None and within(target, NEVER_STEERED):
        reason = "loopback, link-local, multicast and broadcast addresses are never steered"
        return "dest_addr", reason, "no rule is asked about such packets: use the firewall"
    if not shape.boxes:
        option = rule.fields[0].name if rule.fields else "state"
        return option, "its fields exclude each other", "remove one of them"
    return None


def _is_left(field: Field, shape: Shape) -> bool:
    if field.name in shape.names:
        return not shape.names[field.name].is_empty
    return bool(shape.sides.get(field.name, ((0, 0),)))


def _check_way_in(ruleset: Ruleset, rule: Rule, places: Places, findings: Findings) -> None:
    """A route for what comes in by an outbound: its answers leave by the same line, whatever rules say."""
    came_in = rule.field("src_iface")
    if not isinstance(came_in, Words) or not came_in.wanted or ruleset.blocks(rule):
        return
    lines = {one.interface: one.name for one in ruleset.outbounds if one.type == "interface"}
    found = [str(name) for name in came_in.wanted if name in lines]
    if len(found) == len(came_in.wanted):
        text = f"nothing is sent by this rule: what comes in by {found[0]!r} leaves by {lines[found[0]]!r} again"
        hint = "rules steer what comes from inside; only a block that names src_iface is asked here"
        findings.warning("NP410", places.field(rule, "src_iface", found[0]), text, hint)
