"""Whether the names that settings, groups and rules use exist, and lead somewhere.

Looks at a finished rule set and says what is wrong; drops rules that lead nowhere, never
changes one. Runs on MicroPython.
"""

from netpolicy.config.diagnostic import Place
from netpolicy.config.rule import SUGGESTING
from netpolicy.config.schema import suggestion
from netpolicy.config.section import place_of
from netpolicy.config.source import Section
from netpolicy.config.value import is_name
from netpolicy.core.field_kind import Field, Words
from netpolicy.core.model import BLOCK, BUILT_IN_OUTBOUNDS, GROUP, ROUTES, Outbound, Rule, Ruleset

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.config.assemble import Assembly


MAX_DEPTH = 8  # groups in groups; every decision about one walks what is below it

LATER_TYPES = ("xray", "tunnel")  # not driven by this version


class References:
    """One check of one rule set; `dropped` are the names of rules that cannot be used."""

    def __init__(self, assembly: "Assembly", ruleset: Ruleset) -> None:
        self._assembly = assembly
        self._findings = assembly.findings
        self._ruleset = ruleset
        self._broken = assembly.broken["outbound"]
        self._sections: dict[tuple[str, int], Section] = {}
        self.dropped: list[str] = []
        known = tuple(sorted([outbound.name for outbound in ruleset.outbounds] + list(BUILT_IN_OUTBOUNDS)))
        self._is_full = bool(ruleset.outbounds or self._broken)  # else it is a file of rules alone
        self._throttles = tuple([one.name for one in ruleset.throttles])
        schedules = tuple([one.name for one in ruleset.schedules])
        self._names = {"outbound": known, "throttle": self._throttles, "schedule": schedules}
        self._defined = {("throttle", name) for name in self._throttles}
        self._defined.update(("schedule", name) for name in schedules)

    def check(self) -> None:
        """Report everything that is named and does not exist."""
        self._check_groups()
        self._check_types()
        if self._ruleset.has_main:
            for option in ("primary", "default"):
                self._check_setting(option, getattr(self._ruleset.settings, option))
            self._check_primary()
            self._check_default()
        for rule in self._ruleset.rules:
            if not self._is_usable(rule):
                self.dropped.append(rule.name)
        for section, file, name in self._assembly.broken_rules:
            self._check_broken(section, Place(file, section.line, section.column, name))

    def _exists(self, name: str) -> bool:
        if name in self._broken:
            return False
        return self._ruleset.outbound(name) is not None

    def _what_is_wrong(self, name: str) -> str:
        return "names an outbound that has errors" if name in self._broken else "is not an outbound"

    def _main_place(self, option: str) -> Place:
        main = self._assembly.main
        place = Place(self._assembly.files[0].file, main.line if main is not None else 0, 1)
        written = main.option(option) if main is not None else None
        return place if written is None else place_of(written, place, written.values[0])

    def _check_setting(self, option: str, name: str) -> None:
        if name and not self._exists(name):
            text = f"{option} {name!r} {self._what_is_wrong(name)}"
            self._assembly.break_off("NP205", self._main_place(option), text, self._advice("outbound", name)[0])

    def _check_primary(self) -> None:
        primary = self._ruleset.outbound(self._ruleset.settings.primary)
        if primary is not None and primary.type == GROUP:
            text = f"primary {primary.name!r} is a group: only a line has a health of its own"
            self._assembly.break_off("NP205", self._main_place("primary"), text, "name one of its members")

    def _check_default(self) -> None:
        """A default has no on_fail: who means it as a tunnel that must not leak has to know."""
        name = self._ruleset.settings.default
        outbound = self._ruleset.outbound(name)
        if outbound is None or outbound.type in BUILT_IN_OUTBOUNDS:
            return
        text = f"default {name!r}: while it is down, traffic without a rule goes by the main table"
        hint = f"where that must not be, add a last rule: any '1', route {name!r}, on_fail 'block'"
        self._findings.warning("NP211", self._main_place("default"), text, hint)

    def _advice(self, type: str, name: str) -> tuple[str, str]:
        """What to do about a name of nothing that can be used, and the name to write in its place, "" where unknown."""
        if name in self._assembly.broken[type]:
            return f"correct the {type} first", ""
        # After many mistakes nobody reads it, and it is dear.
        meant = suggestion(name, self._names[type]) if self._findings.errors < SUGGESTING else ""
        return f"did you mean {meant!r}?" if meant else f"define it: config {type} '{name}'", meant

    def _check_groups(self) -> None:
        """Members that do not exist, circles, and what leads to either. O(groups + members)."""
        groups = [outbound for outbound in self._ruleset.outbounds if outbound.type == GROUP]
        for group in groups:
            for name in group.member:
                if not self._exists(name):
                    self._report_member(group, name)
                    self._broken.add(group.name)
        for group in _in_circles(groups):
            text = f"the group {group.name!r} contains itself"
            self._findings.error("NP213", _position(group.position), text, "take it out of its members")
            self._broken.add(group.name)
        self._break_what_leads_there(groups)
        for group in _too_deep([one for one in groups if one.name not in self._broken]):
            text = f"groups are nested in group {group.name!r} more than {MAX_DEPTH} deep"
            self._findings.error("NP213", _position(group.position), text, "name the outbounds themselves")
            self._broken.add(group.name)

    def _check_types(self) -> None:
        for outbound in self._ruleset.outbounds:
            if outbound.type in LATER_TYPES:
                text = f"outbound {outbound.name!r}: type {outbound.type} is not driven yet"
                hint = "it counts as down: groups pass it over, a rule does what its on_fail says"
                self._findings.warning("NP207", _position(outbound.position), text, hint)

    def _break_what_leads_there(self, groups: "list[Outbound]") -> None:
        above: dict[str, list[Outbound]] = {}
        for group in groups:
            for name in group.member:
                above.setdefault(name, []).append(group)
        waiting = sorted(self._broken)
        while waiting:
            name = waiting.pop()
            for group in above.get(name, ()):
                if group.name not in self._broken:
                    self._report_member(group, name)
                    self._broken.add(group.name)
                    waiting.append(group.name)

    def _report_member(self, group: Outbound, name: str) -> None:
        text = f"group {group.name!r}: member {name!r} {self._what_is_wrong(name)}"
        place = self._place("outbound", group.position, "", "member", name)
        self._findings.error("NP214", place, text, *self._advice("outbound", name))

    def _is_usable(self, rule: Rule) -> bool:
        usable = True
        if rule.action.kind in ROUTES:
            for target in rule.action.targets:
                usable = self._check_route(rule, target) and usable
        if rule.action.throttle:
            usable = self._check_throttle(rule, rule.action.throttle) and usable
        field = rule.field("schedule")
        if field is not None:
            usable = self._check_schedules(rule, field) and usable
        return usable

    def _check_route(self, rule: Rule, name: str) -> bool:
        if self._exists(name):
            return True
        text = f"{rule.action.kind} {name!r} {self._what_is_wrong(name)}"
        place = self._place("rule", rule.position, rule.name, rule.action.kind, name)
        if not self._is_full:
            self._findings.warning("NP204", place, text, "the file can be tried with `decide`, not applied")
            return True
        self._findings.error("NP204", place, text, *self._advice("outbound", name))
        self._assembly.fatal = self._assembly.fatal or name in self._broken
        self._skip(rule, text)
        return False

    def _check_throttle(self, rule: Rule, name: str) -> bool:
        if ("throttle", name) in self._defined:
            return True
        text = "throttle {!r} {}".format(name, self._undefined("throttle", name))
        place = self._place("rule", rule.position, rule.name, "throttle", name)
        if not self._is_full and not self._throttles and not self._assembly.broken["throttle"]:
            self._findings.warning("NP215", place, text, "the file can be tried with `decide`, not applied")
            return True
        self._findings.error("NP215", place, text, *self._advice("throttle", name))
        self._skip(rule, text)
        return False

    def _check_schedules(self, rule: Rule, field: Field) -> bool:
        assert isinstance(field, Words)
        named = [str(name) for name in field.wanted + field.unwanted]
        missing = [name for name in named if ("schedule", name) not in self._defined]
        for name in missing:
            text = "schedule {!r} {}".format(name, self._undefined("schedule", name))
            place = self._place("rule", rule.position, rule.name, "schedule", name)
            self._findings.error("NP216", place, text, *self._advice("schedule", name))
            self._skip(rule, text)
        return not missing

    def _check_broken(self, section: Section, place: Place) -> None:
        """The names in a rule that is left out anyway: who mends it wants to see all of its mistakes."""
        if not self._is_full:
            return
        for option in section.options:
            for value in option.values:
                text, hint, fix = self._dangling(option.name, value)
                if text:
                    self._findings.error("NP204", place_of(option, place, value), text, hint, fix)

    def _dangling(self, option: str, value: str) -> tuple[str, str, str]:
        if option in ROUTES and is_name(value) and not self._exists(value):
            hint, fix = self._advice("outbound", value)
            return f"{option} {value!r} {self._what_is_wrong(value)}", hint, fix
        name = value[1:].strip() if value.startswith("!") else value
        if option in ("throttle", "schedule") and is_name(name) and (option, name) not in self._defined:
            hint, fix = self._advice(option, name)
            return f"{option} {name!r} {self._undefined(option, name)}", hint, fix
        return "", "", ""

    def _undefined(self, type: str, name: str) -> str:
        return "has errors" if name in self._assembly.broken[type] else "is not defined"

    def _skip(self, rule: Rule, why: str) -> None:
        self._assembly.skipped.append((rule.name, why))
        targets = [self._ruleset.outbound(line) for one in rule.action.targets for line in self._ruleset.lines_of(one)]
        ends_there = any(outbound is not None and outbound.type == BLOCK for outbound in targets)
        blocks = rule.action.kind == BLOCK or rule.action.on_fail == BLOCK or ends_there
        self._assembly.blocked_skip = self._assembly.blocked_skip or (rule.enabled and blocks)

    def _place(self, type: str, position: str, rule: str, option: str, value: str) -> Place:
        """Where a value stands, found again by the line of its section."""
        if not self._sections:
            for source in self._assembly.files:
                for section in source.sections:
                    self._sections[(source.file, section.line)] = section
        place = _position(position, rule)
        found = self._sections.get((place.file, place.line))
        written = None if found is None or found.type != type else found.option(option)
        return place if written is None else place_of(written, place, value)


