"""From rules, state and network to the Policy that the data plane enforces.

The only place where an outbound's name becomes a class. Never does I/O. A rule that
cannot be enforced is named with the reason: nothing is silently weaker than it looks.
Runs on MicroPython.
"""

from binascii import crc32

from netpolicy.core.address import V4, V6, parse_address
from netpolicy.core.evaluate import World, default_outbound
from netpolicy.core.health import NORMAL
from netpolicy.core.model import BLOCK, DIRECT, Ruleset
from netpolicy.core.pairs import limit_in, limit_of, line_of, pair, per_rule, profile_of
from netpolicy.dataplane.limits import MOST_NUMBER, Limit
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.own_tunnels import DEFAULT
from netpolicy.dataplane.policy import DIRECT_CLASS, Entries, Line, Policy, Share, SourceTranslation, Tunnel
from netpolicy.dataplane.routing import private_subnets
from netpolicy.dataplane.state import MAIN_TABLE
from netpolicy.outbounds.group_order import LATER_TYPES
from netpolicy.service.devices import by_device
from netpolicy.service.standing import ENFORCED, Ways

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import TypeVar

    from netpolicy.core.model import Rule
    from netpolicy.outbounds.group_order import Use
    from netpolicy.outbounds.lines import LineState, View

    Row = TypeVar("Row", bound="tuple[object, ...] | Entries")
    from netpolicy.service.standing import Way


class Compiled:
    """The policy, and per rule how it stands: "kernel", or why not.

    `enforced` has the rules that the kernel can follow, for judging what it did in `state`, where some of
    them may not stand; `enforceable` are the same as they were written. `wants_mac`
    says whether one of them asks for the sender's MAC address; `waiting` is why a rule is not in the kernel, by
    name: of ten thousand few are; `not_enforced` is (rule, what of
    it the kernel does not do yet); `active` are the schedules that were open.
    """

    __slots__ = (
        "active", "enforceable", "enforced", "not_enforced", "policy", "state", "waiting", "wants_mac", "world",
    )  # fmt: skip

    def __init__(
        self,
        policy: Policy,
        world: World,
        waiting: "Mapping[str, str]",
        enforced: Ruleset,
        wants_mac: bool,
        not_enforced: "tuple[tuple[str, str], ...]" = (),
        active: "tuple[str, ...]" = (),
        state: str = NORMAL,
        enforceable: "tuple[Rule, ...]" = (),
    ) -> None:
        self.policy = policy
        self.world = world
        self.waiting = waiting
        self.enforced = enforced
        self.wants_mac = wants_mac
        self.not_enforced = not_enforced
        self.active = active
        self.state = state
        self.enforceable = enforceable

    @property
    def standing(self) -> "dict[str, str]":
        """By the name of every rule. Made when it is asked for."""
        found = {name: ENFORCED for name in self.policy.ranked}
        found.update(self.waiting)
        return found


def world_of(
    ruleset: Ruleset, states: "Iterable[LineState]", view: "View", groups: "Mapping[str, Use] | None" = None
) -> World:
    """What the rules need to know of the network; `groups` says how each of them is to be used now."""
    ingress = {}
    for state in states:
        outbound = ruleset.outbound(state.name)
        if outbound is not None and outbound.type == "interface" and outbound.interface:
            ingress[outbound.interface] = state.name
            ingress[state.device] = state.name
    down = [state.name for state in states if not state.up]
    down += [outbound.name for outbound in ruleset.outbounds if outbound.type in LATER_TYPES]
    order, order6 = [{name: use.order[family] for name, use in (groups or {}).items()} for family in (V4, V6)]
    return World(tuple(down), ingress, _local(view), order, order6)


def _local(view: "View") -> tuple[tuple[int, int], ...]:
    """The router's own addresses, the broadcast address of each IPv4 subnet, the anycast one of each of IPv6."""
    found = set()
    for address in view.addresses:
        family, number = parse_address(address.address)
        found.add((family, number))
        if family == V4 and address.prefixlen < 31:
            host = (1 << (32 - address.prefixlen)) - 1
            found.add((family, number | host))
        if family == V6 and address.prefixlen < 127:  # RFC 4291, 2.6.1; not on links of two (RFC 6164)
            found.add((family, number >> (128 - address.prefixlen) << (128 - address.prefixlen)))
    return tuple(sorted(found))


