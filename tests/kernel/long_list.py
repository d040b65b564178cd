"""Puts a list of 100 000 networks in force, in a process of its own, and prints as JSON what was seen.

A process of its own because the largest child that a process ever had is counted for its whole life.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import socket
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from netpolicy.core.field import parse_field
from netpolicy.core.list_content import Gathering
from netpolicy.core.model import Action, Rule
from netpolicy.core.named_list import Lists, NamedList
from netpolicy.dataplane import script
from netpolicy.dataplane.kernel import Kernel
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.nft import Nft
from netpolicy.dataplane.policy import Entry, Policy
from tests.netns import run
from tests.router import policy, router, rule

NETWORKS = 100_000
SIZE = 32  # addresses in each; as many are free behind it, so that nothing merges
FIRST = 11 << 24


def numbers(count: int) -> list[int]:
    """The first address of so many networks, in no order; the first and the last possible one are among them."""
    places = random.Random(4).sample(range(1, 1_600_000), count - 2)
    return [FIRST + place * 2 * SIZE for place in [1_600_000, *places, 0]]


def listed(starts: list[int]) -> Policy:
    """A policy with a rule by that list."""
    gathering = Gathering()
    for start in starts:
        assert gathering.take_plain(f"{address(start)}/27")
    lists = Lists((NamedList("long", file="long", read=gathering.finish()),))
    field = parse_field("dest_addr", ("@long",), lists)
    listing = Rule("listed", 10, (field,), Action("route", "wan_b"))
    return policy(Entry(listing, 2), Entry(rule("other", dest_port="9"), 1))


def address(number: int) -> str:
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def memory(what: str) -> float:
    """MiB of this process: VmRSS now, VmHWM at most."""
    with open("/proc/self/status") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith(what)) / 1024


# A child begins with the memory of its parent, and that counts as its own; so nft gets a smaller parent.
WATCHED = """#!{python} -SE
import os, resource, sys
child = os.posix_spawn({nft!r}, ["nft", *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(child, 0)
with open({peaks!r}, "a") as stream:
    stream.write(str(usage.ru_maxrss) + chr(10))
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Nfts:
    """The nft program, watched."""

    def __init__(self, folder: Path) -> None:
        self._peaks = folder / "peaks"
        self._program = folder / "nft"
        text = WATCHED.format(python=sys.executable, nft=shutil.which("nft"), peaks=str(self._peaks))
        self._program.write_text(text)
        self._program.chmod(0o755)

    def kernel(self) -> Kernel:
        return Kernel(open_netlink("builtin"), Nft(str(self._program)))

    def peak(self) -> float:
        """MiB of the largest one so far."""
        return max(map(int, self._peaks.read_text().split())) / 1024


async def hits(kernel: Kernel, *asked: int) -> list[int]:
    """How often the rule by the list was met by a first packet to each of the addresses: 0 or 1."""
    found = []
    for number in asked:
        before = (await kernel.counters())["listed"][0]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(b"x", (address(number), 9))
        found.append((await kernel.counters())["listed"][0] - before)
    return found


def sets() -> list[str]:
    """The names of the lists in the kernel."""
    words = run("nft", "-t", "list", "ruleset").split()
    return sorted(name for before, name in pairwise(words) if before == "set" and name[:2] == "l4")


async def main(nfts: Nfts) -> dict[str, object]:
    seen: dict[str, object] = {}
    starts = numbers(NETWORKS)
    wanted = listed(starts)
    seen["rss_before"] = memory("VmRSS")
    kernel = nfts.kernel()
    began = time.monotonic()
    plan = await kernel.plan(wanted)
    seen["plan_seconds"] = time.monotonic() - began
    began = time.monotonic()
    await kernel.apply(plan)
    seen["apply_seconds"] = time.monotonic() - began
    seen["nft"] = nfts.peak()
    seen["rss"], seen["peak"] = memory("VmRSS"), memory("VmHWM")
    seen["left_to_do"] = list((await kernel.plan(wanted)).changes)
    ordered = sorted(starts)
    inside = [ordered[0], ordered[-1], ordered[-1] + SIZE - 1, ordered[5000] + 7]
    outside = [ordered[0] - 1, ordered[0] + SIZE, ordered[-1] + SIZE, ordered[5000] - 1]
    seen["inside"], seen["outside"] = await hits(kernel, *inside), await hits(kernel, *outside)

    before = sets()
    changed = listed([start for start in starts if start != ordered[0]])
    plan = await kernel.plan(changed)
    seen["changes"] = list(plan.changes)
    began = time.monotonic()
    await kernel.apply(plan)
    seen["change_seconds"] = time.monotonic() - began
    seen["sets"] = [before, sets()]
    seen["changed"] = await hits(kernel, ordered[0], ordered[1])
    seen["nft_after_change"] = nfts.peak()
    seen["peak_after_change"] = memory("VmHWM")

    seen["left_for_another"] = list((await nfts.kernel().plan(changed)).changes)
    seen["peak_of_another"] = memory("VmHWM")

    text = script.full_text(plan.table, script.MOST_AT_BOOT)
    seen["boot_text"] = len(text)
    run("nft", "delete", "table", "inet", "netpolicy")
    run("nft", "-f", "-", text=text)
    run("nft", "-f", "-", text=text)  # a restart of the firewall while it is in force
    began = time.monotonic()
    later = nfts.kernel()
    seen["at_boot"] = await hits(later, ordered[1])
    plan = await later.plan(changed)
    seen["boot_changes"] = list(plan.changes)
    await later.apply(plan)
    seen["boot_seconds"] = time.monotonic() - began
    seen["after_boot"] = await hits(later, ordered[1], ordered[-1], ordered[0])
    seen["left_after_boot"] = list((await later.plan(changed)).changes)
    seen["nft_after_boot"] = nfts.peak()
    seen["peak_after_boot"] = memory("VmHWM")
    return seen


if __name__ == "__main__":
    with router(), tempfile.TemporaryDirectory() as folder:
        json.dump(asyncio.run(main(Nfts(Path(folder)))), sys.stdout)
