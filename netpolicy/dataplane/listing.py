"""What `nft -t -j list table` says, made comparable: chains, rules and how sets are declared, without handles.

Two listings are compared with each other, never a listing with a text: nft rewrites what
it prints. Never talks to the kernel. JSON schema: libnftables-json(5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from netpolicy.dataplane import names
from netpolicy.dataplane.chains import HITS
from netpolicy.dataplane.staging import Difference
from netpolicy.dataplane.table import SLOTS

# Longest listing that is parsed: ten thousand rules need about 30 MB, ours must stay far below.
LIMIT = 64 << 20

# One encoder for all: json.dumps makes a new one whenever the keys are to be sorted. What json.loads
# gave cannot contain itself.
_encoded = json.JSONEncoder(sort_keys=True, check_circular=False).encode

_decoded = json.JSONDecoder().raw_decode

# What stands before the first object and after each; group 1 is "]" where there are no more.
_HEAD = re.compile(r'\s*\{\s*"nftables"\s*:\s*\[\s*(?:(\])\s*\}\s*\Z)?')
_BETWEEN = re.compile(r"\s*(?:,\s*|(\])\s*\}\s*\Z)")

# Which nft printed it: always the first object.
_VERSION = re.compile(r'\s*\{"nftables": \[\{"metainfo": \{"version": "(\d+)\.(\d+)(?:\.(\d+))?')

# A set's name where a rule asks it.
_REFERENCE = re.compile(r'"@(\w+)"')

# What of a set's listing says how it was declared.
DECLARED = ("type", "map", "flags", "stmt", "size", "timeout", "policy")

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
    """A table as loaded, without the elements of its sets."""

    chains: dict[str, LoadedChain]
    sets: dict[str, str]  # how it was declared, as canonical JSON
    foreign: tuple[str, ...] = ()  # objects of kinds that we never make
    flags: str = ""  # "dormant" switches a whole table off; ours never has any

    @property
    def is_ours(self) -> bool:
        """Whether some version of us made this table."""
        return any(name.startswith(names.SCHEMA[:10]) for name in self.chains)

    @property
    def slot(self) -> str:
        """Which of the two versions of the label sets the rules ask, "" for none."""
        for chain in self.chains.values():
            for rule in chain.rules:
                for slot in SLOTS:
                    if f'"@{HITS}_{slot}"' in rule:
                        return slot
        # With rules on file and none that stands, nothing asks.
        return next((slot for slot in SLOTS if f"{HITS}_{slot}" in self.sets), "")

    def renamed(self, new: Mapping[str, str]) -> Listing:
        """The same table with other names for some sets."""

        def rule(text: str) -> str:
            for name in set(_REFERENCE.findall(text)):
                text = text.replace(f'"@{name}"', f'"@{new.get(name, name)}"')
            return text

        chains = {
            name: LoadedChain(chain.hook, tuple(rule(text) for text in chain.rules))
            for name, chain in self.chains.items()
        }
        return Listing(
            chains, {new.get(name, name): held for name, held in self.sets.items()}, self.foreign, self.flags
        )


def parse(text: str) -> Listing | None:
    """The listing in the output of `nft -t -j list table inet netpolicy`; None for an empty document."""
    return _read(text, _collect)


def parse_ours(text: str) -> Listing | None:
    """Our table in the output of `nft -t -j list ruleset inet`; None where it is not there."""
    return _read(text, lambda objects: _collect(_of_table(objects, names.TABLE)))


def version(text: str) -> tuple[int, int, int] | None:
    """Which nft printed this JSON, None where it does not say."""
    found = _VERSION.match(text)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def parse_flagged(text: str) -> Listing | None:
    """The names and flags in the plain output of `nft -t list table`; None where the table has no flags.

    nft 1.0.6 ends its JSON in the middle when a table has flags. Such a table is rebuilt anyway,
    so whose it is and that it has flags is all that has to be known.
    """
    flags = [line.split(None, 1)[1] for line in text.splitlines() if line.startswith("\tflags ")]
    if not flags:
        return None
    chains = [line.split()[1] for line in text.splitlines() if line.startswith("\tchain ")]
    return Listing({name: LoadedChain("", ()) for name in chains}, {}, flags=flags[0])


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


def _of_table(objects: Iterable[dict[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    for item in objects:
        for kind, value in item.items():
            if value.get("name" if kind == "table" else "table") == name:
                yield item


def _collect(objects: Iterable[dict[str, Any]]) -> Listing | None:
    hooks: dict[str, str] = {}
    rules: dict[str, list[str]] = {}
    sets: dict[str, str] = {}
    found = False
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
            elif kind in ("set", "map"):
                sets[value["name"]] = _encoded({part: value[part] for part in DECLARED if part in value})
            elif kind != "metainfo":
                foreign.append(f"{kind} {value.get('name', '')}")
    if not found:
        return None
    chains = {name: LoadedChain(hook, tuple(rules.get(name, ()))) for name, hook in hooks.items()}
    return Listing(chains, sets, tuple(foreign), flags)


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
    """What has to change so that the loaded table lists like the wanted one (from a rehearsal); no elements."""
    if loaded is None or names.SCHEMA not in loaded.chains or loaded.flags != wanted.flags:
        return Difference(rebuild=True)
    if _cannot_be_changed_in_place(wanted, loaded):
        return Difference(rebuild=True)
    there = loaded.chains
    return Difference(
        missing_sets=_without(wanted.sets, loaded.sets),
        stale_sets=_without(loaded.sets, wanted.sets),
        missing_chains=tuple(name for name in wanted.chains if name not in there),
        changed_chains=tuple(
            name for name, chain in wanted.chains.items() if name in there and there[name].rules != chain.rules
        ),
        stale_chains=_without(there, wanted.chains),
        stale_hooks=tuple(name for name in _without(there, wanted.chains) if there[name].hook),
    )


def _cannot_be_changed_in_place(wanted: Listing, loaded: Listing) -> bool:
    """A base chain's hook, or what a set of this name can hold."""
    return any(
        name in loaded.chains and loaded.chains[name].hook != chain.hook
        for name, chain in wanted.chains.items()
        if chain.hook
    ) or any(loaded.sets.get(name, held) != held for name, held in wanted.sets.items())


def _without(names_: Iterable[str], others: Container[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names_ if name not in others))
