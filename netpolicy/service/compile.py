"""From rules, state and network to the Policy that the data plane enforces.

The only place where an outbound's name becomes a class. Never does I/O. A rule that
cannot be enforced is named with the reason: nothing is silently weaker than it looks.
Runs on MicroPython.
"""

from netpolicy.core.address import V4, parse_address
from netpolicy.core.evaluate import World, default_outbound, gate, outcome
from netpolicy.core.field import PACKET_FIELDS
from netpolicy.core.model import BLOCK, DIRECT, ROUTES, THROTTLE, Ruleset
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import DIRECT_CLASS, Entry, Line, Policy, SourceTranslation
from netpolicy.dataplane.routing import private_subnets
from netpolicy.dataplane.state import MAIN_TABLE
from netpolicy.service.devices import by_device

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from netpolicy.core.model import Outbound, Rule
    from netpolicy.outbounds.lines import LineState, View

ENFORCED = "kernel"

LINE_TYPES = ("interface", "table")  # outbounds with a class of their own
LATER_TYPES = ("xray", "tunnel")


class Compiled:
    """The policy, and per rule how it stands: "kernel", or why not.

    `enforced` has the rules that the kernel follows, for judging what it did; `wants_mac`
    says whether one of them asks for the sender's MAC address; `not_enforced` is (rule, what of
    it the kernel does not do yet).
    """

    __slots__ = ("enforced", "not_enforced", "policy", "standing", "wants_mac", "world")

    def __init__(
        self,
        policy: Policy,
        world: World,
        standing: "Mapping[str, str]",
        enforced: Ruleset,
        wants_mac: bool,
        not_enforced: "tuple[tuple[str, str], ...]" = (),
    ) -> None:
        self.policy = policy
        self.world = world
        self.standing = standing
        self.enforced = enforced
        self.wants_mac = wants_mac
        self.not_enforced = not_enforced


def needs_class(outbounds: "Iterable[Outbound]") -> tuple[str, ...]:
    """The outbounds that need a class number."""
    return tuple([outbound.name for outbound in outbounds if outbound.type in LINE_TYPES])


def world_of(ruleset: Ruleset, states: "Iterable[LineState]", view: "View") -> World:
    """What the rules need to know of the network."""
    ingress = {}
    for state in states:
        outbound = ruleset.outbound(state.name)
        if outbound is not None and outbound.type == "interface" and outbound.interface:
            ingress[outbound.interface] = state.name
            ingress[state.device] = state.name
    down = [state.name for state in states if not state.up]
    # Proxies and tunnels are not driven yet: what is sent there waits, is blocked, as its rule says.
    down += [outbound.name for outbound in ruleset.outbounds if outbound.type in LATER_TYPES]
    return World(tuple(down), ingress, _local(view))


def _local(view: "View") -> tuple[tuple[int, int], ...]:
    """The router's own addresses and the broadcast addresses of its IPv4 subnets."""
    found = set()
    for address in view.addresses:
        family, number = parse_address(address.address)
        found.add((family, number))
        if family == V4 and address.prefixlen < 31:
            host = (1 << (32 - address.prefixlen)) - 1
            found.add((family, number | host))
    return tuple(sorted(found))


