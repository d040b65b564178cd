"""Fixtures every room may use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from netpolicy.lab.bench import Lab, LabError

with contextlib.suppress(ImportError):  # a virtual machine of an old kernel has pytest alone
    from hypothesis import HealthCheck, settings

    # Several files run at once: how long an example takes says nothing of the code.
    settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("shared machine")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A router with clients, two providers and an internet, fresh for each test file, gone afterwards.

    The lines add no latency of their own; `with Lab(latency=True)` in a test gives those that do.
    """
    network = Lab()
    try:
        network.open()
    except LabError as problem:
        pytest.skip(f"no network namespaces here: {problem}")
    yield network
    network.close()
