"""What one rule set says otherwise than another, by names, for people and for programs.

Pure; O(rules), and next to nothing for rules that are the same objects (reuse.py). Says what changed, never what it
means: that is risk.py. No secret comes out: free texts are redacted, keys and passwords are in no rule set.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from netpolicy.config.schema import SECTIONS
from netpolicy.config.source import Section
from netpolicy.config.unload import to_sections
from netpolicy.core.address import V4, V6
from netpolicy.core.domain import DomainSet
from netpolicy.core.model import BLOCK, FALLBACK, ROUTES, THROTTLE, Rule, Ruleset
from netpolicy.core.named_list import NamedList
from netpolicy.core.web_address import parse_web_address
from netpolicy.observe.redact import redact
from netpolicy.service.reuse import says_the_same

ADDED, REMOVED, CHANGED, MOVED = "added", "removed", "changed", "moved"
SETTINGS, OUTBOUND, SCHEDULE, THROTTLE_PROFILE, LIST, RULE = (
    "settings", "outbound", "schedule", "throttle", "list", "rule",
)  # fmt: skip

ORDER = "order"  # the detail of what stands at another place
CONTENT = "content"  # the detail of a list whose file holds something else
ACTIONS = (*ROUTES, BLOCK, THROTTLE)  # options of a rule that are shown as one: action

# Of these the order means something.
ORDERED = (RULE, OUTBOUND)

# What people write freely; everything else is of a narrow form.
FREE = ("name", "server", "probe", "key", "node", "file", "ruleset")

LONGEST = 400  # characters of a value in a detail
SHOWN_VALUES = 3  # that came or went, in a line of text
WIDTH = 80
MOST_LINES = 200

Key = tuple[str, int]

MARKS = {ADDED: "+", REMOVED: "-", CHANGED: "~", MOVED: "~"}

Told = Mapping[str, tuple[str, ...]]  # values by option


@dataclass(frozen=True, slots=True)
class Detail:
    """One option: as it was and as it is, "" where it is not written. `gist`: the same for a line of text."""

    field: str
    before: str
    after: str
    gist: str

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        return {"field": self.field, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class Difference:
    """One part of the configuration that differs. `change`: added, removed, changed or moved (nothing else of it)."""

    kind: str
    name: str
    change: str
    details: tuple[Detail, ...] = ()
    summary: str = ""  # of what was added or removed

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        details = [detail.as_dict() for detail in self.details]
        return {"kind": self.kind, "name": self.name, "change": self.change, "details": details}

    def changes(self, *fields: str) -> bool:
        """Whether one of these options differs."""
        return any(detail.field in fields for detail in self.details)


def differences(before: Ruleset, after: Ruleset) -> list[Difference]:
    """Everything that the two say otherwise, settings first, then in the order of the new one; empty when equal."""
    found = _of_settings(before, after)
    for kind, old, new in (
        (OUTBOUND, before.outbounds, after.outbounds),
        (SCHEDULE, before.schedules, after.schedules),
        (THROTTLE_PROFILE, before.throttles, after.throttles),
        (LIST, before.lists, after.lists),
        (RULE, before.rules, after.rules),
    ):
        if old is not new:
            found.extend(_of_kind(kind, old, new))
    return found


def in_lines(found: Sequence[Difference], width: int = WIDTH, limit: int = MOST_LINES) -> list[str]:
    """One line for each difference, more for one of many options; none wider than asked."""
    lines = [line for difference in found[:limit] for line in _lines_of(difference, width)]
    if len(found) > limit or len(lines) > limit:
        shown = lines[: limit - 1]
        heads = sum(not line.startswith(" ") for line in shown)
        return [*shown, f"… and {len(found) - heads} more"] if len(found) > heads else [*shown, "…"]
    return lines


# -- comparing -------------------------------------------------------------------------------


def _of_settings(before: Ruleset, after: Ruleset) -> list[Difference]:
    old, new = (to_sections(Ruleset(settings=one.settings, has_main=one.has_main)) for one in (before, after))
    change = CHANGED if before.has_main == after.has_main else ADDED if after.has_main else REMOVED
    details = _details("netpolicy", _told(old[0]) if old else {}, _told(new[0]) if new else {})
    if not details:
        return []
    return [Difference(SETTINGS, "main", change, details, ", ".join([_phrase(one, change) for one in details]))]


def _of_kind(kind: str, old: Sequence[Any], new: Sequence[Any]) -> list[Difference]:
    known, fresh = _by_name(old), _by_name(new)
    other = [key for key, place in fresh.items() if key in known and not _same(old[known[key]], new[place])]
    moved = _moved([known[key] for key in fresh if key in known]) if kind in ORDERED else set()
    gone = [key for key in known if key not in fresh]
    was = _all_told(kind, old, known, (*gone, *other))
    now = _all_told(kind, new, fresh, (*[key for key in fresh if key not in known], *other))
    found = [_whole(kind, key, REMOVED, was[key]) for key in gone]
    for key, place in fresh.items():
        if key not in known:
            found.append(_whole(kind, key, ADDED, now[key]))
            continue
        details = _details(kind, was[key], now[key]) if key in now else ()
        if kind == LIST and key in now:
            details += _content(old[known[key]], new[place], details)
        if known[key] in moved:
            order = Detail(
                ORDER, str(known[key] + 1), str(place + 1), f"moved from place {known[key] + 1} to {place + 1}"
            )
            found.append(Difference(kind, key[0], CHANGED if details else MOVED, (*details, order)))
        elif details:
            found.append(Difference(kind, key[0], CHANGED, details))
    return found


def _by_name(records: Sequence[Any]) -> dict[Key, int]:
    """Places by name; of a name that stands twice by its count too, which no good configuration needs."""
    found = {(record.name, 0): place for place, record in enumerate(records)}
    if len(found) == len(records):
        return found
    found = {}
    for place, record in enumerate(records):
        count = 0
        while (record.name, count) in found:
            count += 1
        found[record.name, count] = place
    return found


def _same(old: Any, new: Any) -> bool:
    """Certain where it says so; where not, the options are compared."""
    return old is new or (isinstance(old, Rule) and says_the_same(new, old, set()))


def _moved(places: Sequence[int]) -> set[int]:
    """Of old places in the new order those that moved: as few as possible."""
    if all(left < right for left, right in pairwise(places)):
        return set()
    tails: list[int] = []
    tails_at: list[int] = []
    above = [-1] * len(places)
    for at, place in enumerate(places):
        where = bisect_left(tails, place)
        above[at] = tails_at[where - 1] if where else -1
        tails[where : where + 1] = [place]
        tails_at[where : where + 1] = [at]
    stay = set()
    at = tails_at[-1]
    while at >= 0:
        stay.add(places[at])
        at = above[at]
    return set(places) - stay


def _all_told(kind: str, records: Sequence[Any], places: Mapping[Key, int], keys: Sequence[Key]) -> dict[Key, Told]:
    """What the records of those keys say."""
    wanted = tuple([records[places[key]] for key in keys])
    holder = {
        OUTBOUND: "outbounds", SCHEDULE: "schedules", THROTTLE_PROFILE: "throttles", LIST: "lists", RULE: "rules",
    }[kind]  # fmt: skip
    arguments: dict[str, Any] = {holder: wanted}
    return {key: _told(section) for key, section in zip(keys, to_sections(Ruleset(**arguments)), strict=True)}


def _told(section: Section) -> Told:
    found = {option.name: option.values for option in section.options}
    action = [name for name in ACTIONS if name in found] if section.type == RULE else []
    if action:
        words = [_action(name, found.pop(name)) for name in action]
        found["action"] = (" ".join(words),)
    return found


def _action(name: str, values: tuple[str, ...]) -> str:
    if name == BLOCK:
        return name if values == ("1",) else f"{name} {values[0]}"
    return f"{name} {','.join(values) if name == FALLBACK else values[0]}"


def _details(kind: str, old: Told, new: Told) -> tuple[Detail, ...]:
    names = [name for name in (*SECTIONS[kind].order, "action") if old.get(name, ()) != new.get(name, ())]
    return tuple([_detail(kind, name, old.get(name, ()), new.get(name, ())) for name in names])


def _detail(kind: str, name: str, old: tuple[str, ...], new: tuple[str, ...]) -> Detail:
    before, after = _shown(name, old), _shown(name, new)
    if len(old) > 1 or len(new) > 1:
        gist = f"{name} {_came_and_went(name, old, new)}"
    else:
        spec = SECTIONS[kind].options.get(name)
        unset = (spec.default if spec else "") or "–"
        gist = f"{name} {before or unset} → {after or unset}"
    return Detail(name, before, after, gist)


def _came_and_went(name: str, old: tuple[str, ...], new: tuple[str, ...]) -> str:
    had, has = set(old), set(new)
    parts = []
    for mark, values in (("+", [one for one in new if one not in had]), ("-", [one for one in old if one not in has])):
        parts += [mark + _clean(name, one) for one in values[:SHOWN_VALUES]]
        if len(values) > SHOWN_VALUES:
            parts.append(f"{mark}({len(values) - SHOWN_VALUES} more)")
    return " ".join(parts) or "in another order"


def _shown(name: str, values: tuple[str, ...]) -> str:
    text = ", ".join([_clean(name, value) for value in values[: LONGEST // 2]])
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(values)} values)"


def _clean(name: str, value: str) -> str:
    if name == "url":  # of one that is in a rule set: it can be read
        return parse_web_address(value).shown
    return redact(value, LONGEST) if name in FREE else value


def _content(old: NamedList, new: NamedList, details: tuple[Detail, ...]) -> tuple[Detail, ...]:
    """What the files of a list hold, by numbers: it may be a hundred thousand networks."""
    if not new.is_open and any(detail.field == "entry" for detail in details):
        return ()  # that says it all
    if all(old.ranges[family] == new.ranges[family] for family in (V4, V6)) and _same_names(old.names, new.names):
        return ()
    before, after = _counted(old), _counted(new)
    gist = f"holds {before} → {after}" if before != after else f"holds others: {after}"
    return (Detail(CONTENT, before, after, gist),)


def _same_names(old: DomainSet, new: DomainSet) -> bool:
    if old is new:
        return True
    left, right = old.parts(), new.parts()
    if len(left) != len(right):
        return False
    for one, other in zip(left, right, strict=True):
        for mine, others in ((one.suffix, other.suffix), (one.exact, other.exact), (one.under, other.under)):
            if len(mine) != len(others) or any(name not in others for name in mine):
                return False
        if [pattern.text for pattern in one.others] != [pattern.text for pattern in other.others]:
            return False
    return True


def _counted(named: NamedList) -> str:
    addresses = len(named.ranges[V4]) + len(named.ranges[V6])
    names = sum([len(one.suffix) + len(one.exact) + len(one.under) + len(one.others) for one in named.names.parts()])
    return f"{addresses} networks, {names} names"


# -- words -----------------------------------------------------------------------------------


def _whole(kind: str, key: Key, change: str, told: Told) -> Difference:
    details = _details(kind, told, {}) if change == REMOVED else _details(kind, {}, told)
    return Difference(kind, key[0], change, details, _summary(kind, told))


def _summary(kind: str, told: Told) -> str:
    """The action or type first, then what narrows it: "route vpn, tcp/443, src_iface lan"."""
    rest = dict(told)
    first = ["disabled"] if rest.pop("enabled", ()) == ("0",) and kind == RULE else []
    first += [" ".join(_values(name, rest.pop(name))) for name in ("action", "type") if name in rest]
    if kind == RULE:
        first += [f"on_fail {one}" for one in rest.pop("on_fail", ())]
    if "proto" in rest and "dest_port" in rest:
        first.append(",".join(_values("proto", rest.pop("proto"))) + "/" + ",".join(_values("", rest.pop("dest_port"))))
    if rest.pop("any", ()):
        first.append("any")
    quiet = ("priority", "name", "log", "notify")
    names = [*[name for name in rest if name not in quiet], *[name for name in quiet if name in rest]]
    return ", ".join([*first, *[f"{name} {','.join(_values(name, rest[name]))}" for name in names]])


def _values(name: str, values: tuple[str, ...]) -> Iterable[str]:
    shown = [_clean(name, value) for value in values[:SHOWN_VALUES]]
    return [*shown, f"({len(values) - SHOWN_VALUES} more)"] if len(values) > SHOWN_VALUES else shown


def _phrase(detail: Detail, change: str) -> str:
    return f"{detail.field} {detail.before if change == REMOVED else detail.after}"


def _lines_of(difference: Difference, width: int) -> list[str]:
    head = f"{MARKS[difference.change]} {difference.kind}"
    head += "" if difference.kind == SETTINGS else f" {_plain(difference.name)}"
    if difference.change in (ADDED, REMOVED):
        return [_clipped(head, difference.summary, width)]
    gists = [_plain(detail.gist) for detail in difference.details]
    one = f"{head}: {', '.join(gists)}"
    if len(one) <= width:
        return [one]
    return [_cut(head + ":", width), *[_cut("    " + gist, width) for gist in gists]]


def _clipped(head: str, summary: str, width: int) -> str:
    whole = f"{head} ({_plain(summary)})" if summary else head
    return whole if len(whole) <= width else whole[: width - 3].rstrip(" ,") + " …)"


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"


def _plain(text: str) -> str:
    return "".join([c if c.isprintable() else " " for c in text])
