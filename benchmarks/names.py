"""What a list of 500 000 names takes, from its address in the configuration to rules that ask for them.

A lab with a real netpolicyd, a web server beside it and one client that asks for the last of them: times on the
wall, as people notice them, on all cores. Never counts a list as loaded whose last name leads nobody.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.course import WrongMeasure
from benchmarks.lines import CONFIG, FIRST, SECOND, SERVER
from benchmarks.measure import Family, Options, Turns
from netpolicy.lab.bench import Lab
from netpolicy.lab.topology import SERVERS

NAMES = 500_000
PORT = 8000
WANTED = next(one for one in SERVERS if one.name.startswith("video."))
PATIENCE = 120.0
PAUSE = 0.02
WITH_LIST = f"""
config list 'many'
	option url 'http://127.0.0.1:{PORT}/many'
	option format 'domains'

config rule 'named'
	option priority '90'
	list domain '@many'
	option route 'wan_b'
"""


def names(_: Options) -> Iterator[Turns]:
    """Seconds until in force, MB that the daemon and its helpers held at most, seconds until a client was led."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # fetching, reading and the kernel are several processes
    long = _Long()
    yield Turns("s", {f"names/load/{NAMES}": long.load, f"names/first/{NAMES}": long.first},
                counts=(f"names/load/{NAMES}", f"names/first/{NAMES}"))  # fmt: skip
    yield Turns("MB", {f"names/peak/{NAMES}": lambda: long.peak, f"names/rest/{NAMES}": long.rest},
                counts=(f"names/peak/{NAMES}", f"names/rest/{NAMES}"), close=long.close)  # fmt: skip


FAMILIES: dict[str, Family] = {"names": names}


class _Long:
    """A daemon without the list, then with it."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        with open(Path(self._folder.name) / "many", "w", encoding="ascii") as file:
            file.writelines(f"host{number}.site{number % 50_000}.example\n" for number in range(1, NAMES))
            file.write(f"{WANTED.name}\n")
        self._lab = Lab()
        self._lab.open()
        self._web = self._lab.popen(
            "router",
            [sys.executable, "-m", "http.server", "-d", self._folder.name, "-b", "127.0.0.1", str(PORT)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._daemon = self._lab.start_daemon(CONFIG)

    def close(self) -> None:
        self._lab.close()
        self._folder.cleanup()

    def load(self) -> float:
        """From the reload that brings the list until the rules that hold its names are in force."""
        self._lab.write_config(CONFIG + WITH_LIST)
        is_over = threading.Event()
        watching = threading.Thread(target=self._watch, args=(is_over,))
        watching.start()
        began = time.monotonic()
        try:
            self._lab.call("reload", timeout=PATIENCE)
            self._lab.wait_for(self._is_loaded, PATIENCE, "the list is in force")
            return time.monotonic() - began
        finally:
            is_over.set()
            watching.join()

    def first(self) -> float:
        """From the answer to a client's first question until its new connections go by the rule. WrongMeasure."""
        told = self._lab.dns("desk", WANTED.name)["addresses"][0]
        began = time.monotonic()
        self._lab.wait_for(lambda: self._came_by(told) == SECOND.router4, what="a connection by the rule's line")
        took = time.monotonic() - began
        if self._came_by(SERVER) != FIRST.router4:
            raise WrongMeasure("an address without a name goes by the line of the names")
        return took

    def _came_by(self, address: str) -> str:
        return str(self._lab.udp("desk", address, 7, timeout=1.0).get("seen"))

    def rest(self) -> float:
        """MB when all is done."""
        time.sleep(5)
        return sum(_resident(pid) for pid in _family(self._daemon.pid))

    def _is_loaded(self) -> bool:
        (found,) = self._lab.call("lists", timeout=PATIENCE)["lists"]
        return bool(found["names"] == NAMES and self._lab.call("status", timeout=PATIENCE)["kernel"]["in_sync"])

    def _watch(self, is_over: threading.Event) -> None:
        while not is_over.wait(PAUSE):
            self.peak = max(self.peak, sum(_resident(pid) for pid in _family(self._daemon.pid)))


def _family(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for parent in found:
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
        except OSError:
            continue  # it ended meanwhile
        found += [int(child) for child in children.split()]
    return found


def _resident(pid: int) -> float:
    """MB in memory, what is shared with others by its part: else a fork would count twice. 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1_024 for line in lines if line.startswith("Pss:")), 0.0)
