"""Makes a program stop at any of its steps: every file it makes, renames or removes, every program it starts.

Python loads this file by itself where its folder is on PYTHONPATH; the program under test knows nothing of it. While
there is a file `steps/at` each step is written to `steps/log`, *before* it is done. At the step that `at` names
("OCCURRENCE WHAT", as the log has it; "NUMBER *" is one of all) the process kills itself; with "stop" in front it
stops.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
from collections import Counter

FOLDER = "/run/lab/steps"
MAIN = os.getpid()

CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
NAMED_FIRST = ("os.remove", "os.rmdir", "os.mkdir", "os.truncate")
NAMED_LAST = ("os.rename", "os.link")

count: Counter[str] = Counter()
state = {"at": "", "busy": False}


def step(what: str) -> None:
    """One step is about to be done."""
    try:
        with open(f"{FOLDER}/at") as file:
            at = file.read()
    except OSError:
        return
    if at != state["at"]:
        state["at"] = at
        count.clear()
    count[what] += 1
    count["*"] += 1
    # On a full disk nothing is noted; the program under test must not fail for that.
    with contextlib.suppress(OSError), open(f"{FOLDER}/log", "a") as file:
        file.write(f"{count[what]} {what}\n")
    if at.removeprefix("stop ").strip() in (f"{count[what]} {what}", f"{count['*']} *"):
        os.kill(os.getpid(), signal.SIGSTOP if at.startswith("stop ") else signal.SIGKILL)


def name(path: object) -> str:
    """A file by its last two names: numbers of processes and generations are others each time."""
    text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
    parts = [re.sub("[0-9]{2,}", "N", part) for part in text.split("/")[-2:]]
    return "/".join(".verdict.N" if part.startswith(".verdict.") else part for part in parts)


def watch(event: str, arguments: tuple) -> None:  # type: ignore[type-arg]
    """Called by Python before what it says is done."""
    if event not in STEPS or state["busy"] or os.getpid() != MAIN:
        return
    state["busy"] = True
    try:
        if event == "subprocess.Popen":
            words = [os.fsdecode(word).split("\n")[0] for word in arguments[1]]
            step(
                "start "
                + " ".join(word.rpartition("/")[2] for word in words if not word.startswith("/run"))[:60].strip()
            )
        elif event == "socket.sendto":
            if arguments[0].family == socket.AF_NETLINK:
                step("netlink")
        elif event in NAMED_FIRST:
            step(f"{event[3:]} {name(arguments[0])}")
        elif event in NAMED_LAST:
            step(f"{event[3:]} {name(arguments[1])}")
        elif isinstance(arguments[0], str) and arguments[2] & CHANGING and not arguments[0].startswith("/proc"):
            step(f"open {name(arguments[0])}")
    finally:
        state["busy"] = False


STEPS = {"subprocess.Popen", "open", "socket.sendto", *NAMED_FIRST, *NAMED_LAST}
sys.addaudithook(watch)
