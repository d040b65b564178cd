"""The doctor about fetched lists: every one has a copy, and none is too old.

Reads the heads of the copies in the state folder; never fetches. Whether the daemon failed to fetch one, its
warnings say (ND104); here is what the rules have to work with.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolicy.config.kept_list import FOLDER, path_of, source_of
from netpolicy.core.named_list import NamedList
from netpolicy.service.doctor_finding import WARNING, Finding, fine, found
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_system import System
from netpolicy.service.list_timing import is_stale

DAY = 86400


def examine(system: System, given: Given) -> Iterator[Finding]:
    """ND981 and ND982."""
    lists = [one for one in given.ruleset.lists if one.url] if given.ruleset.settings.enabled else []
    absent, old = [], []
    for one in lists:
        age = _age(system, given, one)
        if age is None and not one.file:
            absent.append(one.name)
        elif age is not None and is_stale(one.refresh, age):
            old.append(f"{one.name} is {age / DAY:.0f} days old")
    told = f"{len(lists)} are fetched" if lists else "none is fetched"
    yield found("ND981", WARNING, ", ".join(absent), "netpolicy lists") if absent else fine("ND981", told)
    yield found("ND982", WARNING, ", ".join(old), "netpolicy lists --refresh") if old else fine("ND982", told)


def _age(system: System, given: Given, one: NamedList) -> float | None:
    """Seconds since its copy was known to be right; None without a copy."""
    source = source_of(one.url, one.format, one.categories)
    path = path_of(f"{given.state}/{FOLDER}", one.name, source)
    if not system.exists(path):
        return None
    return max(system.now() - system.changed_at(path), 0.0)
