"""docs/doctor.md is what the table of codes makes of it."""

from __future__ import annotations

from pathlib import Path

from netpolicy.service.doctor_codes import CODES
from netpolicy.service.doctor_page import page

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "`make generated` writes it anew"


def test_every_code_has_a_row() -> None:
    assert all(f"| {code} | " in page() for code in CODES)
