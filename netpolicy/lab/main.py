"""Start the lab from the terminal and leave nothing behind: `netpolicy lab`.

Lives outside the lab's namespaces: passes signals on, restores the terminal whatever happened
inside. Builds nothing itself.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import termios
from typing import Any

from netpolicy.lab import running, shell, starter
from netpolicy.lab.keeper import REFUSED
from netpolicy.lab.scenario import SCENARIOS, TOUR_SECONDS

EXAMPLE = starter.ROOT_OF_PACKAGE / "examples" / "lab" / "netpolicy"
# Second page off, cursor on, colours off (xterm control sequences).
PLAIN_TERMINAL = "\x1b[?1049l\x1b[?25h\x1b[0m"


def parser() -> argparse.ArgumentParser:
    """The arguments of `netpolicy lab`."""
    found = argparse.ArgumentParser(
        prog="netpolicy lab",
        description="A router, its providers, clients and internet on this machine.",
        epilog="While it runs, `netpolicy lab shell` in another terminal opens a shell in its router.",
    )
    found.add_argument("--seconds", type=float, default=0.0, help="end by itself after so many seconds")
    found.add_argument(
        "--scenario",
        default="none",
        choices=sorted(SCENARIOS),
        help=f"what happens by itself; tour: {TOUR_SECONDS:.0f} seconds",
    )
    found.add_argument("--config", default=str(EXAMPLE), help="the router's configuration (a copy is used)")
    return found


def main(argv: list[str]) -> int:
    """Run the lab to its end; 0, or the reason on standard error and another code."""
    if argv[:1] == ["shell"]:
        try:
            return shell.main(argv[1:])
        except starter.LabError as problem:
            return _refuse(str(problem))
    options = parser().parse_args(argv)
    if not os.access(options.config, os.R_OK):
        return _refuse(f"cannot read {options.config}: name a readable configuration with --config")
    arguments = [
        "show",
        "--seconds",
        str(options.seconds),
        "--scenario",
        options.scenario,
        "--config",
        os.path.abspath(options.config),
    ]
    try:
        with _terminal():
            return _watch_over(arguments)
    except starter.LabError as problem:
        return _refuse(str(problem))


def _watch_over(arguments: list[str]) -> int:
    # The inside draws on the terminal; stopping only the outside would leave both confused.
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    # Ctrl-C reaches the inside by itself, as it is in the same foreground group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    started = starter.start(arguments)
    inside = starter.Inside(started)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: inside.end())
    with running.told(started.process.pid):
        code = inside.wait()
    if code in (0, REFUSED):
        return code
    # Killed: unshare says so with a code of its own, and nobody tidied the screen.
    if sys.stdout.isatty():
        print(PLAIN_TERMINAL, end="", flush=True)
    print("netpolicy lab: killed from outside or ended by a fault; nothing is left of it", file=sys.stderr)
    return 1


@contextlib.contextmanager
def _terminal() -> Any:
    """Give the terminal back as it was found, even when the inside was killed."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield
        return
    before = termios.tcgetattr(0)
    try:
        yield
    finally:
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _refuse(text: str) -> int:
    print(f"netpolicy lab: {text}", file=sys.stderr)
    return REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
