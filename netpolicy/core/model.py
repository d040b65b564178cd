"""The rule set as values: rules, outbounds, settings, and the facts of one connection.

What every front end produces and every decision reads. Never parses a file format and
never changes after it was built, but for the line where a rule stands. Meaning of each field: docs/rules.md.
"""

from netpolicy.core.calendar import Schedule
from netpolicy.core.field import FIELD_RANK, PACKET_FIELDS
from netpolicy.core.field_kind import Field, Words
from netpolicy.core.named_list import NamedList

DIRECT = "direct"  # the main routing table decides
BLOCK = "block"
THROTTLE = "throttle"
ROUTE = "route"
SWITCH_ROUTE = "switch_route"
FALLBACK = "fallback"

ROUTES = (ROUTE, SWITCH_ROUTE, FALLBACK)  # the kinds that send by an outbound
GROUP = "group"

# Names that exist without being defined.
BUILT_IN_OUTBOUNDS = (DIRECT, BLOCK)

# No rule has as many fields: a rank is one number, by which priority goes before specificity.
MORE_THAN_FIELDS = 1024

# The router's own traffic has no incoming device; rules name it as this one.
ROUTER_ITSELF = "lo"


class Action:
    """What the winner does: `kind` is route, switch_route, fallback, block or throttle.

    `target` is an outbound for the routes (the first one of a fallback), a profile for
    throttle, "drop" or "reject" for block. `throttle` is the profile, also beside a route.
    """

    __slots__ = ("kind", "log", "notify", "on_fail", "target", "targets", "throttle")

    def __init__(
        self,
        kind: str,
        target: str,
        log: bool = False,
        on_fail: str = "next",
        targets: tuple[str, ...] = (),
        throttle: str = "",
        notify: bool = False,
    ) -> None:
        self.kind = kind
        self.target = target
        self.targets = targets or ((target,) if kind in ROUTES else ())  # outbounds, in order of preference
        self.throttle = target if kind == THROTTLE else throttle
        self.log = log
        self.notify = notify
        self.on_fail = on_fail  # next, direct, block: when every target is down

    @property
    def text(self) -> str:
        """The decision as one phrase: "route fast", "block", "block reject", "throttle slow"."""
        if self.kind == BLOCK:
            return "block" if self.target == "drop" else "block " + self.target
        phrase = self.kind + " " + (",".join(self.targets) if self.kind == FALLBACK else self.target)
        return phrase + " throttle " + self.throttle if self.throttle and self.kind != THROTTLE else phrase


# Lines of a page: numbers below this are objects that Python has anyway.
LINES = 256

NO_LINE = -1  # a rule from no line of a file


class Page:
    """Some lines of a file, from `first` on, shared by rules: ten thousand numbers would be a third of a megabyte."""

    __slots__ = ("file", "first")

    def __init__(self, file: str, first: int) -> None:
        self.file = file
        self.first = first


NOWHERE = Page("", -LINES)  # of rules from no file, and of those that are told later where they stand

# The page that was named last: rules come from one after the other.
_last_page = [NOWHERE]


def _shared(file: str, first: int) -> Page:
    if not file and first < 0:
        return NOWHERE
    last = _last_page[0]
    if first != last.first or file != last.file:
        last = _last_page[0] = Page(last.file if file == last.file else file, first)
    return last


