"""Runs the router's own scripts when a line begins to carry or ends to: what /etc/hotplug.d/iface has.

Never holds up a line for a script: one at a time, the newest word of each outbound, ended after a time. `hotplug-call`
is OpenWrt's; the actions `connected` and `disconnected` are those that mwan3 uses, so that its users' scripts run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from netpolicy.observe.ring import Ring

PROGRAM = "/sbin/hotplug-call"
SECONDS = 30.0

CONNECTED, DISCONNECTED = "connected", "disconnected"


class LineHooks:
    """`program` is called as `program iface`, with what happened in its environment."""

    def __init__(self, log: Ring, program: str = PROGRAM) -> None:
        self._log = log
        self._program = program
        self._waiting: dict[str, dict[str, str]] = {}
        self._task: asyncio.Task[None] | None = None

    def call(self, outbound: str, interface: str, device: str, carries: bool, state: str, because: str) -> None:
        """The outbound carries now, or does not. A newer word of the same one takes the place of one that waits."""
        if not os.access(self._program, os.X_OK):
            return
        self._waiting[outbound] = {
            "ACTION": CONNECTED if carries else DISCONNECTED,
            "INTERFACE": interface or outbound,
            "DEVICE": device,
            "NETPOLICY_OUTBOUND": outbound,
            "NETPOLICY_STATE": state,
            "NETPOLICY_BECAUSE": "".join(c if c.isprintable() else " " for c in because),
        }
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Waits for nothing: what runs is ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting:
            outbound = next(iter(self._waiting))
            words = self._waiting.pop(outbound)
            try:
                await self._one(words)
            except OSError as error:
                self._log.add("warning", "state", f"{self._program} for outbound {outbound}: {error.strerror or error}")

    async def _one(self, words: dict[str, str]) -> None:
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **words}
        nothing = asyncio.subprocess.DEVNULL
        child = await asyncio.create_subprocess_exec(
            self._program, "iface", stdin=nothing, stdout=nothing, stderr=nothing, env=environment,
            start_new_session=True,
        )  # fmt: skip
        try:
            await asyncio.wait_for(child.wait(), SECONDS)
        except asyncio.TimeoutError:
            self._log.add("warning", "state", f"scripts of {self._program} took more than {SECONDS:.0f} s: ended")
            _kill(child.pid)
            await child.wait()
        except asyncio.CancelledError:
            _kill(child.pid)
            raise


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
