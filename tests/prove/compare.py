"""The oracle against the kernel: class and rule of every packet, and what a reload must not lose.

The oracle is core/evaluate.py with a World written down here by hand; nothing of the compiler
under test is asked what it meant. A difference is a value with the text that a person needs.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from netpolicy.core.address import parse_address
from netpolicy.core.evaluate import Decision, World, decide
from netpolicy.core.facts import Facts
from netpolicy.core.field import FIELD_ORDER, format_fact
from netpolicy.core.model import Rule, Ruleset
from netpolicy.core.pairs import needs_class
from netpolicy.outbounds.group_order import Condition, uses
from netpolicy.outbounds.lines import line_states
from netpolicy.service.compile import Compiled, compile_policy
from netpolicy.service.judge import Judge
from netpolicy.service.name_index import NameIndex, fields_of
from tests.prove import scene as scenes
from tests.prove.mutate import RESTARTED, UNCHANGED
from tests.prove.packet import Sample
from tests.prove.router import LINES, Router
from tests.prove.scene import Scene
from tests.prove.witness import INVALID, MARKS, MARKS_DIFFER, ONLY_SAVED, PRIORITY_LEFT

# Up to this many rules each one has a counter of its own.
COUNTED_RULES = 1000

_LOCAL = ("192.168.1.1", "192.168.3.1", "198.51.100.2", "203.0.113.2", "fd00:1::1", "fd00:3::1", "2001:db8:b::2",
          "192.168.1.255", "192.168.3.255", "198.51.100.255", "203.0.113.255",
          "fd00:1::", "fd00:3::", "2001:db8:b::")  # fmt: skip  # of a router, too: subnet-router anycast, RFC 4291

_LEADS_BY = {"wan_b": "wanb", "wan_c": "wanc", **{f"table_{number}": str(number) for number in scenes.TABLES}}


@dataclass(frozen=True)
class Expected:
    """What the oracle says of one packet."""

    rule: str | None
    classes: frozenset[int]  # one; of a balance any of them
    only_saved: bool  # not steered, its answers are: it came in by a line
    decision: Decision


@dataclass
class Travel:
    """What was found on the way through some scenes."""

    differences: list[str] = field(default_factory=list)
    packets: int = 0
    cold: int = 0  # of them, the packets of first scenes
    loads: int = 0
    invalid: int = 0  # conntrack would not have it
    untold: int = 0  # never sent, or its new way refused it before the witness saw it
    matched: int = 0  # decided by a rule
    wrong: set[int] = field(default_factory=set)  # packets with a difference


def world(scene: Scene) -> World:
    """The network of the scene as the reference evaluator wants it."""
    down = ["gone", "proxy"] + [name for name, by in _LEADS_BY.items() if by in scene.down]
    return World(tuple(down), {"wanb": "wan_b", "wanc": "wan_c"}, tuple(sorted(parse_address(text) for text in _LOCAL)))


def numbers(ruleset: Ruleset) -> dict[str, int]:
    return {name: index for index, name in enumerate(needs_class(ruleset), 1)}


@dataclass
class Memory:
    """What a running daemon has of the scenes before: its rules, and what it compiled last."""

    rules: dict[object, Rule] = field(default_factory=dict)
    last: Compiled | None = None


def compiled(router: Router, scene: Scene, memory: Memory) -> Compiled:
    """What the product makes of the scene. The one place that knows how the service asks for it."""
    ruleset = scenes.ruleset(scene, memory.rules)
    view = router.view(scene.down)
    states = line_states(ruleset.outbounds, view)
    conditions = {one.name: Condition(not one.up, families=tuple(hop.family for hop in one.hops)) for one in states}
    memory.last = compile_policy(
        ruleset,
        scene.state,
        states,
        view,
        numbers(ruleset),
        active=scene.active,
        before=memory.last,
        groups=uses(ruleset, conditions, {}),
    )
    return memory.last


def expectations(scene: Scene, samples: Iterable[Sample]) -> dict[int, Expected]:
    """The oracle's word on each packet, by its number."""
    ruleset = scenes.oracle_ruleset(scene)
    known, classes = world(scene), numbers(scenes.ruleset(scene))
    told = [(name, set(map(parse_address, addresses))) for name, addresses in scene.heard]
    found = {}
    for sample in samples:
        facts = sample.facts
        facts.schedule = scene.active
        facts.domain = facts.sni = tuple(name for name, addresses in told if facts.dest_addr in addresses)
        decision = decide(ruleset, facts, scene.state, known)
        rule = decision.rule.name if decision.rule else None
        came_by = sample.device in LINES and rule is None
        lines = {decision.outbound}
        if not came_by:
            lines = _lines(scene, ruleset, decision, Ways(scene, ruleset, known.down, facts.family))
        meant = frozenset(_class(line, decision.rule, classes, ruleset) for line in lines)
        found[sample.number] = Expected(rule, meant, came_by, decision)
    return found


