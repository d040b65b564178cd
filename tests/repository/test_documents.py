"""Documents lead somewhere: every relative link has a file, every page is in the index."""

from __future__ import annotations

import re

import pytest

from netpolicy.config.load import load_text

from .tree import ROOT, tracked

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def documents() -> list[str]:
    return [name for name in tracked() if name.endswith(".md")]


def anchors(text: str) -> set[str]:
    """The fragment of every heading, as code forges make it."""
    headings = re.findall(r"^#+ +(.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", documents())
def test_every_link_of_a_document_leads_to_a_file(name: str) -> None:
    broken = []
    for target in LINK.findall(CODE.sub("", (ROOT / name).read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        place = (ROOT / name).parent / path if path else ROOT / name
        if not place.exists():
            broken.append(target)
        elif fragment and place.suffix == ".md" and fragment not in anchors(place.read_text(encoding="utf-8")):
            broken.append(f"{target} (no such heading)")
    assert not broken, f"{name}: {broken}"


def test_the_indexes_name_every_page() -> None:
    """docs/README.md has the pages, docs/decisions/README.md the decisions."""
    lost = []
    for name in documents():
        folder, _, page = name.rpartition("/")
        if folder in ("docs", "docs/decisions") and page != "README.md":
            index = (ROOT / folder / "README.md").read_text(encoding="utf-8")
            lost += [] if f"({page})" in index else [name]
    assert not lost


def test_every_page_that_the_source_names_exists() -> None:
    named = {
        page
        for source in tracked()
        if source.startswith(("netpolicy/", "files/", "sdk-build/", "scripts/"))
        for page in re.findall(r"docs/[a-z0-9/-]+\.md", (ROOT / source).read_text(encoding="utf-8"))
    }
    assert not sorted(page for page in named if not (ROOT / page).exists())


def test_every_test_that_a_page_names_exists() -> None:
    """A page that says what shows a promise is wrong as soon as somebody renames that."""
    lost = []
    for name in documents():
        for file, test in re.findall(r"`(?:tests/)?([\w/]+\.py)::(\w+)`", (ROOT / name).read_text(encoding="utf-8")):
            source = ROOT / "tests" / file
            if not source.is_file() or f"def {test}(" not in source.read_text(encoding="utf-8"):
                lost.append(f"{name}: {file}::{test}")
    assert not lost


def test_the_readme_begins_with_the_two_commands() -> None:
    top = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:20]
    assert any("make run" in line for line in top)
    assert any("make test" in line for line in top)


@pytest.mark.parametrize("name", ["README.md", "examples/lab/netpolicy"])
def test_a_configuration_that_is_shown_is_one_without_findings(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    shown = [block for block in blocks if "config netpolicy" in block] or [text]
    for block in shown:
        assert "config rule" in block
        assert [found.text() for found in load_text(block).diagnostics] == []
