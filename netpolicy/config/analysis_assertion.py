"""Names in assertions that are almost, but not quite, names of the configuration.

The networks and devices of the router are not known here: a name that is like no other is believed, and nothing here is
an error. What is known: the devices that rules and outbounds name, and the lists.
"""

from __future__ import annotations

from netpolicy.config.analysis_place import Places
from netpolicy.config.diagnostic import Findings
from netpolicy.config.nearest import closest
from netpolicy.core.list_entry import looks_like_address
from netpolicy.core.model import ROUTER_ITSELF, Ruleset

# Shorter names differ in one letter on purpose: lan, wan, wg0 and wg1.
SHORTEST = 5


def check_assertions(ruleset: Ruleset, places: Places, findings: Findings) -> None:
    """Report an end of an assertion that is probably mistyped."""
    asserts = ruleset.settings.asserts
    if not asserts:
        return
    devices, lists = _devices(ruleset), tuple(f"@{one.name}" for one in ruleset.lists)
    for text in asserts:
        words = text.split()
        for word in (words[0], words[2]):
            meant = _meant(word, lists if word.startswith("@") else devices)
            if meant:
                place = places.option("netpolicy", "main", "assert", text)
                findings.info("NP466", place, f"nothing else names {word!r}", f"did you mean {meant!r}?")


def _meant(word: str, known: tuple[str, ...]) -> str:
    if word in known or len(word) < SHORTEST or looks_like_address(word):
        return ""
    meant = closest(word, known)
    # br-lan1 and br-lan2, eth0.10 and eth0.20: siblings, not mistakes.
    return "" if _letters(meant) == _letters(word) else meant


def _letters(word: str) -> str:
    return "".join(letter for letter in word if not letter.isdigit())


def _devices(ruleset: Ruleset) -> tuple[str, ...]:
    """What rules and outbounds name as networks or devices."""
    found = {ROUTER_ITSELF, *(outbound.interface for outbound in ruleset.outbounds if outbound.interface)}
    for rule in ruleset.rules:
        field = rule.field("src_iface")
        if field is not None:
            found.update(value.lstrip("!") for value in field.values)
    return tuple(sorted(found))
