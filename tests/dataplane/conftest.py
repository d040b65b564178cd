"""A router of its own for a test, and a kernel adapter in it whose steps are counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dataplane.watched import WatchedKernel
from tests.router import router


@pytest.fixture
def here() -> Iterator[object]:
    with router() as namespace:
        yield namespace


@pytest.fixture
def kernel(here: object) -> WatchedKernel:
    return WatchedKernel()
