"""The sets and maps of the table as data, and as text that nft reads: names, types, elements.

Elements are numbers and words, never text made earlier: netlink packs them, nft reads them. Named
after what they hold where packets must never see them half changed. Syntax: nft(8), SETS and MAPS.
"""

from netpolicy.dataplane.shape import part_text

try:
    from zlib import Z_BEST_SPEED, compress, decompress
except ImportError:  # MicroPython, whose zlib takes other arguments: it prints a table once, and ends
    compress = decompress = None  # type: ignore[assignment]

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Part = tuple[int, int]  # low and high
    Element = tuple[tuple[Part, ...], int | str | None, str]  # key, value, comment
    Elements = Sequence[Element]
else:
    Elements = object

# Elements in one command of a text.
PER_LINE = 200

# The text of a longer list is not kept: it would take more memory than the list.
KEPT_TEXT = 4096


class RangeElements(Elements):
    """Ranges of one field as elements, made when they are asked for: a long list is kept once, as its ranges."""

    __slots__ = ("ranges",)

    def __init__(self, ranges: "Sequence[Part]") -> None:
        self.ranges = ranges

    def __len__(self) -> int:
        return len(self.ranges)

    def __iter__(self) -> "Iterator[Element]":
        for pair in self.ranges:
            yield (pair,), None, ""

    def __getitem__(self, at):  # type: ignore[no-untyped-def]
        return (self.ranges[at],), None, ""


class KernelSet:
    """A set, or a map when `data` says what its values are.

    `elements`: (key, value, comment); a key is a (low, high) for each of `types`, a value a chain's
    name for "verdict", a number for "classid". Sorted and without twins.
    """

    __slots__ = ("_chunks", "counter", "data", "dynamic", "elements", "interval", "name", "size", "timeout", "types")

    def __init__(
        self,
        name: str,
        types: "tuple[str, ...]",
        elements: "Sequence[Element]",
        data: str = "",
        interval: bool = False,
        counter: bool = False,
        size: int = 0,
        timeout: int = 0,
        dynamic: bool = False,
    ) -> None:
        self.name = name
        self.types = types
        self.elements = elements
        self.data = data
        self.interval = interval
        self.counter = counter  # every element counts the packets that found it
        self.size = size  # the most that it may hold; 0: the kernel lets it grow
        self.timeout = timeout  # seconds that an element stays; then others fill it, and `elements` says nothing
        self.dynamic = dynamic  # packets fill it
        self._chunks: list[str] | bytes | None = None  # packed where there is something to pack it with

    @property
    def is_list(self) -> bool:
        """Whether it holds addresses of a list: intervals of one field, without values."""
        return self.interval and len(self.types) == 1 and not self.data

    @property
    def declaration(self) -> str:
        """What nft wants after `add`, for example "map inet netpolicy verdicts { type classid : verdict; }"."""
        kind = "map" if self.data else "set"
        held = " . ".join(self.types) + (f" : {self.data}" if self.data else "")
        flags = " flags interval;" if self.interval else ""
        if self.timeout:
            flags = f" flags {'dynamic,timeout' if self.dynamic else 'timeout'}; timeout {self.timeout}s;"
        counter = " counter;" if self.counter else ""
        size = f" size {self.size};" if self.size else ""
        return f"{kind} inet netpolicy {self.name} {{ type {held};{size}{flags}{counter} }}"

    def text(self) -> str:
        """The lines that declare and fill it."""
        lines = [f"add {self.declaration}"]
        lines.extend([f"add element inet netpolicy {self.name} {{ {chunk} }}" for chunk in self.chunks()])
        return "\n".join(lines) + "\n"

    def chunks(self) -> "list[str]":
        """The elements as nft reads them, some per line; made once where an include repeats them."""
        if self._chunks is None:
            found = list(self._made_chunks())
            if not self.is_list or len(self.elements) <= KEPT_TEXT:
                self._chunks = found if compress is None else compress("\n".join(found).encode(), Z_BEST_SPEED)
            return found
        if not isinstance(self._chunks, bytes):
            return self._chunks
        text = decompress(self._chunks).decode()
        return text.split("\n") if text else []

    def _made_chunks(self) -> "Iterator[str]":
        part: list[str] = []
        for element in self.elements:
            part.append(self.element_text(element))
            if len(part) == PER_LINE:
                yield ", ".join(part)
                part = []
        if part:
            yield ", ".join(part)

    def element_text(self, element: "Element") -> str:
        """One element as nft reads it."""
        key, value, comment = element
        text = " . ".join(self._parts(key))
        if comment:
            text += f' comment "{comment}"'
        if isinstance(value, str):
            return f"{text} : {value if value == 'accept' else 'goto ' + value}"
        return text if value is None else f"{text} : {value:#x}"

    def _parts(self, key: "tuple[Part, ...]") -> "Iterator[str]":
        for kind, (low, high) in zip(self.types, key):  # noqa: B905 - MicroPython's zip knows no strict
            if kind in ("classid", "mark"):
                yield f"{low:#x}" if low == high else f"{low:#x}-{high:#x}"
            else:
                yield part_text(kind, low, high)
