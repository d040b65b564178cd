"""The names of our kernel objects: lower case, prefix first, at most 31 characters.

The same input gives the same name on every machine. Never a bare word: short generated
names such as "fwd" are nft keywords. Prefixes: docs/dataplane.md.
"""

from __future__ import annotations

import hashlib
import re

TABLE = "netpolicy"
FAMILY = "inet"

# Marks the table as ours and as of this layout; another number means "rebuild it whole".
SCHEMA = "np_schema_1"

LONGEST = 31  # nft's oldest limit on names, and dnsmasq's

GENERATIONS = 999

_GENERATION = re.compile(r"^g[0-9]{1,3}_")

# 40 bits: among the most rules that a configuration may have, two equal ones are not to be expected.
_DIGITS = 10
_LOOKS_CUT = re.compile(r"_[0-9a-f]{10}$")


def kernel_name(prefix: str, name: str) -> str:
    """`prefix_name`, cut with ten hex digits of the full name's hash where it is too long or not lower case.

    A name that looks like the result of a cut is cut too, so that no name can take another's.
    """
    plain = f"{prefix}_{name}"
    if len(plain) <= LONGEST and plain == plain.lower() and not _LOOKS_CUT.search(plain):
        return plain
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
    return f"{plain.lower()[: LONGEST - _DIGITS - 1]}_{digest}"


def rule_chain(name: str) -> str:
    """The chain of one rule: count, log, on to its class."""
    return kernel_name("r", name)


def counter(name: str) -> str:
    """The named counter of one rule."""
    return kernel_name("c", name)


def saving_chain(number: int) -> str:
    """The chain that writes a class into the conntrack mark."""
    return f"m_{number:02}"


def arriving_chain(number: int) -> str:
    """The chain that writes a class into the conntrack mark only, for what a line brought in."""
    return f"s_{number:02}"


def marking_chain(number: int) -> str:
    """The chain that writes a class into the packet mark."""
    return f"k_{number:02}"


def without_generation(name: str) -> str:
    """`g12_forwarded` as `g_forwarded`: the same object whatever its generation."""
    return _GENERATION.sub("g_", name)


def generation_of(name: str) -> int:
    """The generation number in a name, 0 when it has none."""
    found = _GENERATION.match(name)
    return int(found.group()[1:-1]) if found else 0


def next_generation(current: int) -> int:
    """The number after `current`, wrapping at 999."""
    return current % GENERATIONS + 1
