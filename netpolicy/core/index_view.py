"""Decisions from the index in one state of health and of the lines.

Which rules stand, and where they lead, is asked of `evaluate` when a rule first wins, and kept: a view
costs next to nothing to make, and no decision pays for more than the rules it meets. Never changes the index.
"""

from netpolicy.core.evaluate import Decision, World, applies, decide, default_outbound, first_unmet, gate, outcome
from netpolicy.core.facts import Facts
from netpolicy.core.field_kind import Field
from netpolicy.core.index_column import ranks_of
from netpolicy.core.index_find import decider
from netpolicy.core.model import DIRECT, ROUTER_ITSELF, Rule, Ruleset

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from typing import Literal

    from netpolicy.core.index_column import Entry
    from netpolicy.core.index_table import Tables

    # By rank: the choice that a rule leads to, False where it does not stand, None where nobody asked yet.
    Standing = list["Choice | Literal[False] | None"]


class Choice:
    """The outcome for a connection, without reasons. One object for all connections that a rule decides alike."""

    __slots__ = ("action", "is_exempt", "log", "outbound", "rule")

    def __init__(self, rule: "Rule | None", outbound: str, is_exempt: bool = False) -> None:
        self.rule = rule  # None: no rule matched, or none was asked
        self.action = "" if rule is None else rule.action.text
        self.log = rule is not None and rule.action.log
        self.outbound = outbound  # where it goes: an outbound's name, "direct", or "block"
        self.is_exempt = is_exempt  # no rule was asked: never steered


class Side:
    """Where connections come from that rules treat alike: the lan, the router itself, or a line."""

    __slots__ = ("came_by", "default", "example", "local", "standing")

    def __init__(self, ruleset: Ruleset, world: World, iface: "str | None") -> None:
        self.example = Facts()
        self.example.src_iface = iface
        self.came_by = world.ingress.get(iface, "") if iface is not None else ""
        goes = self.came_by or default_outbound(ruleset, world, iface == ROUTER_ITSELF)
        self.default = Choice(None, goes)
        self.local = Choice(None, self.came_by or DIRECT, is_exempt=True)
        self.standing: Standing = [None] * len(ruleset.rules)


class Outcomes:
    """Where rules lead in one state. Knows no view: the function that decides asks it, and the view owns both."""

    __slots__ = ("exempt", "rules", "ruleset", "sides", "state", "usual", "world")

    def __init__(self, ruleset: Ruleset, rules: "tuple[Rule, ...]", state: str, world: World) -> None:
        self.ruleset = ruleset
        self.rules = rules  # by rank
        self.state = state
        self.world = world
        self.exempt = Choice(None, DIRECT, is_exempt=True)
        self.usual = Side(ruleset, world, None)
        # Traffic of these devices is not like that of the others. A side is made when it is first needed.
        self.sides: dict[str | None, Side | None] = {name: None for name in world.ingress if world.ingress[name]}
        self.sides[ROUTER_ITSELF] = None

    def side(self, iface: "str | None") -> Side:
        """The side of a device that is not like the others."""
        side = self.sides[iface]
        if side is None:
            side = self.sides[iface] = Side(self.ruleset, self.world, iface)
        return side

    def choice(self, side: Side, rank: int) -> "Choice | Literal[False]":
        """Where the rule of that rank leads, False when it does not stand; kept for the next time."""
        rule = self.rules[rank]
        found: Choice | Literal[False] = False
        if not gate(rule, self.state) and not applies(self.ruleset, rule, side.example, side.came_by):
            goes = outcome(self.ruleset, rule, self.world)
            if goes:
                found = Choice(rule, goes)
        side.standing[rank] = found
        return found


class View:
    """Decides: `decide(facts)` is the Choice for a connection with these facts.

    Nothing in it refers to itself, so that it goes, and the tables with it, when nobody holds it any more.
    """

    __slots__ = ("decide", "outcomes")

    def __init__(self, ruleset: Ruleset, rules: "tuple[Rule, ...]", tables: "Tables", state: str, world: World) -> None:
        self.outcomes = Outcomes(ruleset, rules, state, world)
        self.decide = decider(tables, self.outcomes)

    def find(self, facts: Facts) -> "Rule | None":
        """The rule that decides for a connection with these facts, or None."""
        return self.decide(facts).rule

    def candidates(self, facts: Facts) -> "list[tuple[Rule, Field | None]]":
        """The rules that a decision looks at, in rank order, with the first field that the facts do not satisfy.

        None is a rule that matches, whether it stands in this state or not. Empty for exempt traffic.
        """
        lists: list[Entry] = []
        self.decide(facts, lists)
        rules = [self.outcomes.rules[rank] for rank in sorted(set(ranks_of(lists)))]
        return [(rule, first_unmet(rule, facts)) for rule in rules]

    def explain(self, facts: Facts) -> Decision:
        """The decision with its reasons; those of rules that were not looked at are left out. O(candidates)."""
        whole = self.outcomes.ruleset
        rules = tuple([rule for rule, _ in self.candidates(facts)])
        few = Ruleset(rules, whole.outbounds, whole.settings, whole.schedules, whole.throttles, whole.lists)
        return decide(few, facts, self.outcomes.state, self.outcomes.world)
