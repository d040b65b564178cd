"""Random valid rule sets over all section types and all options, for tests of every spelling.

One generator over `random.Random`: seeded it makes ten thousand cases in seconds, and through
Hypothesis (`rulesets()`) it shrinks. The values are chosen to be awkward for some spelling.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

from hypothesis import strategies as st

from netpolicy.config.assemble import assemble
from netpolicy.config.schema import SECTIONS
from netpolicy.config.source import Option, Section, SourceFile
from netpolicy.core.health import STATES
from netpolicy.core.model import Ruleset

TITLES = (
    "video calls", "it's", 'say "hi"', "a\\b", "tab-less # no comment", "colon: value", "ends with:", "- dash",
    "null", "true", "0x10", "1e5", "1.50", "~", "{a}", "[a]", "&a", "*a", "!a", "%a", "@a", "`a`", "a, b", "Büro",
    "视频", "x" * 128, "🎮 games", "$HOME", "a;b", "a=b", "rule", "rule x:", "  two  blanks ", "no\u00a0break", "'",
    '"', "\\", "#", ":", "a b", "a-b", "a.b", "é", "main", "direct", "yes", "2026-01-01", "12:30", "<<", "=", "|", ">",
    "a:", "?",
)  # fmt: skip
REGEXES = (
    "regex:^(ads|trk)[0-9]{1,2}\\.",
    'regex:a"b',
    "regex:a'b",
    "regex:a,b",
    "regex:^a #b$",
    "regex:\\\\",
    "regex:.*",
)
DOMAINS = ("example.com", "=example.com", "*.example.com", "keyword:tracker", "xn--bcher-kva.example", "_dns.example")
NAMES = ("*.zoom.us", "*", "x*", "*x", "*x*", "a#b", "#a", "a=b.", "\\n", "{a}", "[a]", "a=b", "&a", "`", "null", "1.5")
PORTS = ("443", "80,443", "1000-2000", "!25", "0", "65535", "+443", "0443", " 80 , 1000 - 2000 ", "!1-1024")
MATCHES = {
    "src_iface": ("lan", "lo", "!br-guest", "eth0.10", "wl0-1@x"),
    "src_mac": ("02:00:00:00:00:0a", "!02-00-00-00-00-0B"),
    "src_addr": ("192.0.2.0/24", "!192.0.2.7", "2001:db8::/32", "192.0.2.1-192.0.2.9", "::ffff:192.0.2.1", "@nets"),
    "src_port": PORTS,
    "dest_addr": ("198.51.100.4", "2001:DB8:0::4", "0.0.0.0/0", "::/0", "!@nets"),
    "domain": (*DOMAINS, *REGEXES, "!ads.example", "@names", "!@names"),
    "sni": (*NAMES, "!*.ads.example"),
    "proto": ("tcp", "UDP", "47", "!icmp", "255"),
    "dest_port": PORTS,
    "family": ("ipv4", "IPv6"),
    "dscp": ("ef", "46", "cs1", "!af41", "0", "63"),
    "latency_ms": (">120", " >=120 ", "<= 4294967295", "==+5", "=0"),
    "rtt_ms": ("=80", "<50"),
    "error_rate": (">5%", ">=0.05", "<100%", "==0.000001", "> 0.0001 %"),
    "loss": (">0.02", "<=0", "<1"),
    "schedule": (),
}
SINGLE = ("latency_ms", "rtt_ms", "error_rate", "loss")
PATHS = ("rules.dsl", "a b.yaml", "it's", 'q"', "back\\slash", "#x", "-", "~", "tab", "é")
PROBES = (
    "ping:9.9.9.9",
    "tcp:host:443",
    "http:http://h.example/a?b=c,d#e",
    "dns:example.com",
    "https://h.example/x'y\"z\\#ok",
)
ASSERTS = ("lan can wan tcp/443", "guest cannot lan", "@nets can 192.0.2.0/24 icmp", "lan cannot 2001:db8::/32 udp/53")
ENTRIES = ("192.0.2.0/24", "192.0.2.1", "10.0.0.1-10.0.0.9", "2001:db8::/32", *DOMAINS, *REGEXES)
DAYS = ("mon", "Tue", "wednesday", "sat", "mon-fri", "fri-mon", "weekend", "weekdays", "daily", "mon,wed", "sun-sun")


class Writer:
    """Options of one section, put together in a random order."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.options: list[Option] = []

    def put(self, name: str, *values: str, is_list: bool | None = None) -> None:
        many = len(values) != 1 if is_list is None else is_list
        self.options.append(Option(name, values, many))

    def maybe(self, name: str, values: tuple[str, ...], chance: float = 0.3) -> None:
        if self.random.random() < chance:
            self.put(name, self.random.choice(values))

    def some(self, name: str, values: tuple[str, ...], chance: float = 0.3, most: int = 3) -> None:
        """One to `most` values in any order, twice the same too."""
        if values and self.random.random() < chance:
            self.put(name, *[self.random.choice(values) for _ in range(self.random.randint(1, most))])

    def section(self, type: str, name: str) -> Section:
        self.random.shuffle(self.options)
        return Section(type, name, False, 0, tuple(self.options))


