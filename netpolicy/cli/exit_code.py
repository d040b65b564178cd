"""What the exit codes of `netpolicy` mean, and the error that carries one to the outermost loop.

A public contract: scripts compare the numbers. Never prints.
"""

from __future__ import annotations

FINE = 0
FINDINGS = 1  # also every negative answer: refused, not running, not found
CHANGES_PENDING = 2
REVERTED = 3  # a change was taken back
REFUSED = 4  # a change was not made, or not confirmed
RESCUE = 5  # not even the way back could be gone: see docs/guard.md
USAGE = 64  # EX_USAGE of sysexits.h
INTERNAL = 70  # EX_SOFTWARE: a defect of ours
INTERRUPTED = 130  # what shells report for SIGINT
READER_LEFT = 141  # and for SIGPIPE


class Failure(Exception):
    """A command cannot give its answer: what is wrong, what to do (may be empty), how to exit."""

    def __init__(self, text: str, hint: str = "", code: int = FINDINGS) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint
        self.code = code
