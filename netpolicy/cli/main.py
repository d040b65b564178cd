"""The `netpolicy` tool: run one command, end with its exit code.

The only place that turns failures of any kind into words and numbers; holds no command.
Imports argparse and json at start and nothing heavier: a router starts this slowly enough.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .arguments import COMMANDS, parse
from .exit_code import FINDINGS, INTERNAL, INTERRUPTED, READER_LEFT, Failure
from .terminal import Terminal

if TYPE_CHECKING:
    import argparse


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command in `argv` (without the program's name)."""
    _never_lack_an_output()
    _never_fail_to_encode()
    options = parse(sys.argv[1:] if argv is None else argv)
    terminal = Terminal(sys.stdout, sys.stderr, options.json)
    try:
        return _run(options, terminal)
    except Failure as failure:
        return _failed(failure, terminal)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return READER_LEFT
    except OSError as problem:
        _forget_output()
        terminal.complain(f"the answer cannot be written: {problem.strerror or problem}")
        return FINDINGS
    except Exception as defect:  # the outermost loop: a person never sees a traceback
        if os.environ.get("NETPOLICY_TRACEBACK"):
            raise
        terminal.complain(
            f"internal error: {type(defect).__name__}: {defect}",
            "this is a defect, please report it with the output of the same command "
            "with NETPOLICY_TRACEBACK=1 in front of it",
        )
        return INTERNAL


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    from importlib import import_module

    module, _, function = COMMANDS[options.command][0].partition(":")
    code: int = getattr(import_module(f"netpolicy.cli.{module}"), function)(options, terminal)
    return code


def _failed(failure: Failure, terminal: Terminal) -> int:
    terminal.complain(failure.text, failure.hint)
    if terminal.as_json:
        terminal.document({"error": failure.text, "hint": failure.hint})
    return failure.code


def _forget_output() -> None:
    """What could not be written is not tried again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _never_lack_an_output() -> None:
    """Started with a closed output (`>&-`), Python has None in its place."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (open until the end)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _never_fail_to_encode() -> None:
    """A console that cannot show a character shows a ?."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
