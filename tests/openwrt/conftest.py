"""OpenWrt's userland is nothing that a machine has: these tests run where they are asked for, by `make test-ow`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.openwrt import userland
from tests.openwrt.browser import Browser

HERE = Path(__file__).parent


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Not part of `make test`."""
    asked = [Path(word.partition("::")[0]).resolve() for word in config.invocation_params.args if word[:1] != "-"]
    return None if any(path == HERE or HERE in path.parents for path in asked if path.exists()) else True


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[userland.Userland]:
    """One router for a test file."""
    if reason := userland.missing():
        pytest.skip(reason)
    found = userland.Userland(tmp_path_factory.mktemp("openwrt"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def desk(router: userland.Userland) -> Iterator[Browser]:
    """A browser in the LAN."""
    browser = Browser(router.lan)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def internet(router: userland.Userland) -> Iterator[Browser]:
    """A browser far away, which reaches the router by line B."""
    browser = Browser(router.far)
    yield browser
    browser.close()
