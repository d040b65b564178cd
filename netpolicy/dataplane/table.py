"""The desired `table inet netpolicy`, chain by chain, from a Policy.

Says what every chain holds and why it is there; never talks to the kernel and never
orders transactions (staging.py does). Layout and hooks: docs/dataplane.md.
"""

from netpolicy.core.address import V4, V6, format_range
from netpolicy.core.evaluate import UNSTEERED, UNSTEERED_PORTS
from netpolicy.dataplane import labels, learned_sets, limits, names, own_tunnels, shares
from netpolicy.dataplane.arrange import TooManyBoxes
from netpolicy.dataplane.groups import ARRIVING_SCOPES, FORWARDED_SCOPES, OWN_SCOPES, Groups
from netpolicy.dataplane.kept import Kept
from netpolicy.dataplane.policy import DIRECT_CLASS, Policy
from netpolicy.dataplane.record import Record
from netpolicy.dataplane.rows import LabelRows, column
from netpolicy.dataplane.sets import KernelSet, RangeElements
from netpolicy.dataplane.shape import FAMILY_WORD, LearnedSet, shapes

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from netpolicy.dataplane.groups import Group
    from netpolicy.dataplane.policy import Entry
    from netpolicy.dataplane.shape import LargeSet, Shape

# First packets of rules with `log` go to this NFLOG group, rule name as prefix.
LOG_GROUP = 78

# A flood of new connections must not become a flood of log messages.
LOG_LIMIT = "limit rate 20/second burst 40 packets"

FORWARDED = "classify"
OWN = own_tunnels.OWN
ARRIVING = "arriving"
TO_ROUTER = "to_router"

# Sets that live as long as the table. Of two slots one is asked; the other takes a new version when
# labels change their meaning together with the maps that say them.
HITS = "hits"
VERDICTS = "verdicts"
SLOTS = ("a", "b")
LEAST_ROOM = 256

# After conntrack (-200) and after every package that marks at mangle (-150) or earlier; before
# DNAT (-100), so that the address the client asked for is matched, and before routing.
MARK_PRIORITY = "mangle + 1"
# Before fw4's forward chain (0), whose first rule may offload the flow.
BLOCK_PRIORITY = "filter - 10"

# DHCPv6 and neighbour discovery of the line itself: translated, they would be answered to nobody.
LINK_LOCAL = "fe80::/10"
MULTICAST = "ff00::/8"


class Chain(Record):
    """`header` is the hook line of a base chain, "" for a regular one."""

    __slots__ = ("rules", "header")

    def __init__(self, rules: "tuple[str, ...]", header: str = "") -> None:
        self.rules = rules
        self.header = header

    def values(self) -> "tuple[object, ...]":
        return (self.rules, self.header)


class Table:
    """What the table holds: chains and sets, in the order in which a text has to declare them.

    `sets` are those that chains ask by name; the elements of `restore`, `hits` and `verdicts` come and
    go one by one, the others are named after their content and never change.
    """

    __slots__ = ("_labelled", "chains", "order", "sets")

    def __init__(
        self,
        sets: "tuple[KernelSet, ...]",
        chains: "list[tuple[str, Chain]]",
        labelled: LabelRows,
    ) -> None:
        self.sets = sets
        self.chains = dict(chains)
        # The order of the text: a dict keeps it on CPython only.
        self.order = tuple([name for name, _ in chains])
        self._labelled = labelled

    @property
    def ranked(self) -> "tuple[str, ...]":
        """The names of all rules in rank order."""
        return self._labelled.words

    @property
    def labels(self) -> "dict[str, int]":
        """By the name of the rule. Made when it is asked for: kept it would take ten times as much."""
        return dict(zip(self._labelled.words, self._labelled.labels))  # noqa: B905 - MicroPython has no strict


# Ten thousand rules with ten boxes each. Each costs the kernel some hundred bytes, and us while they are arranged.
MOST_BOXES_OF_ALL = 100000

# Characters. A longer one has hundreds of ports, each of which is an element too.
LONG_GUARD = 1024


