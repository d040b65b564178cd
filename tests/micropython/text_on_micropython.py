"""The text of the data plane for policies drawn from a seed: nft script and ip command lines, printed.

Under two interpreters the same program has to print the same text, whatever the order of their
dicts and sets. The draws come from a small generator of our own: the interpreters' differ.
"""

from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Rule
from netpolicy.dataplane import names
from netpolicy.dataplane.arrange import arrange
from netpolicy.dataplane.labels import assign
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import Entry, Hop, Line, Policy, SourceTranslation
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.routing import change, desired, ours
from netpolicy.dataplane.script import ip_commands, nft_script
from netpolicy.dataplane.state import Address, Route, RoutingRule
from netpolicy.dataplane.table import Builder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netpolicy.core.field_kind import Field

POLICIES = 60

DEVICES = ("wana", "wanb", "tun0", "ppp0")

VALUES = (
    ("dest_addr", ("192.0.2.0/24", "!192.0.2.7", "10.0.0.1-10.0.0.9", "2001:db8::/32", "::/0", "198.51.100.3")),
    ("src_addr", ("192.168.1.0/24", "!192.168.1.9", "fd00::/8")),
    ("dest_port", ("443", "80", "1000-2000", "!1500", "0-65535")),
    ("src_port", ("53", "!99")),
    ("proto", ("tcp", "udp", "icmp", "!gre", "58")),
    ("src_iface", ("lan", "guest", "lo", "!wan", "home")),
    ("src_mac", ("02:00:00:00:00:0b", "!02:00:00:00:00:0a")),
    ("family", ("ipv4",)),
)

RULE_NAMES = ("r", "Rule", "a_rule_with_a_name_of_more_than_31_letters", "r_0123456789")

MAIN = (
    Route(4, 254, "default", gateway="192.0.2.1", device="wana", protocol=3),
    Route(4, 254, "192.0.2.0/24", device="wana", protocol=2, scope="link"),
    Route(4, 254, "192.168.1.0/24", device="br-lan", protocol=2, scope="link", source="192.168.1.1"),
    Route(4, 254, "192.168.1.0/24", device="tun0", protocol=2, scope="link"),
    Route(4, 254, "10.0.0.0/8", device="ppp0", protocol=4),
    Route(6, 254, "fd00:1::/64", device="br-lan", protocol=2, metric=256),
    Route(6, 254, "fe80::/64", device="wana", protocol=2, metric=256),
)

ADDRESSES = (Address(4, "ppp0", "10.1.2.3", 8), Address(4, "wana", "192.0.2.2", 24))


class Draw:
    """Numbers from a seed (the constants of Numerical Recipes), the same on every interpreter."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, limit: int) -> int:
        self._state = (self._state * 1664525 + 1013904223) & 0xFFFFFFFF
        return (self._state >> 8) % limit

    def some(self, values: "tuple[str, ...]", most: int) -> "tuple[str, ...]":
        """Up to `most` of the values, at least one unless `most` is 0."""
        left = list(values)
        count = 1 + self.below(min(most, len(left))) if most else 0
        return tuple([left.pop(self.below(len(left))) for _ in range(count)])


def fields(draw: Draw) -> "tuple[Field, ...]":
    return tuple([parse_field(name, draw.some(values, 3)) for name, values in VALUES if draw.below(3) == 0])


def line(draw: Draw, number: int) -> Line:
    hops = [Hop(4, "192.0.2.1"), Hop(4, ""), Hop(6, "fe80::1")][draw.below(3) :]
    return Line(
        f"line{number}",
        number,
        DEVICES[draw.below(4)],
        tuple(hops[:2]),
        100 if draw.below(5) == 0 else 0,
        draw.some(DEVICES, 2),
        draw.below(3) == 0,
    )


def entry(draw: Draw, place: int, marks: Marks, lines: int) -> Entry:
    name = RULE_NAMES[draw.below(4)] + str(place)
    if draw.below(3) == 0:
        number = marks.drop if draw.below(2) else marks.reject
        return Entry(Rule(name, 50, fields(draw), Action("block", "drop")), number, blocks=True)
    return Entry(Rule(name, 50, fields(draw), Action("route", "x")), draw.below(lines + 1), draw.below(4) == 0)


def policy(seed: int) -> Policy:
    draw = Draw(seed)
    marks = Marks((0x77000000, 0xFF, 0x7E000000, 0xF0F0F0F0)[draw.below(4)])
    lines = [line(draw, number + 1) for number in range(draw.below(5))]
    translated = draw.some(("wana", "wanb"), draw.below(3))
    entries = tuple([entry(draw, place, marks, len(lines)) for place in range(draw.below(12))])
    ranked = ["gone"] + [one.rule.name for one in entries] + ["Gone2"]
    return Policy(
        marks,
        tuple(lines),
        entries,
        tuple(ranked),
        tuple([(one.device, one.number) for one in lines]) if draw.below(2) else (),
        draw.below(len(lines) + 1),
        marks.drop if draw.below(4) == 0 else 0,
        tuple([SourceTranslation(name, True, False, ("", "2001:db8:1::/48")[draw.below(2)]) for name in translated]),
        ("wana", "wanb"),
        ("192.168.100.0/24", "fd01::/64"),
        (1, 5) if draw.below(3) == 0 else (),
        (("home", "br-lan"), ("guest", "br-guest")),
    )


def show(seed: int) -> None:
    wanted = policy(seed)
    print(f"-- policy {seed} --")
    print(nft_script(wanted), end="")
    routing = desired(wanted, MAIN, ADDRESSES)
    for command in ip_commands(routing):
        print(command)
    loaded = ours([replace(route, source="192.0.2.2") for route in routing.routes], ())
    for text in change(routing, loaded).changes:
        print(text)


def records() -> None:
    rule = RoutingRule(4, 7000, 7001, oif="wana")
    assert rule == RoutingRule(4, 7000, 7001, oif="wana") and rule != replace(rule, oif="wanb")
    assert len({rule, replace(rule), replace(rule, family=6)}) == 2
    assert rule != Hop(4, "") and rule != (4, 7000, 7001, 0, 0, "lookup", 78, "", "wana")
    print(rule, names.content_name("g4a_da", "10.0.0.1"), names.verdict_chain(3), names.rule_chain("X"))


def reloads() -> None:
    """Labels and tables through a history: what came before decides which numbers and maps stay."""
    draw = Draw(4711)
    builder = Builder()
    known: dict[str, int] = {}
    ranked: list[str] = []
    for turn in range(40):
        place = draw.below(len(ranked) + 1)
        for number in range(1 + draw.below(9)):
            ranked.insert(place, f"x{turn}_{number}")
        if draw.below(2):
            ranked.pop(draw.below(len(ranked)))
        moved = ranked.pop(draw.below(len(ranked)))
        ranked.insert(draw.below(len(ranked) + 1), moved)
        known = assign(ranked, known)
        print(" ".join([f"{name}={known[name]:x}" for name in ranked]))
    for seed in range(POLICIES):
        wanted = policy(seed % 7)
        print([one.name for one in builder.build(wanted, assign(wanted.ranked), "b", 512).sets])


def overlaps() -> None:
    """Boxes of which each meets a good many others: more than are compared each with each."""
    draw = Draw(815)
    boxes = []
    for label in range(200):
        first, second = draw.below(50000), draw.below(50000)
        boxes.append((((first, first + 29999), (second, second + 29999), (6, 6 + label % 2)), label + 1))
    print([found[0] + (len(found),) for found in arrange(boxes)])


for number in range(POLICIES):
    show(number)
reloads()
overlaps()
records()
