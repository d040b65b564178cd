"""Which rule a connection hits: the reference evaluator.

One walk over the rules in rank order, every step recorded, so that each faster path
(the compiled index, the kernel) can be held against it. Never does I/O; the state of
the lines arrives as a World.
"""

from netpolicy.core.address import V4, V6
from netpolicy.core.facts import Facts
from netpolicy.core.field import format_fact
from netpolicy.core.field_kind import Field
from netpolicy.core.health import NORMAL
from netpolicy.core.model import BLOCK, DIRECT, GROUP, ROUTER_ITSELF, THROTTLE, Rule, Ruleset

# Never steered, whatever the rules say: inclusive ranges by family (RFC 6890).
UNSTEERED = {
    V4: (
        (0, 0x00FFFFFF, "this network"),
        (0x7F000000, 0x7FFFFFFF, "loopback"),
        (0xA9FE0000, 0xA9FEFFFF, "link-local"),
        (0xE0000000, 0xEFFFFFFF, "multicast"),
        (0xFFFFFFFF, 0xFFFFFFFF, "broadcast"),
    ),
    V6: (
        (0, 1, "unspecified or loopback"),
        (0xFE80 << 112, (0xFEC0 << 112) - 1, "link-local"),
        (0xFF00 << 112, (1 << 128) - 1, "multicast"),
    ),
}

# DHCP and DHCPv6 by (protocol, source port, destination port); the lines live on them.
UNSTEERED_PORTS = ((17, 68, 67), (17, 67, 68), (17, 546, 547), (17, 547, 546))


class World:
    """What the network says now: which outbounds are down, which device leads in by which outbound.

    `order` has for a group its lines in the order in which they are to be used now; without it, as configured.
    `order6` is that for IPv6.
    """

    __slots__ = ("down", "ingress", "local", "order", "order6")

    def __init__(
        self,
        down: tuple[str, ...] = (),
        ingress: dict[str, str] | None = None,
        local: tuple[tuple[int, int], ...] = (),
        order: "dict[str, tuple[str, ...]] | None" = None,
        order6: "dict[str, tuple[str, ...]] | None" = None,
    ) -> None:
        self.down = down
        self.ingress = ingress or {}  # device or interface name: outbound
        self.local = local  # the router's own and broadcast addresses, (family, integer)
        self.order = order or {}
        self.order6 = order6 or self.order


NOTHING_KNOWN = World()

# A field may have thousands of values, and an explanation many fields.
SHOWN_VALUES = 8

NO_MATCH = "no rule matches: the default decides"


class Decision:
    """The outcome for one connection, with the reasons."""

    __slots__ = ("_facts", "_steps", "action", "log", "outbound", "rule", "state")

    def __init__(
        self,
        rule: Rule | None,
        action: str,
        log: bool,
        outbound: str,
        state: str,
        facts: Facts,
        steps: "list[tuple[Rule | None, str | Field]]",
    ) -> None:
        self.rule = rule  # None: no rule matched, or the packet is never steered
        self.action = action  # "" without a rule
        self.log = log
        self.outbound = outbound  # where it goes: an outbound's name, "direct", or "block"
        self.state = state
        self._facts = facts
        self._steps = steps

    @property
    def is_exempt(self) -> bool:
        """Whether no rule was asked: such traffic is never steered."""
        if self.rule is not None or not self._steps:
            return False
        return self._steps[0][0] is None and self._steps[0][1] != NO_MATCH

    @property
    def why(self) -> tuple[str, ...]:
        """One sentence per step. Put into words here: of a thousand decisions hardly one is read."""
        return tuple([_in_words(rule, reason, self._facts) for rule, reason in self._steps])


def _in_words(rule: Rule | None, reason: "str | Field", facts: Facts) -> str:
    text = reason if isinstance(reason, str) else unmet_text(reason, facts)
    return text if rule is None else "{}: {}".format(rule.name, text)


def unmet_text(field: Field, facts: Facts) -> str:
    """Why the facts do not satisfy the field, in words."""
    fact = getattr(facts, field.name)
    seen = "is not known" if fact is None else "is {}".format(format_fact(field.name, fact))
    wanted = ",".join(field.values[:SHOWN_VALUES])
    if len(field.values) > SHOWN_VALUES:
        wanted += ",… ({} in all)".format(len(field.values))
    return "{} {}, the rule wants {}".format(field.name, seen, wanted)


def gate(rule: Rule, state: str) -> str:
    """Why the rule is not considered in that state, or ""."""
    if not rule.enabled:
        return "is switched off"
    if state in rule.disable:
        return "is disabled in state {}".format(state)
    if rule.when and state not in rule.when:
        return "applies only in state {}".format(", ".join(rule.when))
    return ""


