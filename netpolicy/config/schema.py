"""Every section type and option of the rule language, once, with its spelling in UCI, DSL and YAML.

Reading, printing, lint, suggestions, the JSON schema and the reference page are driven by this
table. Never looks at more than one option at a time: what options say together is decided in
rule.py, outbound.py, main.py and parts.py. Words and meaning: docs/rules.md. Runs on MicroPython.
"""

from netpolicy.config import value
from netpolicy.config.nearest import closest
from netpolicy.core.calendar import format_time
from netpolicy.core.field import FIELDS
from netpolicy.core.health import STATES
from netpolicy.core.list_entry import looks_like_address

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# What a value is in YAML: a truth value and a whole number must be written as such.
TEXT = "text"
FLAG = "flag"
NUMBER = "number"

# Where DSL and YAML write an option of a rule.
MATCH = "match"
WHEN = "when"
ACTION = "action"


class OptionSpec:
    """One option: `read` turns its text into a value (raises ValueProblem), `show` turns it back."""

    __slots__ = (
        "attribute", "choices", "default", "examples", "group", "is_list", "is_match", "kind", "meaning", "name",
        "read", "show", "types", "word",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        meaning: str,
        read: "Callable[[str], Any]" = value.text,
        default: str = "",
        is_list: bool = False,
        choices: tuple[str, ...] = (),
        types: tuple[str, ...] = (),
        kind: str = TEXT,
        word: str = "",
        group: str = "",
        is_match: bool = False,
        attribute: str = "",
        show: "Callable[[Any], str]" = str,
        examples: tuple[str, ...] = (),
    ) -> None:
        self.name = name  # in UCI, and the canonical one everywhere inside
        self.meaning = meaning
        self.read = read
        self.default = default
        self.is_list = is_list
        self.choices = choices
        self.types = types  # the outbound types that it belongs to; empty: all
        self.kind = kind
        self.word = word or name  # in DSL and YAML
        self.group = group  # of a rule: MATCH, WHEN, ACTION or "" for a line of its own
        self.is_match = is_match  # a field: its values are read by core
        self.attribute = attribute or name  # of the record in core
        self.show = show
        self.examples = examples or choices


class SectionSpec:
    """One section type. `plural` is its key in YAML, `order` the canonical order of its options."""

    __slots__ = ("aliases", "meaning", "options", "order", "plural", "positional", "type")

    def __init__(
        self,
        type: str,
        plural: str,
        meaning: str,
        options: tuple[OptionSpec, ...],
        aliases: "dict[str, str] | None" = None,
        positional: tuple[str, ...] = (),
    ) -> None:
        self.type = type
        self.plural = plural
        self.meaning = meaning
        self.options = {option.name: option for option in options}
        self.order = tuple([option.name for option in options])  # a dict has no order on MicroPython
        # Other names that are accepted everywhere: canonical name by alias.
        self.aliases = {option.word: option.name for option in options if option.word != option.name}
        self.aliases.update(aliases or {})
        self.positional = positional  # options that DSL takes without their word, in the header line

    def option(self, word: str) -> "OptionSpec | None":
        """The option of that name or alias, or None."""
        return self.options.get(self.aliases.get(word, word))

    @property
    def words(self) -> tuple[str, ...]:
        """Every name that is accepted, sorted."""
        return tuple(sorted(set(self.order) | set(self.aliases)))


def _flag(name: str, meaning: str, default: str = "0", group: str = "", types: tuple[str, ...] = ()) -> OptionSpec:
    return OptionSpec(
        name, meaning, value.boolean, default, kind=FLAG, group=group, types=types, show=value.show_boolean
    )


def _number(name: str, meaning: str, low: int, high: int, default: str, types: tuple[str, ...] = ()) -> OptionSpec:
    return OptionSpec(name, meaning, value.number(low, high), default, kind=NUMBER, types=types)


def _match(name: str, meaning: str, examples: tuple[str, ...], word: str = "", is_list: bool = True) -> OptionSpec:
    return OptionSpec(name, meaning, is_list=is_list, is_match=True, word=word, group=MATCH, examples=examples)


def _title() -> OptionSpec:
    return OptionSpec("name", "a name for people", value.title, word="title", attribute="title")


