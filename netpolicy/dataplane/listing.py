"""What `nft -j list table` says, made comparable: handles, counts and generations removed.

Two listings are compared with each other, never a listing with a text: nft rewrites what
it prints. Never talks to the kernel. JSON schema: libnftables-json(5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from netpolicy.dataplane import names
from netpolicy.dataplane.script import is_staged
from netpolicy.dataplane.staging import Difference

# Longest listing that is parsed: ten thousand rules need about 30 MB, ours must stay far below.
LIMIT = 64 << 20

# One encoder for all: json.dumps makes a new one whenever the keys are to be sorted. What json.loads
# gave cannot contain itself.
_encoded = json.JSONEncoder(sort_keys=True, check_circular=False).encode

_decoded = json.JSONDecoder().raw_decode

# What stands before the first object and after each; group 1 is "]" where there are no more.
_HEAD = re.compile(r'\s*\{\s*"nftables"\s*:\s*\[\s*(?:(\])\s*\}\s*\Z)?')
_BETWEEN = re.compile(r"\s*(?:,\s*|(\])\s*\}\s*\Z)")

Found = TypeVar("Found")


class UnreadableListing(Exception):
    """nft printed something that is not the documented JSON."""


@dataclass(frozen=True, slots=True)
class LoadedChain:
    """`hook` identifies a base chain (type, hook, priority, policy); `rules` are canonical JSON texts."""

    hook: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """A table as loaded. Keys are names as loaded, with generation."""

    chains: dict[str, LoadedChain]
    counters: dict[str, tuple[int, int]]  # packets, bytes
    elements: dict[str, str]  # the map `restore`: key → verdict as canonical JSON
    has_map: bool
    foreign: tuple[str, ...] = ()  # objects of kinds that we never make
    flags: str = ""  # "dormant" switches a whole table off; ours never has any

    @property
    def is_ours(self) -> bool:
        """Whether some version of us made this table."""
        return any(name.startswith(names.SCHEMA[:10]) for name in self.chains)

    def generation(self, staged: str) -> int:
        """The generation of a staged chain that is in force, 0 when none is."""
        front = {"g_forwarded": "classify", "g_own": "classify_own"}[staged]
        for rule in self.chains.get(front, LoadedChain("", ())).rules:
            for name in self.chains:
                if names.without_generation(name) == staged and f'"{name}"' in rule:
                    return names.generation_of(name)
        return 0

    @property
    def highest_generation(self) -> int:
        """The highest generation number in the table, in force or left behind."""
        return max((names.generation_of(name) for name in self.chains), default=0)


def parse(text: str) -> Listing | None:
    """The listing in the output of `nft -j list table inet netpolicy`; None for an empty document."""
    return _read(text, _collect)


def parse_flagged(text: str) -> Listing | None:
    """The names and flags in the plain output of `nft -t list table`; None where the table has no flags.

    nft 1.0.6 ends its JSON in the middle when a table has flags. Such a table is rebuilt anyway,
    so whose it is and that it has flags is all that has to be known.
    """
    flags = [line.split(None, 1)[1] for line in text.splitlines() if line.startswith("\tflags ")]
    if not flags:
        return None
    chains = [line.split()[1] for line in text.splitlines() if line.startswith("\tchain ")]
    return Listing({name: LoadedChain("", ()) for name in chains}, {}, {}, False, flags=flags[0])


def parse_counters(text: str) -> dict[str, tuple[int, int]]:
    """Packets and bytes by name in the output of `nft -j list counters table inet netpolicy`."""
    return _read(text, _counters)


def _read(text: str, collect: Callable[[Iterable[dict[str, Any]]], Found]) -> Found:
    if len(text) > LIMIT:
        raise UnreadableListing("the listing of our table is too long")
    try:
        return collect(_objects(text))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableListing(f"nft printed JSON that cannot be read: {error!r}") from error


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """One object after the other: all at once they take ten times the memory of the text. Raises ValueError."""
    place = _HEAD.match(text)
    while place is not None and place[1] != "]":
        item, position = _decoded(text, place.end())
        yield item
        place = _BETWEEN.match(text, position)
    if place is None:
        raise ValueError("not a document of nft")


def _counters(objects: Iterable[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    found = [item["counter"] for item in objects if "counter" in item]
    return {value["name"]: (value["packets"], value["bytes"]) for value in found}


def _collect(objects: Iterable[dict[str, Any]]) -> Listing | None:
    hooks: dict[str, str] = {}
    rules: dict[str, list[str]] = {}
    counters = {}
    elements: dict[str, str] = {}
    has_map = found = False
    foreign = []
    flags = ""
    for item in objects:
        for kind, value in item.items():
            if kind == "table":
                found = True
                flags = json.dumps(value["flags"]) if "flags" in value else ""
            elif kind == "chain":
                parts = ("type", "hook", "prio", "policy")
                hooks[value["name"]] = " ".join(str(value[part]) for part in parts if part in value)
            elif kind == "rule":
                rules.setdefault(value["chain"], []).append(_canonical_rule(value))
            elif kind == "counter":
                counters[value["name"]] = (value["packets"], value["bytes"])
            elif kind == "map" and value["name"] == "restore":
                has_map = True
                elements = {f"{key:#010x}": json.dumps(verdict) for key, verdict in value.get("elem", ())}
            elif kind != "metainfo":
                foreign.append(f"{kind} {value.get('name', '')}")
    if not found:
        return None
    chains = {name: LoadedChain(hook, tuple(rules.get(name, ()))) for name, hook in hooks.items()}
    return Listing(chains, counters, elements, has_map, tuple(foreign), flags)


def _canonical_rule(rule: dict[str, Any]) -> str:
    comment = rule.get("comment", "")
    text = _encoded({"expr": rule["expr"], "comment": comment})
    # Few rules have a set, and walking a rule costs more than writing it.
    return _encoded({"expr": _sorted_sets(rule["expr"]), "comment": comment}) if '"set": [' in text else text


def _sorted_sets(value: Any) -> Any:
    """Anonymous sets are listed in hash order: sort them."""
    if isinstance(value, dict):
        result = {key: _sorted_sets(part) for key, part in value.items()}
        if isinstance(result.get("set"), list):
            result["set"] = sorted(result["set"], key=_encoded)
        return result
    if isinstance(value, list):
        return [_sorted_sets(part) for part in value]
    return value


def difference(wanted: Listing, loaded: Listing | None) -> Difference:
    """What has to change so that the loaded table lists like the wanted one (from a rehearsal)."""
    if loaded is None or names.SCHEMA not in loaded.chains or loaded.flags != wanted.flags:
        return Difference(rebuild=True)
    if _cannot_be_changed_in_place(wanted, loaded):
        return Difference(rebuild=True)
    want = {names.without_generation(name): chain for name, chain in wanted.chains.items()}
    generations = {name: loaded.generation(name) for name in want if is_staged(name)}
    in_force = {_at(name, generations.get(name, 0)) for name in want}
    missing, changed, stale = [], [], []
    for name, chain in want.items():
        live = loaded.chains.get(_at(name, generations.get(name, 0)))
        if live is None:
            missing.append(name)
        elif _plain(live) != _plain(chain):
            changed.append(name)
            if is_staged(name):
                stale.append(_at(name, generations[name]))
    stale += [name for name in loaded.chains if name not in in_force]
    return Difference(
        missing_counters=_without(wanted.counters, loaded.counters),
        stale_counters=_without(loaded.counters, wanted.counters),
        missing_elements=_without(wanted.elements, loaded.elements),
        stale_elements=_without(loaded.elements, wanted.elements),
        missing_chains=tuple(missing),
        changed_chains=tuple(changed),
        stale_chains=tuple(stale),
        no_map=wanted.has_map and not loaded.has_map,
        generations={name: number for name, number in generations.items() if number},
    )


def _plain(chain: LoadedChain) -> tuple[str, ...]:
    """The rules with every mention of a staged chain's generation removed."""
    return tuple(_drop_generations(rule) for rule in chain.rules)


def _drop_generations(rule: str) -> str:
    head, target, rest = rule.partition('{"target": "g')
    if not target:
        return rule
    name, quote, tail = rest.partition('"')
    return head + '{"target": "' + names.without_generation("g" + name) + quote + tail


def _cannot_be_changed_in_place(wanted: Listing, loaded: Listing) -> bool:
    """A base chain's hook, or what a class number means: the latter after another mark mask only."""
    return any(
        name in loaded.chains and loaded.chains[name].hook != chain.hook
        for name, chain in wanted.chains.items()
        if chain.hook
    ) or any(loaded.elements.get(key, verdict) != verdict for key, verdict in wanted.elements.items())


def _at(name: str, generation: int) -> str:
    return f"g{generation}_{name[2:]}" if is_staged(name) else name


def _without(names_: Any, others: Any) -> tuple[str, ...]:
    return tuple(sorted(name for name in names_ if name not in others))
