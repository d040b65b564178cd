"""Make one Outbound of one section.

Never looks at interfaces, routing tables or other outbounds: whether they exist is decided
elsewhere. Runs on MicroPython.
"""

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.schema import OUTBOUND, OUTBOUND_TYPES, SECTIONS
from netpolicy.config.section import Reading, read_section
from netpolicy.config.source import Section
from netpolicy.core.model import BUILT_IN_OUTBOUNDS, Outbound

# What a type cannot do without.
NEEDED = {"interface": "interface", "table": "table", "group": "member", "xray": "node", "tunnel": "server"}


def read_outbound(section: Section, file: str, findings: Findings) -> Outbound | None:
    """The outbound, or None after an error was reported."""
    place = Place(file, section.line, section.column, "", len(section.name))
    reading = read_section(section, SECTIONS["outbound"], place, findings)
    _check_type(reading, section.name)
    if not reading.ok:
        return None
    outbound = Outbound(section.name, reading.values["type"], position=f"{file}:{section.line}")
    for spec in OUTBOUND:
        if spec.name in reading.values:
            setattr(outbound, spec.attribute, reading.values[spec.name])
    return outbound


def _check_type(reading: Reading, name: str) -> None:
    kind = reading.values.get("type")
    if kind is None:
        if reading.ok:
            text = f"outbound {name!r} has no type"
            reading.error("NP109", text, "one of " + ", ".join(OUTBOUND_TYPES))
        return
    if name in BUILT_IN_OUTBOUNDS and kind != name:
        text = f"{name!r} is built in and can only be of type {name}"
        reading.error("NP106", text, "choose another name")
    needed = NEEDED.get(kind)
    if needed and needed not in reading.values and (reading.ok or needed not in reading.written):
        spec = SECTIONS["outbound"].options[needed]
        hint = f"add it: {spec.meaning}"
        reading.error("NP109", f"outbound {name!r} of type {kind} needs option {needed}", hint)
    for spec in OUTBOUND:
        if spec.name in reading.values and spec.types and kind not in spec.types:
            text = "{} belongs to type {}, not to {}".format(spec.name, " and ".join(spec.types), kind)
            reading.error("NP109", text, "remove it, or choose another type", spec.name)
    _check_prefix(reading)


def _check_prefix(reading: Reading) -> None:
    if reading.values.get("ipv6_prefix") and reading.values.get("ipv6_source") != "prefix":
        hint = "add it, or remove the prefix"
        reading.error("NP109", "ipv6_prefix needs `option ipv6_source 'prefix'`", hint, "ipv6_prefix")
    if reading.values.get("ipv6_source") == "prefix" and "ipv6_prefix" not in reading.values:
        hint = "write the provider's prefix, such as `option ipv6_prefix '2001:db8:2::/56'`; it is not learned"
        reading.error("NP109", "ipv6_source 'prefix' needs option ipv6_prefix", hint, "ipv6_source")
