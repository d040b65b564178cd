"""The tables of the index: what hangs where, for every kind of key.

Filled once from the groups, in slices; never changed afterwards. Data: the fields of the groups.
"""

from netpolicy.core.address import V4, V6
from netpolicy.core.evaluate import UNSTEERED
from netpolicy.core.field_address import Addresses, Network
from netpolicy.core.field_kind import Comparator, Field, Numbers, Words
from netpolicy.core.field_name import Domains, Names
from netpolicy.core.index_condition import check_of
from netpolicy.core.index_interval import measured_steps, number_steps, page_steps
from netpolicy.core.index_key import MAX_WRITTEN_OUT
from netpolicy.core.index_literal import gram_size, grams
from netpolicy.core.index_name import KINDS, name_steps, one_kind_of, wanted_of
from netpolicy.core.index_order import SLICE
from netpolicy.core.list_budget import MAX_INDEXED

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from array import array
    from collections.abc import Collection, Generator, Iterator, Sequence
    from typing import TypeVar

    from netpolicy.core.index_column import Entry, Groups
    from netpolicy.core.index_condition import Check
    from netpolicy.core.index_name import Row

    Name = TypeVar("Name", str, tuple[str, int])
    Intervals = tuple[Sequence[int], list[Entry | None]]
    Measured = tuple[list[float], list[Entry | None]]

# From so many ranges on, a bisection among those of one page is worth the table of 4 bytes for each page. The bits
# of a page: there should be about as many pages as ranges.
MANY_RANGES = 100
PAGE_BITS = ((4000, 20), (40_000, 16), (0, 14))

NOWHERE: "Intervals" = ([], [None])


class Tables:
    """Lists by key. What nobody asks for is empty, and a decision does not look there."""

    __slots__ = (
        "dest", "dest_ports", "exact", "grams", "hosts", "intervals", "large", "macs", "measured", "names",
        "pages", "rest", "src", "tops",
    )  # fmt: skip

    def __init__(self) -> None:
        self.rest: Entry | None = None  # rules that no table holds
        self.dest: dict[int, Intervals] = {}  # by family
        self.pages: "tuple[array[int] | None, int]" = (None, 0)  # of the IPv4 destinations, where they are many
        self.src: dict[int, Intervals] = {}
        self.hosts: dict[object, Entry] = {}  # single source addresses
        self.names: dict[str, Row] = {}
        self.tops = False  # whether there are names of one label
        self.large: list[tuple[Check, Entry]] = []  # long lists are asked one by one: here they would stand twice
        self.grams: list[tuple[str, int, dict[object, Entry]]] = []  # (fact, size of its parts, by a part)
        self.dest_ports: dict[object, Entry] = {}
        self.macs: dict[object, Entry] = {}
        self.exact: list[tuple[str, dict[object, Entry]]] = []  # (fact, by its value)
        self.intervals: list[tuple[str, Intervals]] = []
        self.measured: list[tuple[str, Measured]] = []


