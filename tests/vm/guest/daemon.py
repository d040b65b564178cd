"""In the virtual router: netpolicyd as it is, with words on the third serial line where a change passes a point.

At the point that the file of orders names the daemon stands still, until the power goes. Changes nothing else.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import time
from collections.abc import Callable
from typing import Any

sys.path[0] = "/usr/lib/netpolicy"
sys.dont_write_bytecode = True

from netpolicy.daemon.main import main  # noqa: E402
from netpolicy.dataplane.guard import Guard  # noqa: E402
from netpolicy.observe.journal import Journal  # noqa: E402
from netpolicy.service.change_run import Run  # noqa: E402
from netpolicy.service.change_tools import Tools  # noqa: E402
from netpolicy.service.engine import Engine  # noqa: E402
from netpolicy.service.generations import Store  # noqa: E402

# RAM: an order is forgotten with the power.
ORDER = "/run/rig-stop"

LINE = os.open("/dev/ttyS2", os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)


def pass_point(name: str) -> None:
    """Says so; stands still where that is wanted."""
    try:
        with open(ORDER, encoding="ascii") as file:
            wanted = file.read().strip()
    except OSError:
        wanted = ""
    if not wanted:
        return
    os.write(LINE, f"{name}\n".encode())
    if wanted == name:
        time.sleep(3600)


def around(owner: Any, name: str, before: str = "", after: Callable[..., str] | None = None) -> None:
    """A method of the daemon passes a point before it begins, or after it did its work."""
    real = getattr(owner, name)

    @functools.wraps(real)
    def plain(*arguments: Any, **words: Any) -> Any:
        if before:
            pass_point(before)
        result = real(*arguments, **words)
        if after:
            pass_point(after(*arguments))
        return result

    @functools.wraps(real)
    async def awaited(*arguments: Any, **words: Any) -> Any:
        if before:
            pass_point(before)
        result = await real(*arguments, **words)
        if after:
            pass_point(after(*arguments))
        return result

    setattr(owner, name, awaited if asyncio.iscoroutinefunction(real) else plain)


real_reconcile = Engine.reconcile


async def reconcile(self: Engine, cause: str) -> str:
    """As it is; the first one that succeeds is told always."""
    error = await real_reconcile(self, cause)
    if not error:
        Engine.reconcile = real_reconcile  # type: ignore[method-assign]
        around(Engine, "reconcile", after=lambda *_: "after-reconcile")
        os.write(LINE, b"settled\n")
    return error


Engine.reconcile = reconcile  # type: ignore[method-assign]
around(Run, "run", before="planning")
around(Tools, "move", after=lambda tools, change, state: str(state))
around(Store, "prepare", after=lambda *_: "after-prepare")
around(Guard, "arm", before="before-arm")
around(Guard, "advance", after=lambda guard, state: f"after-record-{state}")
around(Guard, "confirm", before="before-verdict", after=lambda *_: "after-verdict")
around(Guard, "claim_revert", before="before-revert-verdict", after=lambda *_: "after-revert-verdict")
around(Store, "commit", after=lambda *_: "after-commit")
around(Guard, "write_outcome", after=lambda *_: "after-outcome")
around(Journal, "append", after=lambda journal, entry: f"after-journal-{entry.get('event')}")
around(Guard, "finish", after=lambda *_: "after-finish")

sys.exit(main())
