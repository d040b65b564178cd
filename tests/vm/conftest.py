"""Virtual machines take minutes: these tests run where they are asked for, by `make test-vm`, `-m vm` or their path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm import parts
from tests.vm.router import Router

HERE = Path(__file__).parent
MARKS = ("vm", "vm and not slow")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Not part of `make test`."""
    asked = [Path(word.partition("::")[0]).resolve() for word in config.invocation_params.args if word[:1] != "-"]
    is_named = any(path == HERE or HERE in path.parents for path in asked if path.exists())
    return None if is_named or config.option.markexpr in MARKS else True


@pytest.fixture(scope="session")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    """One virtual router for all tests: each leaves it on, settled, in a state that was confirmed."""
    if reason := parts.missing():
        pytest.skip(reason)
    virtual = Router(tmp_path_factory.mktemp("vm"))
    yield virtual
    virtual.machine.throw_away()
    boots = virtual.machine.boots
    average = sum(boots) / len(boots)
    print(f"\n{len(boots)} boots, {min(boots):.1f} to {max(boots):.1f} s, {average:.1f} s on average")