class Builder:
    """Makes tables one after the other; what did not change since the last one is not made again."""

    __slots__ = ("_asked", "_groups", "_hits", "_large", "_made", "_shapes", "_standing")

    def __init__(self) -> None:
        self._groups = Groups()
        self._large: dict[str, KernelSet] = {}
        self._made: tuple[Policy, Table] | None = None
        self._hits: KernelSet | None = None
        self._shapes = Kept(Policy())
        self._standing: Sequence[int] | None = None  # the labels of those rules, and the groups that came of it
        self._asked: list[Group] = []

    def build(
        self, policy: "Policy", labelled: "Mapping[str, int] | None" = None, slot: str = "a", room: int = 0
    ) -> Table:
        """The table that enforces the policy, with these labels by rule (new ones without).

        `slot` and `room` say which version of the label sets the rules ask, and how many labels fit in.

        O(n log n) in rules that changed their match, O(n) in all rules. Raises TooManyBoxes.
        """
        given = labels.assign(policy.ranked) if labelled is None else labelled
        hits = self._hits_of(policy, given)
        standing = column([given[rule.name] for rule in policy.entries.rules])
        groups = self._groups_of(policy, standing)
        chains = [(names.SCHEMA, Chain(()))]
        classes = policy.classes
        for number in classes:
            chains.extend(_class_chains(policy, number))
        for number in sorted({number for _, number in policy.ingress}):
            chains.append((names.arriving_chain(number), Chain((_save(policy, number), "accept"))))
        spread = {share.number for share in policy.shares}
        led = own_tunnels.ports(policy)
        for number in sorted(set(policy.entries.numbers) - spread):
            chains.append((names.verdict_chain(number), Chain((_settle(number),))))
        for share in policy.shares:
            chains.extend([(name, Chain(rules)) for name, rules in shares.chains(share)])
        chains.extend([(name, Chain(rules)) for name, rules in own_tunnels.chains(policy, led)])
        for place, is_logged in enumerate(policy.entries.log):
            if is_logged:
                entry = policy.entries[place]
                ports = led.get(entry.rule.name)
                to = names.tunnel_chain(entry.number, ports) if ports else ""
                if not to and entry.number in spread:
                    to = names.verdict_chain(entry.number)
                chains.append((names.rule_chain(entry.rule.name), _logging_chain(entry, to)))
        if classes != (DIRECT_CLASS,):
            chains.extend(_classification(policy, groups, slot, led))
            chains.extend(_hooks(policy))
        chains.extend([(name, Chain(rules, hook)) for name, rules, hook in limits.chains(policy)])
        if policy.translations:
            chains.append(("srcnat_np", _source_translation(policy)))
        sets = self._sets(policy, groups, standing, hits, slot, room or room_for(len(policy.ranked)))
        made = Table(sets, chains, hits)
        self._made = (policy, made)
        return made

    def made_from(self, policy: "Policy", table: Table) -> bool:
        """Whether the table was the last one made, from an equal policy."""
        return self._made is not None and self._made[1] is table and self._made[0] == policy

    def _sets(
        self,
        policy: "Policy",
        groups: "list[Group]",
        standing: "Sequence[int]",
        hits: LabelRows,
        slot: str,
        size: int,
    ) -> "tuple[KernelSet, ...]":
        marks = policy.marks
        restored = sorted([(marks.bits(number) | marks.done, _chain_of(number)) for number in policy.classes])
        restore = tuple([(((bits, bits),), to, "") for bits, to in restored])
        result = [KernelSet("restore", ("mark",), restore, "verdict")]
        if policy.classes == (DIRECT_CLASS,):
            return tuple(result)
        result.extend(limits.sets(policy))
        for share in policy.shares:
            result.extend(shares.sets(share))
        result.append(self._hit_set(hits, slot, size))
        result.append(_verdicts(policy, standing, slot, size))
        large = {one.name: one for group in groups for one in group.large}
        self._large = {name: self._large.get(name) or _large_set(large[name]) for name in sorted(large)}
        result.extend([self._large[name] for name in sorted(large)])
        for group in groups:
            result.extend(group.maps)
        return tuple(result)

    def _hits_of(self, policy: "Policy", given: "Mapping[str, int]") -> LabelRows:
        """The label of every rule: what counts. The rows of last time where they say the same."""
        made = LabelRows(column([given[rule] for rule in policy.ranked]), policy.ranked, has_values=False)
        known = self._hits.elements if self._hits is not None else None
        return known if isinstance(known, LabelRows) and made.replaced(known) == [] else made

    def _hit_set(self, hits: LabelRows, slot: str, size: int) -> KernelSet:
        name = f"{HITS}_{slot}"
        last = self._hits
        if last is not None and last.elements is hits and last.name == name and last.size == size:
            return last
        # With a size: of a hash that grows while it is read, entries are told twice or not at all (measured).
        made = KernelSet(name, ("classid",), hits, counter=True, size=size)
        self._hits = made
        return made

    def _groups_of(self, policy: "Policy", standing: "Sequence[int]") -> "list[Group]":
        """Those of last time where all rules have the shapes and labels that they had. Raises TooManyBoxes."""
        if standing != self._standing or not self._shapes.serves(policy):
            self._standing = None  # it may be refused, and then what came of it is nothing
            self._asked = self._groups.of(self._labelled(policy, standing))
            self._standing = standing
        return self._asked

    def _labelled(self, policy: "Policy", standing: "Sequence[int]") -> "Iterator[tuple[tuple[Shape, ...], int]]":
        """The shapes of all rules that stand, one rule after the other: a row of them would be a megabyte.

        Raises TooManyBoxes.
        """
        before, known = self._shapes, self._shapes.known_to(policy)
        kept = Kept(policy)
        count = 0
        guards: set[str] = set()
        for place, rule in enumerate(policy.entries.rules):
            there = known.get(rule)
            made = shapes(policy.entries[place], policy) if there is None else before.shapes(there)
            kept.add(made)
            for shape in made:
                count += shape.count
                if len(shape.guard) > LONG_GUARD and shape.guard not in guards:
                    guards.add(shape.guard)  # it stands once, however many rules share it
                    count += shape.guard.count(",")
            if count > MOST_BOXES_OF_ALL:
                raise TooManyBoxes(
                    f"the rules need more than {MOST_BOXES_OF_ALL} elements of maps, at rule {rule.name!r}: "
                    "each address with each port is one; put addresses into a list, or ports into ranges"
                )
            yield made, standing[place]
        kept.close()
        self._shapes = kept


