"""What the learned sets held, as a file in the state folder (RAM): for a kernel that lost them while no daemon ran.

Read strictly, with a limit: what is no line of ours is left out. Times are those of the clock that counts from the
boot, so that a file of another boot says nothing. A line: the set, the address in hex digits, the second it ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping

from netpolicy.dataplane.learned_sets import LONGEST_SECONDS, is_learned
from netpolicy.dataplane.nft_element import Element
from netpolicy.observe import durable

NAME = "learned"
LIMIT = 4 << 20
BOOT = "/proc/sys/kernel/random/boot_id"


def write(folder: str, held: Iterable[tuple[str, bytes, float]]) -> None:
    """Set, key and seconds left of each address. Raises OSError."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    lines = [f"{name} {key.hex()} {now + left:.0f}\n" for name, key, left in held]
    durable.replace(os.path.join(folder, NAME), "".join([_boot() + "\n", *lines]).encode())


def read(folder: str) -> dict[str, list[Element]]:
    """What was written, with the time that is left, by set; {} where there is nothing of use."""
    try:
        lines = durable.read_plain(os.path.join(folder, NAME), LIMIT).decode("ascii", "replace").split("\n")
    except OSError:
        return {}
    if lines[0] != _boot():
        return {}
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    found: dict[str, list[Element]] = {}
    for line in lines[1:]:
        name, _, rest = line.partition(" ")
        element = _element(name, rest.partition(" "), now)
        if element is not None:
            found.setdefault(name, []).append(element)
    return found


def missing(kept: Mapping[str, list[Element]], contents: Mapping[str, list[Element]]) -> dict[str, list[Element]]:
    """What was kept of sets that are there and hold nothing now."""
    return {name: elements for name, elements in kept.items() if name in contents and not contents[name]}


def _element(name: str, rest: tuple[str, str, str], now: float) -> Element | None:
    try:
        key, left = bytes.fromhex(rest[0]), int(rest[2]) - now
    except ValueError:
        return None
    size = 4 if name.endswith("4") else 16
    if not is_learned(name) or len(key) != size or not 1 <= left <= LONGEST_SECONDS:
        return None
    return Element(key, timeout_ms=int(left * 1000))


def _boot() -> str:
    try:
        with open(BOOT, encoding="ascii") as file:
            return file.read(64).strip()
    except OSError:
        return "unknown"
