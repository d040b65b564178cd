"""What core says, printed: the same program under two interpreters has to print the same text.

Plain asserts where the answer is known, lines of output where only equality matters. Written in
the dialect itself: no pytest, no dict order, no stable sort.
"""

from netpolicy.core.address import format_address, format_range, parse_address, parse_range
from netpolicy.core.calendar import Schedule, active, format_days, format_time, parse_days, parse_time
from netpolicy.core.domain import DomainSet, parse_domain
from netpolicy.core.evaluate import World, decide
from netpolicy.core.facts import parse_facts
from netpolicy.core.field import parse_field
from netpolicy.core.health import DEGRADED, NORMAL, step
from netpolicy.core.list_budget import SMALL
from netpolicy.core.list_content import Gathering
from netpolicy.core.model import Action, Outbound, Rule, Ruleset, Settings
from netpolicy.core.name_table import NameTable
from netpolicy.core.named_list import Lists, NamedList
from netpolicy.core.packet import parse_dscp, parse_mac, parse_port_range, parse_protocol
from netpolicy.core.pattern import compile_pattern
from netpolicy.core.ranges import intersect, merge, subtract
from netpolicy.core.share import format_share, parse_share
from netpolicy.core.value import ValueProblem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ADDRESSES = (
    "0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1:0:0:1", "64:ff9b::192.0.2.33", "FE80::A",
    "1.2.3", "1.2.3.04", "1.2.3.256", ":::", "1::2::3", "12345::", "fe80::1%lan", "", "1:2:3:4:5:6:7:8:9",
)  # fmt: skip

RANGES = (
    "192.0.2.0/24", "10.0.0.0-10.0.0.255", "10.0.0.1-10.0.0.6", "2001:db8::/33", "::/0", "192.0.2.1/24",
    "10.0.0.2-10.0.0.1", "10.0.0.0/33", "::-1.2.3.4", "10.0.0.0/08",
)  # fmt: skip

DOMAINS = (
    "Example.COM.", "=example.com", "*.example.com", "keyword:track", "regex:^ad[0-9]{1,3}\\.", "http://a.b",
    "a..b", "-a.example", "1.2.3", "regex:(a", "keyword:", "*",
)  # fmt: skip

NAMES = (
    "example.com",
    "www.example.com",
    "evilexample.com",
    "my-tracker.example",
    "ad12.example.net",
    "ad1234.example",
)

PATTERNS = (
    ("^a{2,3}$", "aa"), ("^a{2,3}$", "aaaa"), ("(cdn|img)[0-9]+\\.", "x.img7.example"), ("[^a-c]x", "ax"),
    ("\\d\\w\\s?$", "a1_"), ("a.*b.*c", "a--c--b"), ("(?:x|y)+z", "xyxyz"), ("^$", "a"), ("a|", "b"),
)  # fmt: skip

SHARES = ("0", "1", "5%", "0.05", "33.3333%", "0.333333", "100%", "101%", "1.5", "-1", "1e3", ".5", "")


def told(parse: "Callable[..., object]", *texts: object) -> str:
    """What the function makes of the texts, or the problem and its hint."""
    try:
        return str(parse(*texts))
    except ValueProblem as problem:
        return f"{problem.text} ({problem.hint})"


def canonical_address(text: str) -> str:
    return format_address(*parse_address(text))


def canonical_range(text: str) -> str:
    return format_range(*parse_range(text))


def canonical_domain(text: str) -> str:
    return parse_domain(text).text


def found_in(pattern: str, name: str) -> bool:
    return compile_pattern(pattern).search(name)


def say(what: str, *parts: object) -> None:
    print(what + ": " + " | ".join([str(part) for part in parts]))


def addresses() -> None:
    for text in ADDRESSES:
        say("address", repr(text), told(canonical_address, text))
    for text in RANGES:
        say("range", repr(text), told(canonical_range, text))
    assert parse_address("2001:db8::1") == (6, 0x20010DB8000000000000000000000001)
    assert merge([(5, 6), (1, 2), (3, 3), (9, 9)]) == ((1, 3), (5, 6), (9, 9))
    assert subtract(((0, 10),), ((2, 3), (5, 5))) == ((0, 1), (4, 4), (6, 10))
    assert intersect(((0, 5), (8, 9)), ((4, 8),)) == ((4, 5), (8, 8))


def names() -> None:
    # Only the hint: the interpreters' repr of other letters differs.
    say("domain", told(parse_domain, "b\u00fccher.example").split("(")[1])
    for text in DOMAINS:
        say("domain", text, told(canonical_domain, text))
    found = [
        parse_domain(text) for text in ("example.com", "=www.example.com", "*.net", "keyword:track", "regex:^ad\\d")
    ]
    for name in NAMES:
        texts = [one.text for one in found if one.matches(name)]
        say("name", name, texts, DomainSet(tuple(found)).matches(name))
    for pattern, name in PATTERNS:
        say("pattern", pattern, name, told(found_in, pattern, name))


