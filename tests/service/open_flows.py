"""Rules, a network and open connections as values, for tests of what an apply means for connections."""

from __future__ import annotations

from netpolicy.config.load import load_text
from netpolicy.core.pairs import needs_class
from netpolicy.dataplane.state import Address, Link, Neighbour, Route
from netpolicy.flows.model import Flow
from netpolicy.outbounds.group_order import uses
from netpolicy.outbounds.lines import View, line_states
from netpolicy.service.compile import Compiled, compile_policy
from netpolicy.service.facts import Surroundings

HEAD = """
config netpolicy 'main'
	option enabled '1'
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option gateway '192.0.2.1'
config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'
	option gateway '198.51.100.1'
"""

MAC = "02:00:00:00:00:09"
DONE = 0x40000000
UNDECIDED, DIRECT, WAN_A, WAN_B, REJECT = 0, DONE, 0x41000000, 0x42000000, 0x76000000


def view(down: tuple[str, ...] = ()) -> View:
    links = {
        name: Link(index, name, True, name not in down, f"02:00:00:00:01:0{index}")
        for index, name in enumerate(("lan", "wana", "wanb"), 1)
    }
    addresses = (
        Address(4, "lan", "192.168.1.1", 24),
        Address(4, "wana", "192.0.2.2", 24),
        Address(4, "wanb", "198.51.100.2", 24),
    )
    routes = (
        Route(4, 254, "192.168.1.0/24", device="lan"),
        Route(4, 254, "192.0.2.0/24", device="wana"),
        Route(4, 254, "198.51.100.0/24", device="wanb"),
    )
    return View(links, addresses, routes)


AROUND = Surroundings(view(), (Neighbour(4, "lan", "192.168.1.9", MAC),))


def rule(name: str, *options: str, priority: int = 50) -> str:
    """A rule section: options as `route=wan_b`, lists as `+dest_port=443`."""
    lines = [f"config rule '{name}'", f"\toption priority '{priority}'"]
    for option in options:
        key, _, value = option.partition("=")
        lines.append(f"\t{'list' if key.startswith('+') else 'option'} {key.lstrip('+')} '{value}'")
    return "\n".join(lines) + "\n"


def compiled(
    *rules: str,
    head: str = HEAD,
    state: str = "NORMAL",
    down: tuple[str, ...] = (),
    active: tuple[str, ...] = (),
    ports: dict[str, int] | None = None,
) -> Compiled:
    loaded = load_text(head + "".join(rules))
    assert not loaded.fatal and not loaded.skipped, loaded.diagnostics
    ruleset = loaded.ruleset
    seen = view(down)
    seen = View(seen.links, seen.addresses, seen.routes, seen.logical, ports)
    numbers = {name: number for number, name in enumerate(needs_class(ruleset), 1)}
    states = line_states(ruleset.outbounds, seen)
    return compile_policy(ruleset, state, states, seen, numbers, active=active, groups=uses(ruleset, {}, {}))


def flow(
    mark: int,
    port: int = 443,
    source: str = "192.168.1.9",
    destination: str = "203.0.113.5",
    protocol: int = 6,
    state: str = "ESTABLISHED",
    number: int = 1,
) -> Flow:
    """An open connection from a client to a server."""
    return Flow(
        number, 4, protocol, source, 40000, destination, port, destination, port, source, 40000, mark, state=state
    )
