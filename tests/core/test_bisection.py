"""The interpreter's bisect and ours say the same."""

import builtins
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from netpolicy.core import bisection


@pytest.fixture
def without_bisect(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module as MicroPython loads it."""
    real = builtins.__import__

    def refuse(name: str, *rest: object) -> ModuleType:
        if name == "bisect":
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", refuse)
        patch.delitem(sys.modules, "netpolicy.core.bisection")
        yield importlib.import_module("netpolicy.core.bisection")
    sys.modules["netpolicy.core.bisection"] = bisection


def test_the_fallback_finds_the_same_places(without_bisect: ModuleType) -> None:
    assert without_bisect.bisect_left is not bisection.bisect_left
    pairs = [(1, 2), (1, 3), (2, 0)]
    for values in ([], [1], [1, 1, 2, 5], list(range(0, 40, 3)), pairs):
        for value in [(1, 2), (1, 9), (0, 0)] if values is pairs else [-1, 0, 1, 2, 3, 5, 38, 39, 40]:
            assert without_bisect.bisect_left(values, value) == bisection.bisect_left(values, value)
            assert without_bisect.bisect_right(values, value) == bisection.bisect_right(values, value)
