"""Measures what rules cost, as ratios to a calibration in the same run; prints one JSON document.

Never asserts anything and never compares with another run: a person does. Kernel cases run
in a network namespace of their own and are left out, with the reason, where there is none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import netpolicy
from netpolicy.config.load import load_text
from netpolicy.core.address import parse_address
from netpolicy.core.evaluate import decide
from netpolicy.core.facts import Facts
from netpolicy.core.field import FIELDS
from netpolicy.core.model import Action, Rule, Ruleset
from netpolicy.dataplane import listing, script, staging
from netpolicy.dataplane.kernel import Kernel
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.nft import Nft
from netpolicy.dataplane.policy import Entry, Line, Policy
from netpolicy.dataplane.table import Table, build

SIZES = (10, 100, 1000)
SEED = 78
CLONE_NEWNET = 0x40000000

# A sample shorter than this is mostly the clock's own noise.
SAMPLE_SECONDS = 0.02

TCP = 6


@dataclass(frozen=True)
class Case:
    """`measure` and `calibrate` return seconds per call; the ratio is of two neighbours in time."""

    name: str
    measure: Callable[[], float]
    calibrate: Callable[[], float]
    calibration: str


Maker = Callable[[int], Case]


def main() -> int:
    """Runs the chosen cases; 0 always."""
    options = _options()
    _pin_to_one_core()
    makers, left_out = _cases(options.only)
    # Made one by one: the kernel cases share one table.
    results = [_run(make(size), options.rounds) for make, size in makers]
    json.dump({**_circumstances(options.rounds), "left_out": left_out, "cases": results}, sys.stdout, indent=1)
    print()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ratios to a calibration, as JSON.")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="pairs per case (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name contains this")
    return parser.parse_args()


def _pin_to_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _circumstances(rounds: int) -> dict[str, object]:
    nft = subprocess.run(["nft", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "netpolicy": netpolicy.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": platform.machine(),
        "kernel": platform.release(),
        "nft": nft,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "seed": SEED,
        "rounds": rounds,
    }


# -- measuring ------------------------------------------------------------------------------


def _run(case: Case, rounds: int) -> dict[str, object]:
    print(f"bench: {case.name}", file=sys.stderr)
    case.measure(), case.calibrate()  # the first time pays for what is built once
    pairs = [(case.measure(), case.calibrate()) for _ in range(rounds)]
    ratios = sorted(measured / base for measured, base in pairs)
    median = statistics.median(ratios)
    return {
        "name": case.name,
        "calibration": case.calibration,
        "ratio_median": round(median, 3),
        "ratio_p95": round(_quantile(ratios, 0.95), 3),
        "spread": round((_quantile(ratios, 0.9) - _quantile(ratios, 0.1)) / median, 3),
        "seconds_median": statistics.median(measured for measured, _ in pairs),
        "samples": [[measured, base] for measured, base in pairs],
    }


def _quantile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _repeated(call: Callable[[], object]) -> Callable[[], float]:
    """Seconds per call, over as many calls as make a sample long enough."""
    began = time.perf_counter()
    call()
    times = max(1, int(SAMPLE_SECONDS / max(time.perf_counter() - began, 1e-7)))

    def measure() -> float:
        start = time.process_time()
        for _ in range(times):
            call()
        return (time.process_time() - start) / times

    return measure


def _loop() -> int:
    """The calibration: a fixed piece of interpreter work, no allocation to speak of."""
    total = 0
    for number in range(10_000):
        total = (total * 31 + number) & 0xFFFFFFFF
    return total


# -- the rules ------------------------------------------------------------------------------


def _rules(count: int, salt: int = 0) -> tuple[Rule, ...]:
    """Rules as people have them: a network, tcp, a port; no two alike."""
    rng = random.Random(SEED + salt)
    result = []
    for number in range(count):
        fields = (
            FIELDS["dest_addr"]("dest_addr", (f"10.{number >> 8}.{number & 255}.0/24",)),
            FIELDS["proto"]("proto", ("tcp",)),
            FIELDS["dest_port"]("dest_port", (str(rng.randrange(1024, 60000)),)),
        )
        result.append(Rule(f"rule_{number}", count - number, fields, Action("route", "line")))
    return tuple(result)


def _last_one(rules: tuple[Rule, ...]) -> Facts:
    facts = Facts()
    number = len(rules) - 1
    facts.dest_addr = parse_address(f"10.{number >> 8}.{number & 255}.7")
    facts.proto, facts.family = TCP, 4
    port = rules[-1].field("dest_port")
    facts.dest_port = int(port.values[0]) if port else None
    return facts


def _policy(count: int, salt: int) -> Policy:
    entries = tuple(Entry(rule, 1) for rule in _rules(count, salt))
    return Policy(lines=(Line("line", 1, "lo"),), entries=entries)


def _table(count: int, salt: int) -> Table:
    return build(_policy(count, salt))


def _configuration(count: int) -> str:
    """The same rules as a program or LuCI writes them to /etc/config."""
    lines = ["config outbound 'line'", "\toption type 'direct'", ""]
    for rule in _rules(count):
        lines += [f"config rule '{rule.name}'", f"\toption priority '{rule.priority}'"]
        lines += [f"\tlist {field.name} '{value}'" for field in rule.fields for value in field.values]
        lines += [f"\toption route '{rule.action.target}'", ""]
    return "\n".join(lines)


# -- the cases ------------------------------------------------------------------------------


def _cases(only: str) -> tuple[list[tuple[Maker, int]], list[str]]:
    makers: list[tuple[str, Maker]] = [("decide", _decide), ("config", _config), ("render", _render)]
    left_out = []
    if reason := _no_namespace():
        left_out.append(f"plan, load: {reason}")
    else:
        makers += [("plan", _plan), ("load", _load)]
    return [(maker, size) for kind, maker in makers for size in SIZES if only in f"{kind}-{size}"], left_out


def _no_namespace() -> str:
    """Moves this process into a network namespace of its own; the reason when that cannot be."""
    import ctypes

    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        return f"no network namespace: {os.strerror(ctypes.get_errno())}"
    return ""


def _decide(count: int) -> Case:
    rules = _rules(count)
    ruleset, facts = Ruleset(rules), _last_one(rules)
    winner = decide(ruleset, facts).rule
    if winner is not rules[-1]:
        raise SystemExit(f"bench: decide-{count} measures the wrong thing: {winner} wins")
    measure = _repeated(lambda: decide(ruleset, facts))
    return Case(f"decide-{count}", measure, _repeated(_loop), "a loop of 10 000 additions")


def _config(count: int) -> Case:
    text = _configuration(count)
    loaded = load_text(text)
    if len(loaded.ruleset.rules) != count or loaded.diagnostics:
        raise SystemExit(f"bench: config-{count} measures the wrong thing: {loaded.diagnostics[:1]}")
    return Case(f"config-{count}", _repeated(lambda: load_text(text)), _repeated(_loop), "a loop of 10 000 additions")


def _render(count: int) -> Case:
    policy = _policy(count, 0)

    def render() -> str:
        table = build(policy)
        return script.full_text(table, script.all_at(table, 1))

    return Case(f"render-{count}", _repeated(render), _repeated(_loop), "a loop of 10 000 additions")


def _plan(count: int) -> Case:
    """What a reload asks first: the difference between the loaded table and other ports for every rule."""
    first, second = _policy(count, 0), _policy(count, 1)
    asyncio.run(_loaded(build(first)))
    netlink = open_netlink("builtin")

    def measure() -> float:
        kernel = Kernel(netlink)  # a new one: it has rehearsed nothing yet
        began = time.perf_counter()
        asyncio.run(kernel.plan(second))
        return time.perf_counter() - began

    return Case(f"plan-{count}", measure, _small_load, "the load of a table with one chain")


def _load(count: int) -> Case:
    """Between two tables with the same rules and other ports: every rule changes."""
    swap = _Swap(_table(count, 0), _table(count, 1))
    return Case(f"load-{count}", swap.measure, _small_load, "the load of a table with one chain")


def _small_load() -> float:
    """The calibration of the kernel cases: start nft, load next to nothing."""
    small = "add table inet calibration\nadd chain inet calibration one\nadd rule inet calibration one accept\n"
    began = time.perf_counter()
    asyncio.run(Nft().load(f"{small}delete table inet calibration\n"))
    return time.perf_counter() - began


class _Swap:
    """Loads one table and the other in turn; the listing in between is not measured."""

    def __init__(self, first: Table, second: Table) -> None:
        self._tables = (first, second)
        self._listings = [asyncio.run(_loaded(table)) for table in self._tables]
        self._at = 1
        self._generation = 1

    def measure(self) -> float:
        """Seconds for stage and swap."""
        return asyncio.run(self._measure())

    async def _measure(self) -> float:
        nft = Nft()
        self._at = 1 - self._at
        self._generation = self._generation % 999 + 1
        table = self._tables[self._at]
        difference = listing.difference(self._listings[self._at], await nft.list_table())
        texts = [make(table, difference, self._generation) for make in (staging.stage_text, staging.swap_text)]
        began = time.perf_counter()
        for text in texts:
            await nft.load(text)
        return time.perf_counter() - began


async def _loaded(table: Table) -> listing.Listing:
    nft = Nft()
    await nft.load(script.rebuild_text(table, 1))
    found = await nft.list_table()
    if found is None:
        raise SystemExit("bench: the table did not load")
    return found


if __name__ == "__main__":
    raise SystemExit(main())
