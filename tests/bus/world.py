"""The programs a bus test meets: brokers, services and callers, ours and the real ones.

Real programs come from PATH or from the root directory in NETPOLICY_OPENWRT_ROOT; what is
absent is a reason to skip, in words. Nothing here is specific to one test.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

from netpolicy.bus.blocking import BlockingClient
from netpolicy.bus.client import UbusClient
from netpolicy.bus.status import UbusError

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
ROOT = os.environ.get("NETPOLICY_OPENWRT_ROOT")
PATIENCE = 30.0


# -- what this machine has ----------------------------------------------------------------


def find_program(name: str) -> str | None:
    for place in ("sbin", "bin", "usr/sbin", "usr/bin") if ROOT else ():
        candidate = Path(ROOT, place, name)
        if os.access(candidate, os.X_OK):
            return str(candidate)
    return shutil.which(name)


def library_folder() -> str | None:
    """The folder python-ubus was found in, for PYTHONPATH; its own interpreter version only."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for base in (Path(ROOT, "usr/lib"), Path(ROOT, "lib")) if ROOT else ():
        for found in sorted((base / version).glob("*-packages/ubus*.so")):
            return str(found.parent)
    return None


UBUSD = find_program("ubusd")
UBUS = find_program("ubus")
LIBRARY = library_folder()


def need(program: str) -> None:
    """Skip, saying which real program is missing."""
    have = {"ubusd": UBUSD, "ubus": UBUS, "python-ubus": LIBRARY}
    if not have[program]:
        where = f"not in {ROOT}" if ROOT else "not on PATH, and NETPOLICY_OPENWRT_ROOT is not set"
        pytest.skip(f"{program} is absent: {where}")


def environment() -> dict[str, str]:
    found = dict(os.environ)
    found["PYTHONPATH"] = os.pathsep.join([str(HERE.parent.parent), *([LIBRARY] if LIBRARY else [])])
    if ROOT:
        found["LD_LIBRARY_PATH"] = os.pathsep.join([f"{ROOT}/lib", f"{ROOT}/usr/lib"])
    return found


# -- processes ----------------------------------------------------------------------------


class Program:
    """A child process whose lines can be awaited; always ended by `stop`."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment()
        )
        self.lines: Queue[str] = Queue()
        self.seen: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def wait_for(self, beginning: str, seconds: float = PATIENCE) -> str:
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0.001, deadline - time.monotonic()))
            except Empty:
                raise AssertionError(f"no line {beginning!r} in time; seen: {self.seen}") from None
            self.seen.append(line)
            if line.startswith(beginning):
                return line

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def python(name: str, *words: str) -> Program:
    return Program(sys.executable, "-u", str(PROGRAMS / name), *words)


class BrokerProgram:
    """A broker of one kind on one path: `embedded` or `ubusd`."""

    def __init__(self, kind: str, path: str, *words: str) -> None:
        if kind == "ubusd":
            need("ubusd")
        self._words = words  # for the embedded one
        self.kind = kind
        self.path = path
        self.program: Program | None = None

    def start(self) -> None:
        if self.kind == "embedded":
            self.program = python("serve_broker.py", self.path, *self._words)
            self.program.wait_for("ready")
        else:
            self.program = Program(str(UBUSD), "-s", self.path, "-A", "/nonexistent")
            wait_until(lambda: answers(self.path))

    def kill(self) -> None:
        """kill -9."""
        if self.program:
            self.program.stop()
            self.program = None


def answers(path: str) -> bool:
    try:
        BlockingClient(path).close()
    except UbusError:
        return False
    return True


def wait_until(condition: Any, seconds: float = PATIENCE) -> None:
    """For states of other processes, which cannot be awaited: ask again every 5 ms."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


# -- callers ------------------------------------------------------------------------------


class AsyncCaller:
    """Our asyncio client."""

    def __init__(self, path: str) -> None:
        self.path = path

    def _do(self, use: Any) -> Any:
        async def session() -> Any:
            client = UbusClient(self.path)
            await client.connect()
            try:
                return await use(client)
            finally:
                await client.close()

        return asyncio.run(session())

    def call(self, name: str, method: str, data: Any = None) -> dict[str, Any]:
        return self._do(lambda client: client.call(name, method, data))

    def lookup(self, pattern: str) -> list[str]:
        return [info.path for info in self._do(lambda client: client.lookup(pattern))]

    def send(self, name: str, data: Any) -> None:
        self._do(lambda client: client.send_event(name, data))

    def hear(self, pattern: str, cause: Any, count: int) -> list[tuple[str, Any]]:
        async def use(client: UbusClient) -> list[tuple[str, Any]]:
            heard: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
            await client.listen(pattern, lambda *event: heard.put_nowait(event))
            await asyncio.to_thread(cause)
            return [await asyncio.wait_for(heard.get(), PATIENCE) for _ in range(count)]

        return self._do(use)


