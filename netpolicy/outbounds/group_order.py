"""In which order, and by which shares, the lines of each group are to be used now.

Pure: what is known of the lines comes as an argument. Never leaves a line out of an order: one that is down is passed
over by who uses it, one that failed lately comes last, because it is better than none. Runs on MicroPython.
"""

from netpolicy.core.model import GROUP, Ruleset

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
UNMEASURED = float("inf")

# Shares are exact up to so many parts, and beyond to half of one: each part is an element of a map in the kernel.
MOST_PARTS = 256


def uses(ruleset: Ruleset, conditions: "Mapping[str, Condition]", before: "Mapping[str, Use]") -> "dict[str, Use]":
    """Per group how it is to be used; `before` is what was said last. O(members of all groups)."""
    found: dict[str, Use] = {}
    later = {outbound.name: DOWN for outbound in ruleset.outbounds if outbound.type in LATER_TYPES}
    if later:
        conditions = dict(conditions)
        conditions.update(later)
    for outbound in ruleset.outbounds:
        if outbound.type == GROUP:
            lines = _order(ruleset, outbound.name, conditions, before, 0)
            order = {family: _leading_first(lines, conditions, family) for family in FAMILIES}
            shares = {family: _shares(ruleset, outbound.name, conditions, order, family) for family in FAMILIES}
            found[outbound.name] = Use(order, shares)
    return found


def _leading_first(lines: "tuple[str, ...]", conditions: "Mapping[str, Condition]", family: int) -> "tuple[str, ...]":
    """Those without a way out in the family come last: there it ends, instead of leaking."""
    return _first(lines, lambda line: conditions.get(line, UNKNOWN).leads(family))


def _first(lines: "tuple[str, ...]", is_first: "Callable[[str], bool]") -> "tuple[str, ...]":
    """Those first, each half in its order: MicroPython's sort is not stable."""
    return tuple([line for line in lines if is_first(line)] + [line for line in lines if not is_first(line)])


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
    parts = []
    for member in outbound.member:
        weight = ruleset.outbound(member).weight if ruleset.outbound(member) is not None else 1
        part = _shares(ruleset, member, conditions, order, family, depth + 1)
        if part:
            parts.append((weight, part))
    return _best(_mixed(parts), conditions, family)


def _mixed(members: "list[tuple[int, tuple[tuple[str, int], ...]]]") -> "dict[str, int]":
    """The shares of lines where each member has its weight, however many lines it has: in small whole numbers."""
    common = 1
    for _, part in members:
        whole = sum([share for _, share in part])
        common = common // _divisor(common, whole) * whole
    found: dict[str, int] = {}
    for weight, part in members:
        each = weight * (common // sum([share for _, share in part]))
        for line, share in part:
            found[line] = found.get(line, 0) + each * share
    found = _reduced(found)
    total = sum(found.values())
    if total > MOST_PARTS:
        found = {line: max((share * MOST_PARTS + total // 2) // total, 1) for line, share in found.items()}
    return _reduced(found)


def _reduced(shares: "dict[str, int]") -> "dict[str, int]":
    divisor = 0
    for share in shares.values():
        divisor = _divisor(divisor, share)
    return {line: share // divisor for line, share in shares.items()}


def _divisor(one: int, other: int) -> int:
    """The greatest that both have; MicroPython's math has no gcd."""
    while other:
        one, other = other, one % other
    return one


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
    before: "Mapping[str, Use]",
    depth: int,
) -> "tuple[str, ...]":
    group = ruleset.outbound(name)
    if group is None or group.type != GROUP:
        return (name,)
    if depth >= DEEPEST:
        return ()
    found = [(member, _order(ruleset, member, conditions, before, depth + 1)) for member in group.member]
    members = [_Member(lines, _carrying(ruleset, name, lines, conditions, depth + 1), conditions)
               for name, lines in found if lines]  # fmt: skip
    if group.strategy == "latency":
        # A group in a group is used as it is used alone: what each did last is its own.
        last = before.get(name)
        members = _by_latency(members, last.order[4] if last is not None else ())
    lines = _once([line for member in members for line in member.lines])
    return _first(lines, lambda line: conditions.get(line, UNKNOWN).is_trusted)


class _Member:
    """One member of a group: its lines in order, the one that it is known by, and how far away it is."""

    __slots__ = ("latency_ms", "lines", "used")

    def __init__(self, lines: "tuple[str, ...]", carrying: "list[str]", conditions: "Mapping[str, Condition]") -> None:
        self.lines = lines
        self.used = carrying[0] if carrying else ""
        measured = [conditions.get(line, UNKNOWN).latency_ms for line in carrying]
        # Of a balance a connection may get any line: it is as slow as the slowest. What nobody measures comes last.
        self.latency_ms = max([one for one in measured if one is not None] or [UNMEASURED])


def _by_latency(members: "list[_Member]", before: "tuple[str, ...]") -> "list[_Member]":
    """The fastest first; the one in use stays in front until another is clearly faster.

    Those that nobody measures come behind, as they are written: one of them never stays in front of one that is
    measured, whichever was used.
    """
    ranked = [members[place] for _, place in sorted([(one.latency_ms, place) for place, one in enumerate(members)])]
    used = next((member for line in before for member in members if member.used == line), None)
    if used is None or used is ranked[0] or used.latency_ms == UNMEASURED:
        return ranked
    if used.latency_ms - ranked[0].latency_ms > max(TOLERANCE_MS, used.latency_ms * TOLERANCE_SHARE):
        return ranked
    return [used] + [member for member in ranked if member is not used]


def _carrying(
    ruleset: Ruleset, name: str, lines: "tuple[str, ...]", conditions: "Mapping[str, Condition]", depth: int
) -> "list[str]":
    """Those lines of a member that new connections would go by: of a balance all that are well, else the first."""
    well = [line for line in lines if _is_well(conditions.get(line, UNKNOWN))]
    group = ruleset.outbound(name)
    if group is None or group.type != GROUP or not well or depth >= DEEPEST:
        return well[:1]
    found = []
    for member in group.member:
        below = ruleset.lines_of(member)
        if group.strategy == "balance" or well[0] in below:
            part = tuple([line for line in well if line in below])
            found += _carrying(ruleset, member, part, conditions, depth + 1)
            if group.strategy != "balance":
                break
    return list(_once(found))


def _is_well(one: Condition) -> bool:
    return not one.is_down and one.is_trusted


def _once(lines: "list[str]") -> "tuple[str, ...]":
    """Each once, where it comes first."""
    found: list[str] = []
    for line in lines:
        if line not in found:
            found.append(line)
    return tuple(found)
