"""A terminal with the lab in it, driven the way a person would."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
import uuid
from pathlib import Path

from netpolicy.lab import starter

# Inherited by every process of one lab.
MARK = "NETPOLICY_TEST_MARK"
NAMESPACES = ("pid", "mnt", "net", "user")


class Terminal:
    """`netpolicy lab` in a pseudo terminal of 80 columns and 24 lines."""

    def __init__(self, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        self._slave = slave
        self.before = termios.tcgetattr(slave)
        self.text = ""
        self._read = 0
        self.mark = uuid.uuid4().hex
        # As from a person's shell: the shell owns the session, so killing the lab does not hang it up.
        script = f'trap : INT HUP TERM; {MARK}={self.mark} "$@"; echo "ended with $?."; exec sleep 1000'
        self._shell = subprocess.Popen(
            ["sh", "-c", script, "sh", sys.executable, "-m", "netpolicy.lab.main", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**starter.environment(), "TERM": "xterm", "COLUMNS": "", "LINES": ""},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def read_until(self, words: str, seconds: float = 60.0) -> None:
        """Read what is drawn until these words were, looking on from where the last call ended."""
        deadline = time.monotonic() + seconds
        while words not in self.text[self._read :]:
            if select.select([self._master], [], [], 0.2)[0]:
                self.text += os.read(self._master, 65536).decode(errors="replace")
            else:
                assert time.monotonic() < deadline, f"never drawn: {words!r}; last: {self.text[-3000:]!r}"
        self._read = self.text.index(words, self._read) + len(words)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def attributes(self) -> list[object]:
        """The terminal's settings now."""
        return termios.tcgetattr(self._slave)

    def end(self) -> int:
        """Wait for the lab's end; its exit code as a shell sees it."""
        self.read_until("ended with ")
        self.read_until(".")
        return int(self.text.rpartition("ended with ")[2].partition(".")[0])

    @property
    def outside(self) -> int:
        """`netpolicy lab` itself."""
        return starter.first_child(self._shell.pid)

    @property
    def unshare(self) -> int:
        """The process that made the namespaces."""
        return starter.first_child(self.outside)

    @property
    def inside(self) -> int:
        """Process 1 of the lab, as numbered outside."""
        return starter.first_child(self.unshare)

    def drain(self, seconds: float) -> None:
        """Read what is written until then, and all that is there; no more than that where it never ends."""
        deadline = time.monotonic() + seconds
        for _ in range(1000):
            if not select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return
            try:
                self.text += os.read(self._master, 65536).decode(errors="replace")
            except OSError:
                return

    def hang_up(self) -> None:
        """Close the window: the far end goes."""
        os.close(self._master)
        self._master = -1

    def close(self) -> None:
        """End what still runs and close both ends."""
        self._shell.kill()
        self._shell.wait()
        if self._master >= 0:
            os.close(self._master)
        os.close(self._slave)


class Session:
    """A lab without a terminal: words in, lines out."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "netpolicy.lab.main", "--seconds", "600"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=starter.environment(),
        )
        self.printed: list[str] = []  # since the last command; what follows from it comes in any order

    def wait_for(self, words: str, forget: bool = False) -> None:
        """A line with these words, printed since the last command. It ends by itself where there is none.

        `forget`: what is awaited next has to come after it.
        """
        assert self._child.stdout is not None
        while not any(words in line for line in self.printed):
            line = self._child.stdout.readline()
            assert line, f"ended before: {words}"
            self.printed.append(line)
        if forget:
            last = max(number for number, line in enumerate(self.printed) if words in line)
            del self.printed[: last + 1]

    def type(self, word: str) -> None:
        assert self._child.stdin is not None
        self.printed.clear()
        self._child.stdin.write(word + "\n")
        self._child.stdin.flush()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.communicate()

    def end(self) -> int:
        self.type("quit")
        self._child.communicate()
        return self._child.returncode


def namespaces_of(pid: int) -> set[str]:
    """The namespaces of a process that are not ours, none where it has just ended."""
    own = {os.readlink(f"/proc/self/ns/{kind}") for kind in NAMESPACES}
    found = set()
    for kind in NAMESPACES:
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
    return found - own


def descendants(pid: int) -> list[int]:
    """All processes below one, as numbered outside."""
    try:
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has just ended
        return []
    return children + [grandchild for child in children for grandchild in descendants(child)]


def command_of(pid: int) -> str:
    """The command line of a process, '' when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def marked(mark: str) -> list[str]:
    """Living processes that inherited a mark in their environment.

    Not those in certain namespaces: their numbers go to the next lab at once, perhaps a parallel test's.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                found.append(f"{entry.name} {command_of(int(entry.name))}")
        except OSError:
            continue
    return found


def wait_until_gone(mark: str, seconds: float = 30.0) -> None:
    """Until no process of the lab lives; its namespaces have no other holder, as the tests of /run show."""
    deadline = time.monotonic() + seconds
    while left := marked(mark):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.02)
