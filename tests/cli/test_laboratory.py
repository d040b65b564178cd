"""`netpolicy lab`: the door to the lab, where there is one."""

from __future__ import annotations

import sys
import types

import pytest

from .conftest import Tool


def test_the_lab_gets_its_words_and_its_code_comes_back(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def main(argv: list[str]) -> int:
        seen.append(argv)
        return 4

    lab = types.ModuleType("netpolicy.lab.main")
    monkeypatch.setattr(lab, "main", main, raising=False)
    monkeypatch.setitem(sys.modules, "netpolicy.lab.main", lab)
    assert tool("lab", "--ui", "8080").code == 4
    assert seen == [["--ui", "8080"]]
    tool("lab", "shell", "desk", "--", "ip", "--json", "address")
    assert seen[1] == ["shell", "desk", "--", "ip", "--json", "address"]
    tool("help", "lab")
    assert seen[2] == ["--help"]


@pytest.mark.parametrize("missing", ["netpolicy.lab", "netpolicy.lab.main"])
def test_a_router_has_no_lab(missing: str, tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("netpolicy.lab")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Without(missing), *sys.meta_path])
    result = tool("lab")
    assert result.code == 1
    assert "this installation has no lab" in result.err


def test_a_missing_package_is_named(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("netpolicy.lab")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Without("netpolicy.lab.main", "rich"), *sys.meta_path])
    result = tool("lab")
    assert result.code == 1
    assert "needs the Python package 'rich'" in result.err


class Without:
    """An importer that says of one module that it, or what it needs, is not there."""

    def __init__(self, name: str, because_of: str = "") -> None:
        self.name = name
        self.because_of = because_of or name

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self.name:
            raise ModuleNotFoundError(f"No module named {self.because_of!r}", name=self.because_of)
