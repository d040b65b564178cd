"""The far side: one for the tests of a file that change nothing there, a new one for each of the others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.outbounds.far_side import FarSide, far_side


@pytest.fixture
def far() -> Iterator[FarSide]:
    with far_side() as built:
        yield built


@pytest.fixture(scope="module")
def steady() -> Iterator[FarSide]:
    with far_side() as built:
        yield built
