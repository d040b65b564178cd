"""Where entries come from: the copy of what was fetched, else the file, and never the copy of another address."""

from __future__ import annotations

from pathlib import Path

import pytest

from netpolicy.config.kept_list import Head, path_of, source_of, text_of
from netpolicy.config.load import load
from netpolicy.config.loaded import Loaded
from tests.core.gathered import gathered

URL = "https://me:passw0rd@lists.example/v?token=s3cret"


class Router:
    """A configuration with one list, its file, and the folder of copies."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        lines = "".join(f"\toption {one}\n" for one in options)
        rule = "config rule 'r'\n\tlist domain '@v'\n\toption route 'direct'\n"
        (folder / "netpolicy").write_text(f"config netpolicy 'main'\n\nconfig list 'v'\n{lines}\n{rule}")

    def put(self, *entries: str, url: str = URL, format: str = "auto", is_new: bool = False) -> None:
        (self.folder / "lists").mkdir(exist_ok=True)
        source = source_of(url, format, ())
        path = Path(path_of(str(self.folder / "lists"), "v", source_of(URL, "auto", ()), is_new))
        path.write_bytes(b"".join(text_of(Head(source), gathered(*entries))))

    def load(self, *fresh: str, kept: bool = True) -> Loaded:
        return load(str(self.folder / "netpolicy"), kept=str(self.folder / "lists") if kept else "", fresh=fresh)


def names(loaded: Loaded) -> list[str]:
    return sorted(name for one in loaded.ruleset.lists[0].names.parts() for name in one.suffix)


def test_the_copy_counts_in_place_of_the_file_and_is_no_file_of_the_configuration(tmp_path: Path) -> None:
    router = Router(tmp_path, f"url '{URL}'", "file 'v.txt'")
    (tmp_path / "v.txt").write_text("0.0.0.0 file.example\n")
    assert names(router.load()) == [] and router.load().ruleset.lists[0].names.matches("file.example")
    router.put("fetched.example")
    loaded = router.load()
    assert names(loaded) == ["fetched.example"] and loaded.paths == (str(tmp_path / "netpolicy"),)
    assert router.load(kept=False).ruleset.lists[0].names.matches("file.example"), "a tool without the folder"


def test_entries_of_the_configuration_count_beside_what_was_fetched(tmp_path: Path) -> None:
    router = Router(tmp_path, f"url '{URL}'")
    text = (
        (tmp_path / "netpolicy")
        .read_text()
        .replace("config list 'v'\n", "config list 'v'\n\tlist entry 'own.example'\n")
    )
    (tmp_path / "netpolicy").write_text(text)
    assert names(router.load()) == ["own.example"]
    router.put("fetched.example")
    assert names(router.load()) == ["fetched.example", "own.example"]


def test_a_new_copy_counts_for_who_tries_it(tmp_path: Path) -> None:
    router = Router(tmp_path, f"url '{URL}'")
    router.put("old.example")
    router.put("new.example", is_new=True)
    assert names(router.load()) == ["old.example"] and names(router.load("v")) == ["new.example"]


@pytest.mark.parametrize("other", [{"url": "https://other.example/"}, {"format": "hosts"}])
def test_a_copy_of_something_else_does_not_count(tmp_path: Path, other: dict[str, str]) -> None:
    router = Router(tmp_path, f"url '{URL}'")
    router.put("other.example", **other)  # type: ignore[arg-type]
    assert names(router.load()) == []


def test_that_nothing_came_yet_is_told_without_secrets_and_only_to_who_fetches(tmp_path: Path) -> None:
    router = Router(tmp_path, f"url '{URL}'")
    (found,) = [item for item in router.load().diagnostics if item.code == "NP217"]
    assert (found.severity, found.line) == ("warning", 4)
    assert "nothing from https://lists.example/v?… yet" in found.message
    assert not any(word in found.text() for word in ("passw0rd", "s3cret"))
    assert not [item for item in router.load(kept=False).diagnostics if item.code in ("NP206", "NP217")]


def test_the_file_is_read_in_the_format_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("||a.example^\n@@||b.example^\nc.example\n")
    assert names(Router(tmp_path, "file 'v.txt'", "format 'adblock'").load()) == ["a.example", "c.example"]
    assert names(Router(tmp_path, "file 'v.txt'").load()) == ["a.example", "c.example"], "found out"
    loaded = Router(tmp_path, "file 'v.txt'", "format 'domains'").load()
    assert names(loaded) == ["c.example"] and "NP217" in [item.code for item in loaded.diagnostics]


@pytest.mark.parametrize("option", ["format 'hostz'", "url 'file:///etc/passwd'", "category 'a b'"])
def test_a_value_that_is_refused_takes_the_list_with_it(tmp_path: Path, option: str) -> None:
    (tmp_path / "v.txt").write_text("a.example\n")
    loaded = Router(tmp_path, "file 'v.txt'", option).load()
    assert "NP105" in [item.code for item in loaded.diagnostics] and loaded.skipped