class Rule:
    """One rule. An empty `fields` tuple means `any`."""

    __slots__ = ("_line", "_page", "action", "disable", "enabled", "fields", "name", "priority", "title", "when")

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
        # In two parts: ten thousand texts would be a megabyte, and say the same file.
        file, _, line = position.rpartition(":")
        if line.isdigit():
            self.move(file, int(line))
        else:
            self.move(position, NO_LINE)

    @property
    def position(self) -> str:
        """ "file:line", for messages; "" for a rule from no file."""
        file, line = self.place
        return file if line == NO_LINE else "{}:{}".format(file, line)

    @property
    def place(self) -> "tuple[str, int]":
        """File and line: the position as it is kept."""
        page = self._page
        return page.file, page.first + self._line

    def move(self, file: str, line: int) -> None:
        """It stands there now, and says what it said. The one thing that changes: lines move."""
        self._page = _shared(file, line - line % LINES)
        self._line = line % LINES

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
        "gateway", "gateway6", "hold", "interface", "interval", "ipv6_prefix", "ipv6_source", "key", "masq",
        "max_client_loss", "max_latency_ms", "max_loss", "member", "name", "node", "passive", "position", "probe",
        "quorum", "server", "sticky", "strategy", "table", "title", "type", "weight",
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
        strategy: str = "failover",
        member: tuple[str, ...] = (),
        weight: int = 1,
        probe: tuple[str, ...] = (),
        node: str = "",
        server: str = "",
        key: str = "",
        interval: int = 1,
        quorum: int = 1,
        max_latency_ms: int = 120,
        max_loss: int = 5,
        hold: int = 10,
        sticky: int = 0,
        passive: bool = True,
        max_client_loss: int = 0,
    ) -> None:
        self.name = name
        self.type = type  # interface, table, group, direct, block, xray, tunnel
        self.interface = interface  # netifd network or device
        self.table = table
        self.gateway = gateway  # "": learned from the network
        self.gateway6 = gateway6
        self.masq = masq
        self.ipv6_source = ipv6_source  # none, masq, prefix
        self.ipv6_prefix = ipv6_prefix
        self.title = title or name
        self.position = position
        self.strategy = strategy  # of a group: failover, balance, latency
        self.member = member  # of a group: outbounds
        self.weight = weight  # its share as a member of a balancing group
        self.probe = probe  # active checks, "kind:target"
        self.interval = interval  # seconds between them while the line is in use
        self.quorum = quorum  # so many must be answered
        self.max_latency_ms = max_latency_ms  # 0: any
        self.max_loss = max_loss  # percent; 0: any
        self.max_client_loss = max_client_loss  # percent; 0: any
        self.sticky = sticky  # of a balance: seconds that a client stays with its line
        self.passive = passive  # whether what clients' connections say counts
        self.hold = hold  # seconds of being good before groups go back to it
        self.node = node  # of type xray: the imported node
        self.server = server  # of type tunnel: "ssh://user@host:port"
        self.key = key  # of type tunnel: the name of the key among the secrets


class Throttle:
    """A profile of speeds in bit/s; 0 is not limited."""

    __slots__ = ("down", "name", "per", "position", "title", "up")

    def __init__(
        self, name: str, down: int = 0, up: int = 0, title: str = "", position: str = "", per: str = "all"
    ) -> None:
        self.name = name
        self.down = down
        self.up = up
        self.title = title or name
        self.position = position
        self.per = (
            per  # all: whoever its rules match share it; rule: those of each rule; client: each address has as much
        )


class Settings:
    """The options of the main section."""

    __slots__ = (
        "anonymize", "asserts", "confirm", "default", "dns_guard", "dnsmasq", "drift", "enabled", "fwmark_mask",
        "inspect", "inspector", "mode", "netlink", "primary", "rule_priority", "ruleset", "table_base",
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
        confirm: int = 120,
        ruleset: tuple[str, ...] = (),
        asserts: tuple[str, ...] = (),
        drift: str = "heal",
        inspector: str = "auto",
        inspect: tuple[str, ...] = (),
        anonymize: tuple[str, ...] = (),
        dnsmasq: str = "auto",
        dns_guard: bool = False,
    ) -> None:
        self.enabled = enabled
        self.mode = mode  # enforce, observe
        self.primary = primary
        self.default = default
        self.fwmark_mask = fwmark_mask
        self.table_base = table_base
        self.rule_priority = rule_priority
        self.netlink = netlink
        self.confirm = confirm  # seconds; 0: not needed
        self.drift = drift  # heal, alert, leave
        self.inspector = inspector  # auto, ebpf, packet, conntrack, off
        self.inspect = inspect  # tls, quic, dns, http; none; empty: all four
        self.anonymize = anonymize  # clients, names
        self.dnsmasq = dnsmasq  # auto, off, or the folder that our file may be put into
        self.dns_guard = dns_guard  # refuse name servers elsewhere, hidden in TLS
        self.ruleset = ruleset  # further files, as written
        self.asserts = asserts  # "lan can wan tcp/443"


