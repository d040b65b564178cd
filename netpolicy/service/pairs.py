"""Pairs of an outbound and a throttle profile: which ones rules need, and the word for each.

A pair has a class number of its own, so that the mark of a connection tells its limit too. Never knows a
number: those are given in classes.py, under these words. Runs on MicroPython.
"""

from netpolicy.core.model import DIRECT, ROUTES, THROTTLE, Ruleset
from netpolicy.service.standing import LINE_TYPES, type_of

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.core.model import Action

BETWEEN = "/"  # in no name of an outbound or a profile


def pair(line: str, profile: str) -> str:
    """The word for the pair; that of the outbound alone where there is no profile."""
    return line + BETWEEN + profile if profile else line


def line_of(name: str) -> str:
    """The outbound of a pair, or of an outbound itself."""
    return name.partition(BETWEEN)[0]


def profile_of(name: str) -> str:
    """The profile of a pair, "" for an outbound without one."""
    return name.partition(BETWEEN)[2]


def pairs(ruleset: Ruleset) -> "tuple[str, ...]":
    """Those that rules need, in the order in which they name them. O(rules).

    Also of rules that do not stand now: connections keep what their class means while a schedule is closed.
    """
    profiles = {one.name for one in ruleset.throttles}
    found: dict[str, bool] = {}
    order: list[str] = []  # a dict keeps it on CPython only
    seen: set[tuple[object, ...]] = set()
    for rule in ruleset.rules:
        action = rule.action
        if not rule.enabled or action.throttle not in profiles:
            continue
        key = (action.kind, action.targets, action.on_fail, action.throttle)
        if key not in seen:
            seen.add(key)
            for name in _lines(ruleset, action):
                word = pair(name, action.throttle)
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
    return found + [DIRECT] if action.on_fail == DIRECT else found  # noqa: RUF005 - not in MicroPython
