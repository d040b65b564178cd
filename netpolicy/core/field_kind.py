"""The kinds of match fields whose values are numbers and words, and what all kinds have in common.

Obviously right before fast: this is the oracle for the compiled index and for the
kernel. Never reads a clock or the network; a fact that is None satisfies nothing.
"""

from netpolicy.core.packet import is_number, split_sign
from netpolicy.core.ranges import contains, merge, subtract
from netpolicy.core.share import format_share, parse_share
from netpolicy.core.value import ValueProblem

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable

COMPARATOR_LIMIT = 4294967295  # v1 compares unsigned 32-bit numbers; more can never match

# Measured as a share of all: 0 to 1, also written in percent.
SHARES = ("error_rate", "loss")


class Field:
    """One field of a match: its name, its values in canonical form, and what they mean."""

    __slots__ = ("name",)

    if TYPE_CHECKING:
        values: tuple[str, ...]

    def __init__(self, name: str) -> None:
        self.name = name

    def matches(self, fact: object) -> bool:
        """Whether a known fact satisfies the field; None (unknown) never does."""
        raise NotImplementedError

    @property
    def told(self) -> object:
        """What it says, as the key of a table: equal for fields of one name and class that say the same."""
        return self.values

    def __repr__(self) -> str:
        return "{}={}".format(self.name, ",".join(self.values))


class Written(Field):
    """A field that keeps its values as they are written."""

    __slots__ = ("values",)

    def __init__(self, name: str, values: tuple[str, ...]) -> None:
        super().__init__(name)
        self.values = values


class Numbers(Written):
    """Ports, protocol numbers or DSCP code points: a set of integers."""

    __slots__ = ("ranges",)

    def __init__(
        self, name: str, values: tuple[str, ...], parsed: list[tuple[bool, tuple[int, int]]], limit: int
    ) -> None:
        super().__init__(name, values)
        wanted: list[tuple[int, int]] = []
        unwanted: list[tuple[int, int]] = []
        for negated, pair in parsed:
            (unwanted if negated else wanted).append(pair)
        start = merge(wanted) if wanted else ((0, limit),)
        self.ranges = subtract(start, merge(unwanted))

    def matches(self, fact: object) -> bool:
        return isinstance(fact, int) and contains(self.ranges, fact)


class Words(Written):
    """Device names, MAC addresses, families: texts that are equal or not."""

    __slots__ = ("unwanted", "wanted")

    def __init__(
        self,
        name: str,
        values: tuple[str, ...],
        normalise: "Callable[[str], object]",
        show: "Callable[[object], str]" = str,
    ) -> None:
        wanted: list[object] = []
        unwanted: list[object] = []
        canonical = []
        for value in values:
            negated, text = split_sign(value)
            word = normalise(text)
            (unwanted if negated else wanted).append(word)
            canonical.append(signed(negated, show(word)))
        super().__init__(name, tuple(canonical))
        self.wanted = tuple(wanted)
        self.unwanted = tuple(unwanted)

    def matches(self, fact: object) -> bool:
        if fact is None or fact in self.unwanted:
            return False
        return not self.wanted or fact in self.wanted


class Schedules(Words):
    """Named schedules; the fact is the tuple of those that are active."""

    __slots__ = ()

    def matches(self, fact: object) -> bool:
        if not isinstance(fact, tuple) or any(name in fact for name in self.unwanted):
            return False
        return not self.wanted or any(name in fact for name in self.wanted)


class Comparator(Written):
    """A measured number against a bound: ">120", "<=50", "==5"; shares also as ">5%"."""

    __slots__ = ("bound", "operator")

    def __init__(self, name: str, values: tuple[str, ...]) -> None:
        if len(values) != 1:
            raise ValueProblem("{} takes one comparator".format(name), 'for example ">120"')
        is_share = name in SHARES
        self.operator, self.bound = _parse_comparator(values[0].strip(), is_share)
        shown = format_share(self.bound) if is_share else str(self.bound)
        super().__init__(name, (self.operator + shown,))

    def matches(self, fact: object) -> bool:
        if not isinstance(fact, (int, float)):
            return False
        operator = self.operator
        if operator == ">":
            return fact > self.bound
        if operator == "<":
            return fact < self.bound
        if operator == ">=":
            return fact >= self.bound
        if operator == "<=":
            return fact <= self.bound
        return fact == self.bound


def _parse_comparator(text: str, is_share: bool) -> "tuple[str, float]":
    example = ">0.05 or >5%" if is_share else ">120"
    for operator in (">=", "<=", "==", ">", "<", "="):
        if text.startswith(operator):
            number = text[len(operator) :].strip()
            if number.startswith("+"):  # the predecessor took it
                number = number[1:]
            bound = parse_share(number) if is_share else _parse_bound(number)
            if bound is not None:
                return ("==" if operator == "=" else operator), bound
            break
    raise ValueProblem(
        "{!r} is not a comparator and could never match".format(text),
        "an operator (> >= < <= ==) and a {}, for example {}".format(
            "share from 0 to 1" if is_share else "whole number", example
        ),
    )


def _parse_bound(text: str) -> "int | None":
    return int(text) if is_number(text) and int(text) <= COMPARATOR_LIMIT else None


def signed(negated: bool, text: str) -> str:
    """A value as it is written, with the sign of what must not be."""
    return "!" + text if negated else text
