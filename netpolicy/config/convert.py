"""From one spelling to another, and to the canonical form of the same.

Writes no file. Gives no text when anything would be left out: a converted file that lost a
rule is worse than none. What cannot be carried over (comments) is said as a finding.
"""

from __future__ import annotations

from dataclasses import dataclass

from netpolicy.config.assemble import Loaded, assemble
from netpolicy.config.diagnostic import ERROR, Diagnostic, Findings, Place
from netpolicy.config.load import read_source
from netpolicy.config.source import SourceFile
from netpolicy.config.spelling import DSL, UCI
from netpolicy.config.unload import as_key, to_sections, with_titles_as_names
from netpolicy.core.model import Ruleset


@dataclass(frozen=True, slots=True)
class Converted:
    """The text in the new spelling, None where the source has errors; what was wrong or is not kept."""

    text: str | None
    diagnostics: tuple[Diagnostic, ...]
    loses_comments: bool = False


def convert_text(text: str, file: str, source: str, target: str) -> Converted:
    """The configuration of one text in the other spelling. Further files that it lists stay a list."""
    read = read_source(text, file, source)
    loaded = assemble((read,))
    if any(item.severity == ERROR for item in loaded.diagnostics):
        return Converted(None, loaded.diagnostics)
    findings = Findings()
    findings.take(loaded.diagnostics)
    loses = False
    if source == target == DSL:
        printed = _formatted(read, loaded)
    else:
        printed = print_ruleset(loaded.ruleset, target)
        loses = text.count("#") > printed.count("#")
    if loses:  # a value keeps its #: what is missing stood in comments, whatever quotes are around
        findings.warning("NP301", Place(file), "comments are not kept", "the DSL formatter alone keeps comments")
    again = assemble((read_source(printed, file, target),))
    if as_key(again.ruleset) != as_key(loaded.ruleset):
        raise AssertionError("the printed text does not say the same")  # a defect: nobody gets that text
    return Converted(printed, findings.all, loses)


def _formatted(read: SourceFile, loaded: Loaded) -> str:
    from netpolicy.config.dsl import DslFile
    from netpolicy.config.format_dsl import format_text

    assert isinstance(read, DslFile)
    return format_text(read, with_titles_as_names(to_sections(loaded.ruleset)))


def print_ruleset(ruleset: Ruleset, format: str) -> str:
    """A rule set as canonical text."""
    sections = to_sections(ruleset)
    if format == UCI:
        from netpolicy.config.print_uci import to_uci

        return to_uci(sections)
    if format == DSL:
        from netpolicy.config.print_dsl import to_dsl

        return to_dsl(with_titles_as_names(sections))
    from netpolicy.config.yaml_sections import to_plain
    from netpolicy.config.yaml_text import to_yaml

    return to_yaml(to_plain(with_titles_as_names(sections)))