def _lines(scene: Scene, ruleset: Ruleset, decision: Decision, ways: Ways) -> set[str]:
    """Every outbound that the packet may be sent by, with what the groups between it and its rule say."""
    rule = decision.rule
    if rule is not None and rule.action.kind == "block":
        return {decision.outbound}
    for target in rule.action.targets if rule is not None else (scene.default,):
        found = ways.of(target)
        if found:
            # No line at all, and on_fail or the router itself decides; by what there is, one of its lines.
            return found if decision.outbound in ways.whole(target) else {decision.outbound}
    return {decision.outbound}


class Ways:
    """Where groups lead now in one family, said once more and in other words than the product's."""

    def __init__(self, scene: Scene, ruleset: Ruleset, down: tuple[str, ...], family: int) -> None:
        self._members = dict(scene.groups)
        self._balanced = dict(scene.balanced)
        self._down = down
        self._family = family

    def whole(self, name: str) -> list[str]:
        """All lines of a group in their order."""
        if name not in self._members:
            return [name]
        return list(dict.fromkeys(line for member in self._members[name] for line in self.whole(member)))

    def of(self, name: str) -> set[str]:
        """Those that connections are sent by."""
        if name not in self._members:
            return set() if name in self._down else {name}
        members = [found for found in map(self.of, self._members[name]) if found]
        if name in self._balanced:
            every = set().union(*members)
            return {line for line in every if self._leads(line)} or every
        # In a family that some have the first of those, else the first that is up.
        lines = [line for line in self.whole(name) if line not in self._down]
        for line in sorted(lines, key=self._leads, reverse=True)[:1]:
            return next(self.of(member) for member in self._members[name] if line in self.whole(member))
        return set()

    def _leads(self, line: str) -> bool:
        return not (self._family == 6 and line == "wan_c")


def _class(line: str, rule: Rule | None, classes: dict[str, int], ruleset: Ruleset) -> int:
    if rule is not None and rule.action.kind == "block":
        return MARKS.reject if rule.action.target == "reject" else MARKS.drop
    outbound = ruleset.outbound(line)
    if line == "block" or outbound.type == "block":
        return MARKS.reject
    name = "direct" if outbound.type == "direct" else outbound.name
    if rule is not None and rule.action.throttle:
        return classes[f"{name}/{rule.action.throttle}"]
    return 0 if name == "direct" else classes[name]


def travel(router: Router, journey: Sequence[tuple[str, Scene, Sequence[Sample]]]) -> Travel:
    """From an empty kernel through these scenes, each with its packets; the names say how one came about."""
    found = Travel()
    router.clear()
    ledger: Counter = Counter()  # what the counters of the rules have to say
    memory = Memory()
    policy = None
    learned: set[str] = set()
    for name, scene, samples in journey:
        said = len(found.differences)
        if name in RESTARTED:
            router.restart()
            memory = Memory()
        made = compiled(router, scene, memory)
        policy = made.policy
        plan = router.load(policy)
        found.loads += 1
        learned = router.learn(policy, scene.heard, learned)
        if name in UNCHANGED and not plan.is_empty:
            found.differences.append(f"nothing changed, and the plan says {plan.changes[:5]}")
        # Counters of rules that stay keep what they have, those of rules that go are gone.
        staying = {rule.name for rule in scene.rules}
        ledger = Counter({rule: count for rule, count in ledger.items() if rule in staying})
        _compare(router, scene, samples, ledger, found, made)
        found.cold = found.cold or found.packets
        found.differences[said:] = [f"after {name!r}: {text}" for text in found.differences[said:]]
    left = router.plan(policy) if policy is not None else None
    if left is not None and not left.is_empty:
        found.differences.append(f"in force, and yet a plan says {left.changes[:5]}")
    return found


