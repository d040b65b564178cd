"""`netpolicy events`: what the daemon announces on the bus, as it happens.

Listens and shows; never sends. What happened before is in `netpolicy logs`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

from .exit_code import FINE, USAGE, Failure
from .logs import clock
from .running import Daemon
from .terminal import Terminal


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """One line for each event, until interrupted or for --count of them."""
    if options.follow and options.count:
        raise Failure("--follow and --count exclude each other", code=USAGE)
    with Daemon(options.socket) as daemon:
        for seen, (name, data) in enumerate(daemon.events(), 1):
            _show(terminal, name, data)
            if seen == options.count:
                break
    return FINE


def _show(terminal: Terminal, name: str, data: Mapping[str, Any]) -> None:
    if terminal.as_json:
        terminal.record({"event": name, "time": round(time.time(), 3), "data": data})
        return
    words = " ".join(f"{key}={_word(value)}" for key, value in data.items())
    terminal.paragraph(f"{clock(time.time())} {name} {words}".rstrip(), 15)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else str(value)