class BlockingCaller:
    """Our blocking client."""

    def __init__(self, path: str) -> None:
        self.path = path

    def call(self, name: str, method: str, data: Any = None) -> dict[str, Any]:
        with BlockingClient(self.path) as client:
            return client.call(name, method, data)

    def lookup(self, pattern: str) -> list[str]:
        with BlockingClient(self.path) as client:
            return [info.path for info in client.lookup(pattern)]

    def send(self, name: str, data: Any) -> None:
        with BlockingClient(self.path) as client:
            client.send_event(name, data)

    def hear(self, pattern: str, cause: Any, count: int) -> list[tuple[str, Any]]:
        with BlockingClient(self.path) as client:
            events = client.listen([pattern], timeout=PATIENCE)
            cause()
            return [next(events) for _ in range(count)]


class ToolCaller:
    """The `ubus` command line tool."""

    def __init__(self, path: str) -> None:
        need("ubus")
        self.path = path

    def run(self, *words: str, simple: bool = True) -> subprocess.CompletedProcess[str]:
        flags = ["-S"] if simple else []
        return subprocess.run(
            [str(UBUS), "-s", self.path, *flags, *words],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(),
            check=False,
        )

    def _output(self, *words: str) -> str:
        done = self.run(*words)
        if done.returncode:
            raise UbusError(done.returncode, done.stdout + done.stderr)
        return done.stdout

    def call(self, name: str, method: str, data: Any = None) -> dict[str, Any]:
        words = [] if data is None else [json.dumps(data)]
        return json.loads(self._output("call", name, method, *words) or "{}")

    def lookup(self, pattern: str) -> list[str]:
        try:
            return self._output("list", pattern).split()
        except UbusError as problem:
            if problem.status == 4:
                return []
            raise

    def send(self, name: str, data: Any) -> None:
        self._output("send", name, json.dumps(data))

    def hear(self, pattern: str, cause: Any, count: int) -> list[tuple[str, Any]]:
        listener = Program(str(UBUS), "-s", self.path, "listen", pattern)
        try:
            # The tool does not say when it listens: events of our own tell.
            probe = pattern.replace("*", "") or "probe"
            self._until_heard(listener, probe)
            cause()
            lines = [self._next(listener, probe) for _ in range(count)]
        finally:
            listener.stop()
        return [next(iter(json.loads(line).items())) for line in lines]

    def _until_heard(self, listener: Program, probe: str) -> None:
        with BlockingClient(self.path) as client:

            def heard() -> bool:
                client.send_event(probe, {"probe": True})
                try:
                    listener.wait_for("{", 0.02)
                except AssertionError:
                    return False
                return True

            wait_until(heard)

    @staticmethod
    def _next(listener: Program, probe: str) -> str:
        while (line := listener.wait_for("{")) and '"probe":true' in line:
            continue
        return line


class LibraryCaller:
    """python-ubus through our adapter."""

    def __init__(self, path: str) -> None:
        need("python-ubus")
        self.path = path

    def _output(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, str(PROGRAMS / "use_library.py"), self.path, *words],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(),
            check=False,
        )
        if done.returncode:
            raise UbusError(done.returncode, done.stderr)
        return done.stdout

    def call(self, name: str, method: str, data: Any = None) -> dict[str, Any]:
        return json.loads(self._output("call", name, method, json.dumps(data or {})))

    def lookup(self, pattern: str) -> list[str]:
        return json.loads(self._output("lookup", pattern))

    def send(self, name: str, data: Any) -> None:
        self._output("send", name, json.dumps(data))

    def hear(self, pattern: str, cause: Any, count: int) -> list[tuple[str, Any]]:
        listener = python("use_library.py", self.path, "listen", pattern)
        try:
            listener.wait_for("listening")
            cause()
            return [tuple(json.loads(listener.wait_for("["))) for _ in range(count)]
        finally:
            listener.stop()


CALLERS = {
    "asyncio": AsyncCaller,
    "blocking": BlockingCaller,
    "ubus-tool": ToolCaller,
    "python-ubus": LibraryCaller,
}


def masked(text: str) -> str:
    """Output of the tool without what differs from life to life: object numbers."""
    return re.sub(r"@[0-9a-f]{8}", "@NUMBER", re.sub(r'"id":-?\d+', '"id":N', text))


def running(kind: str, folder: Path) -> Iterator[BrokerProgram]:
    """A started broker on a path in `folder`, killed afterwards."""
    broker = BrokerProgram(kind, str(folder / "ubus.sock"))
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()
