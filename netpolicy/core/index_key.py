"""Which field of a rule the index hangs it under: the one whose values the fewest packets will have.

Guesses how rare a value is from the kind of field and from how many rules ask for it. A poor guess
costs time, never a wrong decision. Data: the fields of the rules.
"""

from netpolicy.core.address import V4, V6
from netpolicy.core.field_address import Network, Networks
from netpolicy.core.field_kind import Comparator, Field, Numbers, Schedules, Words
from netpolicy.core.field_name import Domains, Learned, Names
from netpolicy.core.index_name import has_only_words, wanted_of
from netpolicy.core.index_order import emptied_steps
from netpolicy.core.range_table import RangeTable

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

# How common a value of that kind is in traffic, about: the larger, the worse a key.
PRICES = {
    "domain": 1, "sni": 1, "src_mac": 2, "src_port": 4, "dest_port": 8, "dscp": 32, "src_iface": 64,
    "latency_ms": 100, "rtt_ms": 100, "error_rate": 100, "loss": 100, "proto": 128, "family": 256,
}  # fmt: skip
LITERAL_PRICE = 4  # a name has many literals, and each has to be compared
WIDE_PRICE = 64
WIDE_PORTS_PRICE = 120
NOT_A_KEY = 0

# An address range of more bits than this is met by much traffic: destination, source.
NARROW_BITS = {"dest_addr": (18, 80), "src_addr": (8, 64)}
ADDRESS_PRICES = {"dest_addr": 1, "src_addr": 2}

# So many numbers hang under each of them, more under intervals.
MAX_WRITTEN_OUT = 64

# A field with more values than this is counted as a whole.
FEW_VALUES = 8


class Popularity:
    """How many rules ask for each value."""

    __slots__ = ("_counts", "_prices")

    def __init__(self) -> None:
        self._counts: dict[str, dict[object, int]] = {}
        self._prices: dict[object, int] = {}

    def note(self, field: Field) -> None:
        """Count the values of one rule's field."""
        counts = self._counts.get(field.name)
        if counts is None:
            counts = self._counts[field.name] = {}
        if isinstance(field, Network):
            told = field.told
            counts[told] = counts.get(told, 0) + 1
            return
        values = field.values
        if len(values) == 1:
            counts[values[0]] = counts.get(values[0], 0) + 1
            return
        if len(values) > FEW_VALUES:
            counts[values] = counts.get(values, 0) + 1
            return
        for value in values:
            counts[value] = counts.get(value, 0) + 1

    def release_steps(self) -> "Generator[None, None, None]":
        """Forget it all."""
        for counts in self._counts.values():
            yield from emptied_steps(counts)
        yield from emptied_steps(self._prices)

    def key_of(self, fields: "tuple[Field, ...]") -> "Field | None":
        """The field to hang a rule with these fields under, None if none can be looked up."""
        if len(fields) == 1:
            return fields[0] if price_of(fields[0]) != NOT_A_KEY else None
        best = None
        lowest = 0
        for field in fields:
            if isinstance(field, Network):  # mostly there are as many as rules, and it is soon known
                price = _price_of_network(field) * self._counts[field.name][field.told]
            else:
                price = self._price(field)
                if price == NOT_A_KEY:
                    continue
            if best is None or price < lowest:
                best, lowest = field, price
        return best

    def _price(self, field: Field) -> int:
        """How many rules ask for its values, at the price of each."""
        if isinstance(field, Domains):  # as many as rules too
            return _price_of_names(field) * self._asked(field)
        key = key_text(field)
        price = self._prices.get(key)
        if price is None:
            price = self._prices[key] = price_of(field) * self._asked(field)
        return price

    def _asked(self, field: Field) -> int:
        counts = self._counts[field.name]
        values = field.values
        if len(values) == 1:
            return counts[values[0]]
        if len(values) > FEW_VALUES:
            return counts[values] + len(values) // FEW_VALUES
        return sum([counts[value] for value in values])


def key_text(field: Field) -> object:
    """Equal for fields that mean the same. Values are canonical, but for shares, whose text is rounded."""
    if isinstance(field, Network):
        told = field.told  # one number takes less than a pair, ten thousand times
        return -1 - told if field.name == "src_addr" else told
    if isinstance(field, Comparator):
        return (field.name, (field.operator, field.bound))
    return (field.name, field.told)


def price_of(field: Field) -> int:
    """How common the values of a field are, about; NOT_A_KEY for a field that cannot be looked up."""
    return PRICE_OF[type(field)](field)


def _price_of_network(field: Network) -> int:
    price = ADDRESS_PRICES[field.name]
    bits = NARROW_BITS[field.name][field.family == V6]
    return WIDE_PRICE * price if field.high - field.low >= 1 << bits else price


def _price_of_networks(field: Networks) -> int:
    for family in (V4, V6):
        bits = NARROW_BITS[field.name][family == V6]
        ranges = field.ranges[family]
        widest = ranges.widest if isinstance(ranges, RangeTable) else max([0] + [high - low for low, high in ranges])
        if widest >= 1 << bits:
            return WIDE_PRICE * ADDRESS_PRICES[field.name]
    return ADDRESS_PRICES[field.name]


def _price_of_numbers(field: Numbers) -> int:
    count = sum([high - low + 1 for low, high in field.ranges])
    if count <= MAX_WRITTEN_OUT:
        return PRICES[field.name]
    return WIDE_PORTS_PRICE if field.name.endswith("_port") else NOT_A_KEY


def _price_of_names(field: "Domains | Names") -> int:
    if has_only_words(field):
        return PRICES[field.name]
    wanted = wanted_of(field)
    if wanted is None or not wanted.is_complete:
        return NOT_A_KEY
    return LITERAL_PRICE


def _price_of_words(field: Words) -> int:
    return PRICES[field.name] if field.wanted else NOT_A_KEY


def _price_of_comparator(field: Comparator) -> int:
    return PRICES[field.name]


def _no_key(field: Field) -> int:
    return NOT_A_KEY


# By the field's class: a chain of questions would cost every rule more than its answer.
PRICE_OF: "dict[type[Field], Callable[[Any], int]]" = {
    Network: _price_of_network,
    Networks: _price_of_networks,
    Numbers: _price_of_numbers,
    Domains: _price_of_names,
    Names: _price_of_names,
    Words: _price_of_words,
    Schedules: _no_key,  # the fact is a set of its own
    Comparator: _price_of_comparator,
    Learned: _no_key,  # one address is among those of several names
}
