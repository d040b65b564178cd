"""How dangerous a change is: whom it may lock out, what it opens that was closed; and how long it waits for a word.

Pure, by looks: it sees rules, not packets, and rather warns too often (the rehearsal sends packets). Never forbids
anything: the class asks for a window in which somebody has to confirm.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netpolicy.core.model import BLOCK, BUILT_IN_OUTBOUNDS, DIRECT, ROUTER_ITSELF, ROUTES, SWITCH_ROUTE, Rule, Ruleset
from netpolicy.service.reach import comes_in_by, is_apart, is_from_many, is_to_anything, is_wider
from netpolicy.service.rule_difference import (
    ADDED,
    CHANGED,
    LIST,
    MOVED,
    OUTBOUND,
    REMOVED,
    RULE,
    SCHEDULE,
    SETTINGS,
    Difference,
    differences,
)

NONE, LOW, MEDIUM, HIGH = "none", "low", "medium", "high"
LEVELS = (NONE, LOW, MEDIUM, HIGH)

# Seconds in which a change has to be confirmed. High: somebody may have to walk to another machine.
WINDOWS = {NONE: 0, LOW: 120, MEDIUM: 120, HIGH: 300}

# Settings that decide for all traffic, or where everything of ours lies.
GENERAL = {
    "enabled": "all rules come into force, or none is any more",
    "mode": "all rules come into force, or none is any more",
    "default": "all traffic that no rule matches goes another way",
    "primary": "another line decides which rules count",
    "fwmark_mask": "every mark of ours changes",
    "table_base": "every routing table of ours changes its number",
    "rule_priority": "our ip rules move among those of others",
}
GUARDING = {
    "confirm": "later changes wait another time for confirmation",
    "assert": "what later changes are held against",
}

# Options of an outbound that say where its traffic goes.
LEADING = ("type", "interface", "table", "gateway", "gateway6", "member", "strategy", "node", "server", "key")
QUIET = ("name", "log", "notify", "weight", "probe")

FEW = 4  # up to here "more than half of the rules" says nothing
MOST_PAIRS = 50_000  # rules that are held against each other; beyond it "may" is said without a look
MOST_REASONS = 20  # of one class


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, in words; `level` is that of this reason alone."""

    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Risk:
    """The class of a change: none (nothing changes), low, medium or high. Reasons: the gravest first."""

    level: str
    reasons: tuple[Reason, ...] = ()

    @property
    def window(self) -> int:
        """The seconds in which it asks to be confirmed."""
        return WINDOWS[self.level]

    def as_dict(self) -> dict[str, object]:
        """For doors."""
        reasons = [{"level": reason.level, "text": reason.text} for reason in self.reasons]
        return {"level": self.level, "window": self.window, "reasons": reasons}


def assess(before: Ruleset, after: Ruleset, found: Sequence[Difference] | None = None) -> Risk:
    """The risk of going from one rule set to another. `found`: their `differences`, where they are known."""
    found = differences(before, after) if found is None else found
    if not found:
        return Risk(NONE)
    reasons = list(dict.fromkeys(_Change(before, after, found).reasons()))
    kept: list[Reason] = []
    for level in reversed(LEVELS):
        those = [reason for reason in reasons if reason.level == level]
        kept += those[:MOST_REASONS]
        if len(those) > MOST_REASONS:
            kept.append(Reason(level, f"and {len(those) - MOST_REASONS} more of that kind"))
    return Risk(kept[0].level if kept else LOW, tuple(kept))


