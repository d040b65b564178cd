"""Lists that are fetched: over what, how often, and what is in force before the first one came.

Looks at options only; asks no server. What happens at boot: docs/operations.md, "Fetched lists".
"""

from __future__ import annotations

from netpolicy.config.analysis_place import Places
from netpolicy.config.diagnostic import Findings
from netpolicy.config.value import show_duration
from netpolicy.core.address import V4, parse_address
from netpolicy.core.model import BLOCK, Ruleset
from netpolicy.core.named_list import NamedList
from netpolicy.core.value import ValueProblem
from netpolicy.core.web_address import parse_web_address

# As often as the daemon fetches at most (service/list_timing.py).
LEAST_SECONDS = 300

# What only the own network has: names that no server of the Internet knows, and blocks of addresses.
OWN_NAMES = (".lan", ".home", ".internal", ".local", ".home.arpa", ".localdomain")
OWN_BLOCKS = ((0x0A000000, 8), (0x7F000000, 8), (0xAC100000, 12), (0xC0A80000, 16))


def check_lists(ruleset: Ruleset, places: Places, findings: Findings) -> None:
    """Report what is worth a thought about each list that is fetched."""
    blocking = {name for rule in ruleset.rules if rule.action.kind == BLOCK for name in _lists_of(rule.fields)}
    for one in ruleset.lists:
        if one.url:
            _check_way(one, places, findings)
            _check_refresh(one, places, findings)
            if one.name in blocking and not one.file and not one.entries:
                text = f"what is blocked by the list {one.name!r} passes from each boot until the list was fetched"
                hint = "add option file with a copy: it counts until then"
                findings.info("NP472", places.option("list", one.name, "url"), text, hint)


def _lists_of(fields: object) -> list[str]:
    return [value[1:] for field in fields for value in field.values if value.startswith("@")]  # type: ignore[attr-defined]


def _check_way(one: NamedList, places: Places, findings: Findings) -> None:
    page = parse_web_address(one.url)
    if page.scheme == "http" and not _is_own(page.host):
        text = f"the list {one.name!r} is fetched unencrypted: whoever is on the way can put anything into it"
        findings.warning("NP470", places.option("list", one.name, "url"), text, "use https://")


def _check_refresh(one: NamedList, places: Places, findings: Findings) -> None:
    if not one.refresh:
        text = f"the list {one.name!r} is fetched only when the configuration is loaded"
        findings.info("NP471", places.option("list", one.name, "url"), text, "add a refresh, for example 1d")
    elif one.refresh < LEAST_SECONDS:
        text = f"the list {one.name!r} is not fetched more often than every {show_duration(LEAST_SECONDS)}"
        findings.info("NP471", places.option("list", one.name, "refresh"), text, "servers of lists change them daily")


def _is_own(host: str) -> bool:
    """Whether it is of the own network, as far as its name tells."""
    try:
        family, number = parse_address(host)
    except ValueProblem:
        return "." not in host or host.endswith(OWN_NAMES)
    if family != V4:
        return number >> 121 == 0xFC >> 1 or number >> 118 == 0xFE80 >> 6 or number == 1
    return any(number >> 32 - length == block >> 32 - length for block, length in OWN_BLOCKS)
