"""What hangs under one key of the index: lists of entries in rank order, shared wherever that is possible.

A *group* are the rules whose key field has the same values: its list is made once, under however many
keys it hangs. Lists are linked, so that the usual one, of one rule, is one object. Never copies a long
list: lists of few entries that meet under one key are merged, long ones stand beside each other.
"""

from netpolicy.core.index_order import SLICE, emptied_steps, sorted_steps

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Any

    from netpolicy.core.field_kind import Field

    # (rank, protocols or None for all, destination ports or None, check or None, next entry or None): index_condition.
    # Of several lists beside each other: (lowest rank, NOBODY, None, their first entries, None).
    Entry = tuple[int, frozenset[int] | None, frozenset[int] | None, Any, "Entry | None"]

# The protocols of an entry that is no rule's: a decision notes only there, where no rule matches, that it is none.
NOBODY = frozenset((-1,))

# Merging copies: a group with more entries than this, under more keys than that, stays a list of its own.
MAX_ENTRIES_MERGED = 16
MAX_KEYS_MERGED = 8


class Groups:
    """The groups by number, while the index is built."""

    __slots__ = ("_entries", "_is_merged", "_lists", "_numbers", "fields")

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self._entries: list[Entry | list[Entry]] = []  # a list where there are several: mostly there is one
        self._numbers: dict[object, int] = {}
        self._is_merged: list[bool] = []
        self._lists: dict[int | tuple[int, ...], Entry] = {}

    def add(self, key: object, field: "Field", entry: "Entry") -> None:
        """Hang a rule under a field; rules have to come in rank order. `key` is equal for equal fields."""
        number = self._numbers.get(key)
        if number is None:
            self._numbers[key] = len(self.fields)
            self.fields.append(field)
            self._entries.append(entry)
            return
        held = self._entries[number]
        if isinstance(held, list):
            held.append(entry)
        else:
            self._entries[number] = [held, entry]

    def _entries_of(self, number: int) -> "list[Entry]":
        held = self._entries[number]
        return held if isinstance(held, list) else [held]

    def complete_steps(self) -> "Generator[None, None, None]":
        """Every rule hangs under its field: nothing more is added."""
        yield from emptied_steps(self._numbers)

    def note_keys(self, number: int, keys: int) -> None:
        """Say under how many keys a group hangs: of each, in the order of their numbers."""
        self._is_merged.append(keys <= MAX_KEYS_MERGED or len(self._entries_of(number)) <= MAX_ENTRIES_MERGED)

    def list_of(self, numbers: "list[int]") -> "Entry":
        """The first entry of the list, or of the lists, of these groups: at least one, each of them once."""
        if len(numbers) == 1:
            held = self._entries[numbers[0]]
            if not isinstance(held, list):
                return held
        key = numbers[0] if len(numbers) == 1 else tuple(numbers)
        found = self._lists.get(key)
        if found is None:
            found = self._lists[key] = self._made(numbers)
        return found

    def list_steps(self, numbers: "list[int]") -> "Generator[None, None, Entry]":
        """The same in slices, for groups that may be thousands."""
        if len(numbers) > SLICE and tuple(numbers) not in self._lists:
            merged: list[Entry] = []
            for at in range(0, len(numbers), SLICE):
                yield
                for number in numbers[at : at + SLICE]:
                    merged += self._entries_of(number)
            return (yield from _linked_steps(merged))
        return self.list_of(numbers)

    def release_steps(self) -> "Generator[None, None, None]":
        """Forget everything but the lists themselves."""
        yield from emptied_steps(self._lists)
        for row in (self._entries, self.fields):
            while row:
                del row[-2 * SLICE :]
                yield

    def _made(self, numbers: "list[int]") -> "Entry":
        if len(numbers) == 1:
            return linked(self._entries_of(numbers[0]))
        merged: list[Entry] = []
        lists: list[Entry] = []
        for number in numbers:
            if self._is_merged[number]:
                merged += self._entries_of(number)
            else:
                lists.append(self.list_of([number]))
        if merged:
            lists.append(linked(in_order(merged)))
        return beside(lists)


def in_order(entries: "list[Entry]") -> "list[Entry]":
    """The entries by rank. Mostly they are: then nothing is done."""
    last = -1
    for entry in entries:
        if entry[0] < last:
            return sorted(entries, key=_rank)
        last = entry[0]
    return entries


def _linked_steps(entries: "list[Entry]") -> "Generator[None, None, Entry]":
    """The first of these entries, in any order, each leading to the next by rank."""
    ranks = yield from sorted_steps([entry[0] for entry in entries])
    yield
    by_rank = {entry[0]: entry for entry in entries}
    following = by_rank[ranks[-1]]
    for at in range(len(ranks) - 2, -1, -1):
        if at % SLICE == 0:
            yield
        rank, protocols, ports, check, _ = by_rank[ranks[at]]
        following = (rank, protocols, ports, check, following)
    return following


def linked(entries: "list[Entry]") -> "Entry":
    """The first of these entries, each leading to the next; at least one, in rank order."""
    following = entries[-1]
    for at in range(len(entries) - 2, -1, -1):
        rank, protocols, ports, check, _ = entries[at]
        following = (rank, protocols, ports, check, following)
    return following


def beside(lists: "list[Entry]") -> "Entry":
    """Lists of which each has to be looked at; at least one."""
    if len(lists) == 1:
        return lists[0]
    lowest = min([entry[0] for entry in lists])
    return (lowest, NOBODY, None, tuple(sorted(lists, key=_rank)), None)


def ranks_of(lists: "list[Entry]") -> "Iterator[int]":
    """The rank of every rule in the lists; of one that is in two of them, twice."""
    waiting = list(lists)
    while waiting:
        entry: "Entry | None" = waiting.pop()
        while entry is not None:
            if entry[1] is NOBODY:
                waiting += entry[3]
            else:
                yield entry[0]
            entry = entry[4]


def _rank(entry: "Entry") -> int:
    return entry[0]
