"""Run a command or a shell in a node of the running lab: `netpolicy lab shell`.

Changes nothing by itself; what is typed there ends with the lab. Finds the lab by `running`, enters it as its tests do.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from netpolicy.bus.paths import ENVIRONMENT
from netpolicy.lab import running, starter
from netpolicy.lab.keeper import BUS_SOCKET, LAB
from netpolicy.lab.starter import LabError
from netpolicy.lab.topology import NODES, ROUTER

USAGE = 64  # EX_USAGE of sysexits.h
NO_LAB = "no lab of yours is running: start one in another terminal, as the same user, with: make run"


class Parser(argparse.ArgumentParser):
    """argparse, but a wrong command line ends with 64: smaller numbers are the command's."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")
        raise AssertionError  # `exit` does not return


def parser() -> argparse.ArgumentParser:
    """The arguments of `netpolicy lab shell`, without the command."""
    found = Parser(
        prog="netpolicy lab shell",
        usage="netpolicy lab shell [NODE] [-- COMMAND …]",
        description="A shell, or one command, in a node of the running lab. There `netpolicy` speaks with the lab's "
        f"daemon, and the router's configuration is the file `netpolicy` in {LAB}, where the shell begins.",
    )
    found.add_argument("node", nargs="?", default=ROUTER, choices=NODES, help="default: %(default)s")
    return found


def main(argv: Sequence[str]) -> int:
    """The exit code of the command. Raises LabError where no lab runs."""
    words = list(argv)
    command: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, command = words[:at], words[at + 1 :]
    node = parser().parse_args(words).node
    inside = _inside()
    # The shell's job is its own: Ctrl-C in it must not end what waits for it.
    child = subprocess.Popen([*inside, *in_node(node, command or shell())], env=environment(node))
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue


def _inside() -> list[str]:
    """The command that runs what follows in the lab."""
    starter.check_tools()
    outermost = running.find()
    keeper = starter.first_child(outermost) if outermost else 0
    if not keeper:
        raise LabError(NO_LAB)
    user = _namespace("self", "user") != _namespace(str(keeper), "user")
    return starter.enter_command(keeper, user)


def _namespace(process: str, kind: str) -> str:
    try:
        return os.readlink(f"/proc/{process}/ns/{kind}")
    except OSError:
        raise LabError(NO_LAB) from None


def in_node(node: str, command: Sequence[str]) -> list[str]:
    """What runs the command in the node, from within the lab, in the folder of the configuration."""
    change = 'cd "$0" 2>/dev/null; exec "$@"'
    return ["ip", "netns", "exec", node, "sh", "-c", change, str(LAB), *command]


def shell() -> list[str]:
    """A shell without the settings of the person's own: they would hide in which node it is."""
    bash = shutil.which("bash", path=starter.search_path())
    return [bash, "--norc", "--noprofile", "-i"] if bash else ["sh", "-i"]


def environment(node: str) -> dict[str, str]:
    """What makes `netpolicy` mean this checkout's, and its bus the lab's."""
    found = {name: value for name, value in starter.environment().items() if not name.startswith("SSH_")}
    # Not resolved: in a virtual environment the interpreter is a link, and the tool is beside the link.
    found["PATH"] = f"{Path(sys.executable).parent}:{found['PATH']}"
    return {**found, ENVIRONMENT: str(BUS_SOCKET), "PS1": f"lab:{node}# "}
