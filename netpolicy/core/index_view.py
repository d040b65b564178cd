"""Decisions from the index in one state of health and of the lines.

Which rules stand, and where they lead, is asked of `evaluate` when a rule first wins, and kept: a view
costs next to nothing to make, and no decision pays for more than the rules it meets. Never changes the index.
"""

from netpolicy.core.evaluate import Decision, World, applies, decide, default_outbound, first_unmet, gate, outcome
from netpolicy.core.facts import Facts
from netpolicy.core.field import Field
from netpolicy.core.model import DIRECT, ROUTER_ITSELF, Rule, Ruleset

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from netpolicy.core.index_find import Find

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

    def __init__(self, view: "View", iface: "str | None") -> None:
        world = view.world
        self.example = Facts()
        self.example.src_iface = iface
        self.came_by = world.ingress.get(iface, "") if iface is not None else ""
        goes = self.came_by or default_outbound(view.ruleset, world, iface == ROUTER_ITSELF)
        self.default = Choice(None, goes)
        self.local = Choice(None, self.came_by or DIRECT, is_exempt=True)
        self.standing: Standing = [None] * len(view.rules)


class View:
    """Decides. `decide(facts)` is the Choice for a connection, `find(facts)` only its rule or None."""

    __slots__ = ("_find", "_sides", "decide", "rules", "ruleset", "state", "world")

    def __init__(self, ruleset: Ruleset, rules: "tuple[Rule, ...]", find: "Find", state: str, world: World) -> None:
        self.ruleset = ruleset
        self.rules = rules
        self.state = state
        self.world = world
        self._find = find
        # Traffic of these devices is not like that of the others.
        self._sides: dict[str, Side | None] = {name: None for name in world.ingress if world.ingress[name]}
        self._sides[ROUTER_ITSELF] = None
        self.decide = _decider(self, find, self._sides)

    def find(self, facts: Facts) -> "Rule | None":
        """The rule that decides for a connection with these facts, or None."""
        return self.decide(facts).rule

    def side(self, iface: str) -> Side:
        """The side of a device that is not like the others."""
        side = self._sides[iface]
        if side is None:
            side = self._sides[iface] = Side(self, iface)
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

    def candidates(self, facts: Facts) -> "list[tuple[Rule, Field | None]]":
        """The rules that a decision looks at, in rank order, with the first field that the facts do not satisfy.

        None is a rule that matches, whether it stands in this state or not. Empty for exempt traffic.
        """
        ranks = {entry[0] for entries in self._find(facts) or () for entry in entries}
        rules = [self.rules[rank] for rank in sorted(ranks)]
        return [(rule, first_unmet(rule, facts)) for rule in rules]

    def explain(self, facts: Facts) -> Decision:
        """The decision with its reasons, of which those of rules that were not looked at are left out."""
        whole = self.ruleset
        rules = tuple([rule for rule, _ in self.candidates(facts)])
        few = Ruleset(rules, whole.outbounds, whole.settings, whole.schedules, whole.throttles, whole.lists)
        return decide(few, facts, self.state, self.world)


def _decider(view: View, find: "Find", sides: "dict[str, Side | None]") -> "Callable[[Facts], Choice]":
    """The function that decides: everything it needs at hand, nothing looked up twice."""
    usual = Side(view, None)
    usual_standing = usual.standing
    exempt = Choice(None, DIRECT, is_exempt=True)
    local = frozenset(view.world.local)
    worst = len(view.rules)
    resolve = view.choice

    def decide(facts: Facts) -> Choice:
        hits = find(facts)
        if hits is None:
            return exempt
        side = usual
        standing = usual_standing
        iface = facts.src_iface
        if iface in sides:
            side = view.side(iface)
            standing = side.standing
        if local and facts.dest_addr in local:
            return side.local
        best = worst
        winner = side.default
        proto = facts.proto
        port = facts.dest_port
        for entries in hits:
            for rank, protocols, ports, check in entries:
                if rank >= best:
                    break
                if protocols is not None and proto not in protocols:
                    continue
                if ports is not None and port not in ports:
                    continue
                if check is not None and not check(facts):
                    continue
                choice = standing[rank]
                if choice is None:
                    choice = resolve(side, rank)
                if choice:
                    best = rank
                    winner = choice
                    break
        return winner

    return decide
