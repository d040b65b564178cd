"""The desired data plane as data: lines, and rules in rank order with the class each leads to.

What the renderer and the router planner read. Never knows where a rule came from, never
does I/O; built by the service from rules, network and health.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from netpolicy.core.model import Rule
from netpolicy.dataplane.marks import Marks

DIRECT_CLASS = 0


@dataclass(frozen=True, slots=True)
class Hop:
    """The way to the next router in one family: a gateway, or "" for straight on to the device."""

    family: int
    gateway: str


@dataclass(frozen=True, slots=True)
class Line:
    """An outbound as the kernel sees it: a class, a table, and what is in it.

    Its table is ours and holds the connected routes, one default per hop and an unreachable
    default behind them, so that nothing leaks when the device goes. With `foreign_table` (an
    outbound of type `table`) somebody else's table takes the place of the defaults.
    """

    name: str
    number: int  # the class, 1 to Marks.capacity
    device: str = ""
    hops: tuple[Hop, ...] = ()
    foreign_table: int = 0
    leaves_by: tuple[str, ...] = ()  # every device that its packets may leave by, of those that lead out
    sealed: bool = False  # a rule says `on_fail block`: its packets must never leave by another device


@dataclass(frozen=True, slots=True)
class SourceTranslation:
    """What leaves by this device gets an address of this device."""

    device: str
    ipv4: bool = False
    ipv6: bool = False
    ipv6_prefix: str = ""  # NPTv6: the source prefix is exchanged for this one


@dataclass(frozen=True, slots=True)
class Entry:
    """A rule that stands now, and the class that its flows get."""

    rule: Rule
    number: int
    log: bool = False
    blocks: bool = False  # it was written to block; a route whose line is down and refuses was not


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything the kernel should do for us."""

    marks: Marks = field(default_factory=lambda: Marks(0x77000000))
    lines: tuple[Line, ...] = ()
    entries: tuple[Entry, ...] = ()  # in rank order
    counted: tuple[str, ...] = ()  # rules that keep their counter though they do not stand now
    ingress: tuple[tuple[str, int], ...] = ()  # (device, class): what comes in here goes back here
    default_forwarded: int = DIRECT_CLASS
    default_own: int = DIRECT_CLASS  # the router's own traffic
    translations: tuple[SourceTranslation, ...] = ()
    ways_out: tuple[str, ...] = ()  # devices with a default route in main, whoever set it
    near: tuple[str, ...] = ()  # private subnets on devices that lead out (a modem's): every class may go there
    skip_marks: tuple[int, ...] = ()  # exact marks of others: their packets are left alone
    device_names: tuple[tuple[str, str], ...] = ()  # logical interface → device
    table_base: int = 7000
    rule_priority: int = 7000

    @property
    def classes(self) -> tuple[int, ...]:
        """Every class in use, direct and blocks included, ascending."""
        used = {DIRECT_CLASS, self.default_forwarded, self.default_own}
        used.update(line.number for line in self.lines)
        used.update(entry.number for entry in self.entries)
        used.update(number for _, number in self.ingress)
        return tuple(sorted(used))

    @property
    def forbidden(self) -> tuple[tuple[int, str], ...]:
        """(class, device) pairs that no packet may show when it leaves: another line than that of a sealed class."""
        leading_out = set(self.ways_out).union(*(line.leaves_by for line in self.lines))
        return tuple(
            (line.number, device)
            for line in self.lines
            if line.sealed
            for device in sorted(leading_out - set(line.leaves_by))
        )

    def devices(self, name: str) -> str:
        """The device behind a logical interface name; the name itself when it is one already."""
        return dict(self.device_names).get(name, name)
