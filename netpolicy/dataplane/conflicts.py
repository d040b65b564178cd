"""Who else uses what we are about to use: marks, priorities, tables, our table's name.

Found before anything is changed; each finding names the other owner and what to do.
Never changes anything. Values in, values out; known owners: docs/operations.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netpolicy.dataplane import names
from netpolicy.dataplane.listing import Listing
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.routing import SPAN, describe_rule
from netpolicy.dataplane.state import MAIN_TABLE, PROTOCOL, Route, RoutingRule

EXACT = 0xFFFFFFFF

# (mark bits, name): who is known to use them. Only for the message; the finding comes from the rules seen.
KNOWN_OWNERS = (
    (0x00FF0000, "pbr, keen-pbr, podkop or Tailscale"),
    (0x00003F00, "mwan3 or mwan4"),
    (0x08000000, "dae"),
    (0x000000FF, "passwall2, homeproxy, luci-app-xray or v2rayA"),
)


@dataclass(frozen=True, slots=True)
class Conflict:
    """What collides and what to do about it."""

    message: str
    hint: str


def find(
    policy: Policy, routes: Iterable[Route], rules: Iterable[RoutingRule], table: Listing | None
) -> list[Conflict]:
    """Everything that stops us from enforcing. Empty on a box that is ours to use."""
    foreign_rules = [rule for rule in rules if rule.protocol != PROTOCOL]
    found = _marks(policy, foreign_rules) + _priorities(policy, foreign_rules)
    taken = sorted({
        route.table for route in routes
        if route.protocol != PROTOCOL and policy.table_base <= route.table < policy.table_base + SPAN
    })  # fmt: skip
    for number in taken:
        found.append(Conflict(
            f"routing table {number} holds routes of another program",
            "set option table_base to a free range of 200 tables",
        ))  # fmt: skip
    # An empty one is nobody's work: what a `flush ruleset` in the middle of a change may leave.
    if table is not None and not table.is_ours and (table.chains or table.sets or table.foreign):
        found.append(Conflict(
            f"a table {names.FAMILY} {names.TABLE} that we did not make is loaded",
            f"find its owner, then `nft delete table {names.FAMILY} {names.TABLE}`",
        ))  # fmt: skip
    return found


def foreign_exact_marks(marks: Marks, rules: Iterable[RoutingRule]) -> tuple[int, ...]:
    """Marks that others match without a mask: adding our bits would hide their packets from them."""
    found = {rule.mark for rule in rules if rule.protocol != PROTOCOL and rule.mask == EXACT and rule.mark}
    return tuple(sorted(mark for mark in found if not mark & marks.class_mask))


def led_to_main(marks: Marks, rules: Iterable[RoutingRule], first: int) -> tuple[tuple[int, int], ...]:
    """(mark, mask) of what others send by main before our rules, the first of which has this priority, are asked.

    That is how a program keeps what its tunnel sends itself out of its tunnel (Tailscale).
    """
    return tuple(sorted({
        (rule.mark, rule.mask) for rule in rules
        if rule.protocol != PROTOCOL and rule.priority < first and rule.action == "lookup" and rule.table == MAIN_TABLE
        and rule.mark and rule.mask != EXACT and not rule.mask & marks.mask and not rule.selectors and not rule.oif
    }))  # fmt: skip


def _marks(policy: Policy, rules: list[RoutingRule]) -> list[Conflict]:
    seen: dict[tuple[int, int], RoutingRule] = {}
    for rule in rules:
        bits = rule.mask & policy.marks.mask if rule.mask != EXACT else rule.mark & policy.marks.mask
        if rule.mask and bits:
            seen.setdefault((rule.mark, rule.mask), rule)
    return [
        Conflict(
            f"{_owner(rule)} uses mark bits of ours ({rule.mask & policy.marks.mask:#x}): {describe_rule(rule)}",
            "set option fwmark_mask to bits that are free, or change the other program",
        )
        for rule in seen.values()
    ]


def _owner(rule: RoutingRule) -> str:
    bits = rule.mark if rule.mask == EXACT else rule.mask
    for known, owner in KNOWN_OWNERS:
        if bits & known and not bits & ~known & 0xFFFFFFFF:
            return owner
    return "another program"


def _priorities(policy: Policy, rules: list[RoutingRule]) -> list[Conflict]:
    first = policy.rule_priority
    taken = sorted({rule.priority for rule in rules if first <= rule.priority < first + SPAN})
    return [
        Conflict(
            f"ip rule priority {priority} belongs to another program",
            "set option rule_priority to the start of a free range of 200 priorities",
        )
        for priority in taken
    ]
