"""Brokers of both kinds, with and without the `demo` object on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .world import BrokerProgram, python, running

KINDS = ["embedded", "ubusd"]


@pytest.fixture(params=KINDS, scope="module")
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProgram]:
    """A broker with our `demo` service in a process of its own, shared by the tests of a module."""
    for broker in running(request.param, tmp_path_factory.mktemp("bus")):
        service = python("serve_demo.py", broker.path)
        try:
            service.wait_for("ready")
            yield broker
        finally:
            service.stop()


@pytest.fixture(params=KINDS)
def bus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProgram]:
    """An empty broker for one test, which may kill and start it."""
    yield from running(request.param, tmp_path_factory.mktemp("bus"))
