"""The desired `table inet netpolicy` from a Policy: its chains (chains.py), and the sets that they ask.

Makes nothing again that did not change since the last one; never talks to the kernel and
never orders transactions (staging.py does). Layout and hooks: docs/dataplane.md.
"""

from netpolicy.core.address import V4
from netpolicy.dataplane import chains, labels, learned_sets, limits, names, own_tunnels, shares
from netpolicy.dataplane.arrange import TooManyBoxes
from netpolicy.dataplane.chains import HITS, VERDICTS, Chain
from netpolicy.dataplane.groups import Groups
from netpolicy.dataplane.kept import Kept
from netpolicy.dataplane.policy import DIRECT_CLASS, Policy
from netpolicy.dataplane.rows import LabelRows, column
from netpolicy.dataplane.sets import KernelSet, RangeElements
from netpolicy.dataplane.shape import LearnedSet, shapes

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from netpolicy.dataplane.groups import Group
    from netpolicy.dataplane.shape import LargeSet, Shape

SLOTS = ("a", "b")

LEAST_ROOM = 256


class Table:
    """What the table holds: chains and sets, in the order in which a text has to declare them.

    `sets` are those that chains ask by name; the elements of `restore`, `hits` and `verdicts` come and
    go one by one, the others are named after their content and never change.
    """

    __slots__ = ("_labelled", "chains", "order", "sets")

    def __init__(
        self,
        sets: "tuple[KernelSet, ...]",
        chains: "list[tuple[str, Chain]]",
        labelled: LabelRows,
    ) -> None:
        self.sets = sets
        self.chains = dict(chains)
        # The order of the text: a dict keeps it on CPython only.
        self.order = tuple([name for name, _ in chains])
        self._labelled = labelled

    @property
    def ranked(self) -> "tuple[str, ...]":
        """The names of all rules in rank order."""
        return self._labelled.words

    @property
    def labels(self) -> "dict[str, int]":
        """By the name of the rule. Made when it is asked for: kept it would take ten times as much."""
        return dict(zip(self._labelled.words, self._labelled.labels))  # noqa: B905 - MicroPython has no strict


# Ten thousand rules with ten boxes each. Each costs the kernel some hundred bytes, and us while they are arranged.
MOST_BOXES_OF_ALL = 100000

# Characters. A longer one has hundreds of ports, each of which is an element too.
LONG_GUARD = 1024