def compile_policy(
    ruleset: Ruleset,
    state: str,
    states: "tuple[LineState, ...]",
    view: "View",
    numbers: "Mapping[str, int]",
    skip_marks: tuple[int, ...] = (),
    log: bool = True,
) -> Compiled:
    """The policy for this state of the world. O(rules)."""
    settings = ruleset.settings
    marks = Marks(settings.fwmark_mask)
    world = world_of(ruleset, states, view)
    to_class = _Classes(ruleset, marks, numbers)
    ways_out = _default_devices(view, MAIN_TABLE)
    entries, standing = [], {}
    for rule in ruleset.ranked:
        standing[rule.name] = why = _why_not(ruleset, rule, state, world)
        if why == ENFORCED:
            number = to_class(outcome(ruleset, rule, world), rule)
            entries.append(Entry(rule, number, rule.action.log and log, ruleset.blocks(rule)))
    policy = Policy(
        marks=marks,
        lines=_lines(ruleset, states, numbers, view),
        entries=tuple(entries),
        counted=tuple([rule.name for rule in ruleset.rules]),
        ingress=_ingress(states, numbers),
        default_forwarded=to_class(default_outbound(ruleset, world, False), None),
        default_own=to_class(default_outbound(ruleset, world, True), None),
        translations=_translations(ruleset, states),
        ways_out=ways_out,
        near=private_subnets(view.routes, view.addresses, set(ways_out) | {state.device for state in states}),
        skip_marks=skip_marks,
        device_names=tuple(sorted([(name, found.device) for name, found in view.logical.items() if found.device])),
        table_base=settings.table_base,
        rule_priority=settings.rule_priority,
    )
    # Connections are told by device; a rule may name the interface of netifd behind which it is.
    met = by_device((entry.rule for entry in entries), dict(policy.device_names))
    enforced = Ruleset(met, ruleset.outbounds, settings)
    wants_mac = any(rule.field("src_mac") is not None for rule in enforced.rules)
    return Compiled(policy, world, standing, enforced, wants_mac, tuple(_not_enforced(ruleset, standing)))


def _not_enforced(ruleset: Ruleset, standing: "Mapping[str, str]") -> "Iterator[tuple[str, str]]":
    for rule in ruleset.rules:
        why = standing[rule.name] if standing[rule.name].startswith("not enforced") else partly(ruleset, rule)
        if why:
            yield rule.name, why
    yield from _parts_without_effect(ruleset)


def _parts_without_effect(ruleset: Ruleset) -> "Iterator[tuple[str, str]]":
    """What the configuration says beside its rules that nothing follows yet."""
    settings = ruleset.settings
    found = [("main", [name for name, value in (("confirm", settings.confirm), ("assert", settings.asserts)) if value])]
    for outbound in ruleset.outbounds:
        missing = ["type " + outbound.type] if outbound.type in LATER_TYPES else []
        missing += ["probe"] if outbound.probe else []
        missing += ["weight"] if outbound.weight != 1 else []
        missing += ["strategy " + outbound.strategy] if outbound.strategy != "failover" else []
        found.append(("outbound " + outbound.name, missing))
    for named in ruleset.lists:
        found.append(("list " + named.name, [name for name in ("url", "refresh") if getattr(named, name)]))
    for what, missing in found:
        if missing:
            yield what, "not enforced yet: {}".format(", ".join(missing))


# Known at the first packet and not written into the kernel's rules yet.
LATER_FIELDS = ("dscp",)
KERNEL_FIELDS = tuple([name for name in PACKET_FIELDS if name not in LATER_FIELDS])


def _why_not(ruleset: Ruleset, rule: "Rule", state: str, world: World) -> str:
    reason = gate(rule, state)
    if reason:
        return reason
    later = not_enforced(ruleset, rule)
    if later:
        return f"not enforced yet: {later}"
    if not outcome(ruleset, rule, world):
        return f"waits: outbound {rule.action.target} is down"
    return ENFORCED


def not_enforced(ruleset: Ruleset, rule: "Rule") -> str:
    """What the rule asks for that this version cannot do in the kernel, "" where it can do all of it."""
    later = [field.name for field in rule.fields if field.name in LATER_FIELDS or field.name == "schedule"]
    unknown = [field.name for field in rule.fields if field.name not in KERNEL_FIELDS and field.name not in later]
    if unknown:
        return f"{', '.join(unknown)} is not known at the first packet"
    if later:
        return ", ".join(later)
    if rule.action.kind == THROTTLE:
        return "throttle"
    if rule.action.kind in ROUTES:
        types = {_type(ruleset, line) for target in rule.action.targets for line in ruleset.lines_of(target)}
        usable = set(LINE_TYPES) | {DIRECT, BLOCK}
        missing = sorted(types - usable)
        # Without one of its lines a kill switch still holds: a line that is not there counts as down.
        if missing and not types & usable and rule.action.on_fail == "next":
            return f"outbounds of type {', '.join(missing)}"
    return ""


