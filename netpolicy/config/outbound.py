"""Make one Outbound of one section.

Never looks at interfaces or routing tables: whether they exist is for the room outbounds.
"""

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.schema import LATER_OUTBOUND_TYPES, OUTBOUND, SECTIONS
from netpolicy.config.section import Reading, read_section
from netpolicy.config.uci_section import Section
from netpolicy.core.model import BUILT_IN_OUTBOUNDS, Outbound

# What a type cannot do without.
NEEDED = {"interface": "interface", "table": "table"}


def read_outbound(section: Section, file: str, findings: Findings) -> Outbound | None:
    """The outbound, or None after an error was reported."""
    place = Place(file, section.line, 1)
    kind = section.option("type")
    if kind is not None and kind.values[0] in LATER_OUTBOUND_TYPES:
        where = Place(file, kind.line, kind.column)
        text = f"outbound {section.name!r}: type {kind.values[0]} is not supported yet"
        findings.error("NP103", where, text, "the outbound is left out")
        return None
    reading = read_section(section, SECTIONS["outbound"], place, findings)
    _check_type(reading, section.name)
    if not reading.ok:
        return None
    values = reading.values
    return Outbound(
        section.name,
        values["type"],
        values.get("interface", ""),
        values.get("table", 0),
        values.get("gateway", ""),
        values.get("gateway6", ""),
        values.get("masq", False),
        values.get("ipv6_source", "none"),
        values.get("ipv6_prefix", ""),
        values.get("name", ""),
        f"{file}:{section.line}",
    )


def _check_type(reading: Reading, name: str) -> None:
    kind = reading.values.get("type")
    if kind is None:
        if "type" not in reading.written:
            reading.error("NP109", f"outbound {name!r} has no type", "one of " + ", ".join(OUTBOUND["type"].choices))
        return
    if name in BUILT_IN_OUTBOUNDS and kind != name:
        reading.error("NP106", f"{name!r} is built in and can only be of type {name}", "choose another name")
    needed = NEEDED.get(kind)
    if needed and needed not in reading.written:
        reading.error("NP109", f"outbound {name!r} of type {kind} needs option {needed}")
    for option in reading.values:
        types = OUTBOUND[option].types
        if types and kind not in types:
            reading.error("NP109", f"{option} belongs to type {' and '.join(types)}, not to {kind}", option=option)
    if reading.values.get("ipv6_prefix") and reading.values.get("ipv6_source") != "prefix":
        reading.error("NP109", "ipv6_prefix needs `option ipv6_source 'prefix'`", option="ipv6_prefix")
    if reading.values.get("ipv6_source") == "prefix" and "ipv6_prefix" not in reading.written:
        hint = "write the provider's prefix, such as `option ipv6_prefix '2001:db8:2::/56'`; it is not learned"
        reading.error("NP109", "ipv6_source 'prefix' needs option ipv6_prefix", hint, "ipv6_source")
