"""In which order, and by which shares, the lines of each group are to be used now.

Pure: what is known of the lines comes as an argument. Never leaves a line out of an order: one that is down is passed
over by who uses it, one that failed lately comes last, because it is better than none. Runs on MicroPython.
"""

from netpolicy.core.model import GROUP, Ruleset

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Mapping

# A line must be so much faster than the one in use, in ms and as a share, that a latency group changes over.
TOLERANCE_MS, TOLERANCE_SHARE = 10.0, 0.2

DEEPEST = 16  # groups in groups; a circle ends here

# Proxies and tunnels are not driven yet: what is sent there waits, or is blocked, as its rule says.
LATER_TYPES = ("xray", "tunnel")


class Condition:
    """What is known of one line. `latency_ms` is None where nobody measures it.

    `families`: in which it has a way out; empty where that is not known.
    """

    __slots__ = ("families", "is_down", "is_trusted", "latency_ms")

    def __init__(
        self,
        is_down: bool = False,
        is_trusted: bool = True,
        latency_ms: "float | None" = None,
        families: "tuple[int, ...]" = (),
    ) -> None:
        self.is_down = is_down
        self.is_trusted = is_trusted
        self.latency_ms = latency_ms
        self.families = families

    def leads(self, family: int) -> bool:
        """Whether packets of the family may leave by it."""
        return not self.families or family in self.families


class Use:
    """How a group is to be used for each family: its lines in order, and the shares of those that carry.

    A share is (line, weight); of a group that does not balance it is one line, and none where every line is down.
    """

    __slots__ = ("order", "shares")

    def __init__(self, order: "dict[int, tuple[str, ...]]", shares: "dict[int, tuple[tuple[str, int], ...]]") -> None:
        self.order = order
        self.shares = shares

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Use) and self.order == other.order and self.shares == other.shares

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.order.items())))


UNKNOWN = Condition()
DOWN = Condition(is_down=True)
FAMILIES = (4, 6)


def uses(ruleset: Ruleset, conditions: "Mapping[str, Condition]", before: "Mapping[str, Use]") -> "dict[str, Use]":
    """Per group how it is to be used; `before` is what was said last. O(members of all groups)."""
    found: dict[str, Use] = {}
    later = {outbound.name: DOWN for outbound in ruleset.outbounds if outbound.type in LATER_TYPES}
    if later:
        conditions = dict(conditions)
        conditions.update(later)
    for outbound in ruleset.outbounds:
        if outbound.type == GROUP:
            last = before.get(outbound.name)
            lines = _order(ruleset, outbound.name, conditions, last.order[4] if last is not None else (), 0)
            order = {family: _leading_first(lines, conditions, family) for family in FAMILIES}
            shares = {family: _shares(ruleset, outbound.name, conditions, order, family) for family in FAMILIES}
            found[outbound.name] = Use(order, shares)
    return found


def _leading_first(lines: "tuple[str, ...]", conditions: "Mapping[str, Condition]", family: int) -> "tuple[str, ...]":
    """Those without a way out in the family come last: there it ends, instead of leaking."""
    return tuple(sorted(lines, key=lambda line: not conditions.get(line, UNKNOWN).leads(family)))


def _shares(
    ruleset: Ruleset,
    name: str,
    conditions: "Mapping[str, Condition]",
    order: "dict[int, tuple[str, ...]]",
    family: int,
    depth: int = 0,
) -> "tuple[tuple[str, int], ...]":
    up = [line for line in order[family] if not conditions.get(line, UNKNOWN).is_down]
    outbound = ruleset.outbound(name)
    if outbound is None or outbound.type != GROUP or depth >= DEEPEST:
        return ((name, 1),) if name in up else ()
    if outbound.strategy != "balance":
        # The member whose line comes first of all decides; it may balance in its turn.
        for line in up:
            for member in outbound.member:
                if line in ruleset.lines_of(member):
                    return _shares(ruleset, member, conditions, order, family, depth + 1)
        return ()
    found: dict[str, int] = {}
    for member in outbound.member:
        weight = ruleset.outbound(member).weight if ruleset.outbound(member) is not None else 1
        for line, part in _shares(ruleset, member, conditions, order, family, depth + 1):
            found[line] = found.get(line, 0) + weight * part
    return _best(found, conditions, family)


def _best(found: "dict[str, int]", conditions: "Mapping[str, Condition]", family: int) -> "tuple[tuple[str, int], ...]":
    """Without those that lead nowhere in the family or failed lately, where that leaves any."""
    rows = sorted(found.items())
    for is_fine in (lambda one: one.leads(family), lambda one: one.is_trusted):
        kept = [row for row in rows if is_fine(conditions.get(row[0], UNKNOWN))]
        rows = kept or rows
    return tuple(rows)


def _order(
    ruleset: Ruleset,
    name: str,
    conditions: "Mapping[str, Condition]",
    before: "tuple[str, ...]",
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
        members = _by_latency(members, conditions, before)
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
