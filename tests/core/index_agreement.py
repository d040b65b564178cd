"""Random rule sets and packets, decided by the reference evaluator and by the compiled index.

`differences(seed, count)` says where they disagree; nothing where they do not. Values come from few
words and nested ranges, so that rules collide; packets are made of the rules' own values, their borders
and what lies one beyond. The same seed gives the same cases.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from netpolicy.core.address import BITS
from netpolicy.core.evaluate import Decision, World, decide, first_unmet, unsteered
from netpolicy.core.facts import Facts
from netpolicy.core.field import FIELD_ORDER, parse_field
from netpolicy.core.field_address import Addresses
from netpolicy.core.field_kind import Comparator, Field, Numbers, Words
from netpolicy.core.health import STATES
from netpolicy.core.index import Index, build
from netpolicy.core.index_view import Choice, View
from netpolicy.core.model import Action, Outbound, Rule, Ruleset, Settings
from netpolicy.core.named_list import Lists, NamedList
from netpolicy.core.value import ValueProblem

CASES_PER_RULESET = 400
CASES_PER_VIEW = 50

LISTS = Lists(
    (
        NamedList("nets", ("203.0.113.0/24", "198.51.100.7", "2001:db8:f::/48", "10.0.0.0-10.0.1.5", "x.example.org")),
        NamedList("names", ("example.com", "=b.example.org", "*.c.example.org", "keyword:track", "192.0.2.0/25")),
        NamedList("few", ("a.example.com", "co.uk", "10.1.0.0/16")),
    )
)

OUTBOUNDS = (
    Outbound("wan", "interface", "eth0"),
    Outbound("vpn", "interface", "wg0"),
    Outbound("tab", "table", table=100),
    Outbound("pit", "block"),
    Outbound("both", "group", member=("wan", "vpn")),
    Outbound("nest", "group", member=("both", "tab", "nest")),
)
TARGETS = ("wan", "wan", "vpn", "tab", "pit", "both", "nest", "direct", "block", "undefined")

DEVICES = ("lan", "guest", "lo", "wg0", "eth0")
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:0a")
NAMES = (
    "example.com", "a.example.com", "b.a.example.com", "c.b.a.example.com", "com", "evilexample.com", "example.org",
    "b.example.org", "c.example.org", "localhost", "co.uk", "x.co.uk", "y.x.co.uk", "track", "tracker.net", "xn--a.io",
)  # fmt: skip
ODD_NAMES = (
    "", ".", "..", ".com", ".example.com", "example.com.", "example.com..", "a..example.com", "A.EXAMPLE.COM", "com.",
    "x.com", "q.example.com", "q.a.example.com", "a.b.c.d.e.f.g.example.com", "ex", "l", "xlocalhost", "b.localhost",
    "track.example.org", "d.c.example.org", "uk", "a.uk", ".co.uk", "long." * 60 + "example.com", ".track", "K.io",
)  # fmt: skip
PATTERNS = (
    "*", "*.*", "*.com", "*com", "exam*", "*ampl*", "*.example.com", "*.a.example.com", "*a*", "*..", ".com", "a..b",
    "*..com", "**", "*.co.uk*", "xn--*", "*tracker.net", "*.localhost", "localhost", "*r", "co*",
)  # fmt: skip
EXPRESSIONS = (
    "^a\\.", "track(er)?\\.", "ex.mple", "[a-c]\\.example\\.com$", "^(?:com|uk)$", "a|b", "x+\\.co", "amp{1,2}le",
    "\\d", "(b\\.)+a", "[]x]", "exa?mple\\.(com|org)", "^$", "[^a-z.]", "tra[c\\]]k", "loc\\.?al*host",
)  # fmt: skip
ADDRESSES = (
    "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3", "10.1.2.0-10.1.2.9", "192.0.2.0/24", "192.0.2.128/25",
    "0.0.0.0/0", "0.0.0.0/1", "224.0.0.0/4", "127.0.0.1", "198.51.100.7", "255.255.255.255", "0.0.0.0", "@nets", "@few",
    "::/0", "2001:db8::/32", "2001:db8:f::/48", "2001:db8::1", "fe80::/10", "::1", "8000::/1", "@names",
)  # fmt: skip
PORTS = ("80", "443", "67", "68", "547", "1-1023", "1000-2000", "443,8443", "0", "65535", "0-65535", "440-450", "53")


def _names(rng: random.Random) -> str:
    part = rng.random()
    name = rng.choice(NAMES)
    if part < 0.5:
        return name
    if part < 0.75:
        return rng.choice(("=", "*.")) + name
    if part < 0.82:
        return "keyword:" + rng.choice(("track", "ex", "e.c", "a", "ample.com", "co.uk", "-"))
    return "@" + rng.choice(("names", "few")) if part < 0.9 else "regex:" + rng.choice(EXPRESSIONS)


DRAW = {
    "src_addr": lambda rng: rng.choice(ADDRESSES),
    "dest_addr": lambda rng: rng.choice(ADDRESSES),
    "src_mac": lambda rng: rng.choice(MACS),
    "src_iface": lambda rng: rng.choice(DEVICES),
    "src_port": lambda rng: rng.choice(PORTS),
    "dest_port": lambda rng: rng.choice(PORTS),
    "proto": lambda rng: rng.choice(("tcp", "tcp", "udp", "icmp", "255", "0")),
    "family": lambda rng: rng.choice(("ipv4", "ipv6")),
    "dscp": lambda rng: rng.choice(("ef", "cs0", "63", "af11")),
    "domain": _names,
    "sni": lambda rng: rng.choice(PATTERNS) if rng.random() < 0.4 else rng.choice(NAMES),
    "schedule": lambda rng: rng.choice(("night", "work")),
}
MEASURED = {
    "latency_ms": ("50", "51", "100", "0"),
    "rtt_ms": ("50", "20"),
    "error_rate": ("5%", "0.5"),
    "loss": ("1%",),
}


def field(rng: random.Random, name: str) -> Field | None:
    """A field with one to three values, some negated; None where chance made one that is refused."""
    if name in MEASURED:
        return parse_field(name, (rng.choice((">", "<", ">=", "<=", "==")) + rng.choice(MEASURED[name]),))
    values = [DRAW[name](rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    how = rng.random()
    if how < 0.12:
        values = ["!" + value for value in values]
    elif how < 0.25:
        values.append("!" + DRAW[name](rng))
    try:
        return parse_field(name, tuple(values), LISTS)
    except ValueProblem:
        return None


def action(rng: random.Random) -> Action:
    """Any kind of action."""
    kind = rng.choice(("route", "route", "route", "switch_route", "fallback", "block", "throttle"))
    log = rng.random() < 0.2
    if kind == "block":
        return Action(kind, rng.choice(("drop", "reject")), log)
    if kind == "throttle":
        return Action(kind, "slow", log)
    targets = tuple(rng.sample(sorted(set(TARGETS)), rng.choice((1, 2, 3)))) if kind == "fallback" else ()
    return Action(
        kind,
        targets[0] if targets else rng.choice(TARGETS),
        log,
        rng.choice(("next", "next", "direct", "block")),
        targets,
    )


def rule(rng: random.Random, number: int, shapes: list[tuple[str, ...]], priorities: int) -> Rule:
    """A rule with the fields of one of the shapes."""
    fields = [field(rng, name) for name in rng.choice(shapes)]
    return Rule(
        f"r{number}",
        rng.randrange(priorities),
        tuple(one for one in fields if one is not None),
        action(rng),
        when=tuple(rng.sample(STATES, rng.choice((0, 0, 0, 0, 1, 2)))),
        disable=tuple(rng.sample(STATES, rng.choice((0, 0, 0, 0, 1, 2)))),
        enabled=rng.random() > 0.05,
    )


def ruleset(rng: random.Random) -> Ruleset:
    """Up to some tens of rules, now and then some hundreds; of few shapes or of many."""
    size = rng.choice((0, 1, 2, 5, 10, 20, 20, 40, 40, 120))
    names = tuple(FIELD_ORDER)
    counts = (0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 6, 16)
    shapes = [tuple(rng.sample(names, rng.choice(counts))) for _ in range(rng.choice((1, 2, 4, 30)))]
    priorities = rng.choice((1, 3, 100))
    rules = tuple(rule(rng, number, shapes, priorities) for number in range(size))
    return Ruleset(rules, OUTBOUNDS, Settings(default=rng.choice(TARGETS)))


def world(rng: random.Random, numbers: list[tuple[int, int]]) -> World:
    """Lines that are down, devices that lines come in by, addresses of the router's own."""
    return World(
        tuple(rng.sample(("wan", "vpn", "tab", "both", "pit", "direct"), rng.choice((0, 0, 1, 2, 6)))),
        {"wg0": "vpn", "eth0": rng.choice(("wan", ""))} if rng.random() < 0.5 else {},
        tuple(rng.sample(numbers, min(len(numbers), 2))) if rng.random() < 0.15 else (),
    )


