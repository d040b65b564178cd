"""The record of a change that is pending, as values: printed, read strictly, and told apart from nonsense.

Never does I/O. The shell guard reads the same lines with the same rules (files/usr/lib/netpolicy/guard);
what each word means: docs/guard.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace

STATES = ("armed", "applying", "await")
ABSENT = "absent"  # in place of a digest: there was no configuration file

# The shell stops at the same ones.
MOST_LINES = 32
MOST_VALUE = 240

_VALUE = re.compile(r"[A-Za-z0-9_./:+-]*")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_PATH = re.compile(r"/[^/]+(/[^/]+)*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FORMS = {
    "ID": re.compile(r"r[0-9a-f]{8}"),
    "NONCE": re.compile(r"[0-9a-f]{32}"),
    "BOOT_ID": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "STATE": re.compile("|".join(STATES)),
    "DEADLINE": re.compile(r"0|[1-9][0-9]{0,9}"),
    "APPLIER_PID": re.compile(r"[1-9][0-9]{0,9}"),
    "APPLIER_START": _NUMBER,
    "OLD": re.compile(r"0|[1-9][0-9]{0,5}"),
    "NEW": re.compile(r"0|[1-9][0-9]{0,5}"),
    "CONFIG": _PATH,
    "OLD_SHA256": re.compile(f"{_DIGEST.pattern}|{ABSENT}"),
    "NEW_SHA256": _DIGEST,
    "STORE": _PATH,
    "RUN": _PATH,
    "BUNDLE_SHA256": _DIGEST,
    "SEALED": re.compile("[01]"),
}


class Unreadable(ValueError):
    """The record is not one of ours, or damaged; the text says where."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A change between its arming and its end. Times are seconds of the boot clock (/proc/uptime)."""

    id: str  # r and 8 hex digits, for people
    nonce: str  # 32 hex digits: who brings it back has seen the answer to the apply
    boot_id: str  # /proc/sys/kernel/random/boot_id when it was armed
    state: str  # one of STATES
    deadline: int  # until then it has to be confirmed
    applier_pid: int
    applier_start: int  # field 22 of /proc/PID/stat: of another process of that number it differs
    old: int  # generation that is confirmed, 0 for none
    new: int  # the number that this change gets
    config: str  # the file that is put back
    old_sha256: str  # of what it held, or ABSENT
    new_sha256: str  # of the candidate
    store: str
    run: str
    bundle_sha256: str  # of the bundle's list of sums
    sealed: int  # 1 where the old policy must not be opened by an accident
    verdict: str = ""  # "", "confirmed NONCE" or "revert REASON": not part of the record itself
    outcome: str = ""  # "", "reverted …", "rescue …", "confirmed …": not part of it either

    @property
    def is_confirmed(self) -> bool:
        """Whether it was decided for."""
        return self.verdict == f"confirmed {self.nonce}"

    @property
    def is_refused(self) -> bool:
        """Whether it was decided against: also a verdict that cannot be read is none for it."""
        return bool(self.verdict) and not self.is_confirmed

    def with_state(self, state: str) -> Pending:
        """The same one step further."""
        return replace(self, state=state)

    def with_deadline(self, deadline: int) -> Pending:
        """The same with another end."""
        return replace(self, deadline=deadline)


_KEYS = {one.name.upper(): one.name for one in fields(Pending) if one.name not in ("verdict", "outcome")}
_NUMBERS = ("DEADLINE", "APPLIER_PID", "APPLIER_START", "OLD", "NEW", "SEALED")


def print_record(pending: Pending) -> str:
    """The record as KEY=value lines. Raises ValueError for a value that the shell would refuse."""
    lines = [(key, str(getattr(pending, name))) for key, name in _KEYS.items()]
    for key, value in lines:
        _check(key, value)
    return "".join([f"{key}={value}\n" for key, value in lines])


def parse_record(text: str) -> Pending:
    """The record in these lines: every key once, no other. Raises Unreadable."""
    lines = text.splitlines()
    if len(lines) > MOST_LINES:
        raise Unreadable("too many lines")
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        key, equals, value = line.partition("=")
        if not equals or key not in _KEYS or key in found:
            raise Unreadable(f"line {number} is not one of a record, or there twice")
        _check(key, value)
        found[key] = value
    if missing := [key for key in _KEYS if key not in found]:
        raise Unreadable(f"{missing[0]} is missing")
    values = {name: int(found[key]) if key in _NUMBERS else found[key] for key, name in _KEYS.items()}
    return Pending(**values)  # type: ignore[arg-type]


def _check(key: str, value: str) -> None:
    ordinary = _VALUE.fullmatch(value) and len(value) <= MOST_VALUE
    if not ordinary or not _FORMS[key].fullmatch(value) or _is_odd_path(key, value):
        raise Unreadable(f"{key} is not a value that a record may have: {value[:80]!r}")


def _is_odd_path(key: str, value: str) -> bool:
    return key in ("CONFIG", "STORE", "RUN") and any(part in (".", "..") for part in value.split("/"))