MAIN = (
    _flag("enabled", "whether NetPolicy does anything"),
    OptionSpec(
        "mode", "observe decides and reports, and changes nothing", default="enforce", choices=("enforce", "observe")
    ),
    OptionSpec("primary", "the outbound whose health is the state of the engine", value.name),
    OptionSpec("default", "the outbound of traffic that no rule matches", value.name, "direct"),
    OptionSpec(
        "fwmark_mask", "the bits of the packet mark that are ours, at least four", value.mask, "0x77000000",
        show=value.show_mask,
    ),
    _number("table_base", "the first of our 200 routing tables", 1, 4294967095, "7000"),
    _number("rule_priority", "the first of our 200 ip rule priorities", 1, 32565, "7000"),
    OptionSpec("netlink", "what speaks netlink", default="auto", choices=("auto", "pyroute2", "builtin")),
    _number("confirm", "seconds a change waits for confirmation, 0 is not needed", 0, 3600, "120"),
    OptionSpec(
        "drift", "when others change what is ours in the kernel: put it right, tell of it, or leave it",
        default="heal", choices=("heal", "alert", "leave"),
    ),
    OptionSpec(
        "inspector", "what sees connections: the best that works, only one of them, or nothing", default="auto",
        choices=("auto", "ebpf", "packet", "conntrack", "off"),
    ),
    OptionSpec(
        "inspect", "where names of connections are read from; all four when absent, none for counters alone",
        is_list=True, choices=("tls", "quic", "dns", "http", "none"),
    ),
    OptionSpec(
        "anonymize", "what the log and the doors do not show in full", is_list=True, choices=("clients", "names")
    ),
    OptionSpec(
        "dnsmasq", "whether dnsmasq fills in the addresses of names: auto, off, or its folder for our file",
        value.name_server_folder, "auto", examples=("auto", "off", "/etc/dnsmasq.d"),
    ),
    _flag("dns_guard", "refuse what clients ask of name servers elsewhere, hidden in TLS (DoT, DoQ, DoH)"),
    OptionSpec("ruleset", "further files with rules and outbounds", value.text, is_list=True),
    OptionSpec(
        "assert", "what must hold after a change", value.assertion, is_list=True, attribute="asserts",
        examples=("lan can wan tcp/443", "guest cannot lan"),
    ),
)  # fmt: skip

LINES = ("interface", "table")  # outbounds that lead out by themselves, and can be probed
OUTBOUND_TYPES = ("interface", "table", "group", "xray", "tunnel", "direct", "block")

OUTBOUND = (
    OptionSpec("type", "what the way out is", choices=OUTBOUND_TYPES),
    _title(),
    OptionSpec("interface", "a network of netifd or a device", value.device, types=("interface",)),
    OptionSpec(
        "table", "the number of a routing table that somebody else fills", value.table, kind=NUMBER, types=("table",)
    ),
    OptionSpec(
        "strategy", "which member of a group carries new connections", default="failover",
        choices=("failover", "balance", "latency"), types=("group",),
    ),
    OptionSpec("member", "the outbounds of a group, the preferred first", value.target, is_list=True, types=("group",)),
    OptionSpec("node", "an imported proxy node, by its name", value.target, types=("xray",)),
    OptionSpec(
        "server", "where a tunnel leads", value.server, types=("tunnel",), examples=("ssh://me@vps.example.net:22",)
    ),
    OptionSpec("key", "the name of the key or password among the secrets", value.target, types=("tunnel",)),
    OptionSpec("gateway", "the IPv4 gateway; learned when absent", value.gateway4, types=("interface",)),
    OptionSpec("gateway6", "the IPv6 gateway; learned when absent", value.gateway6, types=("interface",)),
    _flag("masq", "translate IPv4 sources", types=("interface",)),
    OptionSpec(
        "ipv6_source", "what happens to IPv6 sources", default="none", choices=("none", "masq", "prefix"),
        types=("interface",),
    ),
    OptionSpec("ipv6_prefix", "the prefix for ipv6_source prefix", value.prefix6, types=("interface",)),
    _number("weight", "the share as a member of a balancing group", 1, 1000, "1"),
    _number("sticky", "seconds that a client of a balance stays with its line, 0 none", 0, 86400, "0", ("group",)),
    OptionSpec(
        "probe", "active checks of the line", value.probe, is_list=True,
        examples=("ping:9.9.9.9", "http:http://connectivity.example/204"),
    ),
    _number("interval", "seconds between probes while the line is in use", 1, 3600, "1", LINES),
    _number("quorum", "how many probes must be answered", 1, 16, "1", LINES),
    _number("max_latency_ms", "above which the line counts as bad, 0 never", 0, 60000, "120", LINES),
    _number("max_loss", "percent of probes lost, above which the line counts as bad, 0 never", 0, 100, "5", LINES),
    _number("max_client_loss", "percent of clients' packets; more lost is suspicious, 0 never", 0, 100, "0", LINES),
    _flag("passive", "whether connections of clients that are not answered speak against the line", "1", types=LINES),
    _number("hold", "seconds that a line must be good before groups go back to it", 0, 3600, "10", LINES),
)  # fmt: skip

