"""The doctor about other programs: who uses our marks, priorities, tables or hooks, or is known to.

What is really in the kernel weighs more than what is known of a program. Never changes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from netpolicy.dataplane import conflicts, names
from netpolicy.dataplane.listing import Listing, UnreadableListing, parse_ours
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.nft import TERSE_OF_ALL
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.routing import SPAN
from netpolicy.dataplane.state import Route, RoutingRule
from netpolicy.service.doctor_finding import ERROR, INFO, WARNING, Finding, fine, found
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_marks import Hooked, hooked, objects, writers
from netpolicy.service.doctor_programs import PROGRAMS, Program
from netpolicy.service.doctor_system import System

OWN = f"{names.FAMILY} {names.TABLE}"
MOST_SHOWN = 5

# Where to move: bits and numbers that hardly anybody has.
FREE = {
    "fwmark_mask": (0x77000000, 0xF0000000, 0x70000000),
    "rule_priority": (7000, 8000, 12000, 20000),
    "table_base": (7000, 8000, 12000, 20000),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen."""

    policy: Policy
    rules: tuple[RoutingRule, ...]
    routes: tuple[Route, ...]
    table: Listing | None
    programs: tuple[Program, ...]  # those that are here
    chains: tuple[Hooked, ...]
    overwriters: tuple[str, ...]
    unlisted: str = ""  # why chains and overwriters are not known


def examine(system: System, given: Given) -> list[Finding]:
    """Everything of this area."""
    facts = gather(system, given)
    checks = [*in_kernel(facts), *by_name(facts), *beside(facts), exact(facts)]
    if facts.unlisted:
        return [*checks, found("ND505", INFO, f"nobody knows: the ruleset cannot be listed, {facts.unlisted}")]
    return [*checks, *hooks(facts), *marks(facts)]


def gather(system: System, given: Given) -> Facts:
    """Looks once at everything. Raises NetlinkError."""
    link = open_netlink("builtin")
    try:
        rules, routes = link.rules(), link.routes()
    finally:
        link.close()
    ran = system.run("nft", "-t", "-j", "list", "ruleset")
    listing = objects(ran.out)
    chains = tuple(hooked(listing))
    here = present(system.exists, {one.table for one in chains})
    own = _own_table(system.run("nft", *TERSE_OF_ALL).out)
    overwriters = tuple(writers(listing, given.policy.marks.mask, OWN))
    return Facts(given.policy, rules, routes, own, here, chains, overwriters, ran.why if ran.status else "")


def present(exists: Callable[[str], bool], tables: set[str]) -> tuple[Program, ...]:
    """The known programs that are on this box, by their files or their nft tables."""
    return tuple(one for one in PROGRAMS if any(map(exists, one.signs)) or tables & set(one.nft))


def in_kernel(facts: Facts) -> list[Finding]:
    """ND501: what stops us from enforcing."""
    seen = conflicts.find(facts.policy, facts.routes, facts.rules, facts.table)
    shown = [found("ND501", ERROR, f"{one.message}: {one.hint}", "ip rule; ip -6 rule") for one in seen[:MOST_SHOWN]]
    return shown or [fine("ND501")]


def by_name(facts: Facts) -> list[Finding]:
    """ND502: what will stop us once the program does what it is known to do."""
    clashes = []
    for one in facts.programs:
        what, option = overlap(one, facts.policy)
        if what:
            clashes.append(found("ND502", WARNING, f"{one.name} is known to use {what}", move(option, facts)))
    return clashes or [fine("ND502")]


def move(option: str, facts: Facts) -> str:
    """The command that gives us numbers that no program here is known to use; "" where we know of none."""
    for value in FREE[option]:
        policy = Policy(
            Marks(value) if option == "fwmark_mask" else Policy().marks,
            rule_priority=value if option == "rule_priority" else Policy().rule_priority,
            table_base=value if option == "table_base" else Policy().table_base,
        )
        if not any(overlap(one, policy)[1] == option for one in facts.programs):
            told = f"{value:#010x}" if option == "fwmark_mask" else str(value)
            return f"uci set netpolicy.main.{option}={told}; uci commit netpolicy; reload_config"
    return ""


def overlap(program: Program, policy: Policy) -> tuple[str, str]:
    """What of ours the program takes and the option that moves it; two "" where nothing meets."""
    mask = policy.marks.mask
    for bits in program.masks:
        if bits & mask:
            return f"the mark bits {bits & mask:#010x}", "fwmark_mask"
    for ranges, base, what, option in (
        (program.priorities, policy.rule_priority, "ip rule priorities", "rule_priority"),
        (program.tables, policy.table_base, "routing tables", "table_base"),
    ):
        for first, last in ranges:
            if first < base + SPAN and base <= last:
                return f"the {what} {first} to {last}", option
    return "", ""


def beside(facts: Facts) -> list[Finding]:
    """ND503."""
    return [found("ND503", INFO, f"{one.name}: {one.note}") for one in facts.programs] or [fine("ND503")]


def hooks(facts: Facts) -> list[Finding]:
    """ND504: of equals, who was loaded first runs first, and a reload of one turns it round."""
    ours = {(one.hook, one.priority) for one in facts.chains if one.table == OWN}
    met = [one for one in facts.chains if one.table != OWN and (one.hook, one.priority) in ours]
    shown = [found("ND504", INFO, f"{one.table} chain {one.chain}: {one.hook}, priority {one.priority}")
             for one in met[:MOST_SHOWN]]  # fmt: skip
    return shown or [fine("ND504")]


def marks(facts: Facts) -> list[Finding]:
    """ND505."""
    shown = [found("ND505", WARNING, where, f"nft list table {' '.join(where.split()[:2])}")
             for where in facts.overwriters[:MOST_SHOWN]]  # fmt: skip
    return shown or [fine("ND505")]


def exact(facts: Facts) -> Finding:
    """ND506."""
    seen = conflicts.foreign_exact_marks(facts.policy.marks, facts.rules)
    return found("ND506", INFO, ", ".join(f"{mark:#x}" for mark in seen)) if seen else fine("ND506")


def _own_table(text: str) -> Listing | None:
    try:
        return parse_ours(text)
    except UnreadableListing:
        return None