def compile_policy(
    ruleset: Ruleset,
    state: str,
    states: "tuple[LineState, ...]",
    view: "View",
    numbers: "Mapping[str, int]",
    skip_marks: tuple[int, ...] = (),
    log: bool = True,
    active: tuple[str, ...] = (),
    before: "Compiled | None" = None,
    groups: "Mapping[str, Use] | None" = None,
    learns: bool = True,
    left_alone: "tuple[tuple[int, int], ...]" = (),
) -> Compiled:
    """The policy for this state of the world; `active` are the schedules whose window is open. O(rules).

    `learns`: somebody fills the sets of names that rules ask for; without, such rules are not enforced.

    What is as it was in `before` is the same object, so that who compares sees it at once.
    """
    settings = ruleset.settings
    marks = Marks(settings.fwmark_mask)
    world = world_of(ruleset, states, view, groups)
    to_class = _Classes(ruleset, marks, numbers)
    shares = _Shares(ruleset, to_class, groups or {})
    ways_out = _default_devices(view, MAIN_TABLE)
    ways = Ways(ruleset, state, world, active, learns)
    earlier = before.policy if before is not None else Policy()
    is_same_time = before is not None and before.state == state and before.active == active
    stood = set(earlier.entries.rules if is_same_time else ())
    entries = _Standing()
    add_rule, add_number = entries.rules.append, entries.numbers.append
    add_log, add_blocks = entries.log.append, entries.blocks.append
    enforceable, waiting, not_enforced = [], {}, {}
    to_number: dict[tuple[Way, str] | Way, int] = {}  # rules of one way and limit have one class
    sealed: set[str] = set()
    ports = _tunnel_ports(ruleset, states, view)
    leading: dict[int, list[str]] = {}  # the rules that lead to each of them
    find_way, deciding = ways.way, ruleset.deciding
    for rule in deciding:  # ten thousand, at every change: what is asked of all of them is little
        way = find_way(rule)
        if way.sealed and rule.enabled:
            sealed.update(way.sealed)
        # One that did, goes on to where nothing that could hold it back is another.
        if not (rule in stood and way.goes and not way.later):
            why = ways.standing(rule, way)
            if why != ENFORCED:
                waiting[rule.name] = why
                is_enforceable = not why.startswith("not enforced")
                if is_enforceable:
                    enforceable.append(rule)
                if way.partly or not is_enforceable:
                    not_enforced[rule.name] = way.partly if is_enforceable else why
                continue
        action = rule.action
        led = (way, to_class.limit(rule)) if action.throttle else way
        number = to_number.get(led)
        if number is None:
            number = to_number[led] = shares.of(way.group, rule) or to_class(way.goes, rule)
        add_rule(rule)
        add_number(number)
        add_log(log and action.log)
        add_blocks(way.blocks)
        if ports:
            for port in {ports[line] for line in way.lines if line in ports}:
                leading.setdefault(port, []).append(rule.name)
        enforceable.append(rule)
        if way.partly:
            not_enforced[rule.name] = way.partly
    for port in {ports[line] for line in ruleset.lines_of(settings.default) if line in ports}:
        leading.setdefault(port, []).append(DEFAULT)
    classes = {port: _classes_by(port, ports, numbers) for port in leading}
    policy = Policy(
        marks=marks,
        lines=_lines(ruleset, states, numbers, view, sealed),
        entries=_kept(entries.in_columns(ruleset.ranked), earlier.entries),
        ranked=_kept(tuple([rule.name for rule in deciding]), before.policy.ranked if before is not None else None),
        ingress=_ingress(states, numbers),
        default_forwarded=shares.of(settings.default) or to_class(default_outbound(ruleset, world, False), None),
        default_own=shares.of(settings.default) or to_class(default_outbound(ruleset, world, True), None),
        translations=_translations(ruleset, states),
        ways_out=ways_out,
        near=private_subnets(view.routes, view.addresses, set(ways_out) | {state.device for state in states}),
        skip_marks=skip_marks,
        device_names=tuple(sorted([(name, found.device) for name, found in view.logical.items() if found.device])),
        table_base=settings.table_base,
        rule_priority=settings.rule_priority,
        shares=shares.made,
        limits=_limits(ruleset, numbers),
        tunnels=_kept(
            tuple([Tunnel(port, tuple(leading[port]), classes[port]) for port in sorted(leading)]), earlier.tunnels
        ),
        left_alone=left_alone,
    )
    rules = _kept(tuple(enforceable), deciding)
    enforced = _enforced(ruleset, rules, policy, before)
    # Of those that stood it is known that none asks for it, or that one does: then all are asked, it may be gone.
    asking = rules if before is None or before.wants_mac else [rule for rule in rules if rule not in stood]
    unmet = (
        [(rule.name, not_enforced[rule.name]) for rule in ruleset.rules if rule.name in not_enforced]
        if not_enforced
        else []
    )
    unmet.extend(_parts_without_effect(ruleset))
    return Compiled(policy, world, waiting, enforced, _asks_mac(asking), tuple(unmet), active, state, rules)