def build(policy: "Policy") -> Table:
    """The table that enforces the policy, for once. O(n log n)."""
    return Builder().build(policy)


def _classification(
    policy: "Policy", groups: "list[Group]", slot: str, led: "dict[str, tuple[int, ...]]"
) -> "list[tuple[str, Chain]]":
    forwarded = _lookups(groups, FORWARDED_SCOPES, slot)
    own = _lookups(groups, OWN_SCOPES, slot)
    arriving = _lookups(groups, ARRIVING_SCOPES, slot)
    head = _forwarded_head(policy, arriving)
    default_own = _default(policy, policy.default_own, own)
    chains = [
        (FORWARDED, Chain(tuple(head + forwarded + [_default(policy, policy.default_forwarded, forwarded)]))),
        (OWN, Chain(tuple(_own_head(policy) + own + own_tunnels.by_default(led) + [default_own]))),
    ]
    if arriving and policy.ingress:
        back = ["meta priority set 0x0", _came_by(policy.ingress)]
        chains.insert(0, (ARRIVING, Chain(tuple(arriving + back))))
    if policy.ingress:
        chains.insert(0, (TO_ROUTER, to_router(policy)))
    return chains


def _lookups(groups: "list[Group]", scopes: "tuple[str, ...]", slot: str) -> "list[str]":
    """Finds the best label, counts it and goes where its rule says; goes on where no rule matches."""
    rules = [rule for group in groups if group.scope in scopes for rule in group.rules]
    if not rules:
        return []
    rules.insert(0, f"meta priority set {labels.NONE:#x}")
    rules.append(f"meta priority @{HITS}_{slot}")
    rules.append(f"meta priority vmap @{VERDICTS}_{slot}")
    return rules


