"""What every chain of `table inet netpolicy` says, from a Policy and the groups that its rules make.

Says why each rule stands where it stands; never talks to the kernel and fills no set
(table.py does). Layout and hooks: docs/dataplane.md.
"""

from netpolicy.core.address import V4, V6, format_range
from netpolicy.core.evaluate import UNSTEERED, UNSTEERED_PORTS
from netpolicy.dataplane import labels, limits, names, own_tunnels, shares
from netpolicy.dataplane.groups import ARRIVING_SCOPES, FORWARDED_SCOPES, OWN_SCOPES
from netpolicy.dataplane.policy import DIRECT_CLASS
from netpolicy.dataplane.record import Record
from netpolicy.dataplane.sets import KernelSet
from netpolicy.dataplane.shape import FAMILY_WORD

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from netpolicy.dataplane.groups import Group
    from netpolicy.dataplane.policy import Entry, Policy

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

# Asked last. It is gone for packets at the same instant as the other maps of the table.
ALIVE = "alive"

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


def of(policy: "Policy", groups: "list[Group]", slot: str) -> "list[tuple[str, Chain]]":
    """Every chain of the table by name; rules ask the sets of labels of this slot. O(n) in rules."""
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
    return chains


def _classification(
    policy: "Policy", groups: "list[Group]", slot: str, led: "dict[str, tuple[int, ...]]"
) -> "list[tuple[str, Chain]]":
    forwarded = _lookups(groups, FORWARDED_SCOPES, slot)
    own = _lookups(groups, OWN_SCOPES, slot)
    arriving = _lookups(groups, ARRIVING_SCOPES, slot)
    head = _forwarded_head(policy, arriving) + forwarded + _while_asked(policy, policy.default_forwarded, forwarded)
    own_head = _own_head(policy) + own + _while_asked(policy, policy.default_own, own) + own_tunnels.by_default(led)
    chains = [
        (FORWARDED, Chain(tuple(head + [_default(policy, policy.default_forwarded)]))),
        (OWN, Chain(tuple(own_head + [_default(policy, policy.default_own)]))),
    ]
    if arriving and policy.ingress:
        back = ["meta priority set 0x0"] + _came_by(policy.ingress)
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


def _while_asked(policy: "Policy", default: int, lookups: "list[str]") -> "list[str]":
    """Before what no rule decides is settled: that it is so because no rule matches, not because the table goes.

    A hook that is deleted works on for a moment, and none of its maps finds anything by then: of an open connection
    not even its class, and it would lose it for good. Who finds nothing here either touches nothing.
    """
    rules = [] if lookups else [f"meta priority set {labels.NONE:#x}"]
    rules.append(f"meta priority set meta mark & {policy.marks.class_mask:#010x} map @{ALIVE}")
    if default != DIRECT_CLASS:  # untouched it would go by main: a connection that begins waits, also for a lost map
        rules.append(f"meta priority != 0x0 ct mark & {policy.marks.done:#010x} == 0 ct state new drop")
    rules.append("meta priority != 0x0 meta priority set 0x0 accept")
    return rules


def alive() -> KernelSet:
    """What `_while_asked` asks: a packet without a class is always found, as the priority that all are left with."""
    return KernelSet(ALIVE, ("mark",), ((((0, 0),), 0, ""),), "classid")


def _default(policy: "Policy", number: int) -> str:
    spread = any([share.number == number for share in policy.shares])
    return f"goto {names.verdict_chain(number) if spread else names.saving_chain(number)}"


def _settle(number: int) -> str:
    """The priority carried the label; the kernel gives every packet the same one before it is routed on."""
    return f"meta priority set 0x0 goto {names.saving_chain(number)}"


def to_router(policy: "Policy", without: "Collection[int]" = ()) -> Chain:
    """What comes for the router itself is answered by the line it came in on; by main, `without` its class."""
    led = [(device, number) for device, number in policy.ingress if number not in without]
    return Chain(tuple(_came_by(led) + ["goto m_00"]))


def _came_by(ingress: "Iterable[tuple[str, int]]") -> "list[str]":
    """No map: one without a name finds nothing from the moment on at which its chain is filled anew."""
    return [f'iifname "{device}" goto {names.arriving_chain(number)}' for device, number in ingress]


def chain_of(number: int) -> str:
    """Where a packet goes whose connection is of this class already."""
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
    # An answer decides nothing: that it is for the router, or by which device it comes, says nothing of its connection.
    # It comes here where its class is not found: nobody has it any more, or the table goes (`_while_asked`).
    rules = [f"ct direction reply ct mark & {policy.marks.done:#010x} != 0 accept"] + _never_steered()
    # Saved for the answers, not marked: what a line brought in goes on by main, which knows every
    # network behind the router.
    for_router = "fib daddr type { local, broadcast, anycast, multicast }"  # looks up a route, so it is asked once
    rules.append(f"{for_router} goto {TO_ROUTER if policy.ingress else 'm_00'}")
    if policy.ingress and arriving:
        # Blocks that name an incoming device go before `answers leave by the line they came in on`.
        devices = ", ".join(f'"{device}"' for device, _ in policy.ingress)
        rules.append(f"iifname {{ {devices} }} goto {ARRIVING}")
    elif policy.ingress:
        rules.extend(_came_by(policy.ingress))
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
