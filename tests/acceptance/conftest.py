"""One router for the tests of a file; each test finds it at rest, with the configuration that it starts from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.scene import Scene
from tests.kernel.steering import LINES


@pytest.fixture(scope="module")
def built() -> Iterator[Scene]:
    with Scene() as scene:
        scene.serve_ssh()
        scene.start(LINES)
        yield scene
        assert "Traceback" not in scene.lab.daemon_log()


@pytest.fixture
def router(built: Scene) -> Iterator[Scene]:
    """The router, with LINES in force and nothing pending."""
    built.rest(LINES)
    yield built
    built.lab.repair()
