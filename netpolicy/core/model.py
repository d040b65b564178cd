"""The rule set as values: rules, outbounds, settings, and the facts of one connection.

What every front end produces and every decision reads. Never parses a file format and
never changes after it was built. Meaning of each field: docs/rules.md.
"""

from netpolicy.core.address import parse_address
from netpolicy.core.field import (
    FIELD_ORDER,
    FIELD_RANK,
    PACKET_FIELDS,
    Field,
    Words,
    parse_device,
    parse_family,
    parse_mac,
    parse_port,
    parse_protocol,
)
from netpolicy.core.value import ValueProblem

DIRECT = "direct"  # the main routing table decides
BLOCK = "block"
THROTTLE = "throttle"

# Names that exist without being defined.
BUILT_IN_OUTBOUNDS = (DIRECT, BLOCK)

# The router's own traffic has no incoming device; rules name it as this one.
ROUTER_ITSELF = "lo"


class Action:
    """What the winner does: `kind` is route, switch_route, block or throttle.

    `target` is an outbound for the routes, a profile for throttle, "drop" or "reject" for block.
    """

    __slots__ = ("kind", "log", "on_fail", "target")

    def __init__(self, kind: str, target: str, log: bool = False, on_fail: str = "next") -> None:
        self.kind = kind
        self.target = target
        self.log = log
        self.on_fail = on_fail  # next, direct, block: when the outbound is down

    @property
    def text(self) -> str:
        """The decision as one phrase: "route fast", "block", "block reject", "throttle slow"."""
        if self.kind == BLOCK:
            return "block" if self.target == "drop" else "block " + self.target
        return self.kind + " " + self.target


class Rule:
    """One rule. An empty `fields` tuple means `any`."""

    __slots__ = ("action", "disable", "enabled", "fields", "name", "position", "priority", "title", "when")

    def __init__(
        self,
        name: str,
        priority: int,
        fields: tuple[Field, ...],
        action: Action,
        when: tuple[str, ...] = (),
        disable: tuple[str, ...] = (),
        enabled: bool = True,
        title: str = "",
        position: str = "",
    ) -> None:
        self.name = name
        self.priority = priority
        self.fields = tuple(sorted(fields, key=lambda field: FIELD_RANK[field.name]))
        self.action = action
        self.when = when  # states; empty: every state
        self.disable = disable
        self.enabled = enabled
        self.title = title or name
        self.position = position  # "file:line", for messages

    @property
    def specificity(self) -> int:
        """The number of match fields; `any` counts 0."""
        return len(self.fields)

    def field(self, name: str) -> Field | None:
        """The field of that name, or None."""
        for field in self.fields:
            if field.name == name:
                return field
        return None

    @property
    def is_packet_only(self) -> bool:
        """Whether every field is known from the first packet."""
        return all(field.name in PACKET_FIELDS for field in self.fields)

    @property
    def match_text(self) -> str:
        """The match as one line: "any" or "proto=tcp dest_port=443"."""
        return " ".join(repr(field) for field in self.fields) or "any"

    @property
    def blocks_router_itself(self) -> bool:
        """A block cuts the router's own connections only when it names the router as source."""
        field = self.field("src_iface")
        return isinstance(field, Words) and ROUTER_ITSELF in field.wanted


class Outbound:
    """A named way out."""

    __slots__ = (
        "gateway", "gateway6", "interface", "ipv6_prefix", "ipv6_source", "masq", "name", "position", "table",
        "title", "type",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        type: str,
        interface: str = "",
        table: int = 0,
        gateway: str = "",
        gateway6: str = "",
        masq: bool = False,
        ipv6_source: str = "none",
        ipv6_prefix: str = "",
        title: str = "",
        position: str = "",
    ) -> None:
        self.name = name
        self.type = type  # interface, table, direct, block
        self.interface = interface  # netifd network or device
        self.table = table
        self.gateway = gateway  # "": learned from the network
        self.gateway6 = gateway6
        self.masq = masq
        self.ipv6_source = ipv6_source  # none, masq, prefix
        self.ipv6_prefix = ipv6_prefix
        self.title = title or name
        self.position = position


class Settings:
    """The options of the main section."""

    __slots__ = (
        "default", "enabled", "fwmark_mask", "mode", "netlink", "primary", "rule_priority", "table_base",
    )  # fmt: skip

    def __init__(
        self,
        enabled: bool = False,
        mode: str = "enforce",
        primary: str = "",
        default: str = DIRECT,
        fwmark_mask: int = 0x77000000,
        table_base: int = 7000,
        rule_priority: int = 7000,
        netlink: str = "auto",
    ) -> None:
        self.enabled = enabled
        self.mode = mode  # enforce, observe
        self.primary = primary
        self.default = default
        self.fwmark_mask = fwmark_mask
        self.table_base = table_base
        self.rule_priority = rule_priority
        self.netlink = netlink


