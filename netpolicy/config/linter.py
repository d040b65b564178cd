"""Everything that is wrong or suspicious about a configuration: what loading finds, and a closer look.

Changes nothing and applies nothing. The closer look (analysis.py) is for people and CI; loading
for the daemon does without it.
"""

from __future__ import annotations

from collections.abc import Callable

from netpolicy.config.analysis import analyse
from netpolicy.config.analysis_name_server import Dnsmasq
from netpolicy.config.assemble import Loaded
from netpolicy.config.diagnostic import Diagnostic, Findings
from netpolicy.config.load import load, load_text
from netpolicy.config.spelling import UCI, format_of
from netpolicy.config.text_file import decode, read_bytes


def lint_file(
    path: str, reader: str = "auto", dnsmasq: Callable[[], Dnsmasq | None] | None = None, format: str = ""
) -> tuple[Diagnostic, ...]:
    """All findings of a file and of those that it lists.

    `dnsmasq` says what this machine's can do, where that matters; `format` is the spelling, "" as its name says.
    """
    if format and format != format_of(path):
        return _lint_as(path, format, dnsmasq)
    return _with_analysis(load(path, reader, needs_main=False, keeps_sources=True), dnsmasq)


def _lint_as(path: str, format: str, dnsmasq: Callable[[], Dnsmasq | None] | None) -> tuple[Diagnostic, ...]:
    """A file by another spelling than its name's; files that it lists are not read."""
    findings = Findings()
    data = read_bytes(path, findings)
    text = None if data is None else decode(data, path, findings)
    if text is None:
        return findings.all
    return _with_analysis(load_text(text, path, format, keeps_sources=True), dnsmasq)


def lint_text(text: str, file: str = "<text>", format: str = UCI) -> tuple[Diagnostic, ...]:
    """All findings of a text."""
    return _with_analysis(load_text(text, file, format, keeps_sources=True), None)


def _with_analysis(loaded: Loaded, dnsmasq: Callable[[], Dnsmasq | None] | None) -> tuple[Diagnostic, ...]:
    findings = Findings()
    findings.take(loaded.diagnostics)
    if not loaded.fatal:
        analyse(loaded, findings, dnsmasq)
    return findings.all
