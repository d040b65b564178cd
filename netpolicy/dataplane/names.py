"""The names of our kernel objects: lower case, prefix first, at most 31 characters.

The same input gives the same name on every machine. Never a bare word: short generated
names such as "fwd" are nft keywords. Prefixes: docs/dataplane.md.
"""

import binascii
import hashlib

TABLE = "netpolicy"
FAMILY = "inet"

# Marks the table as ours and as of this layout; another number means "rebuild it whole".
SCHEMA = "np_schema_2"

LONGEST = 31  # nft's oldest limit on names, and dnsmasq's

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
    """The chain of one rule that logs: log, on to its class. Also the prefix of its log messages."""
    return kernel_name("r", name)


def verdict_chain(number: int) -> str:
    """The chain that ends a classification: the packet's priority is set back, then its class saved."""
    return f"v_{number:02}"


def tunnel_chain(number: int, ports: "tuple[int, ...]") -> str:
    """The chain before that of a class which spares what the tunnels with these ports send themselves."""
    name = "w_{:02}_{}".format(number, "_".join([str(port) for port in ports]))
    return name if len(name) <= LONGEST else content_name(f"w_{number:02}", name)


def saving_chain(number: int) -> str:
    """The chain that writes a class into the conntrack mark."""
    return f"m_{number:02}"


def arriving_chain(number: int) -> str:
    """The chain that writes a class into the conntrack mark only, for what a line brought in."""
    return f"s_{number:02}"


def marking_chain(number: int) -> str:
    """The chain that writes a class into the packet mark."""
    return f"k_{number:02}"


def limit_chain(number: int) -> str:
    """The chain of a limit that tells its directions apart."""
    return f"t_{number:02}"


def direction_chain(direction: str, number: int) -> str:
    """The chain of one direction, "up" or "down", of a limit."""
    return f"{direction[0]}_{number:02}"


def content_name(prefix: str, text: str) -> str:
    """`prefix_` and hex digits of the text's hash: what has this name holds this, on every machine."""
    return f"{prefix}_{binascii.hexlify(hashlib.sha256(text.encode()).digest()).decode()[:_DIGITS]}"