def partly(ruleset: Ruleset, rule: "Rule") -> str:
    """What an enforced rule asks for beside what the kernel does of it, or ""."""
    missing = ["throttle"] if rule.action.throttle else []
    missing += ["notify"] if rule.action.notify else []
    lines = {line for target in rule.action.targets for line in ruleset.lines_of(target)}
    missing += [
        f"outbound {line} of type {_type(ruleset, line)} (it counts as down)"
        for line in sorted(lines)
        if _type(ruleset, line) in LATER_TYPES
    ]
    for target in rule.action.targets:
        group = ruleset.outbound(target)
        if group is not None and group.strategy != "failover":
            missing.append(f"strategy {group.strategy} of {target} (the first member that is up carries all)")
    return f"not enforced yet: {', '.join(missing)}" if missing else ""


def _type(ruleset: Ruleset, name: str) -> str:
    outbound = ruleset.outbound(name)
    return outbound.type if outbound is not None else BLOCK


class _Classes:
    """Outbound names to class numbers."""

    def __init__(self, ruleset: Ruleset, marks: Marks, numbers: "Mapping[str, int]") -> None:
        self._ruleset = ruleset
        self._marks = marks
        self._numbers = numbers

    def __call__(self, name: str, rule: "Rule | None") -> int:
        """The class for an outcome; a block by rule says itself whether it drops or refuses."""
        if rule is not None and rule.action.kind == BLOCK:
            return self._marks.reject if rule.action.target == "reject" else self._marks.drop
        if name == DIRECT:
            return DIRECT_CLASS
        outbound = self._ruleset.outbound(name)
        if name == BLOCK or outbound is None or outbound.type == BLOCK:
            # A line that must not leak and traffic nobody may carry: refuse, so that programs fail at once.
            return self._marks.reject
        return DIRECT_CLASS if outbound.type == DIRECT else self._numbers[name]


def _lines(
    ruleset: Ruleset, states: "tuple[LineState, ...]", numbers: "Mapping[str, int]", view: "View"
) -> tuple[Line, ...]:
    lines = []
    sealed = {line for rule in ruleset.rules if rule.enabled for line in _sealed_by(ruleset, rule)}
    for state in states:
        outbound = ruleset.outbound(state.name)
        if outbound is None or state.name not in numbers:
            continue
        leaves_by = (
            _default_devices(view, outbound.table) if outbound.table else (state.device,) if state.device else ()
        )
        lines.append(
            Line(
                state.name,
                numbers[state.name],
                state.device,
                state.hops,
                outbound.table,
                leaves_by,
                state.name in sealed,
            )
        )
    return tuple(lines)


def _sealed_by(ruleset: Ruleset, rule: "Rule") -> "tuple[str, ...]":
    """The lines that the rule's packets must never leave past: it blocks where they are down."""
    if rule.action.kind not in ROUTES:
        return ()
    lines = [line for target in rule.action.targets for line in ruleset.lines_of(target)]
    ends_there = any(_type(ruleset, line) == BLOCK for line in lines)
    return tuple(lines) if rule.action.on_fail == BLOCK or ends_there else ()


def _default_devices(view: "View", table: int) -> tuple[str, ...]:
    """The devices that the default routes of a table lead to."""
    found = {
        route.device
        for route in view.routes
        if route.table == table and route.destination == "default" and route.device
    }
    return tuple(sorted(found))


def _ingress(states: "tuple[LineState, ...]", numbers: "Mapping[str, int]") -> tuple[tuple[str, int], ...]:
    """The first outbound of a device answers for it."""
    found: dict[str, int] = {}
    for state in states:
        if state.device and state.name in numbers:
            found.setdefault(state.device, numbers[state.name])
    return tuple(sorted(found.items()))


def _translations(ruleset: Ruleset, states: "tuple[LineState, ...]") -> tuple[SourceTranslation, ...]:
    found: dict[str, SourceTranslation] = {}
    for state in states:
        outbound = ruleset.outbound(state.name)
        if outbound is None or not state.device:
            continue
        prefix = outbound.ipv6_prefix if outbound.ipv6_source == "prefix" else ""
        translation = SourceTranslation(state.device, outbound.masq, outbound.ipv6_source == "masq", prefix)
        if translation.ipv4 or translation.ipv6 or prefix:
            found.setdefault(state.device, translation)
    return tuple([found[device] for device in sorted(found)])
