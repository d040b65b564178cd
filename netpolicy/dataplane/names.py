"""The names of our kernel objects: lower case, prefix first, at most 31 characters.

The same input gives the same name on every machine. Never a bare word: short generated
names such as "fwd" are nft keywords. Prefixes: docs/dataplane.md.
"""

import binascii
import hashlib

TABLE = "netpolicy"
FAMILY = "inet"

# Marks the table as ours and as of this layout; another number means "rebuild it whole".
SCHEMA = "np_schema_1"

LONGEST = 31  # nft's oldest limit on names, and dnsmasq's

GENERATIONS = 999

# 40 bits: among the most rules that a configuration may have, two equal ones are not to be expected.
_DIGITS = 10


def kernel_name(prefix: str, name: str) -> str:
    """`prefix_name`, cut with ten hex digits of the full name's hash where it is too long or not lower case.

    A name that looks like the result of a cut is cut too, so that no name can take another's.
    """
    plain = f"{prefix}_{name}"
    if len(plain) <= LONGEST and plain == plain.lower() and not _looks_cut(plain):
        return plain
    digest = binascii.hexlify(hashlib.sha256(name.encode()).digest()).decode()[:_DIGITS]
    return f"{plain.lower()[: LONGEST - _DIGITS - 1]}_{digest}"


def _looks_cut(name: str) -> bool:
    end = name[-_DIGITS:]
    return name[-_DIGITS - 1 : -_DIGITS] == "_" and all(c in "0123456789abcdef" for c in end)


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
    digits = _digits_after_g(name)
    return "g" + name[1 + digits :] if digits else name


def generation_of(name: str) -> int:
    """The generation number in a name, 0 when it has none."""
    digits = _digits_after_g(name)
    return int(name[1 : 1 + digits]) if digits else 0


def _digits_after_g(name: str) -> int:
    """How many digits stand in a name between its `g` and a `_`: 1 to 3, 0 when it has no generation."""
    if not name.startswith("g"):
        return 0
    digits = name.find("_") - 1
    return digits if 1 <= digits <= 3 and all("0" <= c <= "9" for c in name[1 : 1 + digits]) else 0


def next_generation(current: int) -> int:
    """The number after `current`, wrapping at 999."""
    return current % GENERATIONS + 1
