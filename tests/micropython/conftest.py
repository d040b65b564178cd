"""Every test of this folder needs the interpreter, or says why there is none."""

from __future__ import annotations

import pytest

from tests.micropython.interpreter import why_not


@pytest.fixture(autouse=True, scope="session")
def interpreter() -> None:
    reason = why_not()
    if reason:
        pytest.skip(f"no MicroPython here: {reason}")