def _enforced(ruleset: Ruleset, rules: "tuple[Rule, ...]", policy: Policy, before: "Compiled | None") -> Ruleset:
    """The rules as connections meet them: told by device, where a rule may name the interface of netifd behind it.

    The same object as before where nothing of it changed: an index of it goes on being right.
    """
    if (
        before is not None
        and before.enforceable == rules
        and before.policy.device_names == policy.device_names
        and before.enforced.outbounds == ruleset.outbounds
        and before.enforced.settings is ruleset.settings
    ):
        return before.enforced
    known = {}
    if before is not None and before.policy.device_names == policy.device_names:
        known = dict(zip(before.enforceable, before.enforced.rules))  # noqa: B905 - MicroPython's zip knows no strict
    told = _kept(by_device(rules, dict(policy.device_names), known), rules)
    return Ruleset(told, ruleset.outbounds, ruleset.settings)


def _asks_mac(rules: "Iterable[Rule]") -> bool:
    return any([field.name == "src_mac" for rule in rules for field in rule.fields])


def _kept(now: "Row", known: "Row | None") -> "Row":
    """The known row where it has the same things: of ten thousand rules each row is 80 kB, and stays."""
    return known if known is not None and known == now else now


class _Standing:
    """The rules that stand, while they are gathered, and what belongs to each at the same place."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.numbers: list[int] = []
        self.log = bytearray()
        self.blocks = bytearray()

    def in_columns(self, ranked: "tuple[Rule, ...]") -> Entries:
        return Entries(_kept(tuple(self.rules), ranked), self.numbers, bytes(self.log), bytes(self.blocks))


def _parts_without_effect(ruleset: Ruleset) -> "Iterator[tuple[str, str]]":
    """What the configuration says beside its rules that nothing follows yet."""
    found: list[tuple[str, list[str]]] = []
    for outbound in ruleset.outbounds:
        missing = ["type " + outbound.type] if outbound.type in LATER_TYPES else []
        found.append(("outbound " + outbound.name, missing))
    for what, missing in found:
        if missing:
            yield what, "not enforced yet: {}".format(", ".join(missing))


class _Classes:
    """Outbound names to class numbers."""

    def __init__(self, ruleset: Ruleset, marks: Marks, numbers: "Mapping[str, int]") -> None:
        self._ruleset = ruleset
        self._marks = marks
        self._numbers = numbers
        self._per_rule = per_rule(ruleset)

    def limit(self, rule: "Rule") -> str:
        """The limit of speed that holds what the rule matches, or ""."""
        return limit_of(rule, self._per_rule) if rule.action.throttle else ""

    def __call__(self, name: str, rule: "Rule | None") -> int:
        """The class for an outcome; a block by rule says itself whether it drops or refuses."""
        if rule is not None and rule.action.kind == BLOCK:
            return self._marks.reject if rule.action.target == "reject" else self._marks.drop
        outbound = self._ruleset.outbound(name)
        is_direct = name == DIRECT or (outbound is not None and outbound.type == DIRECT)
        if rule is not None and rule.action.throttle:
            throttled = self._numbers.get(pair(DIRECT if is_direct else name, self.limit(rule)))
            if throttled is not None:
                return throttled
        if is_direct:
            return DIRECT_CLASS
        if name == BLOCK or outbound is None or outbound.type == BLOCK:
            # A line that must not leak and traffic nobody may carry: refuse, so that programs fail at once.
            return self._marks.reject
        return self._numbers[name]


# Classes end long before.
FIRST_SHARE = 1000
SHARES = 999_000


class _Shares:
    """Groups whose flows do not all go one way: the members of a balance, another line for IPv6."""

    def __init__(self, ruleset: Ruleset, to_class: _Classes, groups: "Mapping[str, Use]") -> None:
        self._ruleset = ruleset
        self._to_class = to_class
        self._groups = groups
        self._known: dict[tuple[str, str], Share | None] = {}

    @property
    def made(self) -> tuple[Share, ...]:
        """Those in use, by number."""
        return tuple(sorted([one for one in self._known.values() if one is not None], key=lambda one: one.number))

    def of(self, group: str, rule: "Rule | None" = None) -> int:
        """The number of the group's share under the rule's limit; 0 where everything goes one way, or nothing does."""
        use = self._groups.get(group)
        if use is None:
            return 0
        key = (group, self._to_class.limit(rule) if rule is not None else "")
        if key not in self._known:
            self._known[key] = self._make(group, use, rule, key[1])
        share = self._known[key]
        return share.number if share is not None else 0

    def _make(self, group: str, use: "Use", rule: "Rule | None", limit: str) -> "Share | None":
        parts: dict[int, tuple[tuple[int, int], ...]] = {}
        for family, rows in use.shares.items():
            parts[family] = tuple([(self._to_class(line, rule), weight) for line, weight in rows])
        ways = set(parts.values())
        outbound = self._ruleset.outbound(group)
        # Also while one line alone is left: its clients stay when the others come back.
        sticky = outbound.sticky if outbound is not None and outbound.strategy == "balance" else 0
        if len(self._ruleset.lines_of(group)) < 2:
            sticky = 0
        if not all(ways) or (len(ways) == 1 and len(parts[V4]) == 1 and not sticky):
            return None
        # By its name, not by its place: its clients must not be forgotten when another outbound comes or goes.
        number = by_name(pair(group, limit), SHARES, {one.number - FIRST_SHARE for one in self.made})
        return Share(FIRST_SHARE + number, parts, sticky)


def _tunnel_ports(ruleset: Ruleset, states: "tuple[LineState, ...]", view: "View") -> "dict[str, int]":
    """By line the port that it sends from itself, where its packets leave by a WireGuard device."""
    found = {}
    for state in states if view.ports else ():
        outbound = ruleset.outbound(state.name)
        table = outbound.table if outbound is not None else 0
        for device in _default_devices(view, table) if table else (state.device,):
            if device in view.ports:
                found[state.name] = view.ports[device]
    return found


def _classes_by(port: int, ports: "dict[str, int]", numbers: "Mapping[str, int]") -> "tuple[int, ...]":
    """The classes of lines with that port, throttled ones too."""
    return tuple(sorted([number for name, number in numbers.items() if ports.get(line_of(name)) == port]))


def _lines(
    ruleset: Ruleset, states: "tuple[LineState, ...]", numbers: "Mapping[str, int]", view: "View", sealed: "set[str]"
) -> tuple[Line, ...]:
    lines = []
    throttled = [(line_of(name), name) for name in numbers if limit_in(name)]
    for state in states:
        outbound = ruleset.outbound(state.name)
        if outbound is None or state.name not in numbers:
            continue
        leaves_by = (
            _default_devices(view, outbound.table) if outbound.table else (state.device,) if state.device else ()
        )
        home = numbers[state.name]
        for name in [state.name] + [one for line, one in throttled if line == state.name]:
            lines.append(
                Line(
                    name,
                    numbers[name],
                    state.device,
                    state.hops,
                    outbound.table,
                    leaves_by,
                    state.name in sealed,
                    0 if name == state.name else home,
                )
            )
    return tuple(lines)


def _limits(ruleset: Ruleset, numbers: "Mapping[str, int]") -> tuple[Limit, ...]:
    """The limits that rules need, each with the classes of its pairs."""
    classes: dict[str, list[int]] = {}
    for name, number in numbers.items():
        classes.setdefault(limit_in(name), []).append(number)
    found = []
    taken: set[int] = {0}
    for profile in ruleset.throttles:
        for limit in sorted([one for one in classes if one and profile_of(one) == profile.name]):
            each = profile.per == "client"
            number = by_name(limit, MOST_NUMBER + 1, taken)
            taken.add(number)
            found.append(Limit(limit, profile.up, profile.down, each, tuple(sorted(classes[limit])), number))
    return tuple(found)


def by_name(name: str, below: int, taken: "set[int]") -> int:
    """A number that stays with the name, whatever comes or goes beside it; the next one where that is taken."""
    number = crc32(name.encode()) % below
    while number in taken:
        number = (number + 1) % below
    return number


def _default_devices(view: "View", table: int) -> tuple[str, ...]:
    """The devices that the default routes of a table lead to."""
    found = {
        device
        for route in view.routes
        if route.table == table and route.destination == "default"
        for device in route.devices
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
