"""How a rule stands: what the kernel does of it, where its action leads now, and why it waits.

Worked out once per action and set of fields: thousands of rules lead to few places. Never does
I/O. Runs on MicroPython.
"""

from netpolicy.core.evaluate import World, carrier, gate, outcome
from netpolicy.core.field import LEARNED_FIELDS, PACKET_FIELDS
from netpolicy.core.field_name import Domains, Names
from netpolicy.core.model import BLOCK, DIRECT, GROUP, ROUTES, Ruleset
from netpolicy.core.pairs import LINE_TYPES, type_of
from netpolicy.outbounds.group_order import LATER_TYPES

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.core.model import Action, Rule

ENFORCED = "kernel"


SCHEDULE = "schedule"


class Way:
    """What an action comes to: `goes` is an outbound, "direct", "block", or "" while it waits.

    `group`: the one of its targets that carries, where that is a group; `lines`: all that its targets consist of.
    """

    __slots__ = ("blocks", "goes", "group", "later", "lines", "partly", "sealed")

    def __init__(
        self,
        later: str,
        partly: str,
        goes: str,
        blocks: bool,
        sealed: "tuple[str, ...]",
        group: str = "",
        lines: "tuple[str, ...]" = (),
    ) -> None:
        self.later = later  # what of it this version cannot do at all
        self.partly = partly  # what of it the kernel does not do yet
        self.goes = goes
        self.blocks = blocks
        self.sealed = sealed  # lines that its packets must never leave past
        self.group = group
        self.lines = lines


class Ways:
    """The ways of one rule set in one world."""

    __slots__ = ("_active", "_by_action", "_by_fields", "_learns", "_ruleset", "_state", "_world")

    def __init__(
        self, ruleset: Ruleset, state: str, world: World, active: "tuple[str, ...]", learns: bool = True
    ) -> None:
        self._learns = learns  # somebody will fill the sets of names
        self._ruleset = ruleset
        self._state = state
        self._world = world
        self._active = active
        self._by_action: dict[tuple[object, ...], Way] = {}
        self._by_fields: dict[tuple[str, ...], str] = {}

    def way(self, rule: "Rule") -> Way:
        """Where the rule's action leads."""
        action = rule.action
        key = (action.kind, action.target, action.targets, action.on_fail, action.throttle, action.notify)
        found = self._by_action.get(key)
        if found is None:
            later, partly = action_not_enforced(self._ruleset, action), action_partly(self._ruleset, action)
            goes = outcome(self._ruleset, rule, self._world)
            sealed = _sealed_by(self._ruleset, action)
            group = group_of(self._ruleset, action, self._world)
            lines = _lines(self._ruleset, action)
            found = Way(later, partly, goes, self._ruleset.blocks(rule), sealed, group, lines)
            self._by_action[key] = found
        return found

    def standing(self, rule: "Rule", way: Way) -> str:
        """ "kernel", or why the rule is not in it."""
        reason = gate(rule, self._state)
        if reason:
            return reason
        names = tuple([field.name for field in rule.fields])
        missing = self._by_fields.get(names)
        if missing is None:
            missing = self._by_fields[names] = fields_not_enforced(names, self._learns)
        if not missing and not way.later:
            missing = names_not_enforced(rule)
        if missing or way.later:
            return f"not enforced yet: {missing or way.later}"
        if SCHEDULE in names:
            field = rule.field(SCHEDULE)
            if field is not None and not field.matches(self._active):
                return "waits: outside schedule {}".format(", ".join(field.values))
        return ENFORCED if way.goes else f"waits: outbound {rule.action.target} is down"


def fields_not_enforced(names: "tuple[str, ...]", learns: bool = True) -> str:
    """What rules with these fields ask for that the kernel cannot know at a first packet, or ""."""
    known = (SCHEDULE,) + (LEARNED_FIELDS if learns else ())
    unknown = [name for name in names if name not in PACKET_FIELDS and name not in known]
    return f"{', '.join(unknown)} is not known at the first packet" if unknown else ""


def names_not_enforced(rule: "Rule") -> str:
    """What of the rule's names no set can hold, or "": all names but some are all addresses but some."""
    for field in rule.fields:
        if (isinstance(field, Domains) and not field.has_wanted) or (isinstance(field, Names) and not field.wanted):
            return f"{field.name} says only which names it does not want"
    return ""


def not_enforced(ruleset: Ruleset, rule: "Rule") -> str:
    """What the rule asks for that this version cannot do in the kernel, "" where it can do all of it."""
    fields = fields_not_enforced(tuple([field.name for field in rule.fields]))
    return fields or names_not_enforced(rule) or action_not_enforced(ruleset, rule.action)


def partly(ruleset: Ruleset, rule: "Rule") -> str:
    """What an enforced rule asks for beside what the kernel does of it, or ""."""
    return action_partly(ruleset, rule.action)


def action_not_enforced(ruleset: Ruleset, action: "Action") -> str:
    """What of the action this version cannot do at all, or ""."""
    if action.kind in ROUTES:
        types = {type_of(ruleset, line) for target in action.targets for line in ruleset.lines_of(target)}
        usable = set(LINE_TYPES) | {DIRECT, BLOCK}
        missing = sorted(types - usable)
        # Without one of its lines a kill switch still holds: a line that is not there counts as down.
        if missing and not types & usable and action.on_fail == "next":
            return f"outbounds of type {', '.join(missing)}"
    return ""


def action_partly(ruleset: Ruleset, action: "Action") -> str:
    """What of an enforced action the kernel does not do yet, or ""."""
    missing = ["notify"] if action.notify else []
    lines = {line for target in action.targets for line in ruleset.lines_of(target)}
    missing += [
        f"outbound {line} of type {type_of(ruleset, line)} (it counts as down)"
        for line in sorted(lines)
        if type_of(ruleset, line) in LATER_TYPES
    ]
    return f"not enforced yet: {', '.join(missing)}" if missing else ""


def _sealed_by(ruleset: Ruleset, action: "Action") -> "tuple[str, ...]":
    """The lines that the action's packets must never leave past: it blocks where they are down."""
    lines = _lines(ruleset, action)
    ends_there = any([type_of(ruleset, line) == BLOCK for line in lines])
    return lines if action.on_fail == BLOCK or ends_there else ()


def _lines(ruleset: Ruleset, action: "Action") -> "tuple[str, ...]":
    if action.kind not in ROUTES:
        return ()
    return tuple([line for target in action.targets for line in ruleset.lines_of(target)])


def group_of(ruleset: Ruleset, action: "Action", world: World) -> str:
    """The first of the targets that carries, where it is a group; else ""."""
    if action.kind not in ROUTES:
        return ""
    target = next((one for one in action.targets if carrier(ruleset, one, world)), "")
    return target if target and type_of(ruleset, target) == GROUP else ""