class Ruleset:
    """Everything one configuration says. `rules` are in file order."""

    __slots__ = (
        "_by_name", "_lines", "_ranked", "has_main", "lists", "outbounds", "rules", "schedules", "settings",
        "throttles",
    )  # fmt: skip

    def __init__(
        self,
        rules: tuple[Rule, ...] = (),
        outbounds: tuple[Outbound, ...] = (),
        settings: Settings | None = None,
        schedules: tuple[Schedule, ...] = (),
        throttles: tuple[Throttle, ...] = (),
        lists: tuple[NamedList, ...] = (),
        has_main: bool = True,
    ) -> None:
        self.rules = rules
        self.outbounds = outbounds
        self.has_main = settings is not None and has_main  # assertions alone are no main section
        self.settings = settings or Settings()
        self.schedules = schedules
        self.throttles = throttles
        self.lists = lists
        self._by_name = {name: Outbound(name, name) for name in BUILT_IN_OUTBOUNDS}
        self._by_name.update({outbound.name: outbound for outbound in reversed(outbounds)})  # the first wins
        self._ranked: tuple[Rule, ...] | None = None
        self._lines: dict[str, tuple[str, ...]] = {}  # by name, for groups: many rules lead to the same ones

    @property
    def ranked(self) -> tuple[Rule, ...]:
        """The rules in the order in which they win: priority, then specificity, then the file's order."""
        if self._ranked is None:  # sorted once: every decision walks them
            # Ten thousand rules share few ranks, and each rank keeps the file's order: only the ranks are sorted.
            ranks: dict[int, list[Rule]] = {}
            find = ranks.get
            for rule in self.rules:
                rank = rule.priority * MORE_THAN_FIELDS + len(rule.fields)
                row = find(rank)
                if row is None:
                    ranks[rank] = [rule]
                else:
                    row.append(rule)
            self._ranked = tuple([rule for rank in sorted(ranks, reverse=True) for rule in ranks[rank]])
        return self._ranked

    @property
    def deciding(self) -> tuple[Rule, ...]:
        """The rules that connections are held against: before the ranked ones those that a setting stands for."""
        if not self.settings.dns_guard:
            return self.ranked
        from netpolicy.core import dns_guard  # few need it, and it needs rules

        guards = dns_guard.rules()
        # Among rules as packets meet them they are already.
        return self.ranked if self.ranked[:1] == guards[:1] else guards + self.ranked

    def outbound(self, name: str) -> Outbound | None:
        """The outbound of that name, or None."""
        return self._by_name.get(name)

    def lines_of(self, name: str) -> tuple[str, ...]:
        """The outbounds that are no groups and that the name leads to, in order; itself when it is none."""
        first = self._by_name.get(name)
        if first is None or first.type != GROUP:
            return (name,)
        if name not in self._lines:
            self._lines[name] = self._lines_below(name)
        return self._lines[name]

    def _lines_below(self, name: str) -> tuple[str, ...]:
        found: list[str] = []
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue  # twice a member, or a circle that lint reports
            seen.add(one)
            outbound = self._by_name.get(one)
            if outbound is not None and outbound.type == GROUP:
                waiting.extend(reversed(outbound.member))
            else:
                found.append(one)
        return tuple(found)

    def blocks(self, rule: Rule) -> bool:
        """Whether the rule cuts what it matches: by its action, or by a route to a blocking outbound."""
        if rule.action.kind == BLOCK:
            return True
        if rule.action.kind == THROTTLE:
            return False
        outbound = self.outbound(rule.action.target)
        return outbound is not None and outbound.type == BLOCK
