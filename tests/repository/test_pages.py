"""Every code block of the pages about rules is run, and says what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from netpolicy.config.spelling import FORMATS

from .page import CONSOLE, blocks_of, run
from .tree import ROOT

# docs/yaml.md has a test of its own in tests/config/test_yaml_contract.py.
PAGES = ("docs/rules.md", "docs/dsl.md", "docs/from-v1.md", "docs/cli.md")

# Not run: a grammar, the output of the daemon on a router, a usage line.
NOT_RUN = {"docs/dsl.md": {"ebnf"}, "docs/cli.md": {"sh", "text"}}


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_is_true(page: str, tmp_path: Path) -> None:
    problems, fresh = run(page, tmp_path)
    assert problems == [], f"python -m tests.repository.page {page} writes what is printed now"
    assert fresh == (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_can_be_run(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    languages = {block.language for block in blocks_of(text)}
    assert languages - {*FORMATS, CONSOLE} <= NOT_RUN.get(page, set())
    fences = [line for line in text.splitlines() if line.startswith("```")]
    assert all(line != "```" for line in fences[::2]), "a block without a language"


def test_a_page_that_says_something_wrong_is_caught(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```dsl NP202\nrule a:\n  match any\n  action block\n```\n"
        "```dsl\nrule a:\n  match any\n  action blok\n```\n"
        "```yaml same\nrules: [{name: b, priority: 1, match: {any: true}, action: {block: true}}]\n```\n"
        "```console\n$ netpolicy version --json\nnonsense\n```\n",
        encoding="utf-8",
    )
    problems, _ = run(str(page), tmp_path / "folder")
    assert [problem.split(":")[0] for problem in problems] == ["line 1", "line 6", "line 11", "line 14"]
