"""The table of programs has what the documentation says of them."""

from __future__ import annotations

from pathlib import Path

from netpolicy.service.doctor_programs import PROGRAMS

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_the_programs_of_the_documentation_are_known() -> None:
    rows = PAGE.read_text(encoding="utf-8").split("## Other packages")[1].split("\n\n")
    table = next(part for part in rows if part.startswith("| package"))
    named = {name.strip() for row in table.splitlines()[2:] for name in row.split("|")[1].split(",")}
    assert named <= {one.name for one in PROGRAMS}


def test_each_can_be_recognised_and_has_ranges_that_are_ranges() -> None:
    for one in PROGRAMS:
        assert (one.signs or one.nft) and one.note
        assert all(first <= last for first, last in one.priorities + one.tables)
        assert all(0 < mask < 1 << 32 for mask in one.masks)
