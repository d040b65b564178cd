"""What a WireGuard line sends itself, and the chains that keep rules from leading it into that very line.

Never decides about other packets: whose port it is and which rules lead there comes with the policy. A rule for
everything would lead the tunnel into itself, and one that refuses while the line is down would keep it down.
Runs on MicroPython.
"""

from netpolicy.dataplane import names
from netpolicy.dataplane.policy import DIRECT_CLASS

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.dataplane.policy import Policy

OWN = "classify_own"

# In the place of a rule's name: what no rule decides.
DEFAULT = ""


def ports(policy: "Policy") -> "dict[str, tuple[int, ...]]":
    """By the name of a rule the ports of the tunnels that it leads to; DEFAULT for the default."""
    found: dict[str, tuple[int, ...]] = {}
    for tunnel in policy.tunnels:
        for name in tunnel.rules:
            found[name] = tuple(sorted({tunnel.port}.union(found.get(name, ()))))
    return found


def is_spared(policy: "Policy", rule: "str | None", port: int) -> bool:
    """Whether what the router sends from this UDP port goes by the main table where this rule (None: none) wins."""
    return any([tunnel.port == port and (rule or DEFAULT) in tunnel.rules for tunnel in policy.tunnels])


def chains(policy: "Policy", led: "dict[str, tuple[int, ...]]") -> "list[tuple[str, tuple[str, ...]]]":
    """One for each class and set of ports: the tunnels themselves by main, everything else where its class leads."""
    if not led:
        return []
    wanted = {(number, led[rule.name]) for rule, number in policy.entries.pairs() if rule.name in led}
    return [
        (
            names.tunnel_chain(number, of),
            # From one of the router's addresses: a client may have a tunnel of its own, with the same port.
            (f"{_sent_from(of)} fib saddr type local {to_main()}", f"goto {names.verdict_chain(number)}"),
        )
        for number, of in sorted(wanted)
    ]


def by_default(led: "dict[str, tuple[int, ...]]") -> "list[str]":
    """The same before the default of the router's own packets."""
    of = led.get(DEFAULT)
    return [f"{_sent_from(of)} {to_main()}"] if of else []


def led_astray(policy: "Policy") -> "list[str]":
    """What a tunnel sends into itself is decided again: it may have begun before its port was known."""
    marks, found = policy.marks, []
    for tunnel in policy.tunnels:
        seen = [f"{marks.bits(number) | marks.done:#010x}" for number in tunnel.classes]
        if not seen:
            continue
        there = f"== {seen[0]}" if len(seen) == 1 else "{{ {} }}".format(", ".join(seen))
        found.append(f"{_sent_from((tunnel.port,))} ct mark & {marks.mask:#010x} {there} goto {OWN}")
    return found


def to_main() -> str:
    """Decided: by the main table, where whoever made the tunnel has put the way to its far end."""
    return f"meta priority set 0x0 goto {names.saving_chain(DIRECT_CLASS)}"


def _sent_from(of: "tuple[int, ...]") -> str:
    return f"udp sport {of[0]}" if len(of) == 1 else "udp sport {{ {} }}".format(", ".join([str(one) for one in of]))
