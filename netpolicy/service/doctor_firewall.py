"""The doctor about fw4: whether our table is loaded again with it, and what it keeps from us.

The checks are functions of facts; `gather` reads files and has nft check a text without loading it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from netpolicy.service.doctor_finding import ERROR, INFO, WARNING, Finding, fine, found
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_system import MISSING, TOO_LONG, TOO_MUCH, Ran, System
from netpolicy.service.files import INCLUDE, INCLUDE_FOLDER

OPENWRT = "/etc/openwrt_release"
RULESET_POST = "/usr/share/nftables.d/ruleset-post/50-netpolicy.nft"
TABLE = "inet fw4"
HARDWARE = re.compile(r"^\s*flags\s[^;\n]*\boffload\b", re.MULTILINE)

WITHOUT_HARDWARE = (
    "uci set firewall.@defaults[0].flow_offloading_hw=0; uci commit firewall; /etc/init.d/firewall restart"
)

Tables = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen."""

    is_openwrt: bool
    has_fw4: bool
    include: str | None  # the text by which fw4 finds our folder
    folder: str  # which that should be
    texts: tuple[tuple[str, Ran], ...]  # the files of the folder, and what `nft -c` says of each
    tables: Tables  # "inet fw4"
    flowtables: Ran


def examine(system: System, given: Given) -> list[Finding]:
    """Everything of this area."""
    facts = gather(system, given)
    checks = [installed(facts), *strangers(facts)]
    if facts.has_fw4:
        checks.append(includes(facts))
    if not system.is_root:  # to others nft says of every text that it does not load
        return checks
    return [*checks, *([loaded(facts)] if facts.has_fw4 else []), *texts(facts), offload(facts)]


def gather(system: System, given: Given) -> Facts:
    """Reads and asks."""
    folder = f"{given.state}/{INCLUDE_FOLDER}"
    names = [name for name in system.names(folder) if name.endswith(".nft")]
    return Facts(
        system.exists(OPENWRT),
        bool(system.find("fw4")),
        system.read(RULESET_POST),
        folder,
        tuple([(f"{folder}/{name}", system.run("nft", "-c", "-f", f"{folder}/{name}")) for name in names[:20]]),
        tables(system),
        system.run("nft", "list", "flowtables"),
    )


def tables(system: System) -> Tables:
    """Every nft table as "inet fw4"; none where nft does not say."""
    try:
        said = json.loads(system.run("nft", "-j", "list", "tables").out)["nftables"]
        return tuple([f"{one['table']['family']} {one['table']['name']}" for one in said if "table" in one])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()


def installed(facts: Facts) -> Finding:
    """ND301."""
    if facts.is_openwrt and not facts.has_fw4:
        return found("ND301", WARNING, "fw4 is not installed")
    return fine("ND301", "fw4" if facts.has_fw4 else "this is no OpenWrt")


def includes(facts: Facts) -> Finding:
    """ND302."""
    if facts.include is None:
        return found("ND302", ERROR, f"there is no {RULESET_POST}")
    lines = [line.strip() for line in facts.include.splitlines()]
    if f'include "{facts.folder}/*.nft"' not in lines:
        return found("ND302", ERROR, f"{RULESET_POST} does not include {facts.folder}/*.nft")
    return fine("ND302")


def texts(facts: Facts) -> list[Finding]:
    """ND303. One that nft did not come to an end with is not called bad."""
    bad = []
    for path, ran in facts.texts:
        if ran.status in (MISSING, TOO_LONG, TOO_MUCH):
            bad.append(found("ND303", INFO, f"{path} was not tried: {ran.why}", "", "try it by hand: nft -c -f"))
        elif ran.status:
            bad.append(found("ND303", ERROR, f"{path}: {ran.why}", f"rm {path}"))
    return bad or [fine("ND303")]


def strangers(facts: Facts) -> list[Finding]:
    """ND304."""
    ours = f"{facts.folder}/{INCLUDE.rpartition('/')[2]}"
    others = [path for path, _ in facts.texts if path != ours]
    return [found("ND304", WARNING, path) for path in others] or [fine("ND304")]


def loaded(facts: Facts) -> Finding:
    """ND305."""
    return (
        fine("ND305") if TABLE in facts.tables else found("ND305", ERROR, "", "fw4 check; /etc/init.d/firewall restart")
    )


def offload(facts: Facts) -> Finding:
    """ND306: what is really there, whoever made it."""
    said = facts.flowtables.out
    if "flowtable " not in said:
        return fine("ND306")
    if HARDWARE.search(said):
        return found("ND306", WARNING, "by the hardware", WITHOUT_HARDWARE if facts.has_fw4 else "")
    return found("ND306", INFO, "by software")