def _in_circles(groups: "list[Outbound]") -> "list[Outbound]":
    """The groups that lead to themselves: what is left when everything else was taken away from both ends."""
    by_name = {group.name: group for group in groups}
    below = {name: {one for one in by_name[name].member if one in by_name} for name in by_name}
    above: dict[str, set[str]] = {name: set() for name in by_name}
    for name in by_name:
        for member in below[name]:
            above[member].add(name)
    for ends, others in ((below, above), (above, below)):
        waiting = sorted([name for name in ends if not ends[name]])
        while waiting:
            name = waiting.pop()
            for other in others.pop(name):
                ends[other].discard(name)
                if not ends[other]:
                    waiting.append(other)
            del ends[name]
    return [group for group in groups if group.name in below]


def _too_deep(groups: "list[Outbound]") -> "list[Outbound]":
    """The groups with more than MAX_DEPTH groups below each other; there are no circles among them."""
    by_name = {group.name: group for group in groups}
    level = [group for group in groups if any(member in by_name for member in group.member)]
    for _ in range(MAX_DEPTH - 1):
        names = {group.name for group in level}
        level = [group for group in level if any(member in names for member in group.member)]
    return level


def _position(position: str, rule: str = "") -> Place:
    """The place of "file:line"."""
    file, _, line = position.rpartition(":")
    return Place(file, int(line), 1, rule)
