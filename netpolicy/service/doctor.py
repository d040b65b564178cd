"""Looks at the whole box and says what is wrong and what to do: `netpolicy doctor`.

Runs where the tool runs, or in a child of the daemon that ends with it, so that nothing stays in memory. Changes
nothing; an area that cannot be looked at is a finding, and the others are looked at all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from netpolicy.service.doctor_finding import WARNING, Finding, document, fine, found
from netpolicy.service.doctor_given import Given, guard_program
from netpolicy.service.doctor_system import System
from netpolicy.service.left_out import left_out, refusal

if TYPE_CHECKING:
    from netpolicy.service.engine import Engine

# In the order of the areas.
CHECKS = ("daemon", "kernel", "forwarding", "firewall", "dnsmasq", "collisions", "clock", "store", "guard", "memory",
          "lines", "lists", "inspector")  # fmt: skip

# More than everything may take together (doctor_system.py); a caller on the bus waits 30 seconds.
CHILD_SECONDS = 28.0


def examine(system: System, given: Given) -> dict[str, Any]:
    """The document: findings, the worst first, and a summary."""
    return document(_findings(system, given))


def _findings(system: System, given: Given) -> Iterator[Finding]:
    is_whole = True
    for name in CHECKS:
        why = "there was no time left for it"
        if not system.is_over:
            try:
                yield from import_module(f"netpolicy.service.doctor_{name}").examine(system, given)
                continue
            except Exception as fault:  # noqa: BLE001 - the border of an area: a broken box breaks more than was thought of
                why = f"{type(fault).__name__}: {fault}"
        is_whole = False
        yield found("ND106", WARNING, f"{name}: {why}")
    if is_whole:
        yield fine("ND106")


async def examine_beside(engine: Engine, inspector: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The same for a running daemon, in a child of it. `inspector` is that part of `status`. Raises ChildFailed."""
    import asyncio  # what the tool does without

    from netpolicy.dataplane.rehearsal_child import in_child
    from netpolicy.service.loading import importing

    given = given_by(engine, inspector)
    async with importing():
        # It has forked at its first step, which is before it waits for anything.
        examining = asyncio.get_running_loop().create_task(in_child(partial(_report, given), CHILD_SECONDS))
        await asyncio.sleep(0)
    try:
        told: dict[str, Any] = json.loads(await examining)
    except asyncio.CancelledError:
        examining.cancel()
        raise
    return told


def _report(given: Given) -> bytes:
    return json.dumps(examine(System(), given)).encode()


def given_by(engine: Engine, inspector: Mapping[str, Any] | None = None) -> Given:
    """What a running daemon knows."""
    return Given(
        engine.ruleset, engine.places.config, engine.places.state, engine.places.store, guard_program(),
        config_error=engine.config_error, kernel_error=engine.in_force.error, warnings=tuple(engine.warnings),
        skipped=tuple([one.text for one in left_out(engine.loaded)]),
        logical=engine.view.logical, inspector=inspector,
    )  # fmt: skip


def given_by_files(why_not: str, config: str, state: str, store: str) -> Given:
    """What the files say, where no daemon can be asked; `why_not` says why."""
    from netpolicy.config.load import load
    from netpolicy.core.model import Ruleset

    loaded = load(config)
    errors = [one for one in loaded.diagnostics if one.severity == "error"]
    is_refused = loaded.fatal or loaded.blocked_skip or (errors and not loaded.skipped)
    error = refusal(loaded) if is_refused else ""
    ruleset = Ruleset() if loaded.fatal else loaded.ruleset
    skipped = tuple([one.text for one in left_out(loaded)])
    return Given(ruleset, config, state, store, guard_program(), why_not, config_error=error, skipped=skipped)