# -- packets --------------------------------------------------------------------------------


def near(one: Field) -> list[object]:
    """Facts at the borders of what the field wants, and one beyond."""
    if isinstance(one, Numbers):
        return [number for low, high in one.ranges[:6] for number in (low - 1, low, high, high + 1) if number >= 0]
    if isinstance(one, Addresses):
        return [
            (family, number)
            for family, ranges in sorted(one.ranges.items())
            for low, high in ranges[:6]
            for number in (low - 1, low, high, high + 1)
            if 0 <= number < 1 << BITS[family]
        ]
    if isinstance(one, Comparator):
        return [one.bound, one.bound + 1, one.bound + 0.5, one.bound - 0.01, one.bound / 2]
    if one.name == "schedule":
        return [(), ("night",), ("night", "work"), ("other",)]
    if isinstance(one, Words):
        return [*one.wanted, *one.unwanted]
    return _names_near(one)


def _names_near(one: Field) -> list[object]:
    found: list[object] = []
    for value in one.values:
        word = value.lstrip("!=").replace("keyword:", "").replace("regex:^", "").strip("*").replace("\\", "")
        word = word.removeprefix(".")
        found += [word, "q." + word, word + ".", "evil" + word, "Z.q." + word, word.upper(), "." + word]
    return found


EXTRA: dict[str, list[object]] = {
    "dest_addr": [(4, 0x08080808), (6, 1 << 127), (4, 0x7F000001), (4, 0xFFFFFFFF), (4, 0), (6, 1), (6, 0xFE80 << 112)],
    "src_addr": [(4, 0xC0A80001), (6, 0x20010DB8 << 96)],
    "src_mac": [*MACS, "02:ff:ff:ff:ff:ff"],
    "src_iface": ["lan", "lan", "guest", "lo", "wg0", "eth0", "other"],
    "src_port": [67, 68, 546, 547, 40000],
    "dest_port": [67, 68, 547, 443, 80, 50000],
    "proto": [6, 6, 17, 17, 1, 99],
    "family": [4, 6],
    "dscp": [0, 46, 63],
    "domain": [*NAMES, *ODD_NAMES],
    "sni": [*NAMES, *ODD_NAMES],
    "latency_ms": [0, 50.0, 50.5, 1000.0],
    "rtt_ms": [20, 60.0],
    "error_rate": [0.0, 0.05, 0.5],
    "loss": [0.01, 1.0],
    "schedule": [(), ("night",), ("work", "night")],
}


