"""What is suspicious about a rule that is well formed.

Looks at one rule at a time and never changes it; a rule with findings from here is
still used. Runs on MicroPython.
"""

from netpolicy.config.diagnostic import INFO, WARNING, Findings, Place
from netpolicy.config.section import place_of
from netpolicy.core.address import V4, V6
from netpolicy.core.field import LEARNED_FIELDS, MEASURED_FIELDS
from netpolicy.core.field_address import Addresses
from netpolicy.core.field_kind import Comparator, Field, Numbers, Words
from netpolicy.core.field_name import Domains, Names
from netpolicy.core.model import BLOCK, Rule
from netpolicy.core.packet import PORT_PROTOCOLS, split_sign
from netpolicy.core.ranges import contains

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.config.source import Section


def check_rule(rule: Rule, place: Place, findings: Findings, section: "Section | None" = None) -> None:
    """Report what is suspicious. `section`: what the rule was read from, for places inside it."""
    reason, hint = _contradiction(rule)
    if reason:
        findings.warning("NP206", place, f"the rule can never match: {reason}", hint)
    _check_enforced(rule, place, findings)
    for field in rule.fields:
        if isinstance(field, Names):
            _check_patterns(field, place, findings, section)


def _check_enforced(rule: Rule, place: Place, findings: Findings) -> None:
    """What the kernel does not do yet; the service names it in its plan too."""
    waits = [field.name for field in rule.fields if field.name in MEASURED_FIELDS]
    unnamed = [field.name for field in rule.fields if field.name in LEARNED_FIELDS and _wants_all_names(field)]
    # Whoever blocks relies on it; any other rule that waits is one preference less.
    protects = rule.action.kind == BLOCK or rule.action.on_fail == BLOCK
    severity = WARNING if protects and rule.enabled else INFO
    hint = "until then what it is to stop passes" if protects else "`netpolicy decide` follows the rule"
    if waits:
        text = "{}: not known at the first packet and not enforced in the kernel yet".format(", ".join(waits))
        findings.add("NP207", severity, place, text, hint)
    if unnamed:
        text = "{}: only names that are not wanted; not enforced in the kernel".format(", ".join(unnamed))
        findings.add("NP207", severity, place, text, "say which names are meant: all but some cannot be learned")


def _wants_all_names(field: Field) -> bool:
    """Whether it says nothing but which names it does not want: no set of addresses can hold the others."""
    return not field.has_wanted if isinstance(field, Domains) else isinstance(field, Names) and not field.wanted


def never_matches(rule: Rule) -> str:
    """Why no connection can satisfy the rule, or ""."""
    return _contradiction(rule)[0]


def _contradiction(rule: Rule) -> tuple[str, str]:
    """Why no connection can satisfy the rule, and what to do about it."""
    for field in rule.fields:
        if _is_empty(field) and not _may_be_filled(field):
            return f"{field.name} leaves nothing", "its exclusions take away all that it wants: remove one of them"
    proto = rule.field("proto")
    ports = rule.field("dest_port") or rule.field("src_port")
    if ports and isinstance(proto, Numbers) and not any(contains(proto.ranges, one) for one in PORT_PROTOCOLS):
        return f"{ports.name} with {proto!r}, which has no ports", "remove the ports, or name tcp or udp"
    if not _families(rule):
        return "the addresses and the family exclude each other", "one rule for each family, or remove `family`"
    if rule.when and all(state in rule.disable for state in rule.when):
        return "disable names every state that state names", "remove disable: state alone says when the rule counts"
    return "", ""


def _is_empty(field: Field) -> bool:
    if isinstance(field, Numbers):
        return not field.ranges
    if isinstance(field, Addresses):
        return not any(field.ranges.values())
    if isinstance(field, (Words, Names)):
        return bool(field.wanted) and all(one in field.unwanted for one in field.wanted)
    return isinstance(field, Comparator) and field.operator == "<" and field.bound == 0


def _may_be_filled(field: Field) -> bool:
    """Whether a list of it, empty now, may have something tomorrow: one that is not fetched or in a file never is."""
    return any(value.startswith("@") for value in field.values)


def _families(rule: Rule) -> set[int]:
    """The address families that the rule leaves possible."""
    possible = {V4, V6}
    for field in rule.fields:
        if isinstance(field, Addresses) and not (_is_empty(field) and _may_be_filled(field)):
            possible &= {family for family in (V4, V6) if field.ranges[family]}
        elif field.name == "family":
            possible = {family for family in possible if field.matches(family)}
    return possible


def _check_patterns(field: Names, place: Place, findings: Findings, section: "Section | None") -> None:
    for pattern in field.wanted + field.unwanted:
        if len(pattern) > 1 and pattern[0] == "*" and pattern[1] not in ".*" and not pattern.endswith("*"):
            text = "{!r} also matches names that merely end like it, such as {!r}".format(pattern, "evil" + pattern[1:])
            at, sign = _pattern_place(pattern, place, section)
            findings.warning("NP209", at, text, "write {!r}".format("*." + pattern[1:]), sign + "*." + pattern[1:])


def _pattern_place(pattern: str, place: Place, section: "Section | None") -> tuple[Place, str]:
    """Where the pattern stands, and the sign before it."""
    option = section.option("sni") if section is not None else None
    for value in option.values if option is not None else ():
        negated, text = split_sign(value)
        if option is not None and text.lower() == pattern:
            return place_of(option, place, value), "!" if negated else ""
    return place, ""
