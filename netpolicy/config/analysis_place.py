"""Where what a rule set says was written: the place of a section, an option or one value of it.

Reads the sections that loading kept; decides nothing. A part that was not read from a section
(there is none today) has the place of its file.
"""

from __future__ import annotations

from netpolicy.config.assemble import Loaded
from netpolicy.config.diagnostic import Place
from netpolicy.config.schema import SECTIONS
from netpolicy.config.section import place_of
from netpolicy.config.source import Option, Section, line_and_column
from netpolicy.core.model import Rule


class Places:
    """The places of one loaded configuration."""

    def __init__(self, loaded: Loaded) -> None:
        self._sources = loaded.sources
        self._first = loaded.files[0].file if loaded.files else ""

    def section(self, type: str, name: str) -> Place:
        """Where the section begins, as long as its name."""
        file, section = self._found(type, name)
        if section is None:
            return Place(file)
        rule = name if type == "rule" else ""
        return Place(file, section.line, section.column, rule, len(section.name) if section.column > 1 else 0)

    def rule(self, rule: Rule) -> Place:
        """Where the rule begins."""
        return self.section("rule", rule.name)

    def option(self, type: str, name: str, option: str, value: str = "") -> Place:
        """Where that value of an option stands, or its only value; else the option, else the section."""
        written = self.written(type, name, option)
        place = self.section(type, name)
        if written is None:
            return place
        found = place_of(written, place, value or (written.values[0] if len(written.values) == 1 else ""))
        if (found.line, found.column) == (written.line, written.column):
            # DSL and YAML give the canonical name where a shorter word may stand.
            found.length = min(found.length, len(SECTIONS[type].options[option].word))
        return found

    def field(self, rule: Rule, field: str, value: str = "") -> Place:
        """Where a field of the rule stands, or that value of it, as it is written."""
        return self.option("rule", rule.name, field, value)

    def values(self, type: str, name: str, option: str) -> list[tuple[str, Place]]:
        """Every value of the option as it is written, with its own place."""
        written = self.written(type, name, option)
        if written is None:
            return []
        section = self.section(type, name)
        if len(written.spots) != len(written.values):
            return [(value, place_of(written, section)) for value in written.values]
        found = []
        for value, spot in zip(written.values, written.spots, strict=True):
            line, column = line_and_column(spot)
            found.append((value, Place(section.file, line, column, section.rule, len(value))))
        return found

    def written(self, type: str, name: str, option: str) -> Option | None:
        """The option as it is written, under whichever of its names."""
        _, section = self._found(type, name)
        if section is None:
            return None
        for one in section.options:
            spec = SECTIONS[type].option(one.name)
            if spec is not None and spec.name == option:
                return one
        return None

    def _found(self, type: str, name: str) -> tuple[str, Section | None]:
        return self._sources.get((type, name), (self._first, None))
