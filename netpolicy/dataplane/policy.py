"""The desired data plane as data: lines, and rules in rank order with the class each leads to.

What the renderer and the router planner read. Never knows where a rule came from, never
does I/O; built by the service from rules, network and health.
"""

from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.record import Record
from netpolicy.dataplane.rows import column

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from netpolicy.core.model import Rule
    from netpolicy.dataplane.limits import Limit, Shaped

DIRECT_CLASS = 0

USUAL_MARKS = Marks(0x77000000)


class Hop(Record):
    """The way to the next router in one family: a gateway, or "" for straight on to the device."""

    __slots__ = ("family", "gateway")

    def __init__(self, family: int, gateway: str) -> None:
        self.family = family
        self.gateway = gateway

    def values(self) -> "tuple[object, ...]":
        return (self.family, self.gateway)


class Line(Record):
    """An outbound as the kernel sees it: a class, a table, and what is in it.

    Its table is ours and holds the connected routes, one default per hop and an unreachable
    default behind them, so that nothing leaks when the device goes. With `foreign_table` (an
    outbound of type `table`) somebody else's table takes the place of the defaults.
    """

    __slots__ = ("name", "number", "device", "hops", "foreign_table", "leaves_by", "sealed", "home")

    def __init__(
        self,
        name: str,
        number: int,
        device: str = "",
        hops: "tuple[Hop, ...]" = (),
        foreign_table: int = 0,
        leaves_by: "tuple[str, ...]" = (),
        sealed: bool = False,
        home: int = 0,
    ) -> None:
        self.name = name
        self.number = number  # the class, 1 to Marks.capacity
        self.device = device
        self.hops = hops
        self.foreign_table = foreign_table
        self.leaves_by = leaves_by  # every device that its packets may leave by, of those that lead out
        self.sealed = sealed  # a rule says `on_fail block`: its packets must never leave by another device
        self.home = home  # of a throttled pair: the class of the line whose table it uses; 0: it has its own

    def values(self) -> "tuple[object, ...]":
        return (
            self.name, self.number, self.device, self.hops, self.foreign_table, self.leaves_by, self.sealed, self.home,
        )  # fmt: skip

    @property
    def table(self) -> int:
        """The number of its table, counted from the base."""
        return self.home or self.number


class SourceTranslation(Record):
    """What leaves by this device gets an address of this device."""

    __slots__ = ("device", "ipv4", "ipv6", "ipv6_prefix")

    def __init__(self, device: str, ipv4: bool = False, ipv6: bool = False, ipv6_prefix: str = "") -> None:
        self.device = device
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.ipv6_prefix = ipv6_prefix  # NPTv6: the source prefix is exchanged for this one

    def values(self) -> "tuple[object, ...]":
        return (self.device, self.ipv4, self.ipv6, self.ipv6_prefix)


class Share(Record):
    """Several classes that the flows of a rule are spread over, as a number that entries name like a class.

    `parts` has per family (4, 6) the classes with their weights: each new flow goes to the next one in turn. `sticky`:
    seconds since its last new flow that a client stays with its class; 0: none does.
    """

    __slots__ = ("number", "parts", "sticky")

    def __init__(self, number: int, parts: "dict[int, tuple[tuple[int, int], ...]]", sticky: int = 0) -> None:
        self.number = number
        self.parts = parts
        self.sticky = sticky

    def values(self) -> "tuple[object, ...]":
        return (self.number, self.parts, self.sticky)

    @property
    def classes(self) -> "tuple[int, ...]":
        """Every class that a flow may get, ascending."""
        return tuple(sorted({number for rows in self.parts.values() for number, _ in rows}))


class Tunnel(Record):
    """A line that is a WireGuard device: what it sends itself, from this UDP port, does not follow these rules.

    `rules` are those that lead to the line, also while it is down; "" stands for the default. `classes` are the line's.
    """

    __slots__ = ("port", "rules", "classes")

    def __init__(self, port: int, rules: "tuple[str, ...]", classes: "tuple[int, ...]") -> None:
        self.port = port
        self.rules = rules
        self.classes = classes

    def values(self) -> "tuple[object, ...]":
        return (self.port, self.rules, self.classes)


class Entry(Record):
    """A rule that stands now, and the class that its flows get."""

    __slots__ = ("rule", "number", "log", "blocks")

    def __init__(self, rule: "Rule", number: int, log: bool = False, blocks: bool = False) -> None:
        self.rule = rule
        self.number = number
        self.log = log
        self.blocks = blocks  # it was written to block; a route whose line is down and refuses was not

    def values(self) -> "tuple[object, ...]":
        return (self.rule, self.number, self.log, self.blocks)


