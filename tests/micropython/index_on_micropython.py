"""The compiled rule set against the reference, and what both say, printed: the same text under both interpreters.

Rules and packets are drawn by a small generator of our own, because the interpreters' differ. Plain
asserts where index and reference have to agree. Written in the dialect itself.
"""

from netpolicy.core.evaluate import World, decide
from netpolicy.core.facts import Facts
from netpolicy.core.field import parse_field
from netpolicy.core.health import DEGRADED, NORMAL
from netpolicy.core.index import Building
from netpolicy.core.model import Action, Outbound, Rule, Ruleset, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netpolicy.core.field_kind import Field

RULE_SETS = 25
PACKETS = 40

VALUES = (
    ("src_addr", ("192.168.1.0/24", "192.168.1.7", "!192.168.1.9", "fd00::/8")),
    ("dest_addr", ("192.0.2.0/24", "192.0.2.7", "!192.0.2.9", "10.0.0.1-10.0.0.9", "2001:db8::/32", "0.0.0.0/0")),
    ("src_mac", ("02:00:00:00:00:0a", "!02:00:00:00:00:0b")),
    ("src_iface", ("lan", "lo", "wg0", "!guest")),
    ("src_port", ("53", "1000-2000")),
    ("dest_port", ("443", "80,8080", "440-450", "!25", "1-65535")),
    ("proto", ("tcp", "udp", "!tcp")),
    ("family", ("ipv4", "ipv6")),
    ("dscp", ("ef", "!cs0")),
    ("domain", ("example.com", "=example.org", "*.example.net", "keyword:track", "regex:^ads[0-9]", "com")),
    ("sni", ("*.example.com", "example.org", "exam*", "*ample*", "!a.example.com", "*")),
    ("latency_ms", (">50", "<=50", "==50")),
    ("loss", (">1%", "<=1%")),
    ("schedule", ("night", "!work")),
)

FACTS = (
    ("src_addr", ((4, 0xC0A80107), (4, 0xC0A80109), (6, 0xFD << 120))),
    ("dest_addr", ((4, 0xC0000207), (4, 0xC0000209), (4, 0x0A000005), (6, 0x20010DB8 << 96), (4, 0x7F000001))),
    ("src_mac", ("02:00:00:00:00:0a", "02:00:00:00:00:0b")),
    ("src_iface", ("lan", "lo", "wg0", "guest")),
    ("src_port", (53, 68, 1500)),
    ("dest_port", (443, 80, 67, 25, 445)),
    ("proto", (6, 17, 1)),
    ("family", (4, 6)),
    ("dscp", (0, 46)),
    ("domain", ("a.example.com", "EXAMPLE.ORG", "example.net.", "x.example.net", "ads1.track.com", ".example.com", "")),
    ("sni", ("a.example.com", "b.example.com", "Example.org.", ".example.com")),
    ("latency_ms", (49.5, 50, 51.0)),
    ("loss", (0.01, 0.5)),
    ("schedule", ((), ("night",), ("work", "night"))),
)  # fmt: skip

OUTBOUNDS = (
    Outbound("wan", "interface", "eth0"),
    Outbound("vpn", "interface", "wg0"),
    Outbound("both", "group", member=("vpn", "wan")),
)
ACTIONS = (
    Action("route", "wan"),
    Action("route", "vpn", log=True),
    Action("route", "both", on_fail="block"),
    Action("block", "reject"),
    Action("throttle", "slow"),
    Action("fallback", "vpn", targets=("vpn", "wan")),
)
WORLDS = (World(), World(("vpn",), {"wg0": "vpn"}, ((4, 0x0A000005),)))


class Draw:
    """Numbers from a seed (the constants of Numerical Recipes), the same on every interpreter."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, limit: int) -> int:
        self._state = (self._state * 1664525 + 1013904223) & 0xFFFFFFFF
        return (self._state >> 8) % limit


def field(draw: Draw, name: str, values: "tuple[str, ...]") -> "Field":
    first = draw.below(len(values))
    chosen = [values[first]]
    if name not in ("latency_ms", "loss") and draw.below(3) == 0:
        chosen.append(values[(first + 1) % len(values)])
    return parse_field(name, tuple(chosen))


def rule(draw: Draw, number: int) -> Rule:
    rarity = 3 + draw.below(9)
    fields = [field(draw, name, values) for name, values in VALUES if draw.below(rarity) == 0]
    when = (DEGRADED,) if draw.below(8) == 0 else ()
    return Rule(f"r{number}", draw.below(4), tuple(fields), ACTIONS[draw.below(len(ACTIONS))], when)


def packet(draw: Draw) -> Facts:
    facts = Facts()
    for name, values in FACTS:
        if draw.below(4):
            setattr(facts, name, values[draw.below(len(values))])
    if draw.below(2):
        facts.sni = facts.domain
    return facts


def show(seed: int) -> None:
    draw = Draw(seed)
    rules = tuple([rule(draw, number) for number in range(draw.below(40))])
    ruleset = Ruleset(rules, OUTBOUNDS, Settings(default="wan"))
    building = Building(ruleset)
    steps = 0
    for _ in building.steps():
        assert building.index is None
        steps += 1
    assert building.index.rules == ruleset.ranked
    said = []
    for world in WORLDS:
        view = building.index.view((NORMAL, DEGRADED)[draw.below(2)], world)
        for _ in range(PACKETS):
            facts = packet(draw)
            made = view.decide(facts)
            wanted = decide(ruleset, facts, view.outcomes.state, world)
            assert made.rule is wanted.rule and made.outbound == wanted.outbound, (seed, wanted.why)
            assert (made.action, made.log, made.is_exempt) == (wanted.action, wanted.log, wanted.is_exempt)
            assert view.explain(facts).rule is wanted.rule
            said.append("{}>{}".format(made.rule.name if made.rule else "-", made.outbound))
    print("decision", seed, steps > 3, " ".join(said))


for number in range(RULE_SETS):
    show(number)