def words() -> None:
    for text in SHARES:
        share = parse_share(text)
        say("share", repr(text), None if share is None else format_share(share))
    for text in ("tcp", "ICMPv6", "41", "255", "256", "tpc"):
        say("protocol", text, told(parse_protocol, text))
    for text in ("ef", "CS0", "be", "63", "64", "af44"):
        say("dscp", text, told(parse_dscp, text))
    for text in ("80-443", "443-80", "x-1", "1-65536"):
        say("ports", text, told(parse_port_range, text))
    say("mac", told(parse_mac, "02-00-00-00-00-0A"), told(parse_mac, "02:00"))


def hours() -> None:
    evening = Schedule("evening", parse_days(("mon-fri",)), parse_time("18:00"), parse_time("01:30"))
    weekend = Schedule("weekend", parse_days(("weekend",)))
    for weekday, minute in ((0, 0), (0, 18 * 60), (5, 60), (6, 60), (4, 23 * 60)):
        say("hours", weekday, format_time(minute), active((weekend, evening), weekday, minute))
    say("days", format_days(parse_days(("sat,mon-wed", "fri-sun"))), told(parse_days, ("noday",)))


def content() -> None:
    """Lists, merged while they are read, above and below where tables begin."""
    gathering = Gathering()
    for number in range(600):
        gathering.take(f"10.{number >> 8}.{number & 255}.0/25")
        gathering.take(f"2001:db8:{number:x}::/64")
        gathering.take_plain(f"n{number % 300}.example")
    for entry in ("10.0.0.128/25", "x.n1.example", "=n2.example", "*.Other.Example", "keyword:track", "2001:db8::1"):
        say("entry", entry, gathering.take(entry))
    found = gathering.finish()
    for family in (4, 6):
        ranges = found.ranges[family]
        say("ranges", family, len(ranges), ranges[0], ranges[len(ranges) - 1], len(tuple(ranges)))
    for name in ("n299.example", "n300.example", "a.n1.example", "other.example", "a.other.example", "tracks.org"):
        say("named", name, found.names.matches(name))
    say("counts", found.count_addresses(), found.count_names(), found.memory, found.kernel, found.excess(SMALL))
    table = NameTable()
    for number in range(3000):
        table.add(f"n{number}.example")
    table.drop(lambda name: name[1] == "7")
    say("table", len(table), sorted(table)[:3], "n2999.example" in table, "n7.example" in table, table.least)


def rule(name: str, priority: int, fields: "dict[str, str]", action: Action, lists: Lists) -> Rule:
    parsed = [parse_field(key, tuple(fields[key].split(" ")), lists) for key in sorted(fields)]
    return Rule(name, priority, tuple(parsed), action)


def ruleset() -> Ruleset:
    lists = Lists((NamedList("offices", ("203.0.113.0/24", "2001:db8:f::/48", "office.example")),))
    return Ruleset(
        (
            rule("everything", 1, {}, Action("route", "wan"), lists),
            rule("mail", 50, {"proto": "tcp", "dest_port": "25 465-587"}, Action("block", "reject", log=True), lists),
            rule("office", 50, {"dest_addr": "@offices !203.0.113.7"}, Action("route", "vpn"), lists),
            rule("names", 40, {"domain": "@offices keyword:video"}, Action("fallback", "a", targets=("a", "b")), lists),
            rule("slow", 60, {"latency_ms": ">=120", "family": "ipv4"}, Action("switch_route", "b"), lists),
            rule("voice", 50, {"dscp": "ef cs5", "src_mac": "02:00:00:00:00:0a"}, Action("route", "both"), lists),
        ),
        (
            Outbound("wan", "interface", "eth0"),
            Outbound("vpn", "interface", "wg0"),
            Outbound("a", "table", table=100),
            Outbound("b", "table", table=101),
            Outbound("both", "group", member=("a", "b")),
        ),
        Settings(default="wan"),
    )


FACTS: "tuple[dict[str, str], ...]" = (
    {"dest": "203.0.113.9", "proto": "tcp", "port": "443"},
    {"dest": "203.0.113.7", "proto": "tcp", "port": "500"},
    {"dest": "2001:db8:f::1", "proto": "udp", "port": "53", "src_iface": "lan"},
    {"dest": "198.51.100.1", "sni": "video.example", "latency_ms": "119.5"},
    {"dest": "198.51.100.1", "sni": "video.example", "latency_ms": "120"},
    {"dest": "198.51.100.1", "dscp": "46", "src_mac": "02:00:00:00:00:0A"},
    {"dest": "224.0.0.1"},
    {"dest": "198.51.100.1", "src_iface": "wg0"},
    {},
)

WORLDS = (World(), World(("a",), {"wg0": "vpn"}), World(("a", "b", "wan")))


def decisions() -> None:
    rules = ruleset()
    say("ranked", [one.name for one in rules.ranked])
    for texts in FACTS:
        for number, world in enumerate(WORLDS):
            found = decide(rules, parse_facts(texts), NORMAL, world)
            title = found.rule.name if found.rule else None
            say("decision", sorted(texts), number, title, found.action, found.outbound, found.log, found.is_exempt)
            for reason in found.why:
                print("  " + reason)
    say("unknown", told(parse_facts, {"destt": "1.2.3.4"}), told(parse_facts, {"port": "x"}))
    assert step(NORMAL, 121, None) == DEGRADED


for part in (addresses, names, words, hours, content, decisions):
    part()
