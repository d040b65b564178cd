"""The match fields of a rule by name: how each is read, in which order they stand, what is known of them when.

What a kind of field means stands in field_kind, field_address and field_name. Never reads
a clock or the network. The semantics are those of docs/rules.md ("Meaning" and "Match fields").
"""

from netpolicy.core.address import format_address
from netpolicy.core.field_address import read_addresses
from netpolicy.core.field_kind import Comparator, Field, Numbers, Schedules, Words, signed
from netpolicy.core.field_name import Domains, Names
from netpolicy.core.named_list import NO_LISTS, Lists
from netpolicy.core.packet import (
    PORTS_HINT,
    format_dscp,
    format_protocol,
    parse_device,
    parse_dscp,
    parse_family,
    parse_mac,
    parse_port,
    parse_port_range,
    parse_protocol,
    split_sign,
)
from netpolicy.core.value import ValueProblem

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_VALUES = 4096  # per field; longer lists belong into a named list

MAX_TEXT = 256  # per value


def _ports(name: str, values: tuple[str, ...]) -> Numbers:
    parsed = []
    canonical = []
    for value in values:
        for part in value.split(","):
            negated, text = split_sign(part)
            if not text:
                raise ValueProblem("port pattern must not contain empty entries", PORTS_HINT)
            low, high = parse_port_range(text) if "-" in text else (parse_port(text),) * 2
            parsed.append((negated, (low, high)))
            canonical.append(signed(negated, str(low) if low == high else "{}-{}".format(low, high)))
    return Numbers(name, tuple(canonical), parsed, 65535)


def _numbers(
    name: str, values: tuple[str, ...], parse: "Callable[[str], int]", show: "Callable[[int], str]", limit: int
) -> Numbers:
    parsed = []
    canonical = []
    for value in values:
        negated, text = split_sign(value)
        number = parse(text)
        parsed.append((negated, (number, number)))
        canonical.append(signed(negated, show(number)))
    return Numbers(name, tuple(canonical), parsed, limit)


def _family_name(family: object) -> str:
    return "ipv{}".format(family)


def _schedule_name(text: str) -> str:
    if not text:
        raise ValueProblem("the name of a schedule is missing")
    return text


# How each field is read. The keys are the names of the UCI spelling.
FIELDS: "dict[str, Callable[[str, tuple[str, ...], Lists], Field]]" = {
    "src_addr": read_addresses,
    "dest_addr": read_addresses,
    "src_mac": lambda name, values, lists: Words(name, values, parse_mac),
    "src_iface": lambda name, values, lists: Words(name, values, parse_device),
    "src_port": lambda name, values, lists: _ports(name, values),
    "dest_port": lambda name, values, lists: _ports(name, values),
    "proto": lambda name, values, lists: _numbers(name, values, parse_protocol, format_protocol, 255),
    "family": lambda name, values, lists: Words(name, values, parse_family, _family_name),
    "dscp": lambda name, values, lists: _numbers(name, values, parse_dscp, format_dscp, 63),
    "domain": Domains,
    "sni": lambda name, values, lists: Names(name, values),
    "latency_ms": lambda name, values, lists: Comparator(name, values),
    "rtt_ms": lambda name, values, lists: Comparator(name, values),
    "error_rate": lambda name, values, lists: Comparator(name, values),
    "loss": lambda name, values, lists: Comparator(name, values),
    "schedule": lambda name, values, lists: Schedules(name, values, _schedule_name),
}

# In the order in which canonical text lists them.
FIELD_ORDER = (
    "src_iface", "src_mac", "src_addr", "src_port", "dest_addr", "domain", "sni", "proto", "dest_port", "family",
    "dscp", "latency_ms", "rtt_ms", "error_rate", "loss", "schedule",
)  # fmt: skip

FIELD_RANK = {name: rank for rank, name in enumerate(FIELD_ORDER)}

# Known from the first packet, so the kernel can decide by them.
PACKET_FIELDS = ("src_iface", "src_mac", "src_addr", "src_port", "dest_addr", "dest_port", "proto", "family", "dscp")

# A name behind an address: known before the connection where DNS told it, otherwise for the next one.
LEARNED_FIELDS = ("domain", "sni")

# Measured on lines and connections: they change the plan, never the fate of one packet.
MEASURED_FIELDS = ("latency_ms", "rtt_ms", "error_rate", "loss")


def parse_field(name: str, values: tuple[str, ...], lists: Lists = NO_LISTS) -> Field:
    """The field of that name with those values. Raises ValueProblem; KeyError for an unknown name."""
    if not values:
        raise ValueProblem("{} needs a value".format(name), "an empty list would match everything")
    if len(values) > MAX_VALUES:
        raise ValueProblem("{} has more than {} values".format(name, MAX_VALUES), "put them into a named list")
    for value in values:
        if len(value) > MAX_TEXT and not name.endswith("_port"):
            raise ValueProblem("a value of {} is longer than {} characters".format(name, MAX_TEXT))
    return FIELDS[name](name, values, lists)


def format_fact(name: str, fact: object) -> str:
    """A fact as text, for explanations."""
    if name == "schedule" and isinstance(fact, tuple):
        return ",".join(fact) or "none"
    if isinstance(fact, tuple):
        return format_address(fact[0], fact[1])
    if name == "proto" and isinstance(fact, int):
        return format_protocol(fact)
    if name == "dscp" and isinstance(fact, int):
        return format_dscp(fact)
    if name == "family":
        return "ipv{}".format(fact)
    if isinstance(fact, frozenset):
        return "learned" if fact else "not learned"
    return str(fact)