def _default(policy: "Policy", number: int, lookups: "list[str]") -> str:
    if any([share.number == number for share in policy.shares]):
        return f"goto {names.verdict_chain(number)}"
    return _settle(number) if lookups else f"goto {names.saving_chain(number)}"


def _settle(number: int) -> str:
    """The priority carried the label; the kernel gives every packet the same one before it is routed on."""
    return f"meta priority set 0x0 goto {names.saving_chain(number)}"


def to_router(policy: "Policy", without: "Collection[int]" = ()) -> Chain:
    """What comes for the router itself is answered by the line it came in on; by main, `without` its class."""
    led = [(device, number) for device, number in policy.ingress if number not in without]
    return Chain(((_came_by(led), "goto m_00") if led else ("goto m_00",)))


def _came_by(ingress: "Iterable[tuple[str, int]]") -> str:
    came_by = ", ".join(f'"{device}" : goto {names.arriving_chain(number)}' for device, number in ingress)
    return f"iifname vmap {{ {came_by} }}"


def _verdicts(policy: "Policy", standing: "Sequence[int]", slot: str, size: int) -> KernelSet:
    to_class = {number: names.verdict_chain(number) for number in set(policy.entries.numbers)}
    leads_to = [to_class[number] for number in policy.entries.numbers]
    led = own_tunnels.ports(policy)
    if led:
        for place, rule in enumerate(policy.entries.rules):
            if rule.name in led:
                leads_to[place] = names.tunnel_chain(policy.entries.numbers[place], led[rule.name])
    for place, is_logged in enumerate(policy.entries.log):
        if is_logged:
            leads_to[place] = names.rule_chain(policy.entries.rules[place].name)
    elements = LabelRows(standing, tuple(leads_to), has_values=True)
    return KernelSet(f"{VERDICTS}_{slot}", ("classid",), elements, "verdict", size=size)


def room_for(count: int) -> int:
    """How many labels the sets of so many rules take: a power of two with room for some more."""
    size = LEAST_ROOM
    while size < count + count // 2:
        size *= 2
    return size


def _large_set(large: "LargeSet | LearnedSet") -> KernelSet:
    """Of one field: a tree of its ends, a fifth of the memory of a concatenation (measured), and never changed.

    One that is learned is a hash, whose elements come and go by themselves.
    """
    address = "ipv4_addr" if large.family == V4 else "ipv6_addr"
    if isinstance(large, LearnedSet):
        most, seconds = learned_sets.MOST_ADDRESSES, learned_sets.LONGEST_SECONDS
        return KernelSet(large.name, (address,), (), size=most, timeout=seconds)
    return KernelSet(large.name, (address,), RangeElements(large.ranges), interval=True)


def _chain_of(number: int) -> str:
    return "accept" if number == DIRECT_CLASS else names.marking_chain(number)


def _verdict(policy: "Policy", number: int) -> str:
    """What a class does once it is decided."""
    return "accept" if number == DIRECT_CLASS else f"goto {names.marking_chain(number)}"


def _save(policy: "Policy", number: int) -> str:
    """Writes class and done bit into the conntrack mark, and no foreign bit."""
    saved = policy.marks.bits(number) | policy.marks.done
    # nft 1.0.6 cannot combine packet mark and conntrack mark in one statement: hence a chain per
    # value. It lists `& K | V` as `& (K|V) | V`; written that way here, text and listing agree.
    return f"ct mark set ct mark & {0xFFFFFFFF & ~policy.marks.mask | saved:#010x} | {saved:#010x}"


def _class_chains(policy: "Policy", number: int) -> "list[tuple[str, Chain]]":
    """m_NN writes the conntrack mark, k_NN the packet mark; foreign bits are kept in both."""
    marks = policy.marks
    bits = marks.bits(number)
    keep = 0xFFFFFFFF & ~marks.mask
    # Two rules: a packet that conntrack calls invalid has no mark to save, and must be steered all the same.
    chains = [(names.saving_chain(number), Chain((_save(policy, number), _verdict(policy, number))))]
    if number != DIRECT_CLASS:
        mark = f"meta mark set meta mark & {keep | bits:#010x} | {bits:#010x} accept"
        chains.append((names.marking_chain(number), Chain((mark,))))
    return chains