class Generator:
    """One random rule set. What refers to something refers to what there is."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.taken = {"main", "direct", "block"}
        self.titles: set[str] = set()
        self.lines: list[str] = []
        self.groups: list[str] = []
        self.schedules: list[str] = []
        self.throttles: list[str] = []
        self.has_nets = self.has_names = False
        self.is_rules_alone = random.random() < 0.1

    def sections(self) -> tuple[Section, ...]:
        found: list[Section] = []
        if not self.is_rules_alone:
            found += self._several(self._outbound, 4)
            found += self._several(self._schedule, 2)
            found += self._several(self._throttle, 2)
            found += self._lists()
        rules = self._several(self._rule, 4)
        main = self._main() if not self.is_rules_alone and self.random.random() < 0.8 else self._asserts()
        if not main + found + rules:
            rules = [self._rule()]  # an empty text is an error in the DSL and in YAML
        self.random.shuffle(rules)
        return tuple(main + found + rules)

    def _several(self, make: Any, most: int) -> list[Section]:
        return [make() for _ in range(self.random.randint(0, most))]

    def _name(self) -> str:
        while True:
            letters = [self.random.choice("abcXYZ019_") for _ in range(self.random.choice((1, 2, 3, 12)))]
            name = "".join(letters)
            if name not in self.taken:
                self.taken.add(name)
                return name

    def _title(self) -> str:
        return self.random.choice(TITLES) + self.random.choice(("", "", "", " 2", "!"))

    def _writer(self, titled: bool = True) -> Writer:
        writer = Writer(self.random)
        if titled and self.random.random() < 0.3:
            writer.put("name", self._title()[:128])
        return writer

    def _main(self) -> list[Section]:
        writer = self._writer(False)
        writer.put("enabled", self.random.choice(("0", "1", "yes", "off")))
        writer.maybe("mode", ("enforce", "observe"))
        writer.maybe("primary", (*self.lines, "direct"))
        writer.maybe("default", (*self.lines, *self.groups, "direct", "block"))
        writer.maybe("fwmark_mask", ("0x77000000", "0xff", "4294967295", "0XF0"))
        writer.maybe("table_base", ("7000", "9000", "4294967095"))
        writer.maybe("rule_priority", ("7000", "1", "32565"))
        writer.maybe("netlink", ("auto", "pyroute2", "builtin"))
        writer.maybe("drift", ("heal", "alert", "leave"))
        writer.maybe("confirm", ("0", "60", "3600"))
        writer.maybe("inspector", ("auto", "ebpf", "packet", "conntrack", "off"))
        writer.some("inspect", ("tls", "quic", "dns", "http", "none"))
        writer.some("anonymize", ("clients", "names"))
        writer.maybe("dnsmasq", ("auto", "off", "/etc/dnsmasq.d", "/tmp/dnsmasq.d/"))
        writer.maybe("dns_guard", ("0", "1", "on"))
        writer.some("ruleset", PATHS)
        writer.some("assert", ASSERTS)
        return [writer.section("netpolicy", "main")]

    def _asserts(self) -> list[Section]:
        writer = self._writer(False)
        writer.some("assert", ASSERTS, 0.5)
        return [writer.section("netpolicy", "main")] if writer.options else []

    def _outbound(self) -> Section:
        name, writer = self._name(), self._writer()
        kinds = ("interface", "interface", "table", "group", "xray", "tunnel", "direct", "block")
        kind = self.random.choice(kinds)
        if kind == "group" and not self.lines:
            kind = "interface"
        writer.put("type", kind)
        if kind != "block":
            getattr(self, "_" + kind, lambda writer: None)(writer)
        writer.maybe("weight", ("1", "2", "1000"))
        writer.some("probe", PROBES)
        if kind in ("interface", "table"):
            for option in ("interval", "quorum", "max_latency_ms", "max_loss", "max_client_loss", "hold"):
                writer.maybe(option, ("1", "7", "16"))
            writer.maybe("passive", ("0", "1", "false"))
        (self.groups if kind == "group" else self.lines).append(name)
        return writer.section("outbound", name)

    def _interface(self, writer: Writer) -> None:
        writer.put("interface", self.random.choice(("wan", "pppoe-wan", "eth0.2", "@wan")))
        writer.maybe("gateway", ("192.0.2.1", "0.0.0.0"))
        writer.maybe("gateway6", ("fe80::1", "2001:DB8::1"))
        writer.maybe("masq", ("0", "1", "true"))
        source = self.random.choice(("", "none", "masq", "prefix"))
        if source:
            writer.put("ipv6_source", source)
        if source == "prefix":
            writer.put("ipv6_prefix", "2001:db8:2::/56")

    def _table(self, writer: Writer) -> None:
        writer.put("table", self.random.choice(("100", "256", "6999", "4294967295")))

    def _group(self, writer: Writer) -> None:
        writer.maybe("strategy", ("failover", "balance", "latency"), 0.6)
        writer.maybe("sticky", ("0", "60", "86400"))
        writer.put("member", *self.random.choices((*self.lines, *self.groups, "direct"), k=self.random.randint(1, 3)))

    def _xray(self, writer: Writer) -> None:
        writer.put("node", self.random.choice(("tokyo", "node-1.example", "failover", "weight", "true", "1.5", "-")))

    def _tunnel(self, writer: Writer) -> None:
        writer.put(
            "server", self.random.choice(("ssh://me@vps.example.net:22", "socks5://[::1]:1080", "http://a'b\"c\\#,d"))
        )
        writer.maybe("key", ("work", "id_ed25519", "1", "true"))

    def _schedule(self) -> Section:
        name, writer = self._name(), self._writer()
        writer.some("days", DAYS, 0.7)
        start, stop = self.random.choice((("18:00", "22:30"), ("22:00", "06:00"), ("0:00", "24:00"), ("23:59", "0:00")))
        if self.random.random() < 0.8:
            writer.put("from", start)
            writer.put("to", stop)
        self.schedules.append(name)
        return writer.section("schedule", name)

    def _throttle(self) -> Section:
        name, writer = self._name(), self._writer()
        rates = ("2mbit", "512kbit", "1.5mbit", "8000", "100gbit", "12345678", " 1 GBIT ", "8001bit")
        writer.put(self.random.choice(("down", "up")), self.random.choice(rates))
        other = "up" if writer.options[-1].name == "down" else "down"
        writer.maybe(other, rates, 0.5)
        writer.maybe("per", ("all", "rule", "client"), 0.4)
        self.throttles.append(name)
        return writer.section("throttle", name)

    def _lists(self) -> list[Section]:
        """`nets` has addresses and `names` has names, so that any rule may use them; further ones have anything."""
        found = []
        for name, needed in (("nets", "192.0.2.128/25"), ("names", "kids.example")):
            if self.random.random() < 0.5:
                writer = self._writer()
                further = self.random.choices(ENTRIES, k=self.random.randint(0, 3))
                writer.put("entry", needed, *further)
                self._sources(writer, 0.3)
                found.append(writer.section("list", name))
                self.has_nets = self.has_nets or name == "nets"
                self.has_names = self.has_names or name == "names"
        if self.random.random() < 0.3:
            writer = self._writer()
            writer.put("file", self.random.choice(PATHS))
            self._sources(writer, 0.6)
            found.append(writer.section("list", self._name()))
        self.taken |= {"nets", "names"}
        return found

    def _sources(self, writer: Writer, chance: float) -> None:
        writer.maybe("url", ("https://lists.example/a?b=c&d#e", "http://u:p'w@[2001:db8::1]:81", "HTTPS://x"), chance)
        format = self.random.choice(("", "auto", "hosts", "geosite", "geoip"))
        has_source = any(option.name in ("file", "url") for option in writer.options)
        if format[:3] == "geo" and has_source:
            writer.put(
                "category", *self.random.sample(("cn", "Google@ads", "geolocation-!cn"), self.random.randint(1, 2))
            )
        if format and (has_source or format[:3] != "geo"):
            writer.put("format", format)
        writer.maybe("refresh", ("1d", "90", "30m", "12h", "1w", "0", "61s"), chance)
        if writer.options[0].name != "file" and not any(one.name == "file" for one in writer.options):
            writer.maybe("file", PATHS, chance)

    def _rule(self) -> Section:
        writer = Writer(self.random)
        name = self._rule_name(writer)
        writer.put("priority", str(self.random.choice((0, 1, 100, 100, 2147483647))))
        writer.maybe("enabled", ("0", "1", "no"), 0.2)
        self._match(writer)
        writer.some("state", (*STATES, "normal"), 0.3)
        writer.some("disable", (*STATES, "Failover"), 0.2)
        self._action(writer)
        return writer.section("rule", name)

    def _rule_name(self, writer: Writer) -> str:
        """An identifier, one with a title, or a title as the name, as DSL and YAML have it."""
        title = " ".join(self._title().split())
        if self.random.random() < 0.4 and title not in self.titles | self.taken and len(title) <= 64:
            self.titles.add(title)
            return title
        if self.random.random() < 0.3:
            writer.put("name", self._title()[:128])
        return self._rule_identifier()

    def _rule_identifier(self) -> str:
        name = self._name()
        while name in self.titles:
            name = self._name()
        self.titles.add(name)
        return name

    def _match(self, writer: Writer) -> None:
        if self.random.random() < 0.15:
            writer.put("any", self.random.choice(("1", "yes")))
            return
        names = self.random.sample(sorted(MATCHES), k=self.random.choice((1, 1, 2, 3, 6, len(MATCHES))))
        for name in names:
            values = self._values(name)
            if values:
                writer.some(name, values, 1, 1 if name in SINGLE else 3)
        if not writer.options or not any(one.name in MATCHES for one in writer.options):
            writer.put("proto", "tcp")

    def _values(self, name: str) -> tuple[str, ...]:
        if name == "schedule":
            return tuple(self.schedules + ["!" + one for one in self.schedules])
        has = {"@nets": self.has_nets, "!@nets": self.has_nets, "@names": self.has_names, "!@names": self.has_names}
        return tuple([value for value in MATCHES[name] if has.get(value, True)])

    def _action(self, writer: Writer) -> None:
        targets = (*self.lines, *self.groups, "direct", "block", *(("vpn", "a-b.c") if self.is_rules_alone else ()))
        profiles = (*self.throttles, *(("slow", "x-1") if self.is_rules_alone else ()))
        kind = self.random.choice(("route", "switch_route", "fallback", "block", "throttle"))
        if kind == "throttle" and not profiles:
            kind = "route"
        if kind == "block":
            writer.put("block", self.random.choice(("1", "drop", "reject", "yes")))
        elif kind == "throttle":
            writer.put("throttle", self.random.choice(profiles))
        else:
            writer.some(kind, targets, 1, 3 if kind == "fallback" else 1)
            writer.maybe("on_fail", ("next", "direct", "block"))
            if profiles:
                writer.maybe("throttle", profiles, 0.3)
        writer.maybe("log", ("0", "1", "on"), 0.2)
        writer.maybe("notify", ("1", "0"), 0.2)


def random_sections(random: Random) -> tuple[Section, ...]:
    """Sections without an error; options in any order, values as people write them."""
    return Generator(random).sections()


def random_ruleset(random: Random) -> Ruleset:
    """The rule set of random sections. AssertionError when they are not valid after all."""
    sections = random_sections(random)
    loaded = assemble((SourceFile("<random>", sections, ()),))
    errors = [item.text() for item in loaded.diagnostics if item.severity == "error"]
    assert not errors, "\n".join(errors)
    return loaded.ruleset


def rulesets() -> st.SearchStrategy[Ruleset]:
    """The same through Hypothesis, which makes what fails small."""
    return st.randoms(use_true_random=False).map(random_ruleset)


def same(value: object) -> object:
    """Everything that an object says, comparable, but where it was written.

    By the slots of the records and not by the printers, which might forget the same thing twice.
    """
    if isinstance(value, tuple | list):
        return tuple([same(one) for one in value])
    said = _said(type(value))
    if said is None:
        return value
    return type(value).__name__, tuple([(name, same(getattr(value, name))) for name in said])


@cache
def _said(kind: type) -> tuple[str, ...] | None:
    """What a record of that kind says; None for what is no record."""
    slots = [name for one in kind.__mro__ for name in getattr(one, "__slots__", ())]
    return tuple([name for name in slots if name[0] != "_" and name != "position"]) if slots else None


def written_options(sections: tuple[Section, ...]) -> set[tuple[str, str]]:
    """Which options of which section types are there."""
    return {(section.type, option.name) for section in sections for option in section.options}


EVERY_OPTION = {(spec.type, name) for spec in SECTIONS.values() for name in spec.order}