class _Change:
    """One change and all that is asked of it."""

    def __init__(self, before: Ruleset, after: Ruleset, found: Sequence[Difference]) -> None:
        self.before = before
        self.after = after
        self.found = found
        self.rules = [one for one in found if one.kind == RULE]
        self.old = {rule.name: rule for rule in before.rules}
        self.new = {rule.name: rule for rule in after.rules}

    def reasons(self) -> Iterator[Reason]:
        yield from self._of_settings()
        yield from self._of_number()
        yield from self._of_new_rules()
        yield from self._of_old_rules()
        yield from self._of_order()
        yield from self._of_way_past()
        yield from self._of_outbounds()
        yield from self._of_seals()
        yield from self._of_parts()

    def _of_settings(self) -> Iterator[Reason]:
        for one in self.found:
            for detail in one.details if one.kind == SETTINGS else ():
                if detail.field in GENERAL:
                    yield Reason(HIGH, f"{detail.gist}: {GENERAL[detail.field]}")
                elif detail.field in GUARDING:
                    yield Reason(MEDIUM, f"{detail.gist}: {GUARDING[detail.field]}")
        name = self.after.settings.default
        if _leads_to_block(self.after, name) and not _leads_to_block(self.before, self.before.settings.default):
            yield Reason(HIGH, f"the default {name} blocks everything that no rule matches")

    def _of_number(self) -> Iterator[Reason]:
        count = max(len(self.old), len(self.new))
        if self.old and not self.new:
            yield Reason(HIGH, "every rule is removed")
        elif len(self.rules) * 2 > count > FEW:
            yield Reason(HIGH, f"{min(len(self.rules), count)} of {count} rules change: more than half")

    # -- what is there now -----------------------------------------------------------------

    def _of_new_rules(self) -> Iterator[Reason]:
        for rule in self._touched():
            if not rule.enabled:
                continue
            if ROUTER_ITSELF in comes_in_by(rule):
                yield Reason(HIGH, f"rule {rule.name} decides for the router's own connections: {rule.action.text}")
            if self.after.blocks(rule):
                yield from self._of_block(rule)
            elif rule.action.kind in ROUTES:
                yield from self._of_route(rule)

    def _touched(self) -> Iterator[Rule]:
        """Rules that decide otherwise now, also because a list that they name does."""
        names = {
            one.name for one in self.rules if one.change == ADDED or (one.change == CHANGED and not _is_quiet(one))
        }
        lists = {one.name for one in self.found if one.kind == LIST and one.change == CHANGED}
        for rule in self.after.rules:
            if rule.name in names or _asked(rule, lists, LIST):
                yield rule

    def _of_block(self, rule: Rule) -> Iterator[Reason]:
        lines = {one.interface: one.name for one in self.after.outbounds if one.interface}
        for way in comes_in_by(rule):
            if way in lines:
                text = (
                    f"rule {rule.name} blocks what comes in by {lines[way]}: administration from outside, port forwards"
                )
                yield Reason(HIGH, text)
        many, anything = is_from_many(rule), is_to_anything(rule)
        if many and anything:
            yield Reason(HIGH, f"rule {rule.name} blocks a whole network: {rule.match_text[:80]}")
        elif many or anything:
            what = "a service or destination for everybody" if many else "everything for some machines"
            yield Reason(MEDIUM, f"rule {rule.name} blocks {what}")

    def _of_route(self, rule: Rule) -> Iterator[Reason]:
        if rule.action.kind == SWITCH_ROUTE:
            yield Reason(MEDIUM, f"rule {rule.name} moves connections that are open")
        if is_from_many(rule) and is_to_anything(rule):
            own = "" if comes_in_by(rule) else ", the router's own connections too"
            yield Reason(MEDIUM, f"rule {rule.name} sends a whole network by {','.join(rule.action.targets)}{own}")
        if rule.action.on_fail == BLOCK:
            for name in {name for target in rule.action.targets for name in self.after.lines_of(target)}:
                if _needs_no_line(self.after, name) and name != BLOCK:
                    text = f"on_fail block of rule {rule.name} never has its turn: {name} is never down"
                    yield Reason(HIGH if self._was_tight(rule) else MEDIUM, text)

    def _was_tight(self, rule: Rule) -> bool:
        old = self.old.get(rule.name)
        return old is not None and _protects(self.before, old)

    # -- what is there no more -------------------------------------------------------------

    def _of_old_rules(self) -> Iterator[Reason]:
        for one in self.rules:
            old, new = self.old.get(one.name), self.new.get(one.name)
            if old is None or not old.enabled or one.change in (ADDED, MOVED) or _is_quiet(one):
                continue
            if _protects(self.before, old):
                yield from self._of_opened(old, new, HIGH, "a kill switch")
            elif self.before.blocks(old):
                yield from self._of_opened(old, new, MEDIUM, "a block")

    def _of_opened(self, old: Rule, new: Rule | None, level: str, what: str) -> Iterator[Reason]:
        if new is None or not new.enabled:
            gone = "removed" if new is None else "switched off"
            yield Reason(level, f"rule {old.name} is {gone}: it was {what}, what it stopped can pass")
        elif not _protects(self.after, new) and not self.after.blocks(new):
            yield Reason(level, f"rule {old.name} is {what} no more: {old.action.text} → {new.action.text}")
        elif (
            not is_wider(new, old) or new.priority < old.priority or (new.when, new.disable) != (old.when, old.disable)
        ):
            yield Reason(level, f"rule {old.name}, {what}, is for something else now: what it stopped may pass")

    def _of_order(self) -> Iterator[Reason]:
        moved = [one.name for one in self.rules if one.change == MOVED]
        if moved:
            some = ", ".join(moved[:3])
            yield Reason(MEDIUM, f"the order of the rules changes ({some}): of equals the first one wins")

    def _of_way_past(self) -> Iterator[Reason]:
        """New rules that take connections from one that is to stop them."""
        stopping = [rule for rule in self.after.deciding if rule.enabled and self._stops(rule)]
        if not stopping:
            return
        rank = {id(rule): place for place, rule in enumerate(self.after.deciding)}
        ranks = [rank[id(rule)] for rule in stopping]
        pairs = 0
        for rule in self._touched():
            if not rule.enabled or self._stops(rule) or rule.action.kind not in ROUTES:
                continue
            for other in stopping[bisect_right(ranks, rank[id(rule)]) :]:
                pairs += 1
                if pairs > MOST_PAIRS or not is_apart(rule, other):
                    text = f"rule {rule.name} comes before {other.name} and may take connections that it was to stop"
                    yield Reason(MEDIUM, text)
                    break

    def _stops(self, rule: Rule) -> bool:
        return self.after.blocks(rule) or _protects(self.after, rule)

    # -- what rules lead to ----------------------------------------------------------------

    def _of_outbounds(self) -> Iterator[Reason]:
        general = {*self.before.lines_of(self.before.settings.default), self.before.settings.default}
        general |= {self.before.settings.primary}
        for one in self.found:
            if one.kind != OUTBOUND or one.change == ADDED:
                continue
            if one.change == REMOVED:
                yield Reason(HIGH if one.name in general else MEDIUM, f"outbound {one.name} is removed")
            elif one.changes(*LEADING):
                words = ", ".join([detail.gist for detail in one.details if detail.field in LEADING])
                whose = ", and all other traffic goes by it" if one.name in general else ""
                yield Reason(HIGH if whose else MEDIUM, f"outbound {one.name} leads elsewhere ({words}){whose}")
            elif not all(detail.field in QUIET for detail in one.details):
                yield Reason(MEDIUM, f"outbound {one.name} treats its traffic otherwise")

    def _of_seals(self) -> Iterator[Reason]:
        """Lines out of which nothing could leak."""
        now = _sealed(self.after)
        led = {one.name for one in self.found if one.kind == OUTBOUND and one.changes(*LEADING)}
        for name in sorted(_sealed(self.before)):
            if self.after.outbound(name) is None:
                yield Reason(HIGH, f"outbound {name} was sealed and is removed: what was sealed is open")
            elif name not in now:
                yield Reason(HIGH, f"outbound {name} is sealed no more: no enabled rule with on_fail block leads to it")
            elif name in led:
                yield Reason(HIGH, f"outbound {name} is sealed and leads elsewhere: its old device is open")

    def _of_parts(self) -> Iterator[Reason]:
        """Lists and schedules that a stopping rule asks for."""
        changed = {
            kind: {one.name for one in self.found if one.kind == kind and one.change == CHANGED and not _is_quiet(one)}
            for kind in (LIST, SCHEDULE)
        }
        by: dict[tuple[str, str], str] = {}
        for rule in self.before.rules if any(changed.values()) else ():
            if rule.enabled and (self.before.blocks(rule) or _protects(self.before, rule)):
                for kind, names in changed.items():
                    for name in _asked(rule, names, kind):
                        by.setdefault((kind, name), rule.name)
        for (kind, name), stopping in by.items():
            yield Reason(MEDIUM, f"{kind} {name} changes, and rule {stopping} stops connections by it")


