"""Make a schedule, a throttle profile or a named list of one section.

Reports everything that is wrong with it; gives none rather than a weaker one. Never looks at
rules, and reads no file: entries from one are handed in. Runs on MicroPython.
"""

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.schema import SECTIONS
from netpolicy.config.section import Reading, read_section
from netpolicy.config.source import Section
from netpolicy.core.calendar import GROUPS, Schedule, parse_days
from netpolicy.core.model import Throttle
from netpolicy.core.named_list import NamedList
from netpolicy.core.value import ValueProblem

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from netpolicy.core.list_content import ListContent


def _reading(section: Section, file: str, findings: Findings) -> Reading:
    place = Place(file, section.line, section.column, "", len(section.name))
    return read_section(section, SECTIONS[section.type], place, findings)


def read_schedule(section: Section, file: str, findings: Findings) -> Schedule | None:
    """The schedule, or None after an error was reported."""
    reading = _reading(section, file, findings)
    if not reading.ok:
        return None
    days = parse_days(reading.values["days"]) if "days" in reading.values else GROUPS["daily"]
    position = f"{file}:{section.line}"
    try:
        return Schedule(section.name, days, reading.get("from"), reading.get("to"), reading.get("name", ""), position)
    except ValueProblem as problem:
        reading.error("NP109", problem.text, problem.hint, "to")
        return None


def read_throttle(section: Section, file: str, findings: Findings) -> Throttle | None:
    """The profile, or None after an error was reported."""
    reading = _reading(section, file, findings)
    if reading.ok and "down" not in reading.values and "up" not in reading.values:
        text = f"throttle {section.name!r} limits nothing"
        reading.error("NP109", text, "give it down, up or both, for example down 2mbit")
    if not reading.ok:
        return None
    down, up = reading.get("down", 0), reading.get("up", 0)
    position = f"{file}:{section.line}"
    return Throttle(section.name, down, up, reading.get("name", ""), position, reading.get("per"))


def read_list(section: Section, file: str, findings: Findings, read: "ListContent | None" = None) -> NamedList | None:
    """The list, or None after an error was reported. `read`: what its file holds."""
    reading = _reading(section, file, findings)
    sources = [name for name in ("entry", "file", "url") if name in reading.values]
    if reading.ok and not sources:
        text = f"the list {section.name!r} is empty"
        reading.error("NP109", text, "give it entries, a file or a url")
    if reading.ok:
        _check_categories(reading)
    if not reading.ok:
        return None
    return NamedList(
        section.name,
        reading.get("entry", ()),
        reading.get("file", ""),
        reading.get("url", ""),
        reading.get("refresh"),
        reading.get("name", ""),
        f"{file}:{section.line}",
        read,
        reading.get("format"),
        reading.get("category", ()),
    )


# Files of many lists, of which the categories choose some.
OF_CATEGORIES = ("geosite", "geoip")


def _check_categories(reading: Reading) -> None:
    format = reading.get("format")
    has_categories = "category" in reading.values
    if format in OF_CATEGORIES and not has_categories:
        text = f"{format}.dat has hundreds of lists, and none of them is chosen"
        reading.error("NP109", text, "add a category, for example list category 'cn'", "format")
    elif has_categories and format not in ("auto",) + OF_CATEGORIES:  # noqa: RUF005 - not in MicroPython
        text = f"format {format} has no categories"
        reading.error("NP109", text, "categories are for format geosite and geoip", "category")
    elif has_categories and "file" not in reading.values and "url" not in reading.values:
        reading.error("NP109", "there is no file and no url to take a category of", "add one of them", "category")