class Builder:
    """Makes tables one after the other; what did not change since the last one is not made again."""

    __slots__ = ("_asked", "_groups", "_hits", "_large", "_made", "_shapes", "_standing")

    def __init__(self) -> None:
        self._groups = Groups()
        self._large: dict[str, KernelSet] = {}
        self._made: tuple[Policy, Table] | None = None
        self._hits: KernelSet | None = None
        self._shapes = Kept(Policy())
        self._standing: Sequence[int] | None = None  # the labels of those rules, and the groups that came of it
        self._asked: list[Group] = []

    def build(
        self, policy: "Policy", labelled: "Mapping[str, int] | None" = None, slot: str = "a", room: int = 0
    ) -> Table:
        """The table that enforces the policy, with these labels by rule (new ones without).

        `slot` and `room` say which version of the label sets the rules ask, and how many labels fit in.

        O(n log n) in rules that changed their match, O(n) in all rules. Raises TooManyBoxes.
        """
        given = labels.assign(policy.ranked) if labelled is None else labelled
        hits = self._hits_of(policy, given)
        standing = column([given[rule.name] for rule in policy.entries.rules])
        groups = self._groups_of(policy, standing)
        made_of = chains.of(policy, groups, slot)
        sets = self._sets(policy, groups, standing, hits, slot, room or room_for(len(policy.ranked)))
        made = Table(sets, made_of, hits)
        self._made = (policy, made)
        return made

    def made_from(self, policy: "Policy", table: Table) -> bool:
        """Whether the table was the last one made, from an equal policy."""
        return self._made is not None and self._made[1] is table and self._made[0] == policy

    def _sets(
        self,
        policy: "Policy",
        groups: "list[Group]",
        standing: "Sequence[int]",
        hits: LabelRows,
        slot: str,
        size: int,
    ) -> "tuple[KernelSet, ...]":
        marks = policy.marks
        restored = sorted([(marks.bits(number) | marks.done, chains.chain_of(number)) for number in policy.classes])
        restore = tuple([(((bits, bits),), to, "") for bits, to in restored])
        result = [KernelSet("restore", ("mark",), restore, "verdict")]
        if policy.classes == (DIRECT_CLASS,):
            return tuple(result)
        result.append(chains.alive())
        result.extend(limits.sets(policy))
        for share in policy.shares:
            result.extend(shares.sets(share))
        result.append(self._hit_set(hits, slot, size))
        result.append(_verdicts(policy, standing, slot, size))
        large = {one.name: one for group in groups for one in group.large}
        self._large = {name: self._large.get(name) or _large_set(large[name]) for name in sorted(large)}
        result.extend([self._large[name] for name in sorted(large)])
        for group in groups:
            result.extend(group.maps)
        return tuple(result)

    def _hits_of(self, policy: "Policy", given: "Mapping[str, int]") -> LabelRows:
        """The label of every rule: what counts. The rows of last time where they say the same."""
        made = LabelRows(column([given[rule] for rule in policy.ranked]), policy.ranked, has_values=False)
        known = self._hits.elements if self._hits is not None else None
        return known if isinstance(known, LabelRows) and made.replaced(known) == [] else made

    def _hit_set(self, hits: LabelRows, slot: str, size: int) -> KernelSet:
        name = f"{HITS}_{slot}"
        last = self._hits
        if last is not None and last.elements is hits and last.name == name and last.size == size:
            return last
        # With a size: of a hash that grows while it is read, entries are told twice or not at all (measured).
        made = KernelSet(name, ("classid",), hits, counter=True, size=size)
        self._hits = made
        return made

    def _groups_of(self, policy: "Policy", standing: "Sequence[int]") -> "list[Group]":
        """Those of last time where all rules have the shapes and labels that they had. Raises TooManyBoxes."""
        if standing != self._standing or not self._shapes.serves(policy):
            self._standing = None  # it may be refused, and then what came of it is nothing
            self._asked = self._groups.of(self._labelled(policy, standing))
            self._standing = standing
        return self._asked

    def _labelled(self, policy: "Policy", standing: "Sequence[int]") -> "Iterator[tuple[tuple[Shape, ...], int]]":
        """The shapes of all rules that stand, one rule after the other: a row of them would be a megabyte.

        Raises TooManyBoxes.
        """
        before, known = self._shapes, self._shapes.known_to(policy)
        kept = Kept(policy)
        count = 0
        guards: set[str] = set()
        for place, rule in enumerate(policy.entries.rules):
            there = known.get(rule)
            made = shapes(policy.entries[place], policy) if there is None else before.shapes(there)
            kept.add(made)
            for shape in made:
                count += shape.count
                if len(shape.guard) > LONG_GUARD and shape.guard not in guards:
                    guards.add(shape.guard)  # it stands once, however many rules share it
                    count += shape.guard.count(",")
            if count > MOST_BOXES_OF_ALL:
                raise TooManyBoxes(
                    f"the rules need more than {MOST_BOXES_OF_ALL} elements of maps, at rule {rule.name!r}: "
                    "each address with each port is one; put addresses into a list, or ports into ranges"
                )
            yield made, standing[place]
        kept.close()
        self._shapes = kept


def build(policy: "Policy") -> Table:
    """The table that enforces the policy, for once. O(n log n)."""
    return Builder().build(policy)


def _verdicts(policy: "Policy", standing: "Sequence[int]", slot: str, size: int) -> KernelSet:
    to_class = {number: names.verdict_chain(number) for number in set(policy.entries.numbers)}
    leads_to = [to_class[number] for number in policy.entries.numbers]
    led = own_tunnels.ports(policy)
    if led:
        for place, rule in enumerate(policy.entries.rules):
            if rule.name in led:
                leads_to[place] = names.tunnel_chain(policy.entries.numbers[place], led[rule.name])
    for place, is_logged in enumerate(policy.entries.log):
        if is_logged:
            leads_to[place] = names.rule_chain(policy.entries.rules[place].name)
    elements = LabelRows(standing, tuple(leads_to), has_values=True)
    return KernelSet(f"{VERDICTS}_{slot}", ("classid",), elements, "verdict", size=size)


def room_for(count: int) -> int:
    """How many labels the sets of so many rules take: a power of two with room for some more."""
    size = LEAST_ROOM
    while size < count + count // 2:
        size *= 2
    return size


def _large_set(large: "LargeSet | LearnedSet") -> KernelSet:
    """Of one field: a tree of its ends, a fifth of the memory of a concatenation (measured), and never changed.

    One that is learned is a hash, whose elements come and go by themselves.
    """
    address = "ipv4_addr" if large.family == V4 else "ipv6_addr"
    if isinstance(large, LearnedSet):
        most, seconds = learned_sets.MOST_ADDRESSES, learned_sets.LONGEST_SECONDS
        return KernelSet(large.name, (address,), (), size=most, timeout=seconds)
    return KernelSet(large.name, (address,), RangeElements(large.ranges), interval=True)
