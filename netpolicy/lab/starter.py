"""Start the lab's keeper inside private namespaces, and make sure nothing outlives this process.

The process tree is the safety net: the keeper is process 1 of a PID namespace, holds the only
mounts, and ends when the `life` pipe of this process closes; the kernel then removes the rest.
Flags: unshare(1) of util-linux 2.36 and later.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Where the tools come from on Debian and Ubuntu.
TOOLS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
    "nft": "nftables",
    "openssl": "openssl",
}
# The inside needs a second or two to stop its daemon; a busy machine takes longer.
PATIENCE_SECONDS = 20.0
ROOT_OF_PACKAGE = Path(__file__).resolve().parents[2]


class LabError(Exception):
    """The lab cannot be built or used; the text says what is missing and what to do."""


@dataclass(frozen=True, slots=True)
class Started:
    """A keeper from outside: `life` is the pipe whose closing ends it."""

    process: subprocess.Popen[str]
    life: int
    user_namespace: bool


class Inside:
    """The running inside, to be ended politely and then not."""

    def __init__(self, started: Started) -> None:
        self._process = started.process
        self._life = started.life
        self._deadline = float("inf")

    def end(self) -> None:
        """Ask it to end by closing its life; it is killed when that takes too long."""
        if self._life >= 0:
            os.close(self._life)
            self._life = -1
            self._deadline = time.monotonic() + PATIENCE_SECONDS

    def wait(self) -> int:
        """Its exit code; negative when a signal killed it."""
        while True:
            try:
                return self._process.wait(0.2)
            except subprocess.TimeoutExpired:
                if time.monotonic() > self._deadline:
                    self._process.kill()


def check_tools() -> None:
    """Raise LabError naming every missing tool and its package."""
    missing = {tool: package for tool, package in TOOLS.items() if shutil.which(tool, path=search_path()) is None}
    if missing:
        raise LabError(
            f"lab: missing {', '.join(sorted(missing))}: "
            f"install with: apt-get install {' '.join(sorted(set(missing.values())))}"
        )


def search_path() -> str:
    """PATH with the places of system tools, which an ordinary user's PATH lacks on Debian."""
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def environment() -> dict[str, str]:
    """The environment of everything in the lab: this checkout is importable, tools are found."""
    paths = [str(ROOT_OF_PACKAGE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": ":".join(paths), "PATH": search_path(), "PYTHONDONTWRITEBYTECODE": "1"}


def start(arguments: Sequence[str], user_namespace: bool | None = None, **streams: Any) -> Started:
    """Start the keeper with these arguments. `user_namespace` None: only when not root."""
    check_tools()
    own_user = os.geteuid() != 0 if user_namespace is None else user_namespace
    read_end, write_end = os.pipe()
    process: subprocess.Popen[str] = subprocess.Popen(
        [*unshare_command(own_user), sys.executable, "-m", "netpolicy.lab.keeper", str(read_end), *arguments],
        pass_fds=(read_end,),
        env=environment(),
        text=True,
        **streams,
    )
    os.close(read_end)
    return Started(process, write_end, own_user)


def unshare_command(user_namespace: bool) -> list[str]:
    """The command that runs what follows as process 1 of fresh namespaces."""
    user = ["--user", "--map-root-user"] if user_namespace else []
    return ["unshare", "--fork", "--pid", "--kill-child", "--mount", "--mount-proc", "--net", *user]


def enter_command(pid: int, user_namespace: bool) -> list[str]:
    """The command that runs what follows in the namespaces of a keeper; its working directory is /."""
    user = ["--user", "--preserve-credentials"] if user_namespace else []
    return ["nsenter", "--target", str(pid), "--mount", "--pid", "--net", *user, "--"]


def first_child(pid: int) -> int:
    """The process id, as seen from here, of the only child of `pid`; 0 when there is none."""
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended
        return 0
    return int(words[0]) if words else 0


def is_stopped(pid: int) -> bool:
    """Whether that process stands still because of a signal."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:  # it has ended
        return False
