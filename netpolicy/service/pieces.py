"""A loaded configuration as a row of small byte strings, and back: how it comes from another process.

Only between a process and its own child, never from a file or the network: it is pickle. No piece
takes longer than some milliseconds to make or to take, and objects that are shared stay shared.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Iterator
from typing import Any

from netpolicy.config.assemble import Loaded
from netpolicy.core.field import FIELD_ORDER
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
    pickler = _Pickler(out, pickle.HIGHEST_PROTOCOL)
    if before is not None and before.rules:
        loaded.ruleset = with_known_rules(loaded.ruleset, before)
        pickler = _KnowingPickler(out, before)
    for one in _in_order(loaded):
        pickler.dump(one)
        yield out.getvalue()
        out.seek(0)
        out.truncate()


class Unpacking:
    """Takes the pieces one after the other; `loaded` is there after the last one."""

    def __init__(self, before: Ruleset | None = None) -> None:
        self.loaded: Loaded | None = None
        self._rules: list[Rule] = []
        self._places: list[tuple[str, int]] = []
        self._piece = io.BytesIO()
        # One for all: it remembers what was in earlier pieces. They come from our own child.
        self._unpickler = _Unpickler(self._piece, before.rules if before is not None else ())

    def take(self, piece: bytes) -> None:
        """The next piece."""
        self._piece.seek(0)
        self._piece.truncate()
        self._piece.write(piece)
        self._piece.seek(0)
        kind, found = self._unpickler.load()
        if kind == "rules":
            self._rules.extend(found[0])
            self._places.extend(found[1])
        elif kind == "all":
            ruleset, rest = found
            if not rest["fatal"]:  # of rules that are known already: lines move
                for rule, place in zip(self._rules, self._places, strict=True):
                    rule.move(*place)
            self.loaded = Loaded(Ruleset(tuple(self._rules), **ruleset), **rest)
            self._rules, self._places = [], []


def _in_order(loaded: Loaded) -> Iterator[tuple[str, object]]:
    """Long things first, so that what holds them only has to say which they are."""
    rules = loaded.ruleset
    for holder in (*rules.lists, *rules.outbounds, rules.settings, loaded):
        yield from _long(holder)
    for row in _rows(rules.rules):
        for rule in row:
            for field in rule.fields:
                yield from _long(field)
        yield "rules", (row, tuple([rule.place for rule in row]))
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


class _Pickler(pickle.Pickler):
    """Slotted objects as the values of their slots: half the bytes and half the time of pickle's own way."""

    def reducer_override(self, one: object) -> Any:
        kind = type(one)
        if kind.__module__.startswith("netpolicy.") and _slots(kind):
            return _made, (kind, *[getattr(one, name) for name in _slots(kind)])
        return NotImplemented


class _KnowingPickler(_Pickler):
    """Rules of a rule set that both processes have are their places in it."""

    def __init__(self, out: io.BytesIO, before: Ruleset) -> None:
        super().__init__(out, pickle.HIGHEST_PROTOCOL)
        self._places = {id(rule): place for place, rule in enumerate(before.rules)}
        self._before = before  # holds the objects whose numbers those are

    def persistent_id(self, one: object) -> int | None:
        return self._places.get(id(one)) if isinstance(one, Rule) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, piece: io.BytesIO, known: tuple[Rule, ...]) -> None:
        super().__init__(piece)
        self._known = known

    def persistent_load(self, place: int) -> Rule:
        return self._known[place]


def _made(kind: type[object], *values: object) -> object:
    one = object.__new__(kind)
    for name, value in zip(_slots(kind), values, strict=True):
        setattr(one, name, _NAMES.get(value, value) if name == "name" else value)  # type: ignore[call-overload]
    return one
