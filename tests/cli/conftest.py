"""The tool in this process, against a stand-in daemon on a real bus."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from netpolicy.cli.main import main

from .documents import REPLIES
from .stand_in import StandIn


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Tool = Callable[..., Result]


@pytest.fixture(autouse=True)
def eighty_plain_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "NO_COLOR", "NETPOLICY_TRACEBACK", "NETPOLICY_UBUS_SOCKET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str]) -> Tool:
    """Runs the tool with the words given and says how it ended."""

    def run(*words: str) -> Result:
        try:
            code = main(words)
        except SystemExit as end:
            code = int(end.code or 0)
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def greenwich() -> Iterator[None]:
    """Its time, for this process; afterwards what it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A daemon that answers with documents.REPLIES; its socket is the default one."""
    stand_in = StandIn(str(tmp_path / "ubus.sock"), dict(REPLIES)).start()
    monkeypatch.setenv("NETPOLICY_UBUS_SOCKET", stand_in.path)
    yield stand_in
    stand_in.stop()


@pytest.fixture
def empty_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A bus without a daemon."""
    stand_in = StandIn(str(tmp_path / "ubus.sock")).start()
    monkeypatch.setenv("NETPOLICY_UBUS_SOCKET", stand_in.path)
    yield stand_in
    stand_in.stop()