class Entries:
    """Entries in rank order, as columns: an object for each of ten thousand would be most of a megabyte.

    Reads like a tuple of them; who asks all of them takes the columns. `log` and `blocks` have a byte for each.
    """

    __slots__ = ("blocks", "log", "numbers", "rules")

    def __init__(self, rules: "Sequence[Rule]", numbers: "Sequence[int]", log: bytes, blocks: bytes) -> None:
        self.rules = tuple(rules)
        self.numbers = column(numbers)
        self.log = log
        self.blocks = blocks

    def __len__(self) -> int:
        return len(self.rules)

    def __getitem__(self, place: int) -> Entry:
        return Entry(self.rules[place], self.numbers[place], bool(self.log[place]), bool(self.blocks[place]))

    def __iter__(self) -> "Iterator[Entry]":
        for place in range(len(self.rules)):
            yield self[place]

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Entries) and self._columns() == other._columns())

    def __hash__(self) -> int:
        return hash(self.rules)

    def pairs(self) -> "Iterator[tuple[Rule, int]]":
        """Each rule with its class, without making entries."""
        return zip(self.rules, self.numbers)  # noqa: B905 - MicroPython's zip knows no strict

    def _columns(self) -> "tuple[object, ...]":
        return (self.rules, self.numbers, self.log, self.blocks)


def in_columns(entries: "Iterable[Entry]") -> Entries:
    """The same entries, kept in little memory."""
    every = tuple(entries)
    return Entries(
        [entry.rule for entry in every],
        [entry.number for entry in every],
        bytes([entry.log for entry in every]),
        bytes([entry.blocks for entry in every]),
    )


class Policy(Record):
    """Everything the kernel should do for us."""

    __slots__ = (
        "marks", "lines", "entries", "ranked", "ingress", "default_forwarded", "default_own", "translations",
        "ways_out", "near", "skip_marks", "device_names", "table_base", "rule_priority", "shares", "limits", "shaped",
        "tunnels", "left_alone",
    )  # fmt: skip

    def __init__(
        self,
        marks: Marks = USUAL_MARKS,
        lines: "tuple[Line, ...]" = (),
        entries: "Entries | tuple[Entry, ...]" = (),
        ranked: "tuple[str, ...]" = (),
        ingress: "tuple[tuple[str, int], ...]" = (),
        default_forwarded: int = DIRECT_CLASS,
        default_own: int = DIRECT_CLASS,
        translations: "tuple[SourceTranslation, ...]" = (),
        ways_out: "tuple[str, ...]" = (),
        near: "tuple[str, ...]" = (),
        skip_marks: "tuple[int, ...]" = (),
        device_names: "tuple[tuple[str, str], ...]" = (),
        table_base: int = 7000,
        rule_priority: int = 7000,
        shares: "tuple[Share, ...]" = (),
        limits: "tuple[Limit, ...]" = (),
        shaped: "tuple[Shaped, ...]" = (),
        tunnels: "tuple[Tunnel, ...]" = (),
        left_alone: "tuple[tuple[int, int], ...]" = (),
    ) -> None:
        self.marks = marks
        self.lines = lines
        self.entries = entries if isinstance(entries, Entries) else in_columns(entries)  # in rank order
        # The names of all rules in rank order: also those that do not stand now keep label and counter.
        self.ranked = ranked or tuple([rule.name for rule in self.entries.rules])
        self.ingress = ingress  # (device, class): what comes in here goes back here
        self.default_forwarded = default_forwarded
        self.default_own = default_own  # the router's own traffic
        self.translations = translations
        self.ways_out = ways_out  # devices with a default route in main, whoever set it
        self.near = near  # private subnets on devices that lead out (a modem's): every class may go there
        self.skip_marks = skip_marks  # exact marks of others: their packets are left alone
        self.device_names = device_names  # logical interface → device
        self.table_base = table_base
        self.rule_priority = rule_priority
        self.shares = shares  # their numbers are beyond those of classes
        self.limits = limits  # the profiles of `throttle` that rules name
        self.shaped = shaped  # where a queue holds a limit; where none does, what is too much is dropped
        self.tunnels = tunnels
        self.left_alone = left_alone  # (mark, mask): what the router itself sends with it goes where others say

    def values(self) -> "tuple[object, ...]":
        return (
            self.marks, self.lines, self.entries, self.ranked, self.ingress, self.default_forwarded,
            self.default_own, self.translations, self.ways_out, self.near, self.skip_marks, self.device_names,
            self.table_base, self.rule_priority, self.shares, self.limits, self.shaped,
            self.tunnels, self.left_alone,
        )  # fmt: skip

    @property
    def classes(self) -> "tuple[int, ...]":
        """Every class in use, direct and blocks included, ascending."""
        used = {DIRECT_CLASS, self.default_forwarded, self.default_own}
        used.update([line.number for line in self.lines])
        used.update(self.entries.numbers)
        for limit in self.limits:
            used.update(limit.numbers)
        used.update([number for _, number in self.ingress])
        for share in self.shares:
            used.discard(share.number)
            used.update(share.classes)
        return tuple(sorted(used))

    @property
    def forbidden(self) -> "tuple[tuple[int, str], ...]":
        """(class, device) pairs that no packet may show when it leaves: another line than that of a sealed class."""
        leading_out = set(self.ways_out)
        for line in self.lines:
            leading_out.update(line.leaves_by)
        return tuple([
            (line.number, device)
            for line in self.lines
            if line.sealed
            for device in sorted(leading_out - set(line.leaves_by))
        ])  # fmt: skip

    @property
    def closes(self) -> bool:
        """Whether something is refused, or must not leave by another line than its own."""
        refused = (self.marks.drop, self.marks.reject)
        return any([line.sealed for line in self.lines]) or any([number in refused for number in self.classes])

    def devices(self, name: str) -> str:
        """The device behind a logical interface name; the name itself when it is one already."""
        return dict(self.device_names).get(name, name)
