"""What a case of the proof is made of: rules as texts, lists, and what the network is like.

Plain values that can be changed, compared, left out and printed. The same texts become the
product's rule set and the oracle's; the two differ only in what the kernel is known not to do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from netpolicy.config.convert import print_ruleset
from netpolicy.config.spelling import DSL
from netpolicy.core.calendar import Schedule
from netpolicy.core.field import parse_field
from netpolicy.core.field_kind import Field, Written
from netpolicy.core.model import Action, Outbound, Rule, Ruleset, Settings, Throttle
from netpolicy.core.named_list import Lists, NamedList

# Fields that the compiled policy leaves out ("not enforced yet"): a rule that asks for one of them
# does not stand in the kernel. Take a name away when the kernel does it.
KERNEL_LACKS: tuple[str, ...] = ()

# Never known at the first packet: such a rule is on file and never stands.
NEVER_AT_FIRST_PACKET = ("latency_ms", "rtt_ms", "error_rate", "loss")

# Told for names: a rule asks whether its destination is among the addresses of one that it wants.
OF_NAMES = ("domain", "sni")

THROTTLES = (Throttle("slow", 8_000_000, 2_000_000), Throttle("each", 0, 1_000_000, per="client"))

# netifd's name of a network and the device behind it.
LOGICAL = {"office": "lan", "second": "wanc"}

Values = tuple[str, ...]


@dataclass(frozen=True)
class RuleText:
    """One rule as a person would write it; `fields` in any order."""

    name: str
    priority: int
    fields: tuple[tuple[str, Values], ...]
    action: tuple[str, str]  # kind, target
    targets: Values = ()
    on_fail: str = "next"
    when: Values = ()
    disable: Values = ()
    enabled: bool = True
    log: bool = False
    throttle: str = ""

    def field(self, name: str) -> Values:
        return dict(self.fields).get(name, ())


@dataclass(frozen=True)
class Scene:
    """A configuration, and the world it is in."""

    rules: tuple[RuleText, ...]
    lists: tuple[tuple[str, Values], ...]
    groups: tuple[tuple[str, Values], ...]
    schedules: Values
    default: str = "direct"
    state: str = "NORMAL"
    down: Values = ()  # devices without carrier, tables without routes
    active: Values = ()  # schedules whose window is open
    keeps_rules: bool = False  # whether a rule that says the same after a reload is the same object
    heard: tuple[tuple[str, Values], ...] = ()  # names, and the addresses that were told for each
    balanced: tuple[tuple[str, int], ...] = ()  # groups that balance, and for how many seconds a client stays

    def with_rules(self, rules: tuple[RuleText, ...]) -> Scene:
        return replace(self, rules=rules)


TABLES = (121, 122, 123, 124, 125)

FIXED_OUTBOUNDS = (
    Outbound("wan_b", "interface", interface="wanb", gateway="198.51.100.1", gateway6="2001:db8:b::1", weight=2),
    Outbound("wan_c", "interface", interface="second", gateway="203.0.113.1"),  # no IPv6
    Outbound("gone", "interface", interface="missing0", gateway="198.51.100.1"),
    Outbound("proxy", "xray", node="far"),  # not driven: counts as down
    Outbound("closed", "block"),
    Outbound("plain", "direct"),
    *(Outbound(f"table_{number}", "table", table=number) for number in TABLES),
)


def outbounds(scene: Scene) -> tuple[Outbound, ...]:
    sticky = dict(scene.balanced)
    return FIXED_OUTBOUNDS + tuple(
        Outbound(name, "group", member=member, strategy="balance", sticky=sticky[name])
        if name in sticky
        else Outbound(name, "group", member=member)
        for name, member in scene.groups
    )


def ruleset(scene: Scene, made: dict[object, Rule] | None = None) -> Ruleset:
    """What the product gets; `made` are the rules of the scenes before, kept where the scene wants that."""
    return _ruleset(scene, scene.rules, scene.lists, made if scene.keeps_rules else None)


def oracle_ruleset(scene: Scene) -> Ruleset:
    """What the reference decides by: devices for the names of netifd, without what the kernel does not do."""
    lacking = KERNEL_LACKS + NEVER_AT_FIRST_PACKET
    kept = tuple(
        _by_device(rule)
        for rule in scene.rules
        if not any(name in lacking or _only_unwanted(name, values) for name, values in rule.fields)
    )
    made = _ruleset(scene, kept, scene.lists)
    rules = tuple(_with_fields(rule, tuple(map(_heard, rule.fields))) for rule in made.rules)
    return Ruleset(rules, made.outbounds, made.settings, made.schedules, lists=made.lists)


class Heard(Written):
    """A field of names for which the fact is every name of the destination's address."""

    __slots__ = ("_field",)

    def __init__(self, field: Field) -> None:
        super().__init__(field.name, field.values)
        self._field = field

    def matches(self, fact: object) -> bool:
        assert isinstance(fact, tuple)
        return any(self._field.matches(name) for name in fact)