class Ruleset:
    """Everything one configuration says. `rules` are in file order."""

    __slots__ = ("_by_name", "_ranked", "outbounds", "rules", "settings")

    def __init__(
        self,
        rules: tuple[Rule, ...] = (),
        outbounds: tuple[Outbound, ...] = (),
        settings: Settings | None = None,
    ) -> None:
        self.rules = rules
        self.outbounds = outbounds
        self.settings = settings or Settings()
        self._by_name = {name: Outbound(name, name) for name in BUILT_IN_OUTBOUNDS}
        self._by_name.update({outbound.name: outbound for outbound in reversed(outbounds)})  # the first wins
        self._ranked: tuple[Rule, ...] | None = None

    @property
    def ranked(self) -> tuple[Rule, ...]:
        """The rules in the order in which they win: priority, then specificity, then the file's order."""
        if self._ranked is None:  # sorted once: every decision walks them
            order = [(-rule.priority, -rule.specificity, index) for index, rule in enumerate(self.rules)]
            self._ranked = tuple([self.rules[key[2]] for key in sorted(order)])
        return self._ranked

    def outbound(self, name: str) -> Outbound | None:
        """The outbound of that name, or None."""
        return self._by_name.get(name)

    def blocks(self, rule: Rule) -> bool:
        """Whether the rule cuts what it matches: by its action, or by a route to a blocking outbound."""
        if rule.action.kind == BLOCK:
            return True
        if rule.action.kind == THROTTLE:
            return False
        outbound = self.outbound(rule.action.target)
        return outbound is not None and outbound.type == BLOCK


class Facts:
    """What is known of one connection; None is unknown. Addresses are (family, integer)."""

    __slots__ = FIELD_ORDER

    def __init__(self) -> None:
        self.src_iface: str | None = None
        self.src_mac: str | None = None
        self.src_addr: tuple[int, int] | None = None
        self.src_port: int | None = None
        self.dest_addr: tuple[int, int] | None = None
        self.dest_port: int | None = None
        self.proto: int | None = None
        self.family: int | None = None
        self.sni: str | None = None
        self.latency_ms: float | None = None
        self.rtt_ms: float | None = None

    def with_family(self) -> "Facts":
        """Self, with the family taken from an address where it was not given."""
        if self.family is None:
            address = self.dest_addr or self.src_addr
            if address is not None:
                self.family = address[0]
        return self


def _parse_milliseconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueProblem("{!r} is not a number of milliseconds".format(text))  # noqa: B904 - not in MicroPython
    if not 0 <= number <= 4294967295:
        raise ValueProblem("{!r} is not a number of milliseconds".format(text))
    return number


def _parse_name(text: str) -> str:
    if len(text) > 255:  # RFC 1035, 2.3.4
        raise ValueProblem("a name has at most 255 characters")
    return text


FACT_PARSERS = {
    "src_addr": parse_address,
    "dest_addr": parse_address,
    "src_mac": parse_mac,
    "src_iface": parse_device,
    "src_port": parse_port,
    "dest_port": parse_port,
    "proto": parse_protocol,
    "family": parse_family,
    "sni": _parse_name,
    "latency_ms": _parse_milliseconds,
    "rtt_ms": _parse_milliseconds,
}

# The predecessor's and other tools' names for the same facts.
ALIASES = {
    "protocol": "proto", "port": "dest_port", "src": "src_addr", "dest": "dest_addr", "dst": "dest_addr",
}  # fmt: skip


def parse_facts(texts: dict[str, str]) -> Facts:
    """The facts written as texts by name (aliases accepted). Raises ValueProblem, naming the fact."""
    facts = Facts()
    for key in sorted(texts):
        name = ALIASES.get(key, key)
        if name not in FACT_PARSERS:
            raise ValueProblem("unknown fact {!r}".format(key), "one of {}".format(", ".join(FIELD_ORDER)))
        try:
            setattr(facts, name, FACT_PARSERS[name](texts[key].strip()))
        except ValueProblem as problem:
            raise ValueProblem("{}: {}".format(key, problem.text), problem.hint)  # noqa: B904 - not in MicroPython
    return facts.with_family()
