"""Rules that no value of a connection leads to: each of them is looked at for every connection.

Says so only where they are many: a few cost nothing that anybody notices. What is a key, and why: core/index_key.py.
"""

from __future__ import annotations

from netpolicy.config.analysis_place import Places
from netpolicy.config.diagnostic import Findings
from netpolicy.core.index_key import NOT_A_KEY, price_of
from netpolicy.core.model import Rule, Ruleset

# To look at as many takes as long as all the rest of a decision.
FEW = 32

NAMED = 5


def check_linear(ruleset: Ruleset, places: Places, findings: Findings) -> None:
    """Report that there are many rules without a field by which they can be found; at the first of them."""
    found = [rule for rule in ruleset.rules if rule.enabled and not _has_key(rule)]
    if len(found) <= FEW:
        return
    named = ", ".join(repr(rule.name) for rule in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    text = f"{len(found)} rules are looked at one by one for every connection: {named}{more}"
    hint = "say what they want: an address, a port, a name, a device; or join those that lead to the same"
    findings.info("NP465", places.section("rule", found[0].name), text, hint)


def _has_key(rule: Rule) -> bool:
    return any(price_of(field) != NOT_A_KEY for field in rule.fields)
