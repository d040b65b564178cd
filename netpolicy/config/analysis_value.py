"""Values that say nothing new: written twice, covered by another one, excluding nothing, always true.

Looks at one option at a time, with the values as they are written, so that a finding points at
the value itself. Changes nothing; the rule means the same without the value.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from netpolicy.config.analysis_name import ONLY, Atom, domain_atoms, sni_atoms
from netpolicy.config.analysis_names_within import NameCovers
from netpolicy.config.analysis_place import Places
from netpolicy.config.analysis_side import LIMITS_OF, OFFSET, Side, measured
from netpolicy.config.diagnostic import Findings, Place
from netpolicy.core.address import V4, V6, parse_range
from netpolicy.core.domain import parse_domain
from netpolicy.core.field import parse_field
from netpolicy.core.field_kind import Comparator, Field
from netpolicy.core.list_entry import looks_like_address
from netpolicy.core.model import FALLBACK, GROUP, Rule, Ruleset
from netpolicy.core.named_list import NamedList
from netpolicy.core.ranges import merge

ADDRESSES = ("src_addr", "dest_addr")
PORTS = ("src_port", "dest_port")
NAMES = ("domain", "sni")
WORDS = ("src_iface", "src_mac", "family")


class Value(NamedTuple):
    """One written value: its text without the sign, its canonical text, and what it stands for."""

    text: str
    place: Place
    is_negated: bool
    canonical: str
    side: Side = ()
    atoms: tuple[Atom, ...] = ()


def check_values(ruleset: Ruleset, places: Places, findings: Findings) -> None:
    """Report the values of all options."""
    lists = {one.name: one for one in ruleset.lists}
    for rule in ruleset.rules:
        for field in rule.fields:
            _check_field(rule, field, lists, places, findings)
        for option in ("state", "disable", FALLBACK):
            _check_texts(places.values("rule", rule.name, option), findings, str.upper if option != FALLBACK else str)
    for named in ruleset.lists:
        values = [_entry(text, place) for text, place in places.values("list", named.name, "entry")]
        _check(values, findings)
    for outbound in ruleset.outbounds:
        if outbound.type == GROUP:
            _check_texts(places.values("outbound", outbound.name, "member"), findings, str)


def _check_field(rule: Rule, field: Field, lists: dict[str, NamedList], places: Places, findings: Findings) -> None:
    written = places.values("rule", rule.name, field.name)
    if isinstance(field, Comparator):
        side = measured(field)
        if side == ((0, LIMITS_OF[field.name]),):
            text = f"{field!r} is true of every measured number"
            hint = "remove it, unless the rule is to wait until something was measured"
            findings.warning("NP408", places.field(rule, field.name), text, hint)
        return
    if field.name == "sni":
        _check_wildcards(written, findings)
    if len(written) < 2 and field.name not in PORTS:
        return  # nothing to compare it with
    values = [value for text, place in written for value in _values(field.name, text, place, lists)]
    _check(values, findings)


def _check_wildcards(written: list[tuple[str, Place]], findings: Findings) -> None:
    for text, place in written:
        sign = "!" if text.startswith("!") else ""
        if len(text) > len(sign) + 1 and not text[len(sign) :].strip("*"):
            short = sign + "*"
            findings.warning("NP409", place, f"{text!r} is a longer way to write {short!r}", f"write {short!r}", short)


def _values(name: str, text: str, place: Place, lists: dict[str, NamedList]) -> list[Value]:
    """What a written value of a field stands for; several for ports between commas."""
    if name not in PORTS:
        return [_value(name, text, place, lists)]
    found = []
    column = place.column
    for part in text.split(","):
        at = Place(place.file, place.line, column, place.rule, len(part)) if "," in text else place
        found.append(_value(name, part, at, lists))
        column += len(part) + 1
    return found


def _value(name: str, text: str, place: Place, lists: dict[str, NamedList]) -> Value:
    negated = text.strip().startswith("!")
    plain = text.strip().lstrip("!").strip()
    if plain.startswith("@"):
        return _of_list(name, plain, place, negated, lists)
    if name in ADDRESSES:
        return Value(plain, place, negated, str(parse_range(plain)), _range(plain))
    if name in NAMES:
        atoms = domain_atoms(parse_domain(plain)) if name == "domain" else sni_atoms(_sni(plain))
        return Value(plain, place, negated, str(atoms), (), atoms)
    field = parse_field(name, (plain,))
    if name in WORDS:
        return Value(plain, place, negated, field.values[0], (), ((ONLY, field.values[0]),))
    ranges: Side = getattr(field, "ranges", ())  # of schedules there are none: two of them may overlap
    return Value(plain, place, negated, field.values[0], ranges)


def _sni(text: str) -> str:
    return parse_field("sni", (text,)).values[0]


def _range(text: str) -> Side:
    family, low, high = parse_range(text)
    return ((OFFSET[family] + low, OFFSET[family] + high),)


def _of_list(name: str, text: str, place: Place, negated: bool, lists: dict[str, NamedList]) -> Value:
    """A list whose content may change says nothing about the other values."""
    named = lists[text[1:].strip()]
    if named.is_open:
        return Value(text, place, negated, text)
    if name in ADDRESSES:
        side = merge(
            [(OFFSET[family] + low, OFFSET[family] + high) for family in (V4, V6) for low, high in named.ranges[family]]
        )
        return Value(text, place, negated, text, side)
    return Value(text, place, negated, text, (), tuple(a for one in named.domains for a in domain_atoms(one)))


def _entry(text: str, place: Place) -> Value:
    plain = text.strip()
    if looks_like_address(plain):
        return Value(plain, place, False, str(parse_range(plain)), _range(plain))
    atoms = domain_atoms(parse_domain(plain))
    return Value(plain, place, False, str(atoms), (), atoms)


def _check(values: list[Value], findings: Findings) -> None:
    """Values that stand twice are reported once, and then left out."""
    different = _without_repeated(values, findings)
    for negated in (False, True):
        alike = [one for one in different if one.is_negated == negated]
        _check_covered(alike, findings)
    _check_exclusions(different, findings)


def _without_repeated(values: list[Value], findings: Findings) -> list[Value]:
    seen: dict[tuple[bool, str], Value] = {}
    for one in values:
        first = seen.setdefault((one.is_negated, one.canonical), one)
        if first is not one:
            same = f"{one.text!r} stands here twice" if one.text == first.text else f"{one.text!r} is {first.text!r}"
            findings.info("NP404", one.place, same, "remove one of the two")
    return list(seen.values())


def _check_texts(written: list[tuple[str, Place]], findings: Findings, normal: Callable[[str], str]) -> None:
    _without_repeated([Value(text, place, False, normal(text)) for text, place in written], findings)


def _check_covered(values: list[Value], findings: Findings) -> None:
    pairs = _covered_ranges(values) + NameCovers([one.atoms for one in values]).pairs()
    for inner, outer in sorted(pairs):
        one, other = values[inner], values[outer]
        text = f"{one.text!r} is in {other.text!r} already"
        findings.info("NP405", one.place, text, "remove it, or the wider one")


def _covered_ranges(values: list[Value]) -> list[tuple[int, int]]:
    """(value, wider value) of those that are one range. O(n log n)."""
    spans = [(low, -high, at, len(one.side)) for at, one in enumerate(values) for low, high in one.side]
    found = []
    widest = (-1, -1)  # (last number, value)
    for _, minus_high, at, count in sorted(spans):
        if -minus_high > widest[0]:
            widest = (-minus_high, at)
        elif count == 1 and widest[1] != at:
            found.append((at, widest[1]))
    return found


def _check_exclusions(values: list[Value], findings: Findings) -> None:
    wanted = [one for one in values if not one.is_negated]
    if not wanted or any(not one.side and not one.atoms for one in wanted):
        return  # exclusions alone, or a value that may stand for anything
    names = NameCovers([one.atoms for one in wanted])
    numbers = merge([pair for one in wanted for pair in one.side])
    for one in values:
        if not one.is_negated or not (one.side or one.atoms):
            continue
        if any(_touches(numbers, low, high) for low, high in one.side) or any(map(names.may_touch, one.atoms)):
            continue
        text = f"'!{one.text}' excludes nothing: the other values do not have it"
        findings.warning("NP406", one.place, text, "remove it, or correct it")


def _touches(side: Side, low: int, high: int) -> bool:
    at = bisect_left(side, (low, low))
    if at < len(side) and side[at][0] <= high:
        return True
    return at > 0 and side[at - 1][1] >= low