def carrier(ruleset: Ruleset, name: str, world: World, family: int = V4) -> str:
    """The outbound that carries now what is sent to `name`, "" when none can.

    Of a group it is the first of its lines that is up, in the order that the world has for it: the shares of a
    balance are no matter of one decision. O(lines).
    """
    if name in world.down:
        return ""
    outbound = ruleset.outbound(name)
    if outbound is None or outbound.type != GROUP:
        return name
    order = world.order6 if family == V6 else world.order
    for line in order.get(name) or ruleset.lines_of(name):
        if line not in world.down:
            return line
    return ""


def outcome(ruleset: Ruleset, rule: Rule, world: World, family: int = V4) -> str:
    """Where the rule sends what it matches: an outbound's name, "direct" or "block".

    "" when its outbounds are down and the next rule decides.
    """
    action = rule.action
    if action.kind == BLOCK:
        return BLOCK
    if action.kind == THROTTLE:
        return DIRECT
    for target in action.targets:
        found = carrier(ruleset, target, world, family)
        if found:
            return found
    return {"next": "", "direct": DIRECT, "block": BLOCK}[action.on_fail]


def first_unmet(rule: Rule, facts: Facts) -> Field | None:
    """The first field that the facts do not satisfy, None when all match."""
    for field in rule.fields:
        if not field.matches(getattr(facts, field.name)):
            return field
    return None


def unsteered(facts: Facts) -> str:
    """Why no rule may steer this packet, or ""."""
    address = facts.dest_addr
    if address is not None:
        for low, high, what in UNSTEERED[address[0]]:
            if low <= address[1] <= high:
                return "{} addresses are never steered".format(what)
    if (facts.proto, facts.src_port, facts.dest_port) in UNSTEERED_PORTS:
        return "DHCP is never steered"
    return ""


def ingress(facts: Facts, world: World) -> str:
    """The outbound by which the packet came in, or ""."""
    return world.ingress.get(facts.src_iface, "") if facts.src_iface is not None else ""


def applies(ruleset: Ruleset, rule: Rule, facts: Facts, came_by: str) -> str:
    """Why the rule is not for this kind of traffic, or ""."""
    if not came_by and facts.src_iface != ROUTER_ITSELF:
        return ""
    blocks = ruleset.blocks(rule)
    if came_by and not (blocks and rule.field("src_iface") is not None):
        return "the connection came in by {}: its answers leave by the same line".format(came_by)
    if blocks and facts.src_iface == ROUTER_ITSELF and not rule.blocks_router_itself:
        return "a block spares the router's own connections unless it names src_iface " + ROUTER_ITSELF
    return ""


def decide(ruleset: Ruleset, facts: Facts, state: str = NORMAL, world: World = NOTHING_KNOWN) -> Decision:
    """The decision for a connection with these facts in that state. O(rules x fields)."""
    came_by = ingress(facts, world)
    exempt = unsteered(facts)
    if exempt:
        return Decision(None, "", False, DIRECT, state, facts, [(None, exempt)])
    if facts.dest_addr in world.local:
        return Decision(None, "", False, came_by or DIRECT, state, facts, [(None, "it is for the router itself")])
    steps: "list[tuple[Rule | None, str | Field]]" = []
    for rule in ruleset.deciding:
        reason = gate(rule, state) or applies(ruleset, rule, facts, came_by) or first_unmet(rule, facts)
        if reason:
            steps.append((rule, reason))
            continue
        goes = outcome(ruleset, rule, world, facts.dest_addr[0] if facts.dest_addr is not None else V4)
        if not goes:
            steps.append((rule, "{}, the next rule decides".format(_down(rule))))
            continue
        steps.append((rule, "matches"))
        steps.extend((rule, text) for text in _way(ruleset, rule, goes, world))
        return Decision(rule, rule.action.text, rule.action.log, goes, state, facts, steps)
    if came_by:
        return Decision(None, "", False, came_by, state, facts, steps)
    steps.append((None, NO_MATCH))
    goes = default_outbound(ruleset, world, facts.src_iface == ROUTER_ITSELF)
    return Decision(None, "", False, goes, state, facts, steps)


def _down(rule: Rule) -> str:
    targets = rule.action.targets
    return "outbound {} is down".format(targets[0]) if len(targets) == 1 else "{} are down".format(", ".join(targets))


def _way(ruleset: Ruleset, rule: Rule, goes: str, world: World) -> list[str]:
    """How a route came to the outbound that it goes by, where that is not the one it names."""
    if goes in rule.action.targets[:1] or not rule.action.targets:
        return []
    if all(not carrier(ruleset, target, world) for target in rule.action.targets):
        return ["{}, on_fail is {}".format(_down(rule), rule.action.on_fail)]
    return ["{} is the first that is up of {}".format(goes, ", ".join(rule.action.targets))]


def default_outbound(ruleset: Ruleset, world: World, own_traffic: bool) -> str:
    """Where traffic without a rule goes.

    A default that is down falls back to the main table; a blocking default spares the
    router's own traffic, or it could neither resolve names nor be administered.
    """
    goes = carrier(ruleset, ruleset.settings.default, world) or DIRECT
    outbound = ruleset.outbound(goes)
    return DIRECT if own_traffic and outbound is not None and outbound.type == BLOCK else goes
