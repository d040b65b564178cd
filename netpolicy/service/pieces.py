"""A loaded configuration as a row of small byte strings, and back: how it comes from another process.

Only between a process and its own child, never from a file or the network: it is pickle. No piece
takes longer than some milliseconds to make or to take, and objects that are shared stay shared.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

try:
    from _pickle import Unpickler  # without pickle's other half in Python, which the child alone needs
except ImportError:
    from pickle import Unpickler

from netpolicy.config.loaded import Loaded
from netpolicy.core.field import FIELD_ORDER
from netpolicy.core.field_address import Network
from netpolicy.core.field_kind import Field
from netpolicy.core.model import Rule, Ruleset
from netpolicy.service.reuse import with_known_rules

# Values, and what else is about as much work, in one piece.
PIECE = 500

# What holds many things; longer ones go ahead of what they are in, part by part.
CONTAINERS = (tuple, list, set, frozenset)

# The same text as in the code: comparing a name of a field is looking at one pointer then.
_NAMES = {name: name for name in FIELD_ORDER}


def pack(loaded: Loaded, before: Ruleset | None = None) -> Iterator[bytes]:
    """The pieces, in the order in which they have to be taken.

    Rules that say the same as in `before`, which the other process has too, are told by their place there.
    """
    out = io.BytesIO()
    pickler = _pickler(out)
    writing = _Writing(before)
    if before is not None and before.rules:
        loaded.ruleset = with_known_rules(loaded.ruleset, before)
    for one in _in_order(loaded, writing):
        pickler.dump(one)
        yield out.getvalue()
        out.seek(0)
        out.truncate()


class Unpacking:
    """Takes the pieces one after the other; `loaded` is there after the last one."""

    def __init__(self, before: Ruleset | None = None) -> None:
        self.loaded: Loaded | None = None
        self._reading = _Reading(before)
        self._piece = io.BytesIO()
        # One for all: it remembers what was in earlier pieces. They come from our own child.
        self._unpickler = Unpickler(self._piece)  # noqa: S301 - from nowhere else

    def take(self, piece: bytes) -> None:
        """The next piece."""
        self._piece.seek(0)
        self._piece.truncate()
        self._piece.write(piece)
        self._piece.seek(0)
        kind, found = self._unpickler.load()
        if kind == "rules":
            self._reading.take(found)
        elif kind == "all":
            ruleset, rest = found
            if not rest["fatal"]:  # of rules that are known already: lines move
                self._reading.move()
            self.loaded = Loaded(Ruleset(tuple(self._reading.rules), **ruleset), **rest)
            self._reading = _Reading(None)


def _in_order(loaded: Loaded, writing: _Writing) -> Iterator[tuple[str, object]]:
    """Long things first, so that what holds them only has to say which they are."""
    rules = loaded.ruleset
    for holder in (*rules.lists, *rules.outbounds, rules.settings, loaded):
        yield from _long(holder)
    for row in _rows(rules.rules):
        for rule in row:
            for field in rule.fields:
                if not isinstance(field, Network):
                    yield from _long(field)
        yield "rules", writing.row(row)
    yield "all", (_beside_rules(rules), _beside_ruleset(loaded))


def _beside_rules(rules: Ruleset) -> dict[str, object]:
    names = ("outbounds", "settings", "schedules", "throttles", "lists", "has_main")
    return {name: getattr(rules, name) for name in names}


def _beside_ruleset(loaded: Loaded) -> dict[str, object]:
    return {name: getattr(loaded, name) for name in ("diagnostics", "skipped", "fatal", "blocked_skip", "paths")}


def _rows(rules: Iterable[Rule]) -> Iterator[tuple[Rule, ...]]:
    row: list[Rule] = []
    weight = 0
    for rule in rules:
        row.append(rule)
        weight += 5 + sum([3 + len(field.values) for field in rule.fields])
        if weight > PIECE:
            yield tuple(row)
            row, weight = [], 0
    yield tuple(row)


def _long(holder: object) -> Iterator[tuple[str, object]]:
    """The items of every long container in the attributes of an object, and one level below."""
    waiting = [getattr(holder, name) for name in _slots(type(holder))]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, CONTAINERS) and len(value) > PIECE // 2:
            items = list(value)
            for start in range(0, len(items), PIECE // 2):
                yield "", items[start : start + PIECE // 2]
        elif value is not None and not isinstance(value, Ruleset):
            waiting.extend([getattr(value, name) for name in _slots(type(value))])


_known_slots: dict[type, tuple[str, ...]] = {}


def _slots(kind: type) -> tuple[str, ...]:
    """The attributes of a slotted class and of those it is made from; none of any other."""
    found = _known_slots.get(kind)
    if found is None:
        found = tuple([name for one in kind.__mro__ for name in one.__dict__.get("__slots__", ())])
        _known_slots[kind] = found
    return found


def _pickler(out: io.BytesIO) -> Any:
    import pickle

    class Slotted(pickle.Pickler):
        """Slotted objects as the values of their slots: half the bytes and half the time of pickle's own way."""

        def reducer_override(self, one: object) -> Any:
            kind = type(one)
            if kind.__module__.startswith("netpolicy.") and _slots(kind):
                return _made, (kind, *[getattr(one, name) for name in _slots(kind)])
            return NotImplemented

    return Slotted(out, pickle.HIGHEST_PROTOCOL)