SCHEDULE = (
    _title(),
    OptionSpec("days", "days of the week", value.days, is_list=True, examples=("mon-fri", "sat", "weekend", "daily")),
    OptionSpec("from", "when the window opens", value.time_of_day, "00:00", attribute="start", show=format_time),
    OptionSpec("to", "when it closes; before `from` it is the next day", value.time_of_day, "24:00", attribute="stop",
               show=format_time),
)  # fmt: skip

THROTTLE = (
    _title(),
    OptionSpec("down", "the speed towards the client", value.rate, show=value.show_rate, examples=("2mbit",)),
    OptionSpec("up", "the speed from the client", value.rate, show=value.show_rate, examples=("512kbit",)),
    OptionSpec(
        "per", "who has the speed: all together, each rule, or each client's address", default="all",
        choices=("all", "rule", "client"),
    ),
)  # fmt: skip

LIST = (
    _title(),
    OptionSpec("entry", "addresses, networks, ranges, domain patterns", value.entry, is_list=True, attribute="entries",
               examples=("example.com", "192.0.2.0/24")),
    OptionSpec("file", "a file with one entry per line, or in one of the other formats", value.text),
    OptionSpec("url", "where a newer list is fetched; until then the file counts", value.web_address,
               examples=("https://lists.example.net/video.txt",)),
    OptionSpec("refresh", "how often it is fetched again", value.duration, "0", show=value.show_duration,
               examples=("1d",)),
    OptionSpec("format", "what the file, and what is fetched, is written in", default="auto",
               choices=("auto", "entries", "domains", "cidr", "hosts", "adblock", "dnsmasq", "geosite", "geoip")),
    OptionSpec("category", "the parts of geosite.dat or geoip.dat that are meant", value.category, is_list=True,
               attribute="categories", examples=("cn", "google@ads")),
)  # fmt: skip

# In the order of canonical text: the predecessor's, the newer ones where they fit.
RULE = (
    _title(),
    _flag("enabled", "0 switches the rule off", "1"),
    _number("priority", "the highest wins", 0, 2147483647, "0"),
    _flag("any", "1 matches everything; the other match fields are ignored", group=MATCH),
    _match("src_iface", "the network or device that a connection comes in by; lo is the router itself", ("lan",)),
    _match("src_mac", "the MAC address of the sender", ("02:00:00:00:00:0a",)),
    _match("src_addr", "source addresses, networks, ranges, lists", ("192.168.1.0/24", "@kids")),
    _match("src_port", "source ports and port ranges", ("1024-65535",)),
    _match("dest_addr", "destination addresses, networks, ranges, lists", ("198.51.100.0/24", "!198.51.100.7", "@net")),
    _match("domain", "names behind the destination address",
           ("example.com", "=example.com", "*.example.com", "@video")),
    _match("sni", "patterns on the name seen in TLS, QUIC or HTTP", ("*.zoom.us",)),
    _match("proto", "protocol names or numbers", ("tcp", "udp"), "protocol"),
    _match("dest_port", "destination ports and port ranges", ("443", "80,443", "1000-2000"), "port"),
    _match("family", "ipv4 or ipv6", ("ipv4", "ipv6")),
    _match("dscp", "the class of service of a packet", ("ef", "46", "cs1")),
    _match("latency_ms", "a comparator on the measured latency", (">120",), is_list=False),
    _match("rtt_ms", "a comparator on the measured round trip time", ("<=50",), is_list=False),
    _match("error_rate", "a comparator on the measured share of failed connections", (">5%",), is_list=False),
    _match("loss", "a comparator on the measured share of lost packets", (">0.02",), is_list=False),
    _match("schedule", "the hours in which the rule counts", ("evening",)),
    OptionSpec("state", "the states in which the rule counts", value.state, is_list=True, group=WHEN, attribute="when",
               examples=STATES),
    OptionSpec("disable", "the states in which the rule does not count", value.state, is_list=True, examples=STATES),
    OptionSpec("route", "send by this outbound", value.target, group=ACTION),
    OptionSpec("switch_route", "send by this outbound, open connections too", value.target, group=ACTION),
    OptionSpec("fallback", "outbounds in order, the first that is up", value.target, is_list=True, group=ACTION),
    OptionSpec("block", "drop (or 1), reject, or 0 for not at all", value.block, group=ACTION, show=value.show_block,
               examples=("1", "drop", "reject")),
    OptionSpec("throttle", "the profile to slow down to; also beside a route", value.target, group=ACTION),
    OptionSpec("on_fail", "what to do when the outbound is down", default="next", choices=("next", "direct", "block"),
               group=ACTION),
    _flag("log", "log the decision", group=ACTION),
    _flag("notify", "tell somebody of the decision", group=ACTION),
)  # fmt: skip

