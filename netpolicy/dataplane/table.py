"""The desired `table inet netpolicy`, chain by chain, from a Policy.

Says what every chain holds and why it is there; never talks to the kernel and never
orders transactions (staging.py does). Layout and hooks: docs/dataplane.md.
"""

from netpolicy.core.address import V4, V6, format_range
from netpolicy.core.evaluate import UNSTEERED, UNSTEERED_PORTS
from netpolicy.dataplane import names
from netpolicy.dataplane.match_text import FAMILY_WORD, forwarded_matches, own_matches
from netpolicy.dataplane.policy import DIRECT_CLASS
from netpolicy.dataplane.record import Record

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable

    from netpolicy.core.model import Rule
    from netpolicy.dataplane.policy import Entry, Policy

    Matcher = Callable[[Rule, Policy], tuple[str, ...]]

# First packets of rules with `log` go to this NFLOG group, rule name as prefix.
LOG_GROUP = 78

# A flood of new connections must not become a flood of log messages.
LOG_LIMIT = "limit rate 20/second burst 40 packets"

FORWARDED = "g_forwarded"
OWN = "g_own"

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
    """Names of staged chains are written without generation: `g_forwarded`."""

    __slots__ = ("chains", "counters", "order", "restore")

    def __init__(
        self,
        counters: "tuple[str, ...]",
        restore: "tuple[tuple[str, str], ...]",
        chains: "list[tuple[str, Chain]]",
    ) -> None:
        self.counters = counters
        self.restore = restore  # elements of the map: class bits in a ct mark → verdict
        self.chains = dict(chains)
        # The order of the text: a dict keeps it on CPython only.
        self.order = tuple([name for name, _ in chains])


def build(policy: "Policy") -> Table:
    """The table that enforces the policy. O(rules x address ranges)."""
    chains = [(names.SCHEMA, Chain(()))]
    classes = policy.classes
    for number in classes:
        chains.extend(_class_chains(policy, number))
    for number in sorted({number for _, number in policy.ingress}):
        chains.append((names.arriving_chain(number), Chain((_save(policy, number), "accept"))))
    for entry in policy.entries:
        chains.append((names.rule_chain(entry.rule.name), _rule_chain(entry)))
    if classes != (DIRECT_CLASS,):
        chains.extend(_classification(policy))
        chains.extend(_hooks(policy))
    if policy.translations:
        chains.append(("srcnat_np", _source_translation(policy)))
    counted = {entry.rule.name for entry in policy.entries} | set(policy.counted)
    counters = tuple(sorted([names.counter(name) for name in counted]))
    return Table(counters, _restore(policy), chains)


def _classification(policy: "Policy") -> "list[tuple[str, Chain]]":
    entries = list(policy.entries)
    forwarded, own = policy.default_forwarded, policy.default_own
    return [
        (FORWARDED, _classifier(policy, _forwarded_head(policy), entries, forwarded_matches, forwarded)),
        (OWN, _classifier(policy, _own_head(policy), _own_entries(policy), own_matches, own)),
        # Two fixed names in front of the staged chains keep the swap to one rule each.
        ("classify", Chain((f"goto {FORWARDED}",))),
        ("classify_own", Chain((f"goto {OWN}",))),
    ]


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


def _rule_chain(entry: "Entry") -> Chain:
    name = entry.rule.name
    comment = f'comment "np:rule={name}"'
    rules = [f'counter name "{names.counter(name)}" goto {names.saving_chain(entry.number)} {comment}']
    if entry.log:
        rules.insert(0, f'{LOG_LIMIT} log prefix "{names.rule_chain(name)}" group {LOG_GROUP} {comment}')
    return Chain(tuple(rules))


def _never_steered() -> "list[str]":
    rules = []
    for family in (V4, V6):
        texts = [format_range(family, low, high) for low, high, _ in UNSTEERED[family]]
        rules.append(f"{FAMILY_WORD[family]} daddr {{ {', '.join(texts)} }} goto m_00")
    ports = ", ".join(f"{source} . {destination}" for _, source, destination in UNSTEERED_PORTS)
    rules.append(f"meta l4proto udp th sport . th dport {{ {ports} }} goto m_00")
    return rules


def _forwarded_head(policy: "Policy") -> "list[str]":
    """What is settled before the rules: the unsteerable, the router's own addresses, what a line brought in."""
    rules = _never_steered()
    # Saved for the answers, not marked: what a line brought in goes on by main, which knows every
    # network behind the router.
    came_by = ", ".join(f'"{device}" : goto {names.arriving_chain(number)}' for device, number in policy.ingress)
    to_router = "fib daddr type { local, broadcast, anycast, multicast }"
    if came_by:
        rules.append(f"{to_router} iifname vmap {{ {came_by} }}")
    rules.append(f"{to_router} goto m_00")
    if came_by:
        rules.extend(_blocks_by_device(policy))
        rules.append(f"iifname vmap {{ {came_by} }}")
    # A connection older than this table stays on the way it has: moving it would break it.
    rules.append("ct state established,related goto m_00")
    return rules


def _blocks_by_device(policy: "Policy") -> "list[str]":
    """Block rules that name an incoming device go before `answers leave by the line they came in on`."""
    devices = ", ".join(f'"{device}"' for device, _ in policy.ingress)
    rules = []
    for entry in policy.entries:
        if entry.blocks and entry.rule.field("src_iface") is not None:
            target = names.rule_chain(entry.rule.name)
            for match in forwarded_matches(entry.rule, policy):
                rules.append(f"iifname {{ {devices} }} {match} goto {target}")
    return rules


def _own_head(policy: "Policy") -> "list[str]":
    rules = _never_steered()
    # Neighbour discovery to a global address: steering it would ask the wrong network.
    rules.append("icmpv6 type { 133, 134, 135, 136, 137 } accept")
    rules.append("fib daddr type { local, broadcast, anycast, multicast } goto m_00")
    rules.append("ct state established,related goto m_00")
    return rules


def _classifier(policy: "Policy", head: "list[str]", entries: "list[Entry]", matches: "Matcher", default: int) -> Chain:
    rules = list(head)
    for entry in entries:
        target = names.rule_chain(entry.rule.name)
        rules.extend(f"{match} goto {target}".strip() for match in matches(entry.rule, policy))
    rules.append(f"goto {names.saving_chain(default)}")
    return Chain(tuple(rules))


def _own_entries(policy: "Policy") -> "list[Entry]":
    """A block cuts the router's own connections only when it names the router as source."""
    return [entry for entry in policy.entries if not entry.blocks or entry.rule.blocks_router_itself]


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
    restore = f"{done} ct mark & {class_mask} vmap @restore"
    coming = ['iifname "lo" accept'] + untouched + arriving + [restore, "goto classify"]
    going = ['oifname "lo" accept'] + untouched + [restore, "goto classify_own"]
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
    if any(entry.number in (marks.drop, marks.reject) for entry in _own_entries(policy)):
        hook = f"type filter hook output priority {BLOCK_PRIORITY}; policy accept;"
        chains.append(("out_np", Chain(refusals, hook)))
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


def _restore(policy: "Policy") -> "tuple[tuple[str, str], ...]":
    return tuple([(f"{policy.marks.bits(number):#010x}", _verdict(policy, number)) for number in policy.classes])