# In the place of a rule's place among those of before.
NEW = -1


class _Writing:
    """Rules as one long row of plain values.

    What pickle makes of an object it remembers, with all that the object was made from: as much again as
    the rules themselves, between them, which leaves holes in the memory of the daemon when it is freed.
    """

    def __init__(self, before: Ruleset | None) -> None:
        self._before = before  # holds the objects whose numbers those are
        self._places = {id(rule): place for place, rule in enumerate(before.rules)} if before is not None else {}
        self._networks: dict[int, int] = {}  # what several rules share is written once

    def row(self, rules: Iterable[Rule]) -> list[object]:
        found: list[object] = []
        for rule in rules:
            place = self._places.get(id(rule), NEW)
            found += (place, *rule.place)
            if place == NEW:
                title = "" if rule.title is rule.name or rule.title == rule.name else rule.title
                found += (rule.name, title, rule.priority, rule.action, rule.when, rule.disable, rule.enabled)
                found.append(len(rule.fields))
                for field in rule.fields:
                    found += self._field(field)
        return found

    def _field(self, field: Field) -> tuple[object, ...]:
        if not isinstance(field, Network):
            return (field,)
        known = self._networks.get(id(field))
        if known is not None:
            return (known,)
        self._networks[id(field)] = len(self._networks)
        return field.name, field.family, field.low, field.high


class _Reading:
    """The same rows, read: `rules` are those so far."""

    def __init__(self, before: Ruleset | None) -> None:
        self.rules: list[Rule] = []
        self._known = before.rules if before is not None else ()
        self._moved: list[tuple[Rule, str, int]] = []
        self._networks: list[Network] = []

    def take(self, row: list[Any]) -> None:
        """The next row."""
        values = iter(row)
        following = values.__next__
        for place in values:
            file, line = following(), following()
            if place != NEW:
                rule = self._known[place]
                if rule.place != (file, line):
                    self._moved.append((rule, file, line))
            else:
                rule = self._rule(following)
                rule.move(file, line)
            self.rules.append(rule)
        row.clear()  # who unpickled it remembers it

    def move(self) -> None:
        """Rules that are known already say where they stand now."""
        for rule, file, line in self._moved:
            rule.move(file, line)

    def _rule(self, following: Callable[[], Any]) -> Rule:
        name, title, priority, action = following(), following(), following(), following()
        when, disable, enabled = following(), following(), following()
        fields = tuple([self._field(following) for _ in range(following())])
        return Rule(name, priority, fields, action, when, disable, enabled, title)

    def _field(self, following: Callable[[], Any]) -> Field:
        first = following()
        if isinstance(first, int):
            return self._networks[first]
        if not isinstance(first, str):
            assert isinstance(first, Field)
            return first
        network = Network(_NAMES[first], following(), following(), following())
        self._networks.append(network)
        return network


def _made(kind: type[object], *values: object) -> object:
    one = object.__new__(kind)
    for name, value in zip(_slots(kind), values, strict=True):
        setattr(one, name, _NAMES.get(value, value) if name == "name" else value)  # type: ignore[call-overload]
    return one
