"""docs/lints.md is what the table of codes makes of it."""

from __future__ import annotations

from pathlib import Path

from netpolicy.config.diagnostic import CODES
from netpolicy.config.lint_page import page

PAGE = Path(__file__).parents[2] / "docs" / "lints.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "`make generated` writes it anew"


def test_every_code_has_a_section_with_two_blocks() -> None:
    sections = page().split("\n### ")[1:]
    assert [one.split("\n", 1)[0] for one in sections] == sorted(CODES)
    assert all(one.count("```") == 4 and "\nFails:" in one and "\nFixed:" in one for one in sections)


def test_the_page_has_no_character_that_cannot_be_seen() -> None:
    assert all(character.isprintable() or character in "\n\t" for character in page())
