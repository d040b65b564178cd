"""`netpolicy lab`: hand the rest of the command line to the lab, where there is one.

Knows nothing of the lab: routers do not have it.
"""

from __future__ import annotations

import argparse

from .exit_code import Failure
from .terminal import Terminal

ROOM = "netpolicy.lab"


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Whatever the lab returns."""
    try:
        from netpolicy.lab.main import main  # type: ignore[import-not-found,unused-ignore]
    except ModuleNotFoundError as problem:
        if not (problem.name or "").startswith(ROOM):
            raise Failure(f"the lab needs the Python package {problem.name!r}", "make venv installs it") from None
        raise Failure("this installation has no lab", "it is part of a development checkout: make run, there") from None
    return main(options.words) or 0
