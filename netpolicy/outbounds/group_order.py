"""In which order the lines of each group are to be used now.

Pure: what is known of the lines comes as an argument. Never leaves a line out: one that is down is passed over by who
uses the order, one that failed lately comes last, because it is better than none. Runs on MicroPython.
"""

from netpolicy.core.model import GROUP, Ruleset

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Mapping

# A line must be so much faster than the one in use, in ms and as a share, that a latency group changes over.
TOLERANCE_MS, TOLERANCE_SHARE = 10.0, 0.2

DEEPEST = 16  # groups in groups; a circle ends here


class Condition:
    """What is known of one line. `latency_ms` is None where nobody measures it."""

    __slots__ = ("is_down", "is_trusted", "latency_ms")

    def __init__(self, is_down: bool = False, is_trusted: bool = True, latency_ms: "float | None" = None) -> None:
        self.is_down = is_down
        self.is_trusted = is_trusted
        self.latency_ms = latency_ms


UNKNOWN = Condition()


def orders(
    ruleset: Ruleset, conditions: "Mapping[str, Condition]", before: "Mapping[str, tuple[str, ...]]"
) -> "dict[str, tuple[str, ...]]":
    """Per group its lines, the one to be used first; `before` is what was said last. O(members of all groups)."""
    found: dict[str, tuple[str, ...]] = {}
    for outbound in ruleset.outbounds:
        if outbound.type == GROUP:
            found[outbound.name] = _order(ruleset, outbound.name, conditions, before, 0)
    return found


def _order(
    ruleset: Ruleset,
    name: str,
    conditions: "Mapping[str, Condition]",
    before: "Mapping[str, tuple[str, ...]]",
    depth: int,
) -> "tuple[str, ...]":
    group = ruleset.outbound(name)
    if group is None or group.type != GROUP:
        return (name,)
    if depth >= DEEPEST:
        return ()
    members = [_order(ruleset, member, conditions, before, depth + 1) for member in group.member]
    members = [lines for lines in members if lines]
    if group.strategy == "latency":
        members = _by_latency(members, conditions, before.get(name, ()))
    lines = tuple(dict.fromkeys([line for lines in members for line in lines]))
    # Stable: within those that are trusted, and those that are not, the order stays.
    return tuple(sorted(lines, key=lambda line: not conditions.get(line, UNKNOWN).is_trusted))


def _by_latency(
    members: "list[tuple[str, ...]]", conditions: "Mapping[str, Condition]", before: "tuple[str, ...]"
) -> "list[tuple[str, ...]]":
    """The fastest first; the one in use stays in front until another is clearly faster."""
    ranked = sorted(members, key=lambda lines: _latency(lines, conditions))
    used = next((lines for line in before for lines in members if _in_use(lines, conditions) == line), None)
    if used is None or used is ranked[0]:
        return ranked
    best, now = _latency(ranked[0], conditions), _latency(used, conditions)
    if now - best > max(TOLERANCE_MS, now * TOLERANCE_SHARE):
        return ranked
    return [used] + [lines for lines in ranked if lines is not used]


def _in_use(lines: "tuple[str, ...]", conditions: "Mapping[str, Condition]") -> str:
    for line in lines:
        one = conditions.get(line, UNKNOWN)
        if not one.is_down and one.is_trusted:
            return line
    return ""


def _latency(lines: "tuple[str, ...]", conditions: "Mapping[str, Condition]") -> float:
    """Of the line of the member that would be used; what nobody measures comes last."""
    line = _in_use(lines, conditions)
    found = conditions.get(line, UNKNOWN).latency_ms if line else None
    return float("inf") if found is None else found
