"""Rule sets of known shapes and the packets that ask them, drawn from a seed: the same ones on every machine.

Never measures. Data: random numbers alone; names are made of syllables, addresses are not anybody's.

| shape | rules |
|--|--|
| predecessor | one destination port each, nothing else: what the predecessor's own benchmark measured |
| domains | one to eight domain suffixes each |
| cidr | one to four networks each, a tenth of them IPv6, some inside others |
| mixed | 45 % domain suffixes, 15 % SNI patterns, 20 % networks, 10 % MAC or source + ports, 7 % ports + protocol, |
|       | 3 % domain + latency; 5 % with `when`, 3 % with `disable`; random priorities; one rule without a match |
| shared | TCP port 443 and a latency bound, another one each: no field tells them apart by a look-up |
| keywords | one `keyword:` each |
| regexes | one `regex:` each |
"""

from __future__ import annotations

import random
from collections.abc import Callable

from netpolicy.core.facts import Facts
from netpolicy.core.field import parse_field
from netpolicy.core.field_kind import Field
from netpolicy.core.health import DEGRADED, FAILOVER, NORMAL
from netpolicy.core.model import Action, Outbound, Rule, Ruleset, Settings

SEED = 78

LINES = ("line0", "line1", "line2", "line3")
OUTBOUNDS = tuple(Outbound(name, "interface", f"wan{number}") for number, name in enumerate(LINES))

TCP, UDP = 6, 17
MACS = tuple(f"02:00:00:00:{number // 256:02x}:{number % 256:02x}" for number in range(400))
PORTS = ("443", "80", "22", "25", "53", "123", "465", "587", "993", "3389", "5060", "8080", "8443", "1194", "51820")
SYLLABLES = ("ba", "co", "du", "fi", "ga", "ho", "ki", "lu", "me", "no", "pa", "ri", "so", "ta", "vu", "xe", "zi", "en")
TOPS = ("com", "com", "com", "net", "org", "de", "io", "co.uk")

Fields = dict[str, tuple[str, ...]]


class Draw:
    """What rules and packets are made of."""

    def __init__(self, seed: str) -> None:
        self.rng = random.Random(seed)

    def word(self) -> str:
        return "".join(self.rng.choice(SYLLABLES) for _ in range(4)) + str(self.rng.randrange(100))

    def name(self) -> str:
        return f"{self.word()}.{self.rng.choice(TOPS)}"

    def names(self, most: int) -> tuple[str, ...]:
        return tuple(self.name() for _ in range(self.rng.randint(1, most)))

    def network(self) -> str:
        if self.rng.random() < 0.1:
            return f"2001:db8:{self.rng.randrange(65536):x}:{self.rng.randrange(65536):x}::/64"
        length = self.rng.choice((16, 20, 22, 24, 24, 24, 24, 28, 32))
        number = self.rng.randrange(0x0B000000, 0x7E000000) >> (32 - length) << (32 - length)
        return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/{length}"

    def networks(self, most: int) -> tuple[str, ...]:
        return tuple(self.network() for _ in range(self.rng.randint(1, most)))

    def source(self) -> str:
        return f"192.168.{self.rng.randrange(4)}.{self.rng.randrange(256)}"

    def ports(self) -> tuple[str, ...]:
        return (",".join(self.rng.sample(PORTS, self.rng.choice((1, 1, 2, 3)))),)


def _predecessor(draw: Draw, number: int) -> Fields:
    return {"dest_port": (str(number % 65535 + 1),)}


def _domains(draw: Draw, number: int) -> Fields:
    return {"domain": draw.names(8)}


def _cidr(draw: Draw, number: int) -> Fields:
    return {"dest_addr": draw.networks(4)}


def _mixed(draw: Draw, number: int) -> Fields:
    part = draw.rng.random()
    if part < 0.45:
        return _domains(draw, number)
    if part < 0.60:
        return {"sni": tuple(draw.rng.choice(("*.{}", "*.{}", "{}")).format(name) for name in draw.names(3))}
    if part < 0.80:
        return _cidr(draw, number)
    if part < 0.90:
        who = draw.rng.random() < 0.5
        return {**({"src_mac": (draw.rng.choice(MACS),)} if who else {"src_addr": (draw.source(),)}),
                "dest_port": draw.ports()}  # fmt: skip
    if part < 0.97:
        return {"dest_port": draw.ports(), "proto": (draw.rng.choice(("tcp", "tcp", "udp")),)}
    return {"domain": draw.names(2), "latency_ms": (f">{draw.rng.randrange(20, 200)}",)}


def _shared(draw: Draw, number: int) -> Fields:
    return {"proto": ("tcp",), "dest_port": ("443",), "latency_ms": (f">{1_000_000 - number}",)}


def _keywords(draw: Draw, number: int) -> Fields:
    return {"domain": (f"keyword:{draw.word()}",)}


def _regexes(draw: Draw, number: int) -> Fields:
    return {"domain": (f"regex:^{draw.word()}[0-9]*\\.",)}


