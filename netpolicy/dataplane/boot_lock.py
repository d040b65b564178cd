"""What the kernel gets at a boot before there is a network or a daemon: blocks, and locks of lines that must not leak.

Values in, texts out: the table in force, what its sets cannot say in a text, and for each sealed line its ip rule and
the unreachable route that it leads to. Never names a device in a route: none is there yet. Loaded by
files/usr/lib/netpolicy/guard; why: docs/guard.md.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import NamedTuple

from netpolicy import __version__
from netpolicy.core.address import V4, V6, format_address
from netpolicy.dataplane import boot_lists, learned_sets, names, script
from netpolicy.dataplane.chains import TO_ROUTER, to_router
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.routing import Routing, desired
from netpolicy.dataplane.state import IPV4, IPV6
from netpolicy.dataplane.table import build

TABLE, CLASSES, MADE = "table.nft", "classes.json", "made"
SUMS = "sums"  # of what a boot loads whole, as `sha256sum -c` reads them
ADDRESSES, DNSMASQ, FOLDERS = "addresses.nft", "dnsmasq.conf", "folders"
COPY = "copy."  # before the name of a copy of a fetched list

# What does not stand in the texts. 100 000 networks are 100 to 300 kB; so much again may be there for the generation
# before this one, and flash is small.
MOST_FURTHER = 1 << 20

# Of names; nft needs 2 kB of memory for each.
MOST_ADDRESSES = 4096

PER_LINE = 200


class Known(NamedTuple):
    """What the daemon knows beside the rules, and forgets at a boot: all of it is in RAM.

    `addresses` of names: set, key, seconds left; `dnsmasq` is what it reads of ours, in these `folders`; `copies` are
    those of fetched lists, by the names of their files; an empty one is too long.
    """

    addresses: tuple[tuple[str, bytes, float], ...] = ()
    dnsmasq: str = ""
    folders: tuple[str, ...] = ()
    copies: Mapping[str, bytes] = MappingProxyType({})


NOTHING = Known()


class Lock(NamedTuple):
    """`texts` are loaded whole or not at all; `further` is what may be missing without harm to the rest.

    `left_out`: the lists that have no room in it, those that close something, in words.
    """

    texts: dict[str, str]
    further: dict[str, bytes]
    left_out: tuple[str, ...] = ()


def lock(policy: Policy, numbers: Mapping[str, int], known: Known) -> Lock:
    """All that is kept for a boot; nothing where nothing is closed."""
    texts = render(policy, numbers)
    if not texts:
        return Lock({}, {})
    texts[MADE] = made(policy, known)
    further = _of_names(policy, known)
    room = MOST_FURTHER - sum([len(data) for data in further.values()])
    left_out: list[str] = []
    for one in boot_lists.long_lists(policy):
        found = dict(boot_lists.files(one.listed))
        size = sum([len(data) for data in found.values()])
        if size <= room:
            room -= size
            further.update(found)
        elif one.closes:
            left_out.append("that of " + ", ".join(one.rules))
    for name, data in sorted(known.copies.items(), key=lambda one: len(one[1])):
        if data and len(data) <= room:
            room -= len(data)
            further[COPY + name] = data
        else:
            left_out.append(name.partition(".")[0])
    return Lock(texts, further, tuple(left_out))


def made(policy: Policy, known: Known = NOTHING) -> str:
    """By what, for which devices and for which lists texts are made: stale where that has become another one."""
    rows = [f"netpolicy {__version__} {names.SCHEMA}", *[f"{name} {device}" for name, device in policy.device_names]]
    rows += [f"list {one.listed.name}" for one in boot_lists.long_lists(policy)]
    if known.dnsmasq and known.folders:
        rows.append(f"names {_digest(known.dnsmasq.encode())} {' '.join(known.folders)}")
    rows += [f"copy {name} {_digest(known.copies[name])}" for name in sorted(known.copies)]
    return "".join([f"{row}\n" for row in rows])


def is_stale(there: str, addresses: str, policy: Policy, known: Known) -> bool:
    """Whether these two texts, MADE and ADDRESSES, are others now; for how long addresses stay makes no difference."""
    now = _of_names(policy, known).get(ADDRESSES, b"").decode()
    return there != made(policy, known) or _TIMEOUT.sub("", addresses) != _TIMEOUT.sub("", now)


_TIMEOUT = re.compile(r" timeout [0-9]+h")


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]


def _of_names(policy: Policy, known: Known) -> dict[str, bytes]:
    """Only where a rule that closes asks for names: flash. Of those that pass none is known to be right any more."""
    bases = {
        learned_sets.base_name(field)
        for rule, closes in zip(policy.entries.rules, boot_lists.closing(policy), strict=True)
        for field in rule.fields
        if closes and field.name in learned_sets.FIELDS
    }
    found = {}
    held = [one for one in known.addresses if learned_sets.base_of(one[0]) in bases]
    if held:
        found[ADDRESSES] = _address_text(heapq.nlargest(MOST_ADDRESSES, held, key=lambda one: one[2])).encode()
    text = known.dnsmasq.encode()
    if bases and text and known.folders and len(text) <= MOST_FURTHER // 2:
        found[DNSMASQ] = text
        found[FOLDERS] = "".join([f"{folder}\n" for folder in known.folders]).encode()
    return found


def _address_text(held: Iterable[tuple[str, bytes, float]]) -> str:
    """In hours, and never for less than one: the time that the router is off is not known."""
    by_set: dict[str, list[str]] = {}
    for name, key, seconds in sorted(held):
        address = format_address(V4 if len(key) == 4 else V6, int.from_bytes(key, "big"))
        by_set.setdefault(name, []).append(f"{address} timeout {max(int(seconds // 3600), 1)}h")
    return "".join([line for name, elements in by_set.items() for line in _element_lines(name, elements)])


def _element_lines(name: str, elements: list[str]) -> Iterator[str]:
    for at in range(0, len(elements), PER_LINE):
        yield f"add element {script.TABLE} {name} {{ {', '.join(elements[at : at + PER_LINE])} }}\n"


def render(policy: Policy, numbers: Mapping[str, int]) -> dict[str, str]:
    """The files by name; none where nothing is sealed or blocked. `numbers`: the class of each outbound.

    Without its numbers the next daemon might give a class to another line than the connections of the boot carry.
    """
    sealed = [line for line in policy.lines if line.sealed]
    refused = (policy.marks.drop, policy.marks.reject)
    if not (sealed or any(policy.entries.blocks) or policy.default_forwarded in refused):
        return {}
    routing = _locks(policy, {line.number for line in sealed}, {line.table for line in sealed})
    found = {f"ip{family}": _batch(routing, family) for family in (IPV4, IPV6)}
    found[MADE] = made(policy)
    found[CLASSES] = json.dumps(dict(sorted(numbers.items()))) + "\n"
    table = build(policy)
    if TO_ROUTER in table.chains:
        # Who administers the router by a sealed line gets his answers by main: the table of the line knows not even
        # the subnet yet, and where no daemon comes he would be locked out for good.
        table.chains[TO_ROUTER] = to_router(policy, {line.number for line in sealed})
    found[TABLE] = script.full_text(table, script.MOST_AT_BOOT)
    sums = [f"{sha256(text.encode()).hexdigest()}  {name}\n" for name, text in found.items() if name != MADE]
    return found | {SUMS: "".join(sums)}


def _locks(policy: Policy, classes: set[int], tables: set[int]) -> Routing:
    """Of the routing what needs no device: to where a class leads, and that nothing is there yet."""
    every = desired(policy, ())
    marks = {policy.marks.bits(number) for number in classes}
    kept = {policy.table_base + number for number in tables}
    return Routing(
        frozenset([one for one in every.routes if one.kind != "unicast" and one.table in kept]),
        frozenset([one for one in every.rules if one.mark in marks and one.mask]),
    )


def _batch(routing: Routing, family: int) -> str:
    # Without the two lines that flush: nothing is there, and what is there stays.
    return "".join([f"{line}\n" for line in script.ip_batch(routing, family)[2:]])
