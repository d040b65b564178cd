"""One virtual router: QEMU with a flash that survives, a memory that does not, and three serial lines.

Line 0 is the console, line 1 the agent's orders and answers, line 2 the points that a change passes. A power cut is
SIGKILL for QEMU; what the router had written through to its disk by then is in the image, nothing else is.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.vm.parts import Parts

# An emulated processor on a busy machine; on an idle one nothing takes a tenth of it.
BOOT_SECONDS = 240.0
ANSWER_SECONDS = 240.0

# A small one: newer instructions cost more to emulate than they save (16 s for a boot, 22 s with `max`).
PROCESSOR = "qemu64,+rdrand"
FLASH_MEGABYTES = 16
MEMORY = "384M"
# no_timer_check: on a starved host the kernel takes its timer for a broken one, and panics.
KERNEL_WORDS = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr random.trust_cpu=on net.ifnames=0 no_timer_check"


class MachineError(AssertionError):
    """The virtual router did not do what every router does; the text ends with its console."""


class Line:
    """A serial line of the router: whole lines of text, with a time limit."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        until = time.monotonic() + 10
        while True:
            try:
                self._socket.connect(path)
                break
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
        self._kept = b""

    def send(self, text: str) -> None:
        self._socket.sendall(text.encode() + b"\n")

    def read(self, seconds: float) -> str:
        """The next line. Raises TimeoutError; ConnectionError when the power is off."""
        self.wait_for(1, seconds)
        line, _, self._kept = self._kept.partition(b"\n")
        return line.decode()

    def wait_for(self, count: int, seconds: float) -> None:
        """Until so many lines are there to be read. Raises as `read`."""
        until = time.monotonic() + seconds
        while self._kept.count(b"\n") < count:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            piece = self._socket.recv(65536)
            if not piece:
                raise ConnectionError("no power")
            self._kept += piece

    def close(self) -> None:
        self._socket.close()