def _logging_chain(entry: "Entry", to: str) -> Chain:
    """`to`: the chain that settles it; "" where nothing but the class is left to say."""
    name = entry.rule.name
    comment = f'comment "np:rule={name}"'
    log = f'{LOG_LIMIT} log prefix "{names.rule_chain(name)}" group {LOG_GROUP} {comment}'
    return Chain((log, f"goto {to}" if to else _settle(entry.number)))


def _never_steered() -> "list[str]":
    rules = []
    for family in (V4, V6):
        texts = [format_range(family, low, high) for low, high, _ in UNSTEERED[family]]
        rules.append(f"{FAMILY_WORD[family]} daddr {{ {', '.join(texts)} }} goto m_00")
    ports = ", ".join(f"{source} . {destination}" for _, source, destination in UNSTEERED_PORTS)
    rules.append(f"meta l4proto udp th sport . th dport {{ {ports} }} goto m_00")
    return rules


def _forwarded_head(policy: "Policy", arriving: "list[str]") -> "list[str]":
    """What is settled before the rules: the unsteerable, the router's own addresses, what a line brought in."""
    rules = _never_steered()
    # Saved for the answers, not marked: what a line brought in goes on by main, which knows every
    # network behind the router.
    for_router = "fib daddr type { local, broadcast, anycast, multicast }"  # looks up a route, so it is asked once
    rules.append(f"{for_router} goto {TO_ROUTER if policy.ingress else 'm_00'}")
    if policy.ingress and arriving:
        # Blocks that name an incoming device go before `answers leave by the line they came in on`.
        devices = ", ".join(f'"{device}"' for device, _ in policy.ingress)
        rules.append(f"iifname {{ {devices} }} goto {ARRIVING}")
    elif policy.ingress:
        rules.append(_came_by(policy.ingress))
    rules.append(_older(policy))
    return rules


def _own_head(policy: "Policy") -> "list[str]":
    rules = _never_steered()
    # Neighbour discovery to a global address: steering it would ask the wrong network.
    rules.append("icmpv6 type { 133, 134, 135, 136, 137 } accept")
    rules.append("fib daddr type { local, broadcast, anycast, multicast } goto m_00")
    rules.append(_older(policy))
    return rules


def _older(policy: "Policy") -> str:
    """A connection older than this table stays on the way it has: moving it would break it.

    One that was decided and whose class is gone has no way any more: it is decided again.
    """
    return f"ct mark & {policy.marks.done:#010x} == 0 ct state established,related goto m_00"


def _refuses_own(policy: "Policy") -> bool:
    """A block cuts the router's own connections only when it names the router as source."""
    refused = (policy.marks.drop, policy.marks.reject)
    found = [policy.entries[place] for place, number in enumerate(policy.entries.numbers) if number in refused]
    return any([not entry.blocks or entry.rule.blocks_router_itself for entry in found])


