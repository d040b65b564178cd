"""Writes results: one JSON file per family, and a table for the eye.

A result's family is the first part of its name. Never changes a figure; the table rounds.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import Result, order

# Above this a figure is not steady enough to be quoted; the table says so.
STEADY = 0.10

Row = tuple[str, str, str, str, str, str]


def write(folder: Path, results: list[Result], machine: dict[str, object]) -> None:
    """`machine.json` and one file for each family among the results; files of other families stay."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "machine.json", machine)
    for family in sorted({result.name.split("/")[0] for result in results}):
        found = [result for result in results if result.name.split("/")[0] == family]
        _write(folder / f"{family}.json", [asdict(result) for result in sorted(found, key=lambda r: order(r.name))])


def table(results: list[Result]) -> str:
    """One line per result; a `!` beside a spread that is too wide to quote the figure."""
    rows: list[Row] = [("", "value", "", "ratio", "against", "spread")]
    rows += [_row(result) for result in results]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return "\n".join(_line(row, widths) for row in rows)


def _row(result: Result) -> Row:
    ratio = "" if result.ratio is None else f"{result.ratio:.3f}"
    spread = f"{result.spread:.1%}{'!' if result.spread > STEADY else ' '}"
    return (result.name, _number(result.value), result.unit, ratio, result.against or "", spread)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def _line(row: Row, widths: list[int]) -> str:
    left = (0, 2, 4)
    return "  ".join(
        text.ljust(width) if column in left else text.rjust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ).rstrip()


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