def _heard(field: Field) -> Field:
    return Heard(field) if field.name in OF_NAMES else field


def _with_fields(rule: Rule, fields: tuple[Field, ...]) -> Rule:
    return Rule(rule.name, rule.priority, fields, rule.action, rule.when, rule.disable, rule.enabled)


def _only_unwanted(name: str, values: Values) -> bool:
    """All names but some are all addresses but some: no set holds those."""
    return name in OF_NAMES and all(value.startswith("!") for value in values)


def dsl(scene: Scene) -> str:
    """The scene as a configuration for `netpolicy decide --rules`, with what its rules name and no more."""
    named = {scene.default, *(goal for rule in scene.rules for goal in (rule.action[1], *rule.targets))}
    for name, members in reversed(scene.groups):  # groups of groups stand behind their members
        named.update(members if name in named else ())
    values = {value.lstrip("!") for rule in scene.rules for _, found in rule.fields for value in found}
    whole = _ruleset(scene, scene.rules, tuple(one for one in scene.lists if "@" + one[0] in values))
    told = Ruleset(
        whole.rules,
        tuple(one for one in whole.outbounds if one.name in named),
        whole.settings,
        tuple(one for one in whole.schedules if one.name in values),
        tuple(one for one in whole.throttles if any(rule.throttle == one.name for rule in scene.rules)),
        lists=whole.lists,
    )
    world = f"state {scene.state}, down: {', '.join(scene.down) or 'none'}, open: {', '.join(scene.active) or 'none'}"
    return f"# {world}\n{print_ruleset(told, DSL)}"


def _ruleset(
    scene: Scene,
    rules: tuple[RuleText, ...],
    lists: tuple[tuple[str, Values], ...],
    made: dict[object, Rule] | None = None,
) -> Ruleset:
    named = tuple(NamedList(name, entries) for name, entries in lists)
    known = Lists(named)
    return Ruleset(
        tuple(_rule(rule, known) if made is None else _kept_rule(rule, known, lists, made) for rule in rules),
        outbounds(scene),
        Settings(enabled=True, default=scene.default),
        schedules=tuple(Schedule(name) for name in scene.schedules),
        throttles=THROTTLES,
        lists=named,
    )


def _kept_rule(rule: RuleText, known: Lists, lists: tuple[tuple[str, Values], ...], made: dict[object, Rule]) -> Rule:
    named = {value.lstrip("!")[1:] for _, values in rule.fields for value in values if "@" in value}
    key = rule, tuple(one for one in lists if one[0] in named)
    if key not in made:
        made[key] = _rule(rule, known)
    return made[key]


def _rule(rule: RuleText, lists: Lists) -> Rule:
    fields = tuple(parse_field(name, values, lists) for name, values in rule.fields)
    action = Action(*rule.action, log=rule.log, on_fail=rule.on_fail, targets=rule.targets, throttle=rule.throttle)
    return Rule(rule.name, rule.priority, fields, action, rule.when, rule.disable, rule.enabled)


def _by_device(rule: RuleText) -> RuleText:
    if not rule.field("src_iface"):
        return rule
    fields = tuple(
        (name, tuple(map(_device, values)) if name == "src_iface" else values) for name, values in rule.fields
    )
    return replace(rule, fields=fields)


def _device(value: str) -> str:
    sign, name = ("!", value[1:]) if value.startswith("!") else ("", value)
    return sign + LOGICAL.get(name, name)
