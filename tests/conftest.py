"""Fixtures every room may use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from netpolicy.lab.bench import Lab, LabError

with contextlib.suppress(ImportError):  # a virtual machine of an old kernel has pytest alone
    from hypothesis import HealthCheck, settings

    # Several files run at once: how long an example takes says nothing of the code. And the same examples each time:
    # a rare one that is met in the run for another change is nobody's. NETPOLICY_RANDOM=1 looks for others.
    settings.register_profile(
        "shared machine",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        derandomize=not os.environ.get("NETPOLICY_RANDOM"),
    )
    settings.load_profile("shared machine")


def pytest_configure(config: pytest.Config) -> None:
    """The order of files is ours: those with the fewest tests, which are the longest, would be begun last."""
    if hasattr(config.option, "loadscopereorder"):  # of pytest-xdist
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the files: the longest first, so that none is left alone at the end."""
    if not hasattr(config, "workerinput"):
        return
    patience: dict[Path, tuple[float, int, int]] = {}
    for item in items:
        timeout = max((float(one.args[0]) for one in item.iter_markers("timeout") if one.args), default=0.0)
        names = {one.name for one in item.iter_markers()}
        known = patience.get(item.path, (float(config.getini("timeout")), 0, 0))
        patience[item.path] = max(known[0], timeout), max(known[1], "slow" in names), max(known[2], "kernel" in names)
    items.sort(key=lambda item: patience[item.path], reverse=True)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Bytes by their number: what is packed holds the time, and processes that share the files must agree on names."""
    return f"{len(val)} bytes" if isinstance(val, bytes) and len(val) > 16 else None


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
