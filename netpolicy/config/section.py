"""One section and the table of options: texts in, checked values out.

Reports every option that is unknown, unsupported, of the wrong form or not acceptable.
Never decides what options say together.
"""

from dataclasses import dataclass, field
from typing import Any

from netpolicy.config.diagnostic import Findings, Place
from netpolicy.config.schema import EMPTY_IS_A_MISTAKE, OFF_IS_HARMLESS, OptionSpec, SectionSpec, nearest
from netpolicy.config.uci_section import Option, Section
from netpolicy.core.value import Unsupported, ValueProblem


@dataclass(slots=True)
class Reading:
    """What a section says: values by canonical option name; match options stay texts."""

    place: Place
    findings: Findings
    values: dict[str, Any] = field(default_factory=dict)
    written: dict[str, Option] = field(default_factory=dict)  # canonical name: what stands there
    ok: bool = True

    def at(self, option: str) -> Place:
        """Where the option stands, or the section when it does not say it."""
        found = self.written.get(option)
        return self.place if found is None else _place_of(found, self.place)

    def error(self, code: str, message: str, hint: str = "", option: str = "") -> None:
        """The section cannot be used."""
        self.ok = False
        self.findings.error(code, self.at(option), message, hint)

    def problem(self, option: str, problem: ValueProblem, values: tuple[str, ...]) -> None:
        """A value was refused."""
        code = "NP103" if isinstance(problem, Unsupported) else "NP105"
        word = self.written[option].name if option in self.written else option
        hint = problem.hint
        if any(" " in value.strip() or "," in value for value in values) and not option.endswith("_port"):
            hint = f"write one `list {word}` line per value"
        self.error(code, f"{word}: {problem.text}", hint, option)


def read_section(section: Section, spec: SectionSpec, place: Place, findings: Findings) -> Reading:
    """The checked options of a section."""
    reading = Reading(place, findings)
    for option in section.options:
        name = spec.aliases.get(option.name, option.name)
        known = spec.options.get(name)
        earlier = reading.written.get(name)
        if earlier is not None:
            text = f"{option.name} and {earlier.name} are the same option"
            findings.error("NP109", _place_of(option, place), text)
            reading.ok = False
            continue
        reading.written[name] = option
        if known is None:
            hint = nearest(option.name, (*spec.options, *spec.aliases))
            reading.error("NP101", f"unknown option {option.name!r} in a {spec.type} section", hint, name)
        elif known.later:
            _report_later(reading, known)
        else:
            _read_option(reading, known, option)
    return reading


def _place_of(option: Option, section: Place) -> Place:
    return Place(section.file, option.line or section.line, option.column, section.rule)


def _report_later(reading: Reading, spec: OptionSpec) -> None:
    if spec.later == OFF_IS_HARMLESS:
        text = f"{spec.name} is not supported yet and has no effect"
        reading.findings.warning("NP104", reading.at(spec.name), text, spec.meaning)
        return
    reading.error("NP103", f"{spec.name} is not supported yet", "the whole section is left out", spec.name)


def _read_option(reading: Reading, spec: OptionSpec, option: Option) -> None:
    if option.values == ("",) and not option.is_list and spec.name not in EMPTY_IS_A_MISTAKE:
        return  # absent, as UCI has it
    if option.is_list and not spec.is_list:
        reading.error("NP105", f"{option.name} takes one value", f"write `option {option.name}`", spec.name)
        return
    if spec.is_match:
        reading.values[spec.name] = option.values
        return
    try:
        found = [_read_value(spec, value) for value in option.values]
    except ValueProblem as problem:
        reading.problem(spec.name, problem, option.values)
        return
    reading.values[spec.name] = tuple(found) if spec.is_list else found[0]


def _read_value(spec: OptionSpec, raw: str) -> Any:
    if spec.choices and raw not in spec.choices:
        hint = nearest(raw, spec.choices) or "one of " + ", ".join(spec.choices)
        raise ValueProblem(f"{raw[:64]!r} is not known", hint)
    return spec.read(raw)
