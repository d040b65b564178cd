"""Be process 1 of the lab: build the network, keep its processes, end when the starter ends.

Everything this process makes lives in namespaces that die with it, so it cleans up nothing.
Started by `starter` only; runs `serve` (for tests) or hands over to `show` (the terminal).
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from netpolicy.lab import network
from netpolicy.lab.topology import INTERNET, PROVIDERS, ROUTER

REFUSED = 4
RUN = Path("/run")
LAB = RUN / "lab"
BUS_SOCKET = RUN / "ubus" / "ubus.sock"
STATE = RUN / "netpolicy"
STORE = LAB / "store"  # what a router keeps on flash
CONFIG = LAB / "netpolicy"
ERRORS = LAB / "errors.log"


class Keeper:
    """The running lab as seen from inside."""

    def __init__(self, latency: bool) -> None:
        self._latency = latency
        self.tun = network.has_tun()
        self.times: dict[str, float] = {}

    def build(self) -> None:
        """Network, lines and servers; returns when all of them answer."""
        begin = time.monotonic()
        _private_run()
        network.build(self.tun)
        self.times["network"] = round(time.monotonic() - begin, 3)
        waiting = [self._start_servers(), *(self._start_lines() if self.tun else [])]
        for child in waiting:
            _wait_ready(child)
        self.times["total"] = round(time.monotonic() - begin, 3)

    def _start_servers(self) -> subprocess.Popen[str]:
        return _start(["ip", "netns", "exec", INTERNET, *module("servers"), str(LAB / "tls")])

    def _start_lines(self) -> list[subprocess.Popen[str]]:
        return [
            _start(
                [
                    *module("relay"),
                    line.letter,
                    str(line.rtt_ms if self._latency else 0),
                    str(relay_socket(line.letter)),
                ]
            )
            for line in PROVIDERS
        ]


def relay_socket(letter: str) -> Path:
    """Where the line's relay takes orders."""
    return LAB / f"relay-{letter}.sock"


def daemon_command(config: Path = CONFIG) -> list[str]:
    """What runs the daemon in the router."""
    # Not the installed script: the lab shows the checkout it stands in.
    starter = "import sys; from netpolicy.daemon.main import main; sys.exit(main())"
    return [
        "ip",
        "netns",
        "exec",
        ROUTER,
        sys.executable,
        "-c",
        starter,
        "--config",
        str(config),
        "--foreground",
        "--state-dir",
        str(STATE),
        "--store-dir",
        str(STORE),
        "--socket",
        str(BUS_SOCKET),
    ]


def serve(life: int) -> int:
    """Wait for the end of the starter, burying orphans meanwhile."""
    while not select.select([life], [], [], 5.0)[0]:
        bury_orphans()
    return 0


def bury_orphans() -> None:
    """Reap children that process 1 inherited; its own are left to their owners."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in _OWN:
            return
        os.waitpid(found.si_pid, 0)


def own(pid: int) -> None:
    """Name a child whose end its starter wants to hear about itself."""
    _OWN.add(pid)


_OWN: set[int] = set()


def module(name: str) -> list[str]:
    """The command that starts one of the lab's own programs."""
    return [sys.executable, "-m", f"netpolicy.lab.{name}"]


def _start(command: list[str]) -> subprocess.Popen[str]:
    # Nobody reads these errors while all is well, so they must not go into a pipe that fills up.
    with ERRORS.open("ab") as errors:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
    own(child.pid)
    return child


def _wait_ready(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    if child.stdout.readline().strip() != "ready":
        words = ERRORS.read_text(errors="replace").strip().splitlines()
        raise RuntimeError("a program of the lab ended at start: " + (words[-1] if words else "it said nothing"))


def _private_run() -> None:
    """An empty memory file system over /run: sockets, namespace names and state stay in the lab."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(RUN)], check=True)
    for folder in (LAB, BUS_SOCKET.parent, STATE):
        folder.mkdir(parents=True)


def main(argv: list[str]) -> int:
    """`keeper LIFE serve|show [ARGUMENT…]`; in `serve` the line `ready JSON` tells the times."""
    life, mode, arguments = int(argv[0]), argv[1], argv[2:]
    # A stopped lab would freeze the terminal it drew on.
    for number in (signal.SIGTSTP, signal.SIGTTOU, signal.SIGTTIN):
        signal.signal(number, signal.SIG_IGN)
    keeper = Keeper(latency="--no-latency" not in arguments)
    try:
        keeper.build()
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        print(f"netpolicy lab: {error}", file=sys.stderr)
        return REFUSED
    if mode == "serve":
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the test runner's business
        print("ready " + json.dumps({"times": keeper.times, "tun": keeper.tun}), flush=True)
        return serve(life)
    from netpolicy.lab import show

    return show.run(keeper, life, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
