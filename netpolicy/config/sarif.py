"""Findings as SARIF 2.1.0, the form that code forges show beside the lines of a change.

Values in, one document out; reads no file and knows no severity but those of the findings. Format:
OASIS Standard, Static Analysis Results Interchange Format 2.1.0.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from netpolicy import __version__
from netpolicy.config.diagnostic import ERROR, INFO, WARNING, Diagnostic
from netpolicy.config.lint_codes import every_code
from netpolicy.config.region import is_exact, region

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
PAGE = "docs/lints.md"

LEVELS = {ERROR: "error", WARNING: "warning", INFO: "note"}

LineOf = Callable[[Diagnostic], str]


def to_sarif(diagnostics: Iterable[Diagnostic], line_of: LineOf, folder: str = "") -> dict[str, Any]:
    """The document. `line_of` gives the line of a finding, "" where it is not known or must not be shown.

    Files are named relative to `folder` ("": where the program runs) where they are inside it.
    """
    rules = [
        {
            "id": code.code,
            "shortDescription": {"text": code.title},
            "fullDescription": {"text": code.why},
            "help": {"text": code.why},
            "helpUri": f"{PAGE}#{code.code.lower()}",
            "defaultConfiguration": {"level": LEVELS[code.severity]},
        }
        for code in every_code()
    ]
    numbers = {rule["id"]: number for number, rule in enumerate(rules)}
    base = folder or os.getcwd()
    driver = {"name": "netpolicy", "version": __version__, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(item, numbers, line_of(item), base) for item in diagnostics],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(item: Diagnostic, numbers: dict[Any, int], line: str, base: str) -> dict[str, Any]:
    rule = f"rule {item.rule!r}: " if item.rule else ""
    hint = f" ({item.hint})" if item.hint else ""
    place: dict[str, Any] = {"artifactLocation": {"uri": uri(item.file, base)}}
    where = _region(item, line)
    if where:
        place["region"] = where
    result: dict[str, Any] = {
        "ruleId": item.code,
        "level": LEVELS[item.severity],
        "message": {"text": rule + item.message + hint},
        "locations": [{"physicalLocation": place}],
    }
    if item.code in numbers:
        result["ruleIndex"] = numbers[item.code]
    if is_exact(item, line):
        result["fixes"] = [_fix(item, place["artifactLocation"], where)]
    return result


def _region(item: Diagnostic, line: str) -> dict[str, int]:
    if not item.line:
        return {}
    column, length = region(item, line)
    if not column:  # the line is not known: the columns of the finding itself
        where = {"startLine": item.line}
        return {**where, "startColumn": item.column} if item.column else where
    return {"startLine": item.line, "startColumn": column, "endColumn": column + length}


def _fix(item: Diagnostic, artifact: dict[str, str], where: dict[str, int]) -> dict[str, Any]:
    change = {"deletedRegion": where, "insertedContent": {"text": item.fix}}
    return {
        "description": {"text": f"Write {item.fix!r}"},
        "artifactChanges": [{"artifactLocation": artifact, "replacements": [change]}],
    }


def uri(file: str, base: str) -> str:
    """The file relative to the folder, or where it is; characters escaped as in any address."""
    path = Path(os.path.normpath(Path(base) / file))
    if path.is_relative_to(base):
        return quote(path.relative_to(base).as_posix())
    return "file://" + quote(path.as_posix())
