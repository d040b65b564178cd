"""The files by which a shell without Python leads the kernel back to what is in force now, from any state.

Values in, texts out; never reads or writes anything. What loads them, in which order and what it checks:
files/usr/lib/netpolicy/guard; why: docs/guard.md. Syntax: nft(8) 1.0.6, ip-route(8), ip-rule(8).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netpolicy.core.address import V4, V6, format_range
from netpolicy.core.evaluate import UNSTEERED, UNSTEERED_PORTS
from netpolicy.dataplane import names, queue_lines, script, shaping
from netpolicy.dataplane.chains import MARK_PRIORITY
from netpolicy.dataplane.limits import Shaped
from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.routing import Routing
from netpolicy.dataplane.sets import KernelSet
from netpolicy.dataplane.shape import FAMILY_WORD
from netpolicy.dataplane.state import IPV4, IPV6
from netpolicy.dataplane.table import Table

# A table of its own, so that it stands while ours is taken away and made anew.
GATE = f"{names.FAMILY} netpolicy_gate"

# nft needs about 1 900 bytes for each element of a text: 8 MB for these, which a router has.
MOST_AT_ONCE = 4096
# What one later text holds; as many as one netlink batch of the daemon's.
CHUNK = 2000

# Connections that nobody decided yet. Neighbour discovery is not tracked, and let through before this.
NEW = "ct state new,invalid,untracked"
AFTER_OURS = "mangle + 2"
TO_THE_ROUTER = "fib daddr type { local, broadcast, anycast, multicast } accept"


@dataclass(frozen=True, slots=True)
class InForce:
    """What the kernel does now, as the daemon wrote it: to this the bundle leads back.

    `counters`: packets and bytes by rule, as Kernel.counters tells them; `queues`: what stands on the devices;
    `learned`: what the sets hold that others fill, by set.
    """

    policy: Policy
    table: Table
    routing: Routing
    counters: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    queues: shaping.Observed = field(default_factory=lambda: shaping.Observed({}, {}))
    learned: Mapping[str, list[Element]] = field(default_factory=dict)

    @property
    def is_sealed(self) -> bool:
        """Whether packets of some line must never leave by another."""
        return bool(self.policy.forbidden)


def render(old: InForce | None, candidate: Sequence[Shaped] = (), with_tc: bool = True) -> dict[str, str]:
    """The bundle's texts by their path in its folder; None: nothing of ours is in force, all of it is removed.

    `candidate`: the queues of the change; `with_tc`: whether there is a tc that can lead queues back (`queue`). Where
    they cannot be, or are not what they were, police.nft makes limits hold by dropping.

    table.nft is our whole table without the line that removes what stands there: the guard puts in front of it
    either the removal or, where long sets are to stay, what takes out all else. stage/ holds long sets that are
    named after their content, so that they may be loaded at any time; late/ what belongs to the moment after the
    switch; kept the names of the sets in stage/; loose those of sets that fill by themselves, which stay where they
    stand and of which learned/ has what they held. Raises ValueError for a device name that is not one word.
    """
    if old is None:
        nothing = dict.fromkeys(("table.nft", "kept", "loose", "gate.nft", "police.nft"), "")
        queue = {"queue": ""} if with_tc else {}
        return {**nothing, "rescue.nft": script.removal_text(), **queue, **_routing(Routing())}
    now, later = _parted(old.table)
    staged = [one for one in later if one.interval]
    files = {
        "table.nft": _table(old, now),
        "kept": "".join([f"{name}\n" for name in [one.name for one in staged] + _many(old)]),
        "loose": "".join([f"{one.name}\n" for one in old.table.sets if one.timeout]),
        "police.nft": queue_lines.dropping_text(
            old.policy, () if with_tc else queue_lines.untouched(old.policy.shaped, candidate)
        ),
        "gate.nft": gate_text(old.policy, old.table),
        "rescue.nft": rescue_text(old.policy),
        **_routing(old.routing),
    }
    files.update(_numbered("stage", staged, old.counters))
    files.update(_numbered("late", [one for one in later if not one.interval], old.counters))
    files.update(_learned(old))
    if with_tc:
        files["queue"] = queue_lines.text(old.policy.shaped, old.queues)
    return files


def _parted(table: Table) -> tuple[set[str], list[KernelSet]]:
    """The names of the sets that are filled by the switch itself, and those that are filled in steps.

    Of what open connections ask (`restore`) nothing may ever be missing. All else is asked for new connections
    only, which wait behind the gate.
    """
    now = {one.name for one in table.sets if one.name == "restore"}
    later = []
    room = MOST_AT_ONCE
    for one in sorted(table.sets, key=lambda one: (len(one.elements), one.name)):
        room -= len(one.elements)
        if one.name in now:
            continue
        if room >= 0:
            now.add(one.name)
        else:
            later.append(one)
    return now, later


def _table(old: InForce, filled: set[str]) -> str:
    table = old.table
    lines = [f"add table {script.TABLE}\n"]
    lines.extend([script.declare(name, table.chains[name]) for name in table.order])
    for one in table.sets:
        lines.append(f"add {one.declaration}\n")
        if one.name in filled:
            lines.extend([_add(one, chunk) for chunk in _chunks(one, old.counters)])
    lines.extend([script.fill(name, table.chains[name]) for name in table.order if table.chains[name].rules])
    return "".join(lines)


def _many(old: InForce) -> list[str]:
    """Sets that fill by themselves, where nft has no memory for a list of what they hold."""
    held = sum([len(one) for one in old.learned.values()])
    return [one.name for one in old.table.sets if one.timeout] if held > MOST_AT_ONCE else []


def _learned(old: InForce) -> dict[str, str]:
    """One text per chunk of addresses that were learned, with the time that is left to each."""
    files: dict[str, str] = {}
    timeouts = {one.name: one.timeout for one in old.table.sets if one.timeout and not one.dynamic}
    for name, elements in sorted(old.learned.items()):
        for first in range(0, len(elements) if name in timeouts else 0, CHUNK):
            chunk = [_address(one, timeouts[name]) for one in elements[first : first + CHUNK]]
            files[f"learned/{len(files) + 1:05}.nft"] = f"add element {script.TABLE} {name} {{ {', '.join(chunk)} }}\n"
    return files


def _address(one: Element, usual: int) -> str:
    address = socket.inet_ntop(socket.AF_INET if len(one.key) == 4 else socket.AF_INET6, one.key)
    timeout = max(one.timeout_ms // 1000, 1) if one.timeout_ms else usual
    left = min(max(one.expires_ms // 1000, 1), timeout) if one.expires_ms else timeout
    return f"{address} timeout {timeout}s expires {left}s"


def _numbered(folder: str, sets: list[KernelSet], counters: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    """One text per chunk, each complete in itself: it declares what it fills, which may be there already."""
    files: dict[str, str] = {}
    for one in sets:
        for chunk in _chunks(one, counters):
            text = f"add table {script.TABLE}\nadd {one.declaration}\n{_add(one, chunk)}"
            files[f"{folder}/{len(files) + 1:05}.nft"] = text
    return files


def _add(one: KernelSet, chunk: list[str]) -> str:
    return f"add element {script.TABLE} {one.name} {{ {', '.join(chunk)} }}\n"


def _chunks(one: KernelSet, counters: Mapping[str, tuple[int, int]]) -> Iterator[list[str]]:
    part: list[str] = []
    for element in one.elements:
        part.append(script.counted(one, element, counters))
        if len(part) == CHUNK:
            yield part
            part = []
    if part:
        yield part


def _routing(routing: Routing) -> dict[str, str]:
    files = {}
    for family in (IPV4, IPV6):
        # Without the two lines that flush: what is there stays while what is missing is added.
        lines = script.ip_batch(routing, family)[2:]
        for kind in ("route", "rule"):
            files[f"{kind}{family}"] = "".join([f"{line}\n" for line in lines if line.startswith(kind)])
    return files


def gate_text(policy: Policy, table: Table) -> str:
    """Closes the gate: new connections wait, and no packet of a sealed line leaves by another; "" needs none.

    A map of intervals that is made in a transaction finds nothing for some packets after it (3 to 6 at 60 000 a
    second): those would be decided as if no rule matched, and stay so. A refused first packet is sent again.
    What is meant for the router itself passes: who administers it is not cut off.
    """
    if not any(chain.header for chain in table.chains.values()):
        return ""
    lines = _new_table(GATE)
    for name, hook, head in (("pre", "prerouting", []), ("out", "output", _of_the_router())):
        lines.append(f"add chain {GATE} {name} {{ type filter hook {hook} priority mangle; policy accept; }}\n")
        lines.extend([f"add rule {GATE} {name} {rule}\n" for rule in (*head, TO_THE_ROUTER, f"{NEW} drop")])
    lines.extend(_lock(policy, GATE, "post", AFTER_OURS))
    return "".join(lines)


def rescue_text(policy: Policy) -> str:
    """What stands where the old table cannot be brought back: nothing, or a lock on what was sealed.

    Nobody can say any more which new connections those are: none leaves by a device that some sealed line must not
    use. Who is in the LAN reaches the router, and the other networks behind it.
    """
    text = script.removal_text()
    if not policy.forbidden:
        return text
    lines = [text, f"add table {script.TABLE}\n", f"add chain {script.TABLE} {names.SCHEMA}\n"]
    lines.extend(_lock(policy, script.TABLE, "rescue_np", MARK_PRIORITY))
    closed = ", ".join(f'"{device}"' for device in sorted({device for _, device in policy.forbidden}))
    rules = [*_unsteered(), f"oifname {{ {closed} }} {NEW} drop"]
    lines.extend([f"add rule {script.TABLE} rescue_np {rule}\n" for rule in rules])
    return "".join(lines)


def _new_table(table: str) -> list[str]:
    return [f"add table {table}\ndelete table {table}\nadd table {table}\n"]


def _lock(policy: Policy, table: str, chain: str, priority: str) -> list[str]:
    """The second lock once more, by the mark of the connection: that of the packet may be missing."""
    if not policy.forbidden:
        return []
    marks = policy.marks
    pairs = ", ".join(f'{marks.bits(number):#010x} . "{device}"' for number, device in policy.forbidden)
    rules = []
    for family in (V4, V6):
        near = [subnet for subnet in policy.near if (":" in subnet) == (family == V6)]
        if near:
            rules.append(f"{FAMILY_WORD[family]} daddr {{ {', '.join(near)} }} accept")
    rules.append(f"ct mark & {marks.class_mask:#010x} . oifname {{ {pairs} }} drop")
    hook = f"type filter hook postrouting priority {priority}; policy accept;"
    return [
        f"add chain {table} {chain} {{ {hook} }}\n",
        *[f"add rule {table} {chain} {rule}\n" for rule in rules],
    ]


def _of_the_router() -> list[str]:
    return ['oifname "lo" accept', *_unsteered()]


def _unsteered() -> list[str]:
    """What no rule ever steers: the router needs it to stay in its networks."""
    rules = []
    for family in (V4, V6):
        texts = [format_range(family, low, high) for low, high, _ in UNSTEERED[family]]
        rules.append(f"{FAMILY_WORD[family]} daddr {{ {', '.join(texts)} }} accept")
    ports = ", ".join(f"{source} . {destination}" for _, source, destination in UNSTEERED_PORTS)
    rules.append(f"meta l4proto udp th sport . th dport {{ {ports} }} accept")
    rules.append("icmpv6 type { 133, 134, 135, 136, 137 } accept")
    return rules
