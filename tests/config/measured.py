"""Run commands of `netpolicy` over one file in one process, and measure it.

    python -m tests.config.measured RESULT FILE lint|fmt|convert …

RESULT gets the exit codes, the processor seconds and the peak of resident memory as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from netpolicy.cli.main import main


def peak() -> int:
    """In KiB. Not ru_maxrss: a child begins with its parent's."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    result, path, *commands = sys.argv[1:]
    words = {"lint": ["lint"], "fmt": ["fmt"], "convert": ["convert", "--to", "dsl"]}
    codes = [main([*words[command], path]) for command in commands]
    found = {"codes": codes, "seconds": time.process_time(), "peak": peak()}
    Path(result).write_text(json.dumps(found), encoding="ascii")
