"""Very many names in little memory: a fifth of what a set of texts takes, exact, and half as fast.

The names stand in buckets, one text each with a line for every name; a name's hash says in which one it
is, so a look-up is one search in a short text. Never keeps a name twice. Names hold no line feed.
"""

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    Names = Collection[str]
else:
    Names = object

# Names in a bucket, on average, at most. Fewer cost memory, more cost time.
CROWD = 16

# What a bucket takes beside its names, about: the head of a text, its place in the list, and what an allocator
# leaves unused around it (measured with 500 000 names).
BUCKET_BYTES = 160


class NameTable(Names):
    """A set of names that grows and, when all are there, loses some."""

    __slots__ = ("_buckets", "_count", "_letters", "_mask", "least")

    def __init__(self) -> None:
        self._buckets = ["\n"]
        self._mask = 0
        self._count = 0
        self._letters = 0
        self.least = 0  # no name is shorter

    def __len__(self) -> int:
        return self._count

    def __contains__(self, name: object) -> bool:
        return f"\n{name}\n" in self._buckets[hash(name) & self._mask] and "\n" not in name  # type: ignore[operator]

    def __iter__(self) -> "Iterator[str]":
        for bucket in self._buckets:
            if len(bucket) > 1:
                for name in bucket[1:-1].split("\n"):
                    yield name

    def is_like(self, other: "NameTable") -> bool:
        """Whether both hold the same names, taken in the same order. O(n), and quick."""
        return self._count == other._count and self._buckets == other._buckets

    def has_parent(self, name: str, dot: int) -> bool:
        """Whether what is behind that dot, or behind one of those after it, is in the table.

        The way of every look-up in a long list, so the calls of two others are written out.
        """
        buckets, mask = self._buckets, self._mask
        last = len(name) - self.least
        while 0 <= dot < last:
            parent = name[dot + 1 :]
            if f"\n{parent}\n" in buckets[hash(parent) & mask] and "\n" not in parent:
                return True
            dot = name.find(".", dot + 1)
        return False

    @property
    def memory(self) -> int:
        """Bytes, about."""
        return self._letters + self._count + BUCKET_BYTES * len(self._buckets)

    def add(self, name: str) -> None:
        """Take a name; one that is there already changes nothing."""
        at = hash(name) & self._mask
        bucket = self._buckets[at]
        if "\n" + name + "\n" in bucket:
            return
        self._buckets[at] = bucket + name + "\n"
        self._count += 1
        size = len(name)
        self._letters += size
        if size < self.least or not self.least:
            self.least = size
        if self._count > CROWD * len(self._buckets):
            self._grow()

    def drop(self, is_unwanted: "Callable[[str], bool]") -> None:
        """Lose the names of which that is true; asked while some of them may be gone already."""
        for at, bucket in enumerate(self._buckets):
            if len(bucket) < 2:
                continue
            names = bucket[1:-1].split("\n")
            kept = [name for name in names if not is_unwanted(name)]
            if len(kept) < len(names):
                self._buckets[at] = "\n" + "\n".join(kept) + "\n" if kept else "\n"
                self._count -= len(names) - len(kept)
                self._letters -= len(bucket) - len(self._buckets[at]) - len(names) + len(kept)

    def _grow(self) -> None:
        """Twice the buckets: each is parted in two."""
        size = len(self._buckets)
        self._mask = 2 * size - 1
        self._buckets.extend(["\n"] * size)
        for at in range(size):
            names = self._buckets[at][1:-1].split("\n")
            kept = [name for name in names if name and hash(name) & self._mask == at]
            moved = [name for name in names if name and hash(name) & self._mask != at]
            self._buckets[at] = "\n" + "\n".join(kept) + "\n" if kept else "\n"
            self._buckets[at + size] = "\n" + "\n".join(moved) + "\n" if moved else "\n"
