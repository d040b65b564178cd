"""A real netpolicyd in the namespace of the test, with its own files and its own bus."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netpolicy.bus.blocking import BlockingClient, call
from netpolicy.bus.status import UbusError

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0


class Netpolicyd:
    """One process. `stderr` grows while it runs."""

    def __init__(self, folder: Path, config: str, *arguments: str, path: str = "") -> None:
        self.config = folder / "netpolicy"
        self.state = folder / "state"
        self.store = folder / "store"
        self.socket = str(folder / "bus.sock")
        self.config.write_text(config)
        self._arguments = arguments
        self._path = path
        self.process: subprocess.Popen[str] | None = None
        self.stderr: list[str] = []
        self._reader = threading.Thread()

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if self._path:
            environment["PATH"] = f"{self._path}:{environment['PATH']}"
        self.process = subprocess.Popen(
            [*self._arguments, sys.executable, "-m", "netpolicy.daemon.main", "--config", str(self.config),
             "--state-dir", str(self.state), "--store-dir", str(self.store), "--socket", self.socket],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment, cwd="/",
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr
        self.stderr.extend(process.stderr)

    def send(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ends it and says how it ended."""
        assert self.process
        self.send(number)
        return self.process.wait(PATIENCE)

    def call(self, method: str, **data: Any) -> dict[str, Any]:
        return call("netpolicy", method, data, timeout=PATIENCE, path=self.socket)

    def settled(self) -> dict[str, Any]:
        """The status once kernel and rules are equal."""
        return until(lambda: (found := self.call("status"))["kernel"]["in_sync"] and found)

    def said(self) -> str:
        """So far; all of it once the process has ended. What it started may go on with its stderr."""
        if self.process is not None and self.process.poll() is not None:
            self._reader.join(5.0)
        return "".join(self.stderr)


@contextmanager
def netpolicyd(folder: Path, config: str, *arguments: str, path: str = "") -> Iterator[Netpolicyd]:
    """A started daemon; ended in the end, and never with a traceback."""
    daemon = Netpolicyd(folder, config, *arguments, path=path)
    daemon.start()
    try:
        yield daemon
    finally:
        assert daemon.process
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()
    assert "Traceback" not in daemon.said(), daemon.said()
    assert "never awaited" not in daemon.said(), daemon.said()


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What the condition gives once it is true. Another process cannot be awaited: it is asked again."""
    deadline = time.monotonic() + seconds
    while True:
        is_last = time.monotonic() > deadline  # before asking: it may be true only when we are late ourselves
        try:
            found = condition()
            if found:
                return found
            reason: object = found
        except (UbusError, AssertionError, OSError) as error:
            reason = error
        if is_last:
            raise AssertionError(f"not within {seconds} s: {reason}")
        time.sleep(0.02)


class Listener(threading.Thread):
    """Hears events of the bus until it is closed."""

    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._client = BlockingClient(path)
        self._events = self._client.listen(("netpolicy.*",))
        self.start()

    def run(self) -> None:
        with contextlib.suppress(UbusError):  # the bus ends with its daemon
            self.heard.extend(iter(self._events))

    def names(self) -> list[str]:
        return [name for name, _ in self.heard]
