"""Outbounds that are the same line twice, groups of one, and members that are never asked.

Looks at outbounds and at the order of members; whether names exist is references.py. Changes nothing.
"""

from __future__ import annotations

from netpolicy.config.analysis_place import Places
from netpolicy.config.analysis_protection import never_down
from netpolicy.config.diagnostic import Findings
from netpolicy.core.model import FALLBACK, GROUP, Outbound, Ruleset

PROBED = ("interface", "table")  # types whose health follows their probes


def check_outbounds(ruleset: Ruleset, places: Places, findings: Findings) -> None:
    """Report what two outbounds share, and members without effect."""
    _check_same_line(ruleset, places, findings)
    for outbound in ruleset.outbounds:
        if outbound.type != GROUP:
            continue
        if len(set(outbound.member)) == 1:
            place = places.option("outbound", outbound.name, "member")
            text = f"the group {outbound.name!r} has one member, {outbound.member[0]!r}"
            findings.info("NP461", place, text, "name it in the rules, or add a second one")
        _check_probes(ruleset, outbound, places, findings)
        if outbound.strategy == "failover":
            _check_order(ruleset, "outbound", outbound.name, "member", outbound.member, places, findings)
    for rule in ruleset.rules:
        if rule.action.kind == FALLBACK:
            _check_order(ruleset, "rule", rule.name, FALLBACK, rule.action.targets, places, findings)


def _check_probes(ruleset: Ruleset, group: Outbound, places: Places, findings: Findings) -> None:
    """Of balance every line is in use, and somebody notices; here it may be months until the second one is needed."""
    # Groups in it are looked at by themselves: all below each of thousands would take for ever.
    lines = [ruleset.outbound(name) for name in group.member]
    probed = [one for one in lines if one is not None and one.type in PROBED]
    if group.strategy != "balance" and len(probed) > 1 and not any(one.probe for one in probed):
        text = f"the group {group.name!r} does not see that a line is dead while its device is up: none has a probe"
        if group.strategy == "latency":
            text = f"the group {group.name!r} does not know which line is faster: none has a probe"
        hint = f"give each of them a probe, such as ping:9.9.9.9: {', '.join(one.name for one in probed[:5])}"
        findings.info("NP467", places.option("outbound", group.name, "member"), text, hint)


def _check_same_line(ruleset: Ruleset, places: Places, findings: Findings) -> None:
    first: dict[tuple[str, object], str] = {}
    for outbound in ruleset.outbounds:
        option = {"interface": "interface", "table": "table"}.get(outbound.type)
        if option is None:
            continue
        key = (option, getattr(outbound, option))
        other = first.setdefault(key, outbound.name)
        if other == outbound.name:
            continue
        if option == "table":
            text = f"table {outbound.table} is the outbound {other!r} already"
        else:
            text = f"{outbound.interface!r} is the outbound {other!r} already: what comes in there counts as that one's"
        place = places.option("outbound", outbound.name, option)
        findings.warning("NP460", place, text, "keep one of them; rules may share an outbound")


def _check_order(
    ruleset: Ruleset,
    type: str,
    name: str,
    option: str,
    members: tuple[str, ...],
    places: Places,
    findings: Findings,
) -> None:
    for at, member in enumerate(members[:-1]):
        if never_down(ruleset, member):
            after = members[at + 1]
            text = f"{after!r} is never used: {member!r} before it is never down"
            findings.warning("NP462", places.option(type, name, option, after), text, f"put {member!r} last")
            return
