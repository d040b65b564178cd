"""Read the data of HTTPS and SVCB records: where a service is, by which addresses, behind which public name.

Never uses a record that asks for what is not understood here; knows no message around it.
Formats: RFC 9460 (2.2, 7, 8), RFC 9848 (ech), RFC 9849 (4, ECHConfigList).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from netpolicy.flows.names import MALFORMED, Refused, host_name
from netpolicy.flows.seen import MAPPED

MANDATORY, ALPN, NO_DEFAULT_ALPN, PORT, HINT4, ECH, HINT6 = range(7)
PARAMETER_LIMIT = 32
HINT_LIMIT = 16  # addresses of one kind
ECH_VERSION = 0xFE0D
ECH_LIMIT = 8  # configurations of a list

_pair = struct.Struct(">HH").unpack_from
_short = struct.Struct(">H").unpack_from


class Service(NamedTuple):
    """One record in service mode."""

    target: bytes  # a name in wire form, lower case; the root stands for the owner
    hints: tuple[bytes, ...]  # addresses of 16 bytes, IPv4 mapped
    ech: bool
    public_names: tuple[str, ...]  # that hellos carry in the clear where they use its ech


def parse(data: bytes) -> Service | None:
    """The record; None for an alias and for what is not to be used (RFC 9460, 8). Raises Refused (MALFORMED)."""
    if len(data) < 3:
        raise Refused(MALFORMED)
    (priority,) = _short(data)
    target, at = _target(data, 2)
    found = _parameters(data, at)
    if not priority or not _is_usable(found):
        return None
    hints = _hints(found.get(HINT4), 4) + _hints(found.get(HINT6), 16)
    config = found.get(ECH)
    return Service(target, hints, config is not None, public_names(config) if config is not None else ())


def _target(data: bytes, at: int) -> tuple[bytes, int]:
    """The target's name, which is never compressed, and where it ends."""
    begin = at
    while at < len(data):
        length = data[at]
        at += 1 + length
        if length > 63 or at - begin > 255:
            break
        if not length:
            return data[begin:at].lower(), at
    raise Refused(MALFORMED)


def _parameters(data: bytes, at: int) -> dict[int, bytes]:
    """Key to value; keys rise, which also keeps them apart."""
    found: dict[int, bytes] = {}
    last = -1
    while at < len(data):
        if at + 4 > len(data) or len(found) >= PARAMETER_LIMIT:
            raise Refused(MALFORMED)
        key, size = _pair(data, at)
        at += 4
        if key <= last or at + size > len(data):
            raise Refused(MALFORMED)
        found[key] = data[at : at + size]
        last = key
        at += size
    return found


def _is_usable(found: dict[int, bytes]) -> bool:
    """Whether everything it calls mandatory is there and understood."""
    keys = found.get(MANDATORY)
    if keys is None:
        return True
    if not keys or len(keys) % 2:
        raise Refused(MALFORMED)
    listed = [_short(keys, at)[0] for at in range(0, len(keys), 2)]
    return all(MANDATORY < key <= HINT6 and key in found for key in listed)


def _hints(value: bytes | None, size: int) -> tuple[bytes, ...]:
    if value is None:
        return ()
    if not value or len(value) % size or len(value) > HINT_LIMIT * size:
        raise Refused(MALFORMED)
    prefix = MAPPED if size == 4 else b""
    return tuple(prefix + value[at : at + size] for at in range(0, len(value), size))


def public_names(data: bytes) -> tuple[str, ...]:
    """The public names of an ECHConfigList; versions that are not known are passed over. Raises Refused."""
    if len(data) < 4 or _short(data)[0] != len(data) - 2:
        raise Refused(MALFORMED)
    names: list[str] = []
    at, count = 2, 0
    while at < len(data):
        count += 1
        if at + 4 > len(data) or count > ECH_LIMIT:
            raise Refused(MALFORMED)
        version, size = _pair(data, at)
        at += 4 + size
        if at > len(data):
            raise Refused(MALFORMED)
        if version == ECH_VERSION:
            names.append(_public_name(data[at - size : at]))
    return tuple(dict.fromkeys(names))


def _public_name(data: bytes) -> str:
    """Of one configuration: identifier 1, KEM 2, key, suites of 4 each, length limit 1, name, extensions."""
    try:
        at = 3
        at += 2 + _short(data, at)[0]
        suites = _short(data, at)[0]
        at += 2 + suites + 1
        size = data[at]
        name = data[at + 1 : at + 1 + size]
        at += 1 + size
        rest = _short(data, at)[0]
    except (IndexError, struct.error):
        raise Refused(MALFORMED) from None
    if not suites or suites % 4 or at + 2 + rest != len(data):
        raise Refused(MALFORMED)
    try:
        return host_name(name)
    except Refused:
        raise Refused(MALFORMED) from None
