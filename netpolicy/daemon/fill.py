"""At a boot, before the network: puts the ranges of long lists into their sets, as the guard asks (`lock`).

Not the daemon: reads no configuration, and ends. Never fills a set that the table does not declare, nor from a file
that is not as it was written; says which. Files: dataplane/boot_lists.py; why nft does not do it: docs/guard.md.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable

from netpolicy.dataplane import boot_lists, packed
from netpolicy.dataplane.boot_lists import Part
from netpolicy.dataplane.names import TABLE
from netpolicy.dataplane.nft import NftError
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.sets import KernelSet, RangeElements
from netpolicy.observe import durable

# The network waits for this: 100 000 ranges take a second where one was measured.
MOST_SECONDS = 120

TYPES = {4: "ipv4_addr", 6: "ipv6_addr"}


def main(words: list[str]) -> int:
    """`words`: the folder. 0: all lists are in their sets; 1: not all, and stderr has a line for each reason."""
    if len(words) != 1:
        print("netpolicyd: --fill-sets takes one folder", file=sys.stderr)
        return 2
    signal.alarm(MOST_SECONDS)
    faults = fill(words[0])
    for one in faults:
        print(f"netpolicyd: {one}", file=sys.stderr)
    return 1 if faults else 0


def fill(folder: str) -> list[str]:
    """Why addresses of lists are not in their sets, a sentence each; what is whole is there all the same."""
    try:
        parts = {name: part for name in sorted(os.listdir(folder)) if (part := boot_lists.part_of(name)) is not None}
        with NftLink(TABLE) as link:
            declared = link.sets()
            faults = _missing(part for part in parts.values() if part.set_name in declared)
            for name, part in parts.items():
                if part.set_name in declared:
                    faults += _load(link, os.path.join(folder, name), part)
            return faults
    except (OSError, NftError) as error:
        return [f"no list is in its set: {error}"]


def _missing(parts: Iterable[Part]) -> list[str]:
    found: dict[str, set[int]] = {}
    counts: dict[str, int] = {}
    for part in parts:
        found.setdefault(part.set_name, set()).add(part.number)
        counts[part.set_name] = part.of
    return [f"{name}: {count - len(found[name])} of {count} files are missing"
            for name, count in counts.items() if len(found[name]) != count]  # fmt: skip


def _load(link: NftLink, path: str, part: Part) -> list[str]:
    try:
        data = durable.read_plain(path, boot_lists.LONGEST_FILE)
        ranges = boot_lists.unpack(os.path.basename(path), data)
        listed = KernelSet(part.set_name, (TYPES[part.family],), RangeElements(ranges), interval=True)
        link.load(part.set_name, packed.pack(listed))
    except (OSError, ValueError, NftError) as error:
        return [f"{path}: {error}; its addresses are not in their set"]
    return []
