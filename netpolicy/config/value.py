"""Read one value of an option: text in, value out, ValueProblem for anything else.

Never looks at other options and never guesses what was meant. The words for yes and no
are those of OpenWrt's scripts (config_get_bool).
"""

import re
from collections.abc import Callable

from netpolicy.core.address import V4, V6, parse_address, parse_range
from netpolicy.core.field import parse_device
from netpolicy.core.health import STATES
from netpolicy.core.value import ValueProblem

TRUE = ("1", "yes", "on", "true", "enabled")
FALSE = ("0", "no", "off", "false", "disabled")

WHOLE_NUMBER = re.compile(r"-?[0-9]{1,10}", re.ASCII)
NAME = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
# The predecessor allowed any text; these are the characters that every spelling can carry.
TARGET = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)

MAIN_TABLES = {253: "default", 254: "main", 255: "local", 0: "unspec"}


def text(raw: str) -> str:
    """Any text without control characters."""
    if not raw.strip():
        raise ValueProblem("the value is empty")
    if len(raw) > 4096 or not raw.isprintable():
        raise ValueProblem("the value is too long or has control characters")
    return raw


def title(raw: str) -> str:
    """A name for people: up to 128 printable characters."""
    if len(raw) > 128:
        raise ValueProblem("a display name has at most 128 characters")
    return text(raw)


def name(raw: str) -> str:
    """An identifier, as UCI demands it of section names."""
    if not NAME.fullmatch(raw):
        raise ValueProblem(f"{raw[:64]!r} is not a name", "1 to 64 letters, digits and _")
    return raw


def target(raw: str) -> str:
    """The name of an outbound or of a throttle profile."""
    if not raw.strip():
        raise ValueProblem("the name is empty")
    if not TARGET.fullmatch(raw):
        raise ValueProblem(f"{raw[:64]!r} is not a name", "1 to 64 letters, digits, _ . and -")
    return raw


def boolean(raw: str) -> bool:
    """One of OpenWrt's words for yes and no."""
    if raw in TRUE:
        return True
    if raw in FALSE:
        return False
    raise ValueProblem(f"{raw[:64]!r} is neither yes nor no", "write 1 or 0")


def number(low: int, high: int) -> Callable[[str], int]:
    """A reader for whole decimal numbers in a range."""

    def read(raw: str) -> int:
        if not WHOLE_NUMBER.fullmatch(raw):
            raise ValueProblem(f"{raw[:64]!r} is not a whole number", f"{low} to {high}")
        found = int(raw)
        if low == 0 and found < 0:
            raise ValueProblem("must be >= 0", f"{low} to {high}")
        if not low <= found <= high:
            raise ValueProblem(f"{raw} is out of range", f"{low} to {high}")
        return found

    return read


def mask(raw: str) -> int:
    """Mark bits: hexadecimal with 0x, or decimal; at least four bits, because one is "done" and three are classes."""
    if not re.fullmatch(r"0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10}", raw, re.ASCII):
        raise ValueProblem(f"{raw[:64]!r} is not a mask", "for example 0x77000000")
    bits = int(raw, 16 if raw[:2].lower() == "0x" else 10)
    if bits > 0xFFFFFFFF or bits.bit_count() < 4:
        raise ValueProblem(f"{raw} is not a mask of 4 to 32 bits", "for example 0x77000000")
    return bits


def table(raw: str) -> int:
    """The number of a routing table that is not one of the kernel's own."""
    found = number(0, 4294967295)(raw)
    if found in MAIN_TABLES:
        raise ValueProblem(
            f"table {found} is the kernel's own table {MAIN_TABLES[found]}", "type direct uses table main"
        )
    return found


def device(raw: str) -> str:
    """A netifd network or a device."""
    return parse_device(raw)


def gateway4(raw: str) -> str:
    """An IPv4 address."""
    return _address(raw, V4, "IPv4")


def gateway6(raw: str) -> str:
    """An IPv6 address."""
    return _address(raw, V6, "IPv6")


def _address(raw: str, family: int, what: str) -> str:
    if parse_address(raw)[0] != family:
        raise ValueProblem(f"{raw!r} is not an {what} address")
    return raw


def prefix6(raw: str) -> str:
    """An IPv6 prefix in CIDR form."""
    if "/" not in raw or parse_range(raw)[0] != V6:
        raise ValueProblem(f"{raw[:64]!r} is not an IPv6 prefix", "for example 2001:db8:2::/56")
    return raw


def state(raw: str) -> str:
    """One state of the engine, in any case."""
    word = raw.strip().upper()
    if word not in STATES:
        raise ValueProblem(f"invalid state value: {raw[:64]}", "one of " + ", ".join(STATES))
    return word


def block(raw: str) -> str:
    """How to block: "drop", "reject", or "" for not at all."""
    if raw in ("drop", "reject"):
        return raw
    try:
        return "drop" if boolean(raw) else ""
    except ValueProblem:
        raise ValueProblem(f"{raw[:64]!r} is no way to block", "1, drop, reject or 0") from None
