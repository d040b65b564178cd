"""What hangs under one key of the index: lists of entries in rank order, shared wherever that is possible.

A *group* are the rules whose key field has the same values: its list is made once, under however many
keys it hangs. A *column* is a tuple of such lists. Never copies a long list: lists of few entries that
meet under one key are merged, long ones stand beside each other.
"""

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.core.field import Field
    from netpolicy.core.index_condition import Entry

    Entries = tuple[Entry, ...]
    Column = tuple[Entries, ...]
    # A column and the cell around it, which holds as well: a chain from the narrowest outwards.
    Cell = tuple[Column, "Cell | None"]

# Merging copies: a group with more entries than this stays a list of its own.
MAX_MERGED = 16


class Groups:
    """The groups by number, while the index is built."""

    __slots__ = ("_columns", "_entries", "_numbers", "fields")

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self._entries: list[list[Entry] | Entries] = []
        self._numbers: dict[object, int] = {}
        self._columns: dict[tuple[int, ...], Column] = {}

    def __len__(self) -> int:
        return len(self.fields)

    def add(self, key: object, field: "Field", entry: "Entry") -> None:
        """Hang a rule under a field; rules have to come in rank order. `key` is equal for equal fields."""
        number = self._numbers.get(key)
        if number is None:
            self._numbers[key] = len(self.fields)
            self.fields.append(field)
            self._entries.append([entry])
        else:
            self._entries[number].append(entry)  # type: ignore[union-attr]

    def column(self, numbers: "list[int] | tuple[int, ...]") -> "Column":
        """The column of these groups, each of them once."""
        key = tuple(numbers)
        column = self._columns.get(key)
        if column is None:
            column = self._columns[key] = self._made(key)
        return column

    def _made(self, numbers: "tuple[int, ...]") -> "Column":
        if len(numbers) == 1:
            entries = self._entries[numbers[0]]
            if isinstance(entries, list):
                entries = self._entries[numbers[0]] = tuple(entries)
            return (entries,)
        merged: list[Entry] = []
        lists: list[Entries] = []
        for number in numbers:
            entries = self._entries[number]
            if len(entries) > MAX_MERGED:
                lists.append(self.column((number,))[0])
            else:
                merged += entries
        if merged:
            lists.append(tuple(sorted(merged, key=_rank)))
        return tuple(lists)


def _rank(entry: "Entry") -> int:
    return entry[0]