class Packets:
    """Makes facts for one rule set."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._by_name = {name: list(EXTRA[name]) for name in FIELD_ORDER}
        self._wanted: list[list[tuple[str, list[object]]]] = []
        for one in rules:
            wanted = []
            for asked in one.fields:
                found = near(asked)
                self._by_name[asked.name] += found
                wanted.append((asked.name, [fact for fact in [*found, *EXTRA[asked.name]] if asked.matches(fact)]))
            self._wanted.append(wanted)

    @property
    def destinations(self) -> list[tuple[int, int]]:
        """Addresses of which some may be the router's own."""
        return self._by_name["dest_addr"]  # type: ignore[return-value]

    def draw(self, rng: random.Random) -> Facts:
        """Mostly what one of the rules wants, with other facts of every kind, known or not."""
        facts = Facts()
        known = rng.choice((0.2, 0.6, 0.95))
        for name, values in self._by_name.items():
            if rng.random() < known:
                setattr(facts, name, values[int(rng.random() * len(values))])
        if self._wanted and rng.random() < 0.8:
            for name, values in rng.choice(self._wanted):
                if values:
                    setattr(facts, name, rng.choice(values))
        if rng.random() < 0.3:
            facts.sni = facts.domain
        if facts.dest_addr is not None and unsteered(facts) and rng.random() < 0.8:
            facts.dest_addr = rng.choice(EXTRA["dest_addr"][:2])  # enough is exempt already
        return facts.completed() if rng.random() < 0.5 else facts


