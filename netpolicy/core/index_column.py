"""What hangs under one key of the index: lists of entries in rank order, shared wherever that is possible.

A *group* are the rules whose key field has the same values: its list is made once, under however many
keys it hangs. Lists are linked, so that the usual one, of one rule, is one object. Never copies a long
list: lists of few entries that meet under one key are merged, long ones stand beside each other.
"""

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from netpolicy.core.field import Field

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
        self._entries: list[list[Entry]] = []
        self._numbers: dict[object, int] = {}
        self._is_merged: list[bool] = []
        self._lists: dict[int | tuple[int, ...], Entry] = {}

    def add(self, key: object, field: "Field", entry: "Entry") -> None:
        """Hang a rule under a field; rules have to come in rank order. `key` is equal for equal fields."""
        number = self._numbers.get(key)
        if number is None:
            self._numbers[key] = len(self.fields)
            self.fields.append(field)
            self._entries.append([entry])
        else:
            self._entries[number].append(entry)

    def note_keys(self, number: int, keys: int) -> None:
        """Say under how many keys a group hangs: of each, in the order of their numbers."""
        self._is_merged.append(keys <= MAX_KEYS_MERGED or len(self._entries[number]) <= MAX_ENTRIES_MERGED)

    def list_of(self, numbers: "list[int]") -> "Entry":
        """The first entry of the list, or of the lists, of these groups: at least one, each of them once."""
        key = numbers[0] if len(numbers) == 1 else tuple(numbers)
        found = self._lists.get(key)
        if found is None:
            found = self._lists[key] = self._made(numbers)
        return found

    def _made(self, numbers: "list[int]") -> "Entry":
        if len(numbers) == 1:
            return linked(self._entries[numbers[0]])
        merged: list[Entry] = []
        lists: list[Entry] = []
        for number in numbers:
            if self._is_merged[number]:
                merged += self._entries[number]
            else:
                lists.append(self.list_of([number]))
        if merged:
            lists.append(linked(sorted(merged, key=_rank)))
        return beside(lists)


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