class Machine:
    """Off at first. `flash` is the image of its disk."""

    def __init__(self, parts: Parts, ramdisk: Path, flash: Path) -> None:
        self.flash = flash
        self._parts = parts
        self._ramdisk = ramdisk
        self._folder = Path(tempfile.mkdtemp(prefix="netpolicy-vm-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: list[Line] = []
        self.boots: list[float] = []  # seconds each

    # -- power -----------------------------------------------------------------------------

    def switch_on(self, *more: str) -> None:
        """The processor runs; returns at once."""
        assert self._process is None
        sockets = [str(self._folder / name) for name in ("orders", "points")]
        for path in sockets:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        words = [
            self._parts.qemu, "-M", "pc", "-accel", "tcg", "-cpu", PROCESSOR, "-m", MEMORY,
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", str(self._parts.kernel), "-initrd", str(self._ramdisk), "-append", KERNEL_WORDS,
            # Every write of the router is on the image before the router hears that it is.
            "-drive", f"file={self.flash},if=none,id=flash,format=raw,cache=writethrough",
            "-device", "virtio-blk-pci,drive=flash",
            "-chardev", f"file,id=c0,path={self._folder}/console,append=on", "-serial", "chardev:c0",
            *[word for number, path in enumerate(sockets, 1)
              for word in ("-chardev", f"socket,id=c{number},path={path},server=on,wait=on",
                           "-serial", f"chardev:c{number}")],
            *more,
        ]  # fmt: skip
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._lines = [Line(path) for path in sockets]

    def boot(self, *more: str) -> None:
        """On, and the daemon has put its rules in force."""
        begun = time.monotonic()
        self.boot_half(*more)
        self.points_until("settled", BOOT_SECONDS)
        status = self.call("status")
        if not status["kernel"]["in_sync"]:
            raise MachineError(f"the kernel is not as the rules say: {status['kernel']}\n{self.console()}")
        self.boots.append(time.monotonic() - begun)

    def boot_half(self, *more: str) -> None:
        """On; `guard recover` ran, and the agent hears. The network and the daemon are to come."""
        self.switch_on(*more)
        try:
            assert json.loads(self._lines[0].read(BOOT_SECONDS)) == {"answer": "hello"}
        except (TimeoutError, ConnectionError) as error:
            raise MachineError(f"the agent did not come up ({error!r}):\n{self.console()}") from None

    def cut(self) -> None:
        """The power is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        for line in self._lines:
            line.close()
        self._lines = []

    def kill(self) -> None:
        """The power is gone; from another thread than the one that talks to the router."""
        if self._process is not None:
            self._process.kill()

    @property
    def is_on(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def throw_away(self) -> None:
        """Off, and nothing of it is left."""
        self.cut()
        shutil.rmtree(self._folder, ignore_errors=True)

    def console(self) -> str:
        """The end of what the router said since it was bought."""
        try:
            return (self._folder / "console").read_text(encoding="utf-8", errors="replace")[-6000:]
        except OSError:
            return ""

    # -- orders ----------------------------------------------------------------------------

    def ask(self, do: str, **order: Any) -> Any:
        """One order and its answer. Raises MachineError."""
        try:
            self.order(do, **order)
        except OSError as error:
            raise MachineError(f"no ear for {do} {order} ({error!r}):\n{self.console()}") from None
        return self.answer()

    def answer(self) -> Any:
        """The answer to the first order that was not answered yet. Raises MachineError."""
        try:
            found = json.loads(self._lines[0].read(ANSWER_SECONDS))
        except (OSError, ValueError) as error:
            raise MachineError(f"no answer ({error!r}):\n{self.console()}") from None
        if "error" in found:
            raise MachineError(str(found["error"]))
        return found["answer"]

    def order(self, do: str, **order: Any) -> None:
        """One order whose answer nobody waits for: the power will be gone. Raises OSError."""
        self._lines[0].send(json.dumps({"do": do, **order}))

    def several(self, *orders: dict[str, Any]) -> list[Any]:
        """Some orders at once, their answers in their order."""
        return list(self.ask("several", orders=orders))

    def call(self, method: str, **data: Any) -> dict[str, Any]:
        """A method of the daemon."""
        return dict(self.ask("call", method=method, data=data))

    def run(self, *words: str) -> str:
        """What a program printed; it must succeed."""
        found = self.ask("run", words=words)
        if found["code"]:
            raise MachineError(f"{words} ended with {found['code']}: {found['out']}")
        return str(found["out"])

    def until_state(self, *states: str) -> dict[str, Any]:
        """The change under way, once it is in one of the states."""
        until = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < until:
            found = self.call("job")
            if found["state"] in states:
                return found
            time.sleep(0.1)
        raise MachineError(f"the change is {found['state']}, not one of {states}: {found['error']}\n{self.console()}")

    # -- points ----------------------------------------------------------------------------

    def stop_at(self, point: str) -> None:
        """The daemon stands still where it passes the point; "": it goes on. Points are told from now on."""
        self.ask("write", path="/run/rig-stop", text=point or "-")

    def points_until(self, wanted: str, seconds: float = ANSWER_SECONDS) -> list[str]:
        """The points that were passed, up to that one."""
        passed = []
        try:
            while not passed or passed[-1] != wanted:
                passed.append(self._lines[1].read(seconds).strip())
        except (TimeoutError, OSError) as error:
            raise MachineError(f"{wanted} was not passed, but {passed} ({error!r}):\n{self.console()}") from None
        return passed

    def wait_for_points(self, count: int) -> None:
        """Until so many were passed; they stay to be read. Raises TimeoutError, OSError."""
        self._lines[1].wait_for(count, ANSWER_SECONDS)

    def points_left(self) -> list[str]:
        """What was told before the power went."""
        passed = []
        with contextlib.suppress(OSError):
            while True:
                passed.append(self._lines[1].read(1.0).strip())
        return passed