# -- comparing ------------------------------------------------------------------------------


def differences(seed: int, count: int) -> list[str]:
    """What index and reference disagree about in that many cases from the seed, at most ten of them in words."""
    found: list[str] = []
    for number in range(0, count, CASES_PER_RULESET):
        found += _of_one_ruleset(f"{seed}/{number // CASES_PER_RULESET}", min(CASES_PER_RULESET, count - number))
        if len(found) >= 10:
            break
    return found[:10]


def _of_one_ruleset(seed: str, count: int) -> list[str]:
    rng = random.Random(seed)
    rules = ruleset(rng)
    index = build(rules)
    if index.rules != rules.ranked:
        return [f"{seed}: the order of the rules is not that of the reference"]
    found: list[str] = []
    for facts, view in _cases(rng, rules, index, count):
        problem = difference(view, facts, rng.random() < 0.05)
        if problem:
            found.append(f"{seed}: {problem}")
    return found


def _cases(rng: random.Random, rules: Ruleset, index: Index, count: int) -> Iterator[tuple[Facts, View]]:
    packets = Packets(rules.rules)
    for number in range(count):
        if number % CASES_PER_VIEW == 0:
            view = index.view(rng.choice(STATES), world(rng, packets.destinations))
        yield packets.draw(rng), view


def difference(view: View, facts: Facts, with_reasons: bool = True) -> str:
    """How the view's decision differs from the reference's, or ""."""
    wanted = decide(view.outcomes.ruleset, facts, view.outcomes.state, view.outcomes.world)
    made = view.decide(facts)
    if _said(made) != _said(wanted):
        return f"{_said(made)} instead of {_said(wanted)} for {_shown(facts)} in {view.outcomes.state}, {_told(wanted)}"
    if with_reasons:
        return _difference_of_reasons(view, facts, wanted)
    return ""


def _difference_of_reasons(view: View, facts: Facts, wanted: Decision) -> str:
    explained = view.explain(facts)
    if _said(explained) != _said(wanted):
        return f"explained as {_said(explained)} instead of {_said(wanted)} for {_shown(facts)}"
    if view.find(facts) is not wanted.rule:
        return f"found {view.find(facts)} instead of {wanted.rule} for {_shown(facts)}"
    candidates = view.candidates(facts)
    if any(unmet is not first_unmet(one, facts) for one, unmet in candidates):
        return f"a candidate's unmet field is another one for {_shown(facts)}"
    matching = [one for one in view.outcomes.rules if first_unmet(one, facts) is None]
    if not wanted.is_exempt and matching != [one for one, unmet in candidates if unmet is None]:
        return f"the candidates are not all the rules that match {_shown(facts)}"
    return ""


def _said(made: Choice | Decision) -> tuple[object, ...]:
    return (made.rule.name if made.rule else None, made.action, made.log, made.outbound, made.is_exempt)


def _shown(facts: Facts) -> str:
    return " ".join(f"{name}={getattr(facts, name)!r}" for name in FIELD_ORDER if getattr(facts, name) is not None)


def _told(wanted: Decision) -> str:
    return f"{wanted.rule.match_text} in {wanted.state}" if wanted.rule else "no rule"