# In the order of canonical text. A dict has no order on MicroPython.
SECTION_TYPES = ("netpolicy", "outbound", "schedule", "throttle", "list", "rule")
SECTIONS = {
    "netpolicy": SectionSpec("netpolicy", "netpolicy", "the settings, in the one section 'main'", MAIN),
    "outbound": SectionSpec("outbound", "outbounds", "a named way out", OUTBOUND, positional=("type",)),
    "schedule": SectionSpec("schedule", "schedules", "hours of the week", SCHEDULE),
    "throttle": SectionSpec("throttle", "throttles", "a profile of speeds", THROTTLE),
    "list": SectionSpec("list", "lists", "a named list of addresses or names", LIST, positional=("entry",)),
    "rule": SectionSpec("rule", "rules", "a match and what happens then", RULE),
}

# What an outbound of each type takes without its word in DSL, after the type: `outbound wan interface wan`.
OUTBOUND_POSITIONAL = {
    "interface": ("interface",),
    "table": ("table",),
    "group": ("strategy", "member"),
    "xray": ("node",),
    "tunnel": ("server",),
    "direct": (),
    "block": (),
}

MATCH_OPTIONS = tuple([option.name for option in RULE if option.is_match])
assert set(MATCH_OPTIONS) == set(FIELDS), "the match options are the fields of core"

# What people write who come from the firewall's configuration or from another policy package.
FOREIGN_WORDS = {
    "src_ip": "src_addr", "dest_ip": "dest_addr", "dst_addr": "dest_addr", "dst_port": "dest_port", "mac": "src_mac",
    "src": "src_iface", "target": "block", "action": "route", "when": "state", "sport": "src_port",
    "dport": "dest_port", "host": "domain", "hostname": "domain", "bandwidth": "down", "days_of_week": "days",
    "dst": "dest_addr", "dest": "route", "accept": "direct", "allow": "direct", "pass": "direct", "permit": "direct",
    "deny": "block", "drop": "block", "reject": "block", "wireguard": "interface", "openvpn": "interface",
    "pppoe": "interface", "ssh": "tunnel", "socks5": "tunnel", "vless": "xray", "vmess": "xray", "trojan": "xray",
    "shadowsocks": "xray", "failover": "group", "balance": "group",
}  # fmt: skip

# What they mean where an address stands behind them, as behind the same words of `netpolicy decide`.
FOREIGN_ADDRESSES = {"src": "src_addr", "dst": "dest_addr", "dest": "dest_addr"}


# Options of a rule whose absence makes it match more or do something else: an empty one is a mistake.
EMPTY_IS_A_MISTAKE = MATCH_OPTIONS + (  # noqa: RUF005 - not in MicroPython
    "state", "disable", "route", "switch_route", "fallback", "block", "throttle", "on_fail",
)  # fmt: skip


def labelled(type: str, name: str) -> str:
    """The section, to begin a message with. "" for a rule, which the place of a finding names, and for what is none of
    our sections: that may have a secret for a name.
    """
    if type not in SECTION_TYPES or type == "rule" or not name:
        return ""
    return f"{type} {name!r}: "


def meaning(word: str, known: tuple[str, ...], values: tuple[str, ...] = ()) -> tuple[str, str]:
    """A hint for an unknown word with these values, and the word to write in its place; "" where nobody knows."""
    found = suggestion(word, known, values)
    if found:
        return f"did you mean {found!r}?", found
    if FOREIGN_WORDS.get(word.lower()) == "direct":
        return "to let it go the ordinary way, route it to the built-in outbound 'direct'", ""
    return "", ""


def nearest(word: str, known: tuple[str, ...]) -> str:
    """ "did you mean 'x'?" for a word that is close to a known one, or ""."""
    found = suggestion(word, known)
    return f"did you mean {found!r}?" if found else ""


def suggestion(word: str, known: tuple[str, ...], values: tuple[str, ...] = ()) -> str:
    """The known word that was probably meant, or "". `values`: what stands behind it."""
    foreign = _foreign(word.lower(), values[0].strip("! ").lower() if values else "")
    return foreign if foreign in known else closest(word, known)


def _foreign(word: str, value: str) -> str:
    if word in FOREIGN_ADDRESSES and looks_like_address(value):
        return FOREIGN_ADDRESSES[word]
    if word in ("target", "action") and value in FOREIGN_WORDS:
        return "route" if FOREIGN_WORDS[value] == "direct" else "block"
    return FOREIGN_WORDS.get(word, "")
