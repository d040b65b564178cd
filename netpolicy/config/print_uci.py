"""Print sections as canonical UCI text: loading it gives the same sections.

Keeps the order of the rules, which is meaning. Comments and the layout of the original are not
kept. Quoting as libuci's own export. Runs on MicroPython.
"""

from netpolicy.config.schema import SECTIONS
from netpolicy.config.source import Section


def to_uci(sections: tuple[Section, ...]) -> str:
    """The text of a configuration file."""
    return "\n".join([_section(section) for section in sections])


def quote(text: str) -> str:
    """The text as one UCI word."""
    return "'" + text.replace("'", "'\\''") + "'"


def _section(section: Section) -> str:
    lines = [f"config {section.type} {quote(section.name)}\n"]
    spec = SECTIONS[section.type]
    for option in section.options:
        keyword = "list" if spec.options[option.name].is_list else "option"
        lines.extend(f"\t{keyword} {option.name} {quote(value)}\n" for value in option.values)
    return "".join(lines)