class Filling:
    """Sorts groups by the table that they belong to, then makes the tables."""

    __slots__ = (
        "_bounds", "_crowds", "_exact", "_grams", "_groups", "_large", "_ranges", "_wide", "_words",
    )  # fmt: skip

    def __init__(self, groups: "Groups") -> None:
        self._groups = groups
        self._ranges: dict[tuple[str, int], _Ranges] = {}
        self._wide: dict[str, list[tuple[int, int, int]]] = {}
        self._exact: dict[str, dict[object, list[int]]] = {}
        self._bounds: dict[str, list[tuple[str, float, int]]] = {}
        self._words: list[tuple[int, Collection[str]]] = []
        self._large: list[tuple[Check, int]] = []
        self._grams: dict[tuple[str, int], dict[object, list[int]]] = {}
        self._crowds: dict[str, int] = {}

    def steps(self) -> "Generator[None, None, Tables]":
        """The tables, in slices."""
        tables = Tables()
        done = 0
        for number, field in enumerate(self._groups.fields):
            if done >= SLICE // 4:
                done = 0
                yield
            keys = self._take(number, field)
            self._groups.note_keys(number, keys)
            done += 1 + keys // 8
        yield
        yield from self._address_steps(tables)
        yield from self._name_steps(tables)
        yield from self._number_steps(tables)
        return tables

    def _take(self, group: int, field: Field) -> int:
        """Note where the group hangs; the number of its keys."""
        if isinstance(field, (Domains, Names)):
            return self._take_names(group, field)
        if isinstance(field, Network):
            return self._take_network(group, field)
        if isinstance(field, Addresses):
            return self._take_addresses(group, field)
        if isinstance(field, Numbers):
            return self._take_numbers(group, field)
        if isinstance(field, Words):
            for word in field.wanted:
                if word not in field.unwanted:
                    _hang(self._exact, field.name, word, group)
        elif isinstance(field, Comparator):
            self._bounds.setdefault(field.name, []).append((field.operator, field.bound, group))
        return 1

    def _ranges_of(self, name: str, family: int) -> "_Ranges":
        found = self._ranges.get((name, family))
        if found is None:
            found = self._ranges[name, family] = _Ranges(self._groups.fields)
        return found

    def _take_network(self, group: int, field: Network) -> int:
        low, high = field.low, field.high
        if low == high and field.name == "src_addr":
            _hang(self._exact, "src_addr", (field.family, low), group)
        else:
            self._ranges_of(field.name, field.family).networks.append(group)
        return 1

    def _take_addresses(self, group: int, field: Addresses) -> int:
        if len(field.ranges[V4]) + len(field.ranges[V6]) > MAX_INDEXED:
            self._large.append((check_of(field), group))
            return 1
        count = 0
        is_source = field.name == "src_addr"
        for family in (V4, V6):
            ranges = self._ranges_of(field.name, family).others
            for low, high in field.ranges[family]:
                if is_source and low == high:
                    _hang(self._exact, "src_addr", (family, low), group)
                else:
                    ranges.append((low, high, group))
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
        one = one_kind_of(field) if isinstance(field, Domains) else None
        if one is not None and len(one[1]) <= MAX_INDEXED:
            self._words.append((group * KINDS + one[0], one[1]))
            return len(one[1])
        wanted = wanted_of(field)
        if wanted is None:
            return 0
        count = sum([len(words) for _, words in wanted.words])
        if count > MAX_INDEXED:
            self._large.append((check_of(field), group))
            return 1
        for kind, words in wanted.words:
            self._words.append((group * KINDS + kind, words))
        for literal in wanted.literals:
            _hang(self._grams, (field.name, gram_size(literal)), self._rarest(literal), group)
        return count + len(wanted.literals)

    def _rarest(self, literal: str) -> str:
        """The part of the literal under which the fewest hang so far."""
        best = ""
        least = -1
        for gram in grams(literal, gram_size(literal)):
            crowd = self._crowds.get(gram, 0)
            if least < 0 or crowd < least:
                best, least = gram, crowd
        self._crowds[best] = least + 1
        return best

    def _address_steps(self, tables: Tables) -> "Generator[None, None, None]":
        for family in (V4, V6):
            exempt = tuple([(low, high) for low, high, _ in UNSTEERED[family]])
            ranges = self._ranges_of("dest_addr", family)
            tables.dest[family] = yield from number_steps(ranges, self._groups, exempt)
            if family == V4 and len(ranges) > MANY_RANGES:
                bits = next(bits for most, bits in PAGE_BITS if len(ranges) <= most or most == 0)
                tables.pages = ((yield from page_steps(tables.dest[V4][0], bits)), bits)
            ranges = self._ranges_of("src_addr", family)
            tables.src[family] = (yield from number_steps(ranges, self._groups)) if ranges else NOWHERE

    def _name_steps(self, tables: Tables) -> "Generator[None, None, None]":
        tables.names, tables.tops = yield from name_steps(self._words, self._groups)
        tables.large = [(check, self._groups.list_of([group])) for check, group in self._large]
        for name, size in sorted(self._grams):
            tables.grams.append((name, size, (yield from self._list_steps(self._grams[name, size]))))

    def _number_steps(self, tables: Tables) -> "Generator[None, None, None]":
        for name in sorted(self._exact):
            lists = yield from self._list_steps(self._exact[name])
            if name == "dest_port":
                tables.dest_ports = lists
            elif name == "src_addr":
                tables.hosts = lists
            elif name == "src_mac":
                tables.macs = lists
            else:
                tables.exact.append((name, lists))
        for name in sorted(self._wide):
            tables.intervals.append((name, (yield from number_steps(self._wide[name], self._groups))))
        for name in sorted(self._bounds):
            tables.measured.append((name, (yield from measured_steps(self._bounds[name], self._groups))))

    def _list_steps(self, hung: "dict[object, list[int]]") -> "Generator[None, None, dict[object, Entry]]":
        lists = {}
        done = 0
        while hung:  # emptied on the way: to free it at once would take as long as ten steps
            if done >= SLICE:
                done = 0
                yield
            key, numbers = hung.popitem()
            done += 1 + len(numbers)
            lists[key] = yield from self._groups.list_steps(numbers)
        return lists


class _Ranges:
    """(low, high, group) of one field and family: those of networks are made when they are wanted."""

    __slots__ = ("_fields", "networks", "others")

    def __init__(self, fields: "list[Field]") -> None:
        self._fields = fields
        self.networks: list[int] = []  # groups
        self.others: list[tuple[int, int, int]] = []

    def __len__(self) -> int:
        return len(self.networks) + len(self.others)

    def __iter__(self) -> "Iterator[tuple[int, int, int]]":
        for group in self.networks:
            field = self._fields[group]
            assert isinstance(field, Network)
            yield field.low, field.high, group
        for one in self.others:
            yield one


def _hang(tables: "dict[Name, dict[object, list[int]]]", name: "Name", key: object, group: int) -> None:
    table = tables.get(name)
    if table is None:
        table = tables[name] = {}
    if key not in table:
        table[key] = [group]
    elif table[key][-1] != group:  # two literals of a group may share their rarest part
        table[key].append(group)
