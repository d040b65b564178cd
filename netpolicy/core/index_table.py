"""The tables of the index: what hangs where, for every kind of key.

Filled once from the groups, in slices; never changed afterwards. Data: the fields of the groups.
"""

from netpolicy.core.address import V4, V6
from netpolicy.core.evaluate import UNSTEERED
from netpolicy.core.field import Addresses, Comparator, Domains, Field, Names, Numbers, Words
from netpolicy.core.index_interval import measured_steps, number_steps
from netpolicy.core.index_key import MAX_WRITTEN_OUT
from netpolicy.core.index_literal import grams
from netpolicy.core.index_name import name_steps, wanted_of
from netpolicy.core.index_order import SLICE

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from netpolicy.core.index_column import Cell, Column, Groups
    from netpolicy.core.index_name import Row

    Intervals = tuple[list[int], list[Cell | None]]
    Measured = tuple[list[float], list[Cell | None]]

# A list of more names than this stays the set that the rule has: a table would hold them twice.
MAX_ROWS = 20_000

NOWHERE: "Intervals" = ([], [None])


class Tables:
    """Columns by key. What nobody asks for is empty, and a decision does not look there."""

    __slots__ = (
        "dest", "dest_ports", "exact", "grams", "intervals", "large", "macs", "measured", "names", "rest", "src",
        "tops",
    )  # fmt: skip

    def __init__(self) -> None:
        self.rest: Column = ()  # rules that no table holds
        self.dest: dict[int, Intervals] = {}  # by family
        self.src: dict[int, Intervals] = {}
        self.names: dict[str, Row] = {}
        self.tops = False  # whether there are names of one label
        self.large: list[tuple[Callable[[object], bool], Column]] = []  # long lists of domains
        self.grams: list[tuple[str, dict[object, Column]]] = []  # (fact, by a part of its text)
        self.dest_ports: dict[object, Column] = {}
        self.macs: dict[object, Column] = {}
        self.exact: list[tuple[str, dict[object, Column]]] = []  # (fact, by its value)
        self.intervals: list[tuple[str, Intervals]] = []
        self.measured: list[tuple[str, Measured]] = []


class Filling:
    """Sorts groups by the table that they belong to, then makes the tables."""

    __slots__ = (
        "_bounds", "_crowds", "_exact", "_grams", "_groups", "_large", "_ranges", "_wide", "_words",
    )  # fmt: skip

    def __init__(self, groups: "Groups") -> None:
        self._groups = groups
        self._ranges: dict[tuple[str, int], list[tuple[int, int, int]]] = {}
        self._wide: dict[str, list[tuple[int, int, int]]] = {}
        self._exact: dict[str, dict[object, list[int]]] = {}
        self._bounds: dict[str, list[tuple[str, float, int]]] = {}
        self._words: list[tuple[int, list[tuple[int, str]]]] = []
        self._large: list[tuple[Callable[[object], bool], int]] = []
        self._grams: dict[str, dict[object, list[int]]] = {}
        self._crowds: dict[str, int] = {}

    def steps(self) -> "Generator[None, None, Tables]":
        """The tables, in slices."""
        tables = Tables()
        done = 0
        for number, field in enumerate(self._groups.fields):
            if done >= SLICE // 4:
                done = 0
                yield
            done += 1 + self._take(number, field) // 8
        yield
        yield from self._address_steps(tables)
        yield from self._name_steps(tables)
        yield from self._number_steps(tables)
        return tables

    def _take(self, group: int, field: Field) -> int:
        """Note where the group hangs; the number of its keys."""
        if isinstance(field, Addresses):
            return self._take_addresses(group, field)
        if isinstance(field, Numbers):
            return self._take_numbers(group, field)
        if isinstance(field, (Domains, Names)):
            return self._take_names(group, field)
        if isinstance(field, Words):
            for word in field.wanted:
                if word not in field.unwanted:
                    _hang(self._exact, field.name, word, group)
        elif isinstance(field, Comparator):
            self._bounds.setdefault(field.name, []).append((field.operator, field.bound, group))
        return 1

    def _take_addresses(self, group: int, field: Addresses) -> int:
        count = 0
        for family in (V4, V6):
            ranges = self._ranges.setdefault((field.name, family), [])
            ranges += [(low, high, group) for low, high in field.ranges[family]]
            count += len(field.ranges[family])
        return count

    def _take_numbers(self, group: int, field: Numbers) -> int:
        count = sum([high - low + 1 for low, high in field.ranges])
        if count > MAX_WRITTEN_OUT:
            self._wide.setdefault(field.name, []).extend([(low, high, group) for low, high in field.ranges])
            return len(field.ranges)
        for low, high in field.ranges:
            for number in range(low, high + 1):
                _hang(self._exact, field.name, number, group)
        return count

    def _take_names(self, group: int, field: Field) -> int:
        wanted = wanted_of(field)
        if wanted is None:
            return 0
        if len(wanted.words) > MAX_ROWS:
            self._large.append((field.matches, group))
            return 1
        self._words.append((group, wanted.words))
        for literal in wanted.literals:
            _hang(self._grams, field.name, self._rarest(literal), group)
        return len(wanted.words) + len(wanted.literals)

    def _rarest(self, literal: str) -> str:
        """The part of the literal under which the fewest hang so far."""
        best = ""
        least = -1
        for gram in grams(literal):
            crowd = self._crowds.get(gram, 0)
            if least < 0 or crowd < least:
                best, least = gram, crowd
        self._crowds[best] = least + 1
        return best

    def _address_steps(self, tables: Tables) -> "Generator[None, None, None]":
        for family in (V4, V6):
            exempt = tuple([(low, high) for low, high, _ in UNSTEERED[family]])
            ranges = self._ranges.pop(("dest_addr", family), [])
            tables.dest[family] = yield from number_steps(ranges, self._groups, exempt)
            ranges = self._ranges.pop(("src_addr", family), [])
            tables.src[family] = (yield from number_steps(ranges, self._groups)) if ranges else NOWHERE

    def _name_steps(self, tables: Tables) -> "Generator[None, None, None]":
        tables.names = yield from name_steps(self._words, self._groups)
        tables.tops = any("." not in word for _, words in self._words for _, word in words)
        tables.large = [(matches, self._groups.column((group,))) for matches, group in self._large]
        for name in sorted(self._grams):
            tables.grams.append((name, (yield from self._column_steps(self._grams[name]))))

    def _number_steps(self, tables: Tables) -> "Generator[None, None, None]":
        for name in sorted(self._exact):
            columns = yield from self._column_steps(self._exact[name])
            if name == "dest_port":
                tables.dest_ports = columns
            elif name == "src_mac":
                tables.macs = columns
            else:
                tables.exact.append((name, columns))
        for name in sorted(self._wide):
            tables.intervals.append((name, (yield from number_steps(self._wide[name], self._groups))))
        for name in sorted(self._bounds):
            tables.measured.append((name, (yield from measured_steps(self._bounds[name], self._groups))))

    def _column_steps(self, hung: "dict[object, list[int]]") -> "Generator[None, None, dict[object, Column]]":
        columns = {}
        for number, key in enumerate(hung):
            if number % SLICE == 0:
                yield
            columns[key] = self._groups.column(hung[key])
        return columns


def _hang(tables: "dict[str, dict[object, list[int]]]", name: str, key: object, group: int) -> None:
    table = tables.get(name)
    if table is None:
        table = tables[name] = {}
    if key not in table:
        table[key] = [group]
    elif table[key][-1] != group:  # two literals of a group may share their rarest part
        table[key].append(group)
