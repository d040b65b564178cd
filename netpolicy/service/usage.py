"""When each rule took its last connection, and since when it is in force: what counters alone do not say.

Told of the counters now and then, compares them with those of before. Never writes its file more often
than once an hour, never takes counters that began anew, or what an earlier process counted, for hits. One
small number each, in arrays: ten thousand rules must fit into a router.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from zlib import crc32

from netpolicy.core.model import Rule
from netpolicy.service import files
from netpolicy.service.standing import ENFORCED

FILE = "usage.json"
LIMIT = 2 << 20  # bytes: ten thousand rules with long names

# Flash wears out, and a last hit that is an hour older than it was misleads nobody.
SAVE_SECONDS = 3600.0

# A router without a battery begins in 1970: no time is noted before it asked somebody.
CLOCK_IS_SET = 1_700_000_000.0

DAY_SECONDS = 86_400.0

Counters = Mapping[str, tuple[int, int]]  # packets and bytes of first packets, by rule
NO_PACKETS = (0, 0)
NOTHING_OLDER: Mapping[str, int] = {}


class Use(NamedTuple):
    """Of one rule, in seconds since the epoch; None: not known, or never."""

    last_hit: float | None
    in_force_since: float | None

    def is_unused(self, now: float, days: float) -> bool:
        """Whether it was in force for so many days and took no connection in them."""
        if self.in_force_since is None:
            return False
        return now - max(self.in_force_since, self.last_hit or 0.0) >= days * DAY_SECONDS


NOTHING_KNOWN = Use(None, None)

Row = tuple[int, int, float, float]  # the number of its match, its packets, since when in force, the last hit


class Usage:
    """One engine's rules. Positions are those of the rules in the file.

    `note` may run in a worker while `of` is asked: arrays are exchanged whole.
    """

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, FILE)
        self._now: tuple[tuple[Rule, ...], _Table] = ((), _Table(0))  # exchanged together
        self._is_first = True  # nothing was noted in this process
        self._saved_at = 0.0
        self._is_new = False  # there is something that the file does not say

    def of(self, position: int, rule: Rule) -> Use:
        """The use of this rule, which stands at that place of the file."""
        rules, table = self._now
        if position >= len(rules) or rules[position] is not rule:
            return NOTHING_KNOWN  # it came with a reload a moment ago
        return Use(table.last[position] or None, table.since[position] or None)

    def note(
        self,
        rules: tuple[Rule, ...],
        standing: Mapping[str, str],
        counters: Counters,
        now: float,
        older: Mapping[str, int] = NOTHING_OLDER,
    ) -> None:
        """These rules hold now, and this is what they took so far. O(rules). No times while the clock is not set.

        `older`: what rules had counted before this process, in packets; those that are not in it began at nothing.
        """
        if self._is_first or rules is not self._now[0]:
            self._take_over(rules, older)
        table, is_set = self._now[1], now >= CLOCK_IS_SET
        for position, rule in enumerate(rules):
            if is_set and not table.since[position] and standing.get(rule.name) == ENFORCED:
                table.since[position] = now
                self._is_new = True
            packets = counters.get(rule.name, NO_PACKETS)[0]
            if packets == table.packets[position]:
                continue
            self._is_new = True
            table.packets[position] = packets
            # Fewer than before: they began anew, and what they say now came since then.
            if packets and is_set:
                table.last[position] = now

    def save(self, now: float) -> None:
        """Writes the file where there is something new and the last time is an hour ago. Raises OSError."""
        if not 0 <= now - self._saved_at < SAVE_SECONDS:
            self.save_now(now)

    def save_now(self, now: float) -> None:
        """Writes the file where there is something new: at the end of the process. Raises OSError."""
        if self._is_new and now >= CLOCK_IS_SET:
            files.replace(self._path, _text(*self._now))
            self._is_new = False
            self._saved_at = now

    def _take_over(self, rules: tuple[Rule, ...], older: Mapping[str, int]) -> None:
        """Other rules: what is known of those that were there stays."""
        is_first, self._is_first = self._is_first, False
        known = _read(self._path) if is_first else self._known()
        if is_first:
            self._saved_at = _written_at(self._path)  # a daemon that starts again and again wears out no flash
        table = _Table(len(rules))
        for position, rule in enumerate(rules):
            table.prints[position] = crc32(rule.match_text.encode())
            table.packets[position] = began = older.get(rule.name, 0)
            before = known.get(rule.name)
            if before is None:
                continue
            if not is_first or began >= before[1]:  # else its counter is another by now
                table.packets[position] = before[1]
            if before[0] == table.prints[position]:  # another match is another rule
                table.since[position], table.last[position] = before[2], before[3]
        self._now, self._is_new = (rules, table), True

    def _known(self) -> dict[str, Row]:
        rules, table = self._now
        return {rule.name: table.row(position) for position, rule in enumerate(rules)}


class _Table:
    """A column for each thing that is known of a rule."""

    __slots__ = ("last", "packets", "prints", "since")

    def __init__(self, size: int) -> None:
        self.prints = array("I", bytes(4 * size))  # of the match
        self.packets = array("Q", bytes(8 * size))
        self.since = array("d", bytes(8 * size))  # 0: never in force
        self.last = array("d", bytes(8 * size))  # 0: never

    def row(self, position: int) -> Row:
        return self.prints[position], self.packets[position], self.since[position], self.last[position]


def _text(rules: Sequence[Rule], table: _Table) -> str:
    rows = {rule.name: [*table.row(position)[:2], *map(int, table.row(position)[2:])]
            for position, rule in enumerate(rules)}  # fmt: skip
    return json.dumps(rows, separators=(",", ":")) + "\n"


def _read(path: str) -> dict[str, Row]:
    """What the last process knew; nothing where there is no file, or none of ours."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.loads(file.read(LIMIT))
    except (OSError, ValueError, RecursionError):
        return {}
    rows = found.items() if isinstance(found, dict) else ()
    return {str(name): (row[0], row[1], float(row[2]), float(row[3])) for name, row in rows if _is_row(row)}


def _written_at(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _is_row(row: object) -> bool:
    if not isinstance(row, list) or len(row) != 4 or not all(type(value) is int and value >= 0 for value in row):
        return False
    return bool(row[0] < 1 << 32 and row[1] < 1 << 64 and max(row[2:]) < 1 << 40)
