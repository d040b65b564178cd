"""Pairs of an outbound and a limit (a throttle profile, or one for each rule): which rules need, and the word for each.

A pair has a class number of its own, so that the mark of a connection tells its limit too. Never knows a
number: those are given by the service, under these words. Runs on MicroPython.
"""

from netpolicy.core.model import BLOCK, DIRECT, ROUTES, THROTTLE, Ruleset

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Container

    from netpolicy.core.model import Action, Rule

LINE_TYPES = ("interface", "table")  # outbounds with a class of their own

# However wide the mask: every class has its table and its three priorities among the 200 that are ours.
MOST_OUTBOUNDS = 128
RESERVED = 4  # classes of a mask that number no outbound: direct, drop, reject, bypass

BETWEEN = "/"  # in no name of an outbound, a profile or a rule
OF_RULE = ":"  # neither


def capacity(mask: int) -> int:
    """How many outbounds and pairs a mark mask can number: its highest bit says something else."""
    return min((1 << (bin(mask).count("1") - 1)) - RESERVED, MOST_OUTBOUNDS)


def needs_class(ruleset: Ruleset) -> "tuple[str, ...]":
    """The outbounds that need a class number, and the pairs of one with a throttle profile. O(rules)."""
    lines = [outbound.name for outbound in ruleset.outbounds if outbound.type in LINE_TYPES]
    return tuple(lines) + pairs(ruleset)


def type_of(ruleset: Ruleset, name: str) -> str:
    """The type of an outbound; what is not defined blocks."""
    outbound = ruleset.outbound(name)
    return outbound.type if outbound is not None else BLOCK


def pair(line: str, limit: str) -> str:
    """The word for the pair; that of the outbound alone where there is no limit."""
    return line + BETWEEN + limit if limit else line


def limit_of(rule: "Rule", per_rule: "Container[str]") -> str:
    """The limit that holds what the rule matches, "" for none; `per_rule`: profiles that each rule has for itself."""
    profile = rule.action.throttle
    return profile + OF_RULE + rule.name if profile in per_rule else profile


def profile_of(limit: str) -> str:
    """The profile of a limit."""
    return limit.partition(OF_RULE)[0]


def per_rule(ruleset: Ruleset) -> "frozenset[str]":
    """The profiles that each rule has for itself."""
    return frozenset([one.name for one in ruleset.throttles if one.per == "rule"])


def line_of(name: str) -> str:
    """The outbound of a pair, or of an outbound itself."""
    return name.partition(BETWEEN)[0]


def limit_in(name: str) -> str:
    """The limit of a pair, "" for an outbound without one."""
    return name.partition(BETWEEN)[2]


def pairs(ruleset: Ruleset) -> "tuple[str, ...]":
    """Those that rules need, in the order in which they name them. O(rules).

    Also of rules that do not stand now: connections keep what their class means while a schedule is closed.
    """
    profiles = {one.name for one in ruleset.throttles}
    own = per_rule(ruleset)
    found: dict[str, bool] = {}
    order: list[str] = []  # a dict keeps it on CPython only
    seen: set[tuple[object, ...]] = set()
    for rule in ruleset.rules:
        action = rule.action
        if not rule.enabled or action.throttle not in profiles:
            continue
        limit = limit_of(rule, own)
        key = (action.kind, action.targets, action.on_fail, limit)
        if key not in seen:
            seen.add(key)
            for name in _lines(ruleset, action):
                word = pair(name, limit)
                if word not in found:
                    found[word] = True
                    order.append(word)
    return tuple(order)


def _lines(ruleset: Ruleset, action: "Action") -> "list[str]":
    """Where the action may lead: outbounds with a class of their own, and "direct"."""
    if action.kind == THROTTLE:
        return [DIRECT]
    if action.kind not in ROUTES:
        return []
    found = []
    for target in action.targets:
        for line in ruleset.lines_of(target):
            kind = type_of(ruleset, line)
            if kind in LINE_TYPES:
                found.append(line)
            elif kind == DIRECT:
                found.append(DIRECT)
    return found + [DIRECT] if action.on_fail == DIRECT else found
