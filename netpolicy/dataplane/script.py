"""The whole data plane as text that `nft -f` and `ip -batch` take: no listing, no difference.

What the daemon loads into an empty kernel, and all that a box without it needs. Never reads the
kernel and never starts a program. Syntax: nft(8) 1.0.6, ip(8), ip-route(8), ip-rule(8).
"""

from netpolicy.dataplane import names
from netpolicy.dataplane.chains import Chain
from netpolicy.dataplane.routing import in_order, rules_in_order
from netpolicy.dataplane.state import IPV4, IPV6, PROTOCOL
from netpolicy.dataplane.table import Table, build

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Mapping

    from netpolicy.dataplane.policy import Policy
    from netpolicy.dataplane.routing import Routing
    from netpolicy.dataplane.sets import Element, KernelSet
    from netpolicy.dataplane.state import Route, RoutingRule

    Counters = Mapping[str, tuple[int, int]]  # packets and bytes by rule

TABLE = f"{names.FAMILY} {names.TABLE}"

# What a device name may hold beyond letters and digits to be one word, for `ip -batch` as for a shell.
IN_WORDS = "._-@+:"


def nft_script(policy: "Policy") -> str:
    """A text for `nft -f`: in one transaction our table is what the policy says, whatever it was before."""
    return rebuild_text(build(policy))


def ip_commands(routing: "Routing") -> "tuple[str, ...]":
    """Command lines after which our routes and rules are these, whatever they were before.

    Ours goes first, so for some milliseconds the main table decides; of a sealed line nothing leaves
    meanwhile, the nft table sees to it. Raises ValueError for a device name that is not one word.
    """
    lines = []
    for family in (IPV4, IPV6):
        lines.extend([f"ip -{family} {line}" for line in ip_batch(routing, family)])
    return tuple(lines)


def ip_batch(routing: "Routing", family: int) -> "tuple[str, ...]":
    """The same for one family as lines for `ip -4 -batch` or `ip -6 -batch`."""
    lines = [f"rule flush protocol {PROTOCOL}", f"route flush table all protocol {PROTOCOL}"]
    lines.extend([_route_line(route) for route in in_order(routing.routes) if route.family == family])
    lines.extend([_rule_line(rule) for rule in rules_in_order(routing.rules) if rule.family == family])
    return tuple(lines)


def _route_line(route: "Route") -> str:
    words = ["route replace"]
    if route.kind != "unicast":
        words.append(route.kind)
    words.append(route.destination)
    if route.gateway:
        words.append(f"via {route.gateway}")
    if route.device:
        words.append(f"dev {word(route.device)}")
    words.append(f"table {route.table}")
    if route.metric:
        words.append(f"metric {route.metric}")
    if route.scope != "global" and route.family == IPV4:
        words.append(f"scope {route.scope}")
    words.append(f"protocol {PROTOCOL}")
    return " ".join(words)


def _rule_line(rule: "RoutingRule") -> str:
    words = [f"rule add priority {rule.priority}"]
    if rule.selectors:
        words.append(rule.selectors)
    if rule.oif:
        words.append(f"oif {word(rule.oif)}")
    if rule.mark or rule.mask:
        words.append(f"fwmark {rule.mark:#x}/{rule.mask:#x}")
    words.append(f"table {rule.table}" if rule.action == "lookup" else f"type {rule.action}")
    words.append(f"protocol {PROTOCOL}")
    return " ".join(words)


def word(device: str) -> str:
    """The name of a device in a line. Raises ValueError where it is not one word."""
    if not all("a" <= c <= "z" or "A" <= c <= "Z" or "0" <= c <= "9" or c in IN_WORDS for c in device):
        raise ValueError(f"the device name {device!r} cannot be written in a command line")
    return device


# Lists with more elements stand empty in the text for the boot: nft needs about 1 900 bytes for each, 187 MB for
# 100 000 (measured), which a router does not have. The daemon fills them as soon as it runs, over netlink.
MOST_AT_BOOT = 4096


def full_text(table: Table, most: int = 0, counters: "Counters | None" = None) -> str:
    """The whole table, for an empty kernel or the fw4 include. Loading it twice changes nothing.

    `most`: lists with more elements stand empty in it; 0: none does. `counters`: where counting begins.
    """
    return _text(table, [_set_text(one, most, counters) for one in table.sets])


def _set_text(one: "KernelSet", most: int, counters: "Counters | None") -> str:
    if not holds_text(one, most):
        return f"add {one.declaration}\n"
    if not counters or not one.counter:
        return one.text()
    elements = [f"add element {TABLE} {one.name} {{ {counted(one, each, counters)} }}\n" for each in one.elements]
    return f"add {one.declaration}\n" + "".join(elements)


def counted(one: "KernelSet", element: "Element", counters: "Counters") -> str:
    """The element as nft reads it, counting on from what `counters` (packets, bytes by comment) says."""
    found = counters.get(element[2]) if one.counter else None
    if not found:
        return one.element_text(element)
    bare = one.element_text((element[0], element[1], ""))
    return f'{bare} counter packets {found[0]} bytes {found[1]} comment "{element[2]}"'


def holds_text(one: "KernelSet", most: int) -> bool:
    """Whether such a text holds the elements of the set: always, but for long lists."""
    return not (most and one.is_list and len(one.elements) > most)


def structure_text(table: Table) -> str:
    """The same with its sets empty."""
    return _text(table, [f"add {one.declaration}\n" for one in table.sets])


def _text(table: Table, sets: "list[str]") -> str:
    lines = [f"add table {TABLE}\n"]
    lines.extend([declare(name, table.chains[name]) for name in table.order])
    lines.extend(sets)
    lines.extend([fill(name, table.chains[name]) for name in table.order if table.chains[name].rules])
    return "".join(lines)


def rebuild_text(table: Table, most: int = 0, counters: "Counters | None" = None) -> str:
    """Delete and load in one transaction: counters begin anew, or where `counters` says."""
    return removal_text() + full_text(table, most, counters)


def removal_text() -> str:
    """Removes the table whether or not it is there."""
    return f"add table {TABLE}\ndelete table {TABLE}\n"


def declare(name: str, chain: Chain) -> str:
    """The line that makes the chain, empty."""
    hook = f" {{ {chain.header} }}" if chain.header else ""
    return f"add chain {TABLE} {name}{hook}\n"


def fill(name: str, chain: Chain) -> str:
    """The lines that put the chain's rules into it, in place of those it has."""
    lines = [f"flush chain {TABLE} {name}\n"]
    lines.extend([f"add rule {TABLE} {name} {rule}\n" for rule in chain.rules])
    return "".join(lines)
