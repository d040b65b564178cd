"""Sections and options as a front end read them: the one form that UCI, YAML and DSL share.

Texts with their places, nothing checked but the form. Never knows what an option means: that
is schema.py and section.py. Runs on MicroPython.
"""

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.config.diagnostic import Diagnostic

COLUMN_BITS = 12
LAST_COLUMN = (1 << COLUMN_BITS) - 1  # a caret further right helps nobody


def spot(line: int, column: int) -> int:
    """Line and column (from 1) as one number: ten thousand rules have a hundred thousand values."""
    return line << COLUMN_BITS | (column if column < LAST_COLUMN else LAST_COLUMN)


def line_and_column(number: int) -> tuple[int, int]:
    """The line and column of a `spot`."""
    return number >> COLUMN_BITS, number & LAST_COLUMN


class Option:
    """One option. A plain option has one value; "" is one that UCI treats as absent.

    `line` and `column` are of the option's name or keyword, `spots` those of its values; `word`
    is what the author calls it, where the spelling has another word than UCI.
    """

    __slots__ = ("column", "is_list", "line", "name", "spots", "values", "word")

    def __init__(
        self,
        name: str,
        values: tuple[str, ...],
        is_list: bool,
        line: int = 0,
        column: int = 0,
        spots: tuple[int, ...] = (),
        word: str = "",
    ) -> None:
        self.name = name
        self.word = word or name
        self.values = values
        self.is_list = is_list
        self.line = line
        self.column = column
        self.spots = spots

    def _key(self) -> tuple[object, ...]:
        return (self.name, self.values, self.is_list, self.line, self.column)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Option) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Option{self._key()!r}"


class Section:
    """One section. `name` is as written: spellings other than UCI allow any characters; "" is none.

    `broken`: the front end refused a part of it; without that part it would mean something else.
    """

    __slots__ = ("anonymous", "broken", "column", "line", "name", "options", "type")

    def __init__(
        self,
        type: str,
        name: str,
        anonymous: bool,
        line: int,
        options: tuple[Option, ...],
        column: int = 1,
        broken: bool = False,
    ) -> None:
        self.type = type
        self.name = name
        self.anonymous = anonymous
        self.line = line
        self.options = options
        self.column = column  # of the name where the front end knows it, else of the section
        self.broken = broken

    def option(self, name: str) -> "Option | None":
        """The option of that name, or None."""
        for option in self.options:
            if option.name == name:
                return option
        return None

    def _key(self) -> tuple[object, ...]:
        return (self.type, self.name, self.anonymous, self.line, self.options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Section) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Section{self._key()!r}"


class SourceFile:
    """What one file says, and what is wrong with its form. Sections are complete only without errors."""

    __slots__ = ("diagnostics", "file", "sections")

    def __init__(self, file: str, sections: tuple[Section, ...], diagnostics: "tuple[Diagnostic, ...]") -> None:
        self.file = file
        self.sections = sections
        self.diagnostics = diagnostics

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SourceFile) and (self.file, self.sections, self.diagnostics) == (
            other.file,
            other.sections,
            other.diagnostics,
        )

    def __hash__(self) -> int:
        return hash((self.file, self.sections))