def _hooks(policy: "Policy") -> "list[tuple[str, Chain]]":
    marks = policy.marks
    class_mask = f"{marks.class_mask:#010x}"
    untouched = [f"meta mark & {class_mask} != 0 accept"]
    if policy.skip_marks:
        foreign = ", ".join(f"{mark:#010x}" for mark in policy.skip_marks)
        untouched.append(f"meta mark {{ {foreign} }} accept")
    done = f"ct mark & {marks.done:#010x} != 0"
    arriving = []
    if policy.ingress:
        devices = ", ".join(f'"{device}"' for device, _ in policy.ingress)
        # Answers that a line brings back go on by main: the mark is for the way out.
        arriving = [f"iifname {{ {devices} }} {done} accept"]
    # What nearly every packet meets, so little stands before it. The key has the done bit: others miss.
    restore = f"ct mark & {marks.mask:#010x} vmap @restore"
    coming = untouched + arriving + [restore, 'iifname "lo" accept', f"goto {FORWARDED}"]
    # Here it stands first: a reset that refuses a connection of the router comes back over lo, of that class too.
    left = [f"meta mark & {mask:#010x} == {mark:#010x} accept" for mark, mask in policy.left_alone]
    going = ['oifname "lo" accept'] + untouched + left + own_tunnels.led_astray(policy) + [restore, f"goto {OWN}"]
    chains = [
        ("pre", Chain(tuple(coming), f"type filter hook prerouting priority {MARK_PRIORITY}; policy accept;")),
        # type route: the kernel looks the route up again after the mark changed.
        ("out", Chain(tuple(going), f"type route hook output priority {MARK_PRIORITY}; policy accept;")),
    ]
    if policy.forbidden:
        chains.append(("post_np", _second_lock(policy)))
    refusals = _refusals(policy)
    if refusals:
        hook = f"type filter hook forward priority {BLOCK_PRIORITY}; policy accept;"
        chains.append(("forward_np", Chain(refusals, hook)))
    # Also for a route that refuses while its line is down: a kill switch holds for the router too.
    if _refuses_own(policy):
        hook = f"type filter hook output priority {BLOCK_PRIORITY}; policy accept;"
        # A reset or an error that refuses a client's connection is of its class, and of the other direction.
        own = ("ct direction reply accept",) + refusals
        chains.append(("out_np", Chain(own, hook)))
    return chains


def _second_lock(policy: "Policy") -> Chain:
    """A packet of a sealed line never leaves by another, also when an ip rule or route of ours is missing.

    In postrouting, because only there the device of the router's own packets is the final one.
    """
    marks = policy.marks
    pairs = ", ".join(f'{marks.bits(number):#010x} . "{device}"' for number, device in policy.forbidden)
    rules = []
    for family in (V4, V6):
        near = [subnet for subnet in policy.near if (":" in subnet) == (family == V6)]
        if near:
            rules.append(f"{FAMILY_WORD[family]} daddr {{ {', '.join(near)} }} accept")
    # Only what was classified as this packet: around a tunnelled packet (GRE, IPIP, 6in4) there is
    # another one, which shows the mark of the inner and has a conntrack entry of its own.
    done = f"ct mark & {marks.done:#010x} != 0"
    rules.append(f"{done} meta mark & {marks.class_mask:#010x} . oifname {{ {pairs} }} drop")
    return Chain(tuple(rules), f"type filter hook postrouting priority {MARK_PRIORITY}; policy accept;")


def _refusals(policy: "Policy") -> "tuple[str, ...]":
    marks = policy.marks
    rules = []
    if marks.drop in policy.classes:
        rules.append(f"meta mark & {marks.class_mask:#010x} == {marks.bits(marks.drop):#010x} drop")
    if marks.reject in policy.classes:
        refused = f"meta mark & {marks.class_mask:#010x} == {marks.bits(marks.reject):#010x}"
        rules.append(f"{refused} meta l4proto tcp reject with tcp reset")
        rules.append(f"{refused} reject with icmpx admin-prohibited")
    return tuple(rules)


def _source_translation(policy: "Policy") -> Chain:
    rules = []
    for translation in policy.translations:
        leaving = f'oifname "{translation.device}"'
        if translation.ipv4:
            rules.append(f"meta nfproto ipv4 {leaving} masquerade")
        if translation.ipv6_prefix:
            # Host bits are kept (the kernel's netmap, RFC 6296's use). Not what has the prefix already.
            prefix = translation.ipv6_prefix
            moved = f"ip6 saddr != {{ {LINK_LOCAL}, {prefix} }} ip6 daddr != {MULTICAST}"
            rules.append(f"{moved} {leaving} snat ip6 prefix to {prefix}")
        elif translation.ipv6:
            rules.append(f"ip6 saddr != {LINK_LOCAL} ip6 daddr != {MULTICAST} {leaving} masquerade")
    return Chain(tuple(rules), "type nat hook postrouting priority srcnat; policy accept;")
