"""Read a plain text file of bounded size.

Says as findings why it cannot be read; never opens what is not a plain file, never reads
more than the limit.
"""

from __future__ import annotations

import os
import stat

from netpolicy.config.diagnostic import Findings, Place

MAX_BYTES = 4 << 20  # far above 10 000 rules; below what hurts a router with 64 MB


def read_bytes(path: str, findings: Findings) -> bytes | None:
    """The content of a plain file of bounded size; None after reporting why not."""
    place = Place(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a FIFO would wait for ever
            findings.error("NP001", place, "not a plain file", "name a file, not a folder or a device")
            return None
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as problem:  # ValueError: a NUL byte in the path
        reason = getattr(problem, "strerror", None) or str(problem)
        findings.error("NP001", place, f"failed to read {path}: {reason}", "correct the name, or who may read it")
        return None
    if len(data) > MAX_BYTES:
        findings.error("NP004", place, f"the file is larger than {MAX_BYTES >> 20} MiB", "use named lists")
        return None
    return data


def decode(data: bytes, path: str, findings: Findings) -> str | None:
    """The text of UTF-8 bytes; None after reporting the first that are not."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        findings.error("NP002", Place(path, line), "not UTF-8 text", "save the file as UTF-8")
        return None
