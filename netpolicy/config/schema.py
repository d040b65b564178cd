"""Every section type and option of the configuration, once.

Reading, printing, suggestions and the reference page are driven by this table. Never
looks at more than one option at a time: what options say together is decided in
rule.py, outbound.py and main.py. Words and meaning: docs/rules.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from netpolicy.config import value
from netpolicy.core.field import FIELDS

OFF_IS_HARMLESS = "warning"  # without it less is measured or asked, nothing else happens to packets
OFF_IS_WEAKER = "error"  # without it the section would mean something else


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """One option: `read` turns its text into a value (raises ValueProblem)."""

    name: str
    meaning: str
    read: Callable[[str], Any] = value.text
    default: str = ""
    is_list: bool = False
    choices: tuple[str, ...] = ()
    types: tuple[str, ...] = ()  # the outbound types that it belongs to; empty: all
    later: str = ""  # not supported yet: OFF_IS_HARMLESS or OFF_IS_WEAKER
    is_match: bool = False


@dataclass(frozen=True, slots=True)
class SectionSpec:
    """One section type; `later` as for options."""

    type: str
    meaning: str
    options: dict[str, OptionSpec]
    aliases: dict[str, str]
    later: str = ""


def _table(*options: OptionSpec) -> dict[str, OptionSpec]:
    return {option.name: option for option in options}


def _match(name: str, meaning: str, is_list: bool = True) -> OptionSpec:
    return OptionSpec(name, meaning, is_list=is_list, is_match=True)


def _later(name: str, meaning: str, weight: str = OFF_IS_WEAKER) -> OptionSpec:
    return OptionSpec(name, meaning, is_list=True, later=weight)


MAIN = _table(
    OptionSpec("enabled", "whether NetPolicy does anything", value.boolean, "0"),
    OptionSpec(
        "mode", "observe decides and reports, and changes nothing", default="enforce", choices=("enforce", "observe")
    ),
    OptionSpec("primary", "the outbound whose health is the state of the engine", value.name),
    OptionSpec("default", "the outbound of traffic that no rule matches", value.name, "direct"),
    OptionSpec("fwmark_mask", "the bits of the packet mark that are ours, at least four", value.mask, "0x77000000"),
    OptionSpec("table_base", "the first of our 200 routing tables", value.number(1, 4294967095), "7000"),
    OptionSpec("rule_priority", "the first of our 200 ip rule priorities", value.number(1, 32565), "7000"),
    OptionSpec("netlink", "what speaks netlink", default="auto", choices=("auto", "pyroute2", "builtin")),
    OptionSpec("ruleset", "further files with rules and outbounds", value.text, is_list=True),
    _later("confirm", "seconds a change waits for confirmation", OFF_IS_HARMLESS),
    _later("assert", "what must hold after a change", OFF_IS_HARMLESS),
)

OUTBOUND = _table(
    OptionSpec("type", "what the way out is", choices=("interface", "table", "direct", "block")),
    OptionSpec("name", "a name for people", value.title),
    OptionSpec("interface", "a network of netifd or a device", value.device, types=("interface",)),
    OptionSpec("table", "the number of a routing table that somebody else fills", value.table, types=("table",)),
    OptionSpec("gateway", "the IPv4 gateway; learned when absent", value.gateway4, types=("interface",)),
    OptionSpec("gateway6", "the IPv6 gateway; learned when absent", value.gateway6, types=("interface",)),
    OptionSpec("masq", "translate IPv4 sources", value.boolean, "0", types=("interface",)),
    OptionSpec(
        "ipv6_source", "what happens to IPv6 sources", default="none", choices=("none", "masq", "prefix"),
        types=("interface",),
    ),
    OptionSpec("ipv6_prefix", "the prefix for ipv6_source prefix", value.prefix6, types=("interface",)),
    _later("probe", "active checks", OFF_IS_HARMLESS),
    _later("weight", "the share in a group", OFF_IS_HARMLESS),
)  # fmt: skip

# Known to the rule language, not to this version.
LATER_OUTBOUND_TYPES = ("group", "xray", "tunnel")

STATES_LIST = "states: NORMAL, DEGRADED, FAILOVER, RECOVERY"

RULE = _table(
    OptionSpec("name", "a name for people", value.title),
    OptionSpec("enabled", "0 switches the rule off", value.boolean, "1"),
    OptionSpec("priority", "the highest wins", value.number(0, 2147483647), "0"),
    OptionSpec("any", "1 matches everything; the other match fields are ignored", value.boolean, "0"),
    _match("src_iface", "the network or device that a connection comes in by; lo is the router itself"),
    _match("src_mac", "the MAC address of the sender"),
    _match("src_addr", "source addresses, networks, ranges"),
    _match("src_port", "source ports and port ranges"),
    _match("dest_addr", "destination addresses, networks, ranges"),
    _match("dest_port", "destination ports and port ranges"),
    _match("proto", "protocol names or numbers"),
    _match("family", "ipv4 or ipv6"),
    _match("sni", "patterns on the name seen in TLS, QUIC or HTTP"),
    _match("latency_ms", "a comparator on the measured latency", is_list=False),
    _match("rtt_ms", "a comparator on the measured round trip time", is_list=False),
    OptionSpec("state", "the states in which the rule counts", value.state, is_list=True),
    OptionSpec("disable", "the states in which the rule does not count", value.state, is_list=True),
    OptionSpec("route", "send by this outbound", value.target),
    OptionSpec("switch_route", "send by this outbound, open connections too", value.target),
    OptionSpec("block", "drop (or 1), reject, or 0 for not at all", value.block),
    OptionSpec("throttle", "the profile to slow down to", value.target),
    OptionSpec("log", "log the decision", value.boolean, "0"),
    OptionSpec("on_fail", "what to do when the outbound is down", default="next", choices=("next", "direct", "block")),
    _later("domain", "a name and what is under it"),
    _later("dscp", "the class of service of a packet"),
    _later("schedule", "the hours in which the rule counts"),
    _later("error_rate", "a comparator on the measured error rate"),
    _later("loss", "a comparator on the measured loss"),
    _later("fallback", "outbounds in order, the first healthy one"),
    _later("notify", "tell somebody", OFF_IS_HARMLESS),
)

SECTIONS = {
    "netpolicy": SectionSpec("netpolicy", "the settings, in the one section 'main'", MAIN, {}),
    "outbound": SectionSpec("outbound", "a named way out", OUTBOUND, {}),
    "rule": SectionSpec("rule", "a match and what happens then", RULE, {"protocol": "proto", "port": "dest_port"}),
    "list": SectionSpec("list", "a named list of addresses or names", {}, {}, OFF_IS_HARMLESS),
    "schedule": SectionSpec("schedule", "hours of the week", {}, {}, OFF_IS_HARMLESS),
    "throttle": SectionSpec("throttle", "a profile of speeds", {}, {}, OFF_IS_HARMLESS),
}

MATCH_OPTIONS = tuple(option.name for option in RULE.values() if option.is_match)
assert set(MATCH_OPTIONS) == set(FIELDS), "the match options are the fields of core"

# What people write who come from the firewall's configuration or from another policy package.
FOREIGN_WORDS = {
    "src_ip": "src_addr", "dest_ip": "dest_addr", "dst_addr": "dest_addr", "dst_port": "dest_port", "mac": "src_mac",
    "src": "src_iface", "target": "block", "action": "route", "when": "state", "sport": "src_port",
    "dport": "dest_port",
}  # fmt: skip


# Options of a rule whose absence makes it match more or do something else: an empty one is a mistake.
EMPTY_IS_A_MISTAKE = (*MATCH_OPTIONS, "state", "disable", "route", "switch_route", "block", "throttle", "on_fail")


def nearest(word: str, known: tuple[str, ...]) -> str:
    """ "did you mean 'x'?" for a word that is close to a known one, or ""."""
    foreign = FOREIGN_WORDS.get(word, "")
    if foreign in known:
        return f"did you mean {foreign!r}?"
    from difflib import get_close_matches  # only for mistakes: it costs start-up time

    found = get_close_matches(word[:64].lower(), known, 1)
    return f"did you mean {found[0]!r}?" if found else ""