MAKERS: dict[str, Callable[[Draw, int], Fields]] = {
    "predecessor": _predecessor,
    "domains": _domains,
    "cidr": _cidr,
    "mixed": _mixed,
    "shared": _shared,
    "keywords": _keywords,
    "regexes": _regexes,
}


def shape(name: str, count: int) -> Ruleset:
    """A rule set of that shape with that many rules; the same one for the same arguments."""
    draw = Draw(f"{SEED} {name}")
    make = MAKERS[name]
    rules = [_rule(draw, name, number, make(draw, number)) for number in range(count - (name == "mixed"))]
    if name == "mixed":
        rules.append(Rule("everything", -1, (), Action("route", LINES[0])))
    return Ruleset(tuple(rules), OUTBOUNDS, Settings(enabled=True, default=LINES[0]))


def _rule(draw: Draw, name: str, number: int, fields: Fields) -> Rule:
    parsed = tuple(parse_field(key, values) for key, values in fields.items())
    action = Action("route", draw.rng.choice(LINES))
    priority = 50
    when: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    if name == "mixed":
        priority = draw.rng.randrange(1000)
        when = draw.rng.choice(((NORMAL,), (DEGRADED, FAILOVER))) if draw.rng.random() < 0.05 else ()
        disable = (FAILOVER,) if draw.rng.random() < 0.03 else ()
    return Rule(f"rule{number}", priority, parsed, action, when, disable)


def packets(name: str, size: int, count: int, hit: bool = True) -> list[Facts]:
    """That many packets for `shape(name, size)`."""
    return packets_for(name, shape(name, size), count, hit)


def packets_for(name: str, ruleset: Ruleset, count: int, hit: bool = True) -> list[Facts]:
    """That many packets for a rule set of that shape. With `hit` each is made for a rule drawn at random.

    Without, its names and addresses are nobody's, and its port is no rule's where only ports decide; what is
    drawn from few values, a MAC address and an ordinary port, may still be some rule's.
    """
    draw = Draw(f"{SEED} packets of {name} {len(ruleset.rules)} {hit}")
    rules = ruleset.rules
    return [_packet(draw, name, draw.rng.choice(rules) if hit else None) for _ in range(count)]


def _packet(draw: Draw, name: str, rule: Rule | None) -> Facts:
    facts = Facts()
    if name == "predecessor":  # it was asked with a port and nothing else
        facts.dest_port = 0 if rule is None else draw.rng.choice(rule.fields).ranges[0][0]  # type: ignore[attr-defined]
        return facts
    facts.src_iface = draw.rng.choice(("lan", "lan", "guest"))
    facts.src_mac = draw.rng.choice(MACS)
    facts.src_addr = (4, 0xC0A80000 + draw.rng.randrange(1024))
    facts.src_port = draw.rng.randrange(32768, 61000)
    facts.dest_addr = (4, draw.rng.randrange(0x0B000000, 0x7E000000))
    facts.proto = draw.rng.choice((TCP, TCP, TCP, UDP))
    facts.dest_port = draw.rng.choice((443, 443, 443, 443, 80, 53, 22, 1194, draw.rng.randrange(65536)))
    facts.domain = f"www.{draw.name()}" if draw.rng.random() < 0.7 else None
    facts.sni = facts.domain if draw.rng.random() < 0.5 else None
    facts.latency_ms = float(draw.rng.randrange(300))
    for field in rule.fields if rule is not None else ():
        _satisfy(draw, facts, field)
    facts.family = facts.dest_addr[0]
    return facts.completed()


def _satisfy(draw: Draw, facts: Facts, field: Field) -> None:
    """Give the facts a value that the field wants."""
    value = draw.rng.choice(field.values)
    kind = field.name
    if kind in ("dest_addr", "src_addr"):
        ranges = field.ranges  # type: ignore[attr-defined]
        family = draw.rng.choice([family for family in (4, 6) if ranges[family]])
        low, high = draw.rng.choice(ranges[family])
        setattr(facts, kind, (family, draw.rng.randint(low, high)))
    elif kind in ("dest_port", "proto"):
        setattr(facts, kind, draw.rng.choice(field.ranges)[0])  # type: ignore[attr-defined]
    elif kind == "src_mac":
        facts.src_mac = value
    elif kind in ("domain", "sni"):
        name = value if kind == "sni" and value[0] != "*" else _name_for(draw, value)
        facts.domain, facts.sni = name, name if kind == "sni" or draw.rng.random() < 0.5 else None
    elif kind == "latency_ms":
        facts.latency_ms = float(value.strip("<>=")) + 1


def _name_for(draw: Draw, value: str) -> str:
    if value.startswith("keyword:"):
        return f"www.{value[8:]}.example"
    if value.startswith("regex:"):
        return value[7:].split("[")[0] + "7.example"
    if value.startswith("*."):
        return f"www.{value[2:]}"
    return value if draw.rng.random() < 0.5 else f"www.{value}"