def attempt(router: Router, journey: Sequence[tuple[str, Scene, Sequence[Sample]]]) -> Travel:
    """The same where the product may fail on the way: that is a difference too."""
    try:
        return travel(router, journey)
    except Exception as problem:  # noqa: BLE001 - whatever it is, the next journey begins with an empty kernel
        return Travel([f"it could not be carried through: {type(problem).__name__}: {problem}"])


def _compare(
    router: Router, scene: Scene, samples: Sequence[Sample], ledger: Counter, found: Travel, made: Compiled
) -> None:
    """Sends the packets and compares; adds to the ledger what the oracle counts."""
    expected = expectations(scene, samples)
    found.differences += _misjudged(made, samples, expected)
    before = Counter(ledger)
    seen, refused = router.send(list(samples))
    for sample in samples:
        wanted = expected[sample.number]
        if sample.number in refused:
            found.untold += 1
            # The way that our mark chose refused it, after it was counted; or it never came to us.
            if refused[sample.number] not in (errno.ENETUNREACH, errno.EHOSTUNREACH) or not any(wanted.classes):
                continue
        else:
            text = _difference(wanted, seen.get(sample.number), found)
            if text:
                found.wrong.add(sample.number)
                found.differences.append(f"packet {sample.number} ({words(sample.facts)}): {text}")
        if wanted.rule is not None:
            ledger[wanted.rule] += 1
            found.matched += 1
    found.packets += len(samples)
    found.differences += _miscounted(scene, before, ledger, router.counters())


def _misjudged(made: Compiled, samples: Sequence[Sample], expected: dict[int, Expected]) -> list[str]:
    """What the daemon would say of these packets otherwise than the oracle: by its index, as connections are told."""
    judge = Judge(made)
    for _ in judge.steps():
        pass
    index = NameIndex(fields_of(made.policy.entries.rules))
    found = []
    for sample in samples:
        wanted, facts, names = expected[sample.number], sample.facts, sample.facts.domain
        facts.domain = facts.sni = frozenset(base for name in names for base in index.bases(name))
        decision = judge.decide(facts)
        facts.domain = facts.sni = names
        rule, number = decision.rule.name if decision.rule else None, judge.number(decision)
        if rule != wanted.rule or not any(judge.is_of(one, number) for one in wanted.classes):
            found.append(f"packet {sample.number} ({words(facts)}): the daemon says class {number} by {rule}; {wanted}")
    return found


def _difference(wanted: Expected, mark: int | None, found: Travel) -> str:
    words = " or ".join(map(str, sorted(wanted.classes)))
    meant = f"the oracle says class {words} by {wanted.rule or 'no rule'}"
    if mark is None:
        return f"not seen (or its foreign mark is lost); {meant}"
    if mark & MARKS_DIFFER:
        return f"packet mark and conntrack mark do not agree; {meant}"
    if mark & PRIORITY_LEFT:
        return f"its priority is not what it was; {meant}"
    if mark & INVALID:
        found.invalid += 1
        if wanted.only_saved:
            return "" if not MARKS.number(mark) else f"marked, though a line brought it in; {meant}"
    elif bool(mark & ONLY_SAVED) != wanted.only_saved:
        return f"{'not marked' if mark & ONLY_SAVED else 'marked'} on its way in; {meant}"
    number = MARKS.number(mark)
    return "" if number in wanted.classes else f"the kernel says class {number}; {meant}"


def _miscounted(scene: Scene, before: Counter, ledger: Counter, counters: dict[str, tuple[int, int]]) -> list[str]:
    found = []
    for rule in scene.rules:
        name = rule.name
        if name not in counters and len(scene.rules) > COUNTED_RULES:
            continue
        counted, meant = counters.get(name, (-1, 0))[0], ledger[rule.name]
        if counted != meant:
            found.append(
                f"rule {rule.name}: the kernel counted {counted}, the oracle {meant}, {before[rule.name]} before"
            )
    return found


def words(facts: Facts) -> str:
    """The facts as words for `netpolicy decide`."""
    known = [(name, getattr(facts, name)) for name in FIELD_ORDER]
    texts = [(name, ",".join(fact) if name in scenes.OF_NAMES else format_fact(name, fact))
             for name, fact in known if fact]  # fmt: skip
    return " ".join(f"{name}={text}" for name, text in texts)
