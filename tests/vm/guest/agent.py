"""In the virtual router: carries out orders from the second serial line and answers them, one JSON line each.

Knows nothing of tests and judges nothing. Orders: call (a method on the bus), run (a program), read and write
(a file), list (the files under a folder), several of these.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Any

sys.path[0] = "/usr/lib/netpolicy"

from netpolicy.bus.blocking import call  # noqa: E402
from netpolicy.bus.status import UbusError  # noqa: E402

LINE = "/dev/ttyS1"


def carry_out(order: dict[str, Any]) -> Any:
    """The answer of one order."""
    kind = order["do"]
    if kind == "several":
        return [carry_out(one) for one in order["orders"]]
    if kind == "call":
        return call("netpolicy", order["method"], order["data"], timeout=60.0)
    if kind == "run":
        done = subprocess.run(order["words"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return {"code": done.returncode, "out": done.stdout}
    if kind == "read":
        with open(order["path"], encoding="utf-8") as file:
            return file.read()
    if kind == "write":
        with open(order["path"], "w", encoding="utf-8") as file:
            file.write(order["text"])
        return None
    return sorted(os.path.join(place, name) for place, _, names in os.walk(order["path"]) for name in names)


def answer(line: bytes) -> dict[str, Any]:
    """What is sent back for a line."""
    try:
        return {"answer": carry_out(json.loads(line))}
    except (UbusError, OSError, ValueError, KeyError) as problem:
        return {"error": f"{type(problem).__name__}: {problem}"}


def lines(handle: int) -> Iterator[bytes]:
    """What the tests send."""
    kept = b""
    while True:
        kept += os.read(handle, 65536)
        while b"\n" in kept:
            line, _, kept = kept.partition(b"\n")
            yield line


def main() -> None:
    """For as long as there is power."""
    handle = os.open(LINE, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(handle, termios.TCSANOW)
    os.write(handle, b'{"answer": "hello"}\n')
    for line in lines(handle):
        text = json.dumps(answer(line)).encode() + b"\n"
        while text:
            text = text[os.write(handle, text) :]


main()