def _is_quiet(one: Difference) -> bool:
    return all(detail.field in QUIET for detail in one.details)


def _protects(ruleset: Ruleset, rule: Rule) -> bool:
    """Whether its connections end when its lines are down: a kill switch."""
    return rule.enabled and rule.action.kind in ROUTES and rule.action.on_fail == BLOCK and not ruleset.blocks(rule)


def _sealed(ruleset: Ruleset) -> set[str]:
    """The lines that enabled rules with on_fail block lead to."""
    if not ruleset.settings.enabled:
        return set()
    targets = {target for rule in ruleset.rules if _protects(ruleset, rule) for target in rule.action.targets}
    lines = {name for target in targets for name in ruleset.lines_of(target)}
    return {name for name in lines if not _needs_no_line(ruleset, name)}


def _needs_no_line(ruleset: Ruleset, name: str) -> bool:
    outbound = ruleset.outbound(name)
    return name in BUILT_IN_OUTBOUNDS or (outbound is not None and outbound.type in (DIRECT, BLOCK))


def _leads_to_block(ruleset: Ruleset, name: str) -> bool:
    outbound = ruleset.outbound(name)
    return name == BLOCK or (outbound is not None and outbound.type == BLOCK)


def _asked(rule: Rule, names: set[str], kind: str) -> list[str]:
    """Those of the lists or schedules that the rule asks for."""
    if not names:
        return []
    words = [(field.name, value.removeprefix("!")) for field in rule.fields for value in field.values]
    if kind == SCHEDULE:
        return [word for field, word in words if field == "schedule" and word in names]
    return [word[1:] for _, word in words if word.startswith("@") and word[1:] in names]
