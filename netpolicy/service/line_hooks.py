"""Runs the router's own scripts when a line begins to carry or ends to: what /etc/hotplug.d/iface has.

Never holds up a line for a script, and never says a thing twice: one at a time, the newest word of each outbound, ended
after a time. What was said is in a file of the state folder. `hotplug-call` is OpenWrt's; the actions `connected` and
`disconnected` are those that mwan3 uses, so that its users' scripts run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterable

from netpolicy.observe import durable
from netpolicy.observe.ring import Ring
from netpolicy.service import files

PROGRAM = "/sbin/hotplug-call"
SECONDS = 30.0

CONNECTED, DISCONNECTED = "connected", "disconnected"

# In the state folder: a line of each outbound that `connected` was said of. Another daemon says nothing of it again.
FILE = "connected"
LIMIT = 1 << 16  # bytes; the names of some hundred outbounds


class LineHooks:
    """`program` is called as `program iface`, with what happened in its environment."""

    def __init__(self, log: Ring, folder: str, program: str = PROGRAM) -> None:
        self._log = log
        self._path = os.path.join(folder, FILE)
        self._program = program
        self._connected = _read(self._path)
        self._waiting: dict[str, dict[str, str]] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False

    def note(self, outbound: str, interface: str, device: str, carries: bool, state: str, because: str) -> None:
        """The outbound carries now, or does not. A newer word of the same one takes the place of one that waits."""
        if os.access(self._program, os.X_OK):
            self._waiting[outbound] = {
                "ACTION": CONNECTED if carries else DISCONNECTED,
                "INTERFACE": interface or outbound,
                "DEVICE": device,
                "NETPOLICY_OUTBOUND": outbound,
                "NETPOLICY_STATE": state,
                "NETPOLICY_BECAUSE": "".join(c if c.isprintable() else " " for c in because),
            }

    def tell(self, outbounds: Iterable[str]) -> None:
        """Says what was noted. The kernel has it by now: a script may use the line. Of others nothing was ever said."""
        if gone := self._connected.difference(outbounds):
            self._connected -= gone
            self._write()
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self, is_over: bool = False) -> None:
        """Waits for nothing: what runs is ended. `is_over`: nobody goes on, and the next daemon begins anew."""
        self._is_closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if is_over:
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    async def _run(self) -> None:
        # Until Python 3.12 `wait_for` may swallow a cancellation, so the task is also told to end.
        while self._waiting and not self._is_closing:
            outbound = next(iter(self._waiting))
            words = self._waiting.pop(outbound)
            # Down from the beginning, it ends nothing; come and gone while a script ran, it is as it was.
            if (words["ACTION"] == CONNECTED) == (outbound in self._connected):
                continue
            try:
                await self._one(words)
            except OSError as error:
                self._log.add("warning", "state", f"{self._program} for outbound {outbound}: {error.strerror or error}")

    def _keep(self, words: dict[str, str]) -> None:
        change = self._connected.add if words["ACTION"] == CONNECTED else self._connected.discard
        change(words["NETPOLICY_OUTBOUND"])
        self._write()

    def _write(self) -> None:
        text = "".join(f"{name}\n" for name in sorted(self._connected))
        try:
            files.replace(self._path, text)
        except OSError as error:
            self._log.add("warning", "state", f"{self._path}: {error.strerror}: a restart may call scripts again")

    async def _one(self, words: dict[str, str]) -> None:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **words}
        nothing = asyncio.subprocess.DEVNULL
        child = await asyncio.create_subprocess_exec(
            self._program, "iface", stdin=nothing, stdout=nothing, stderr=nothing, env=environment,
            start_new_session=True,
        )  # fmt: skip
        self._keep(words)
        try:
            await asyncio.wait_for(child.wait(), SECONDS)
        except asyncio.TimeoutError:
            self._log.add("warning", "state", f"scripts of {self._program} took more than {SECONDS:.0f} s: ended")
            _kill(child.pid)
            await child.wait()
        except asyncio.CancelledError:
            _kill(child.pid)
            raise


def _read(path: str) -> set[str]:
    try:
        return set(durable.read_plain(path, LIMIT).decode().split("\n")) - {""}
    except (OSError, UnicodeError):
        return set()


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
