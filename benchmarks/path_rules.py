"""The rules of the packet path, and the traffic that meets them.

Rules as people mix them: networks with ports, networks alone, sources, sources with ports; no
two match the same packet, priorities are mixed. Every rule has flows of its own, in an order
that spreads over all ranks at any length. Never asks the product which rule wins.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.frames import Flow
from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Outbound, Rule, Ruleset, Settings

SEED = 78
PORTS = (53, 80, 123, 443, 853, 993, 1194, 1935, 3478, 4443, 5060, 5222, 8080, 8443, 8801, 9000)

# One packet of so many meets no rule.
MISS_EVERY = 10

CLIENTS = 0xAC100000  # 172.16.0.0/12; rules name single hosts from its start
ANY_CLIENT = 0xAC1F0000  # hosts that no rule names
SERVERS = 0x0A000000  # 10.0.0.0/8; rules name networks of 256 from its start
NO_NETWORK = 0x0AFE0000  # addresses that no rule names
MORE_NETWORKS, MORE_PORTS = 0x0AA00000, 40_000  # what a changed rule matches beside its own
GOLDEN = 0.6180339887498949

# How a rule matches, by its number modulo ten.
KINDS = ("net.port",) * 4 + ("net",) * 2 + ("host.net",) * 2 + ("host.port", "nets.port")

OUTBOUNDS = (
    Outbound("wan_a", "interface", interface="wana", gateway="192.0.2.1"),
    Outbound("wan_b", "interface", interface="wanb", gateway="198.51.100.1"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """How a rule set differs from the first one: numbers of rules, -1 for none."""

    action: int = -1  # this one leads to the other line
    match: int = -1  # this one matches more
    every_match: bool = False  # all of them do


UNCHANGED = Change()


def ruleset(count: int, change: Change = UNCHANGED) -> Ruleset:
    """That many rules. Traffic of a rule matches it before and after a change of its match."""
    rng = random.Random(SEED)
    rules = []
    for number in range(count):
        target = "wan_b" if rng.random() < 0.7 else "wan_a"
        if number == change.action:
            target = "wan_a" if target == "wan_b" else "wan_b"
        wider = change.every_match != (number == change.match)  # either alone changes what the kernel has
        fields = tuple(parse_field(name, values) for name, values in _fields(number, wider))
        rules.append(Rule(f"rule_{number}", rng.choice((0, 10, 20, 50)), fields, Action("route", target)))
    return Ruleset(tuple(rules), OUTBOUNDS, Settings(enabled=True, default="direct"))


def _fields(number: int, wider: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    kind = KINDS[number % 10]
    more_ports = wider and kind.endswith("port")
    if kind.startswith("host"):
        yield "src_addr", (_text(CLIENTS + 256 + number),)
    if "net" in kind:
        network = SERVERS + (number << 8)
        parts = (f"{_text(network)}/26", f"{_text(network + 128)}/25") if "nets" in kind else (f"{_text(network)}/24",)
        more = (f"{_text(MORE_NETWORKS + (number << 8))}/24",) if wider and not more_ports else ()
        yield "dest_addr", parts + more
    if kind.endswith("port"):
        yield "proto", ("tcp", "udp")
        yield "dest_port", (str(port_of(number)), str(MORE_PORTS + number % 10_000))[: 1 + more_ports]


def port_of(number: int) -> int:
    """The port that the rule's traffic goes to."""
    return PORTS[(number * 7 + number // 16) % len(PORTS)]


def flows(count: int, rules: int) -> list[Flow]:
    """That many different flows, one in MISS_EVERY that no rule matches, spread over the rules by the golden ratio."""
    return [_flow(number, _met(number, rules)) for number in range(count)]


def named_flows(count: int, rules: int) -> list[tuple[Flow, str]]:
    """The same flows, each with the name of its rule; "" where it meets none."""
    found = []
    for number in range(count):
        met = _met(number, rules)
        found.append((_flow(number, met), "" if met is None else f"rule_{met}"))
    return found


def open_flows(count: int, rules: int) -> list[Flow]:
    """Flows of one client that no rule names, to what rules without a source match, and misses."""
    found = [flow for flow in flows(count * 3, rules) if flow.source >= ANY_CLIENT]
    return found[:count]


def _met(number: int, rules: int) -> int | None:
    """The rule that flow `number` meets."""
    if not rules or number % MISS_EVERY == MISS_EVERY - 1:
        return None
    return int((number * GOLDEN) % 1 * rules)


def _flow(number: int, rule: int | None) -> Flow:
    source = ANY_CLIENT + 256 + number % 60_000
    source_port = 32_768 + number % 30_000
    if rule is None:
        return Flow(source, NO_NETWORK + number % 65_000, source_port, PORTS[number % len(PORTS)])
    kind = KINDS[rule % 10]
    if kind.startswith("host"):
        source = CLIENTS + 256 + rule
    target = SERVERS + (rule << 8) + 129 + number % 120 if "net" in kind else NO_NETWORK + number % 65_000
    return Flow(source, target, source_port, port_of(rule))


def _text(number: int) -> str:
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
