"""Every parser survives random inputs: a small part of `make fuzz`, always the same one."""

from __future__ import annotations

import pytest

from .__main__ import main
from .targets import HAS_LIBRARY, TARGETS

COUNT = 2000
COSTLY = {"convert": 700, "lint": 700, "list-file": 700, "list-formats": 500}  # each is read several times, or a file


@pytest.mark.parametrize("name", TARGETS)
def test_random_inputs_are_survived(name, capsys):
    if name == "yaml-library" and not HAS_LIBRARY:
        pytest.skip("PyYAML is not installed")
    code = main(["--engine", "own", "--parser", name, "--count", str(COSTLY.get(name, COUNT))])
    assert code == 0, capsys.readouterr().out
