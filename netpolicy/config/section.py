"""One section and the table of options: texts in, checked values out.

Reports every option that is unknown, of the wrong form or not acceptable, at its place. Never
decides what options say together. Runs on MicroPython.
"""

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.schema import (
    EMPTY_IS_A_MISTAKE,
    SECTION_TYPES,
    SECTIONS,
    OptionSpec,
    SectionSpec,
    labelled,
    meaning,
    suggestion,
)
from netpolicy.config.source import Option, Section, line_and_column
from netpolicy.core.value import ValueProblem

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Reading:
    """What a section says: values by canonical option name; match options stay texts."""

    __slots__ = ("findings", "name", "ok", "place", "spec", "values", "written")

    def __init__(self, place: Place, spec: SectionSpec, findings: Findings, name: str) -> None:
        self.place = place
        self.name = name
        self.spec = spec
        self.findings = findings
        self.values: dict[str, Any] = {}
        self.written: dict[str, Option] = {}  # canonical name: what stands there
        self.ok = True

    def at(self, option: str, value: str = "") -> Place:
        """Where the option stands, or that value of it; the section when it does not say it."""
        found = self.written.get(option)
        return self.place if found is None else place_of(found, self.place, value)

    def error(self, code: str, message: str, hint: str = "", option: str = "", fix: str = "") -> None:
        """The section cannot be used."""
        self.report(code, self.at(option), message, hint, fix)

    def report(self, code: str, place: Place, message: str, hint: str = "", fix: str = "") -> None:
        """The section cannot be used, because of what stands there. Its name is told, unless the message has it."""
        self.ok = False
        label = "" if repr(self.name) in message else labelled(self.spec.type, self.name)
        self.findings.error(code, place, label + message, hint, fix)

    def problem(
        self, option: str, problem: ValueProblem, value: str, reads: "Callable[[str], Any]", meant: str = ""
    ) -> None:
        """A value was refused; `reads` raises ValueProblem for one, `meant` is what to write in its place."""
        written = self.written.get(option)
        word = written.word if written is not None else option
        hint = f"did you mean {meant!r}?" if meant else problem.hint
        several = 0 if option.endswith("_port") else _several(value, "/" if option == "proto" else "", reads)
        if several and self.spec.options[option].is_list:
            hint = f"these are {several} values: write one `list {word}` line for each; in DSL and YAML a list"
        between = " " if problem.text.startswith("must ") else ": "  # "priority must be >= 0"
        self.report("NP105", self.at(option, value), word + between + problem.text, hint, meant)

    def get(self, option: str, otherwise: "Any" = None) -> "Any":
        """The value of an option, the default of the table, or `otherwise`."""
        if option in self.values:
            return self.values[option]
        spec = self.spec.options[option]
        if otherwise is None and spec.default:
            return spec.read(spec.default)
        return otherwise


MOST_PARTS = 64  # more in one value are not looked at: nobody's mistake


def _several(value: str, further: str, reads: "Callable[[str], Any]") -> int:
    """How many good values one bad value is, 0 for none: blanks and commas separate nothing in UCI."""
    for separator in "," + further:
        value = value.replace(separator, " ")
    parts = value.split()
    if not 1 < len(parts) <= MOST_PARTS:
        return 0
    try:
        for part in parts:
            reads(part)
    except ValueProblem:
        return 0
    return len(parts)


def read_section(section: Section, spec: SectionSpec, place: Place, findings: Findings) -> Reading:
    """The checked options of a section."""
    reading = Reading(place, spec, findings, section.name)
    for option in section.options:
        known = spec.option(option.name)
        name = known.name if known is not None else option.name
        earlier = reading.written.get(name)
        if earlier is not None:
            text = f"{option.name} and {earlier.name} are the same option"
            reading.report("NP109", place_of(option, place), text, "keep one of them")
            continue
        reading.written[name] = option
        if known is None:
            _report_unknown(reading, spec, option)
        else:
            _read_option(reading, known, option)
    return reading


def _report_unknown(reading: Reading, spec: SectionSpec, option: Option) -> None:
    hint, meant = meaning(option.name, spec.words, option.values)
    owners = [type for type in SECTION_TYPES if SECTIONS[type].option(option.name) is not None]
    if owners and not hint:
        hint = "it is an option of " + " and ".join([f"{type} sections" for type in owners])
    article = "an" if spec.type[0] in "aeiou" else "a"
    text = f"unknown option {option.name!r} in {article} {spec.type} section"
    reading.report("NP101", place_of(option, reading.place), text, hint, meant)


def place_of(option: Option, section: Place, value: str = "") -> Place:
    """Where the option stands, or that value of it."""
    if value and value in option.values and len(option.spots) == len(option.values):
        line, column = line_and_column(option.spots[option.values.index(value)])
        return Place(section.file, line, column, section.rule, len(value))
    return Place(section.file, option.line or section.line, option.column, section.rule, len(option.name))


def _read_option(reading: Reading, spec: OptionSpec, option: Option) -> None:
    if option.values == ("",) and not option.is_list and spec.name not in EMPTY_IS_A_MISTAKE:
        return  # absent, as UCI has it
    if option.is_list and not spec.is_list:
        hint = f"write `option {option.name}`"
        reading.error("NP105", f"{option.name} takes one value", hint, spec.name)
        return
    if not option.values and spec.name not in ("state", "disable") and not spec.is_match:
        reading.error("NP105", f"{option.word} needs a value", "write one, or remove the line", spec.name)
        return
    if spec.is_match:
        reading.values[spec.name] = option.values
        return
    found = []
    for value in option.values:
        try:
            found.append(_read_value(spec, value))
        except ValueProblem as problem:
            reading.problem(spec.name, problem, value, lambda part: _read_value(spec, part))
            return
    reading.values[spec.name] = tuple(found) if spec.is_list else found[0]


def _read_value(spec: OptionSpec, raw: str) -> "Any":
    if spec.choices and raw not in spec.choices:
        meant = suggestion(raw, spec.choices)
        hint = f"did you mean {meant!r}?" if meant else "one of " + ", ".join(spec.choices)
        raise ValueProblem(f"{raw[:64]!r} is not known", hint)
    return spec.read(raw)
