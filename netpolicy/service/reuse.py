"""Rules that a new configuration leaves as they are go on being the same objects.

What was worked out for a rule (its shape, its class, its place in an index) is kept by identity, so a
reload costs what changed. Pure; decides what is equal, never what a rule means. O(rules).
"""

from __future__ import annotations

from operator import attrgetter

from netpolicy.core.model import Rule, Ruleset
from netpolicy.core.named_list import NamedList


def with_known_rules(fresh: Ruleset, before: Ruleset) -> Ruleset:
    """The fresh rule set, with the rules of before where they say the same.

    Such a rule takes the position of the fresh one: positions are for messages, and lines move.
    """
    known = {rule.name: rule for rule in before.rules}
    lists = _changed_lists(fresh, before)
    rules = []
    for rule in fresh.rules:
        old = known.get(rule.name)
        if old is not None and old is not rule and says_the_same(rule, old, lists):
            old.move(*rule.place)
            rules.append(old)
        else:
            rules.append(rule)
    return Ruleset(
        tuple(rules),
        fresh.outbounds,
        fresh.settings,
        fresh.schedules,
        fresh.throttles,
        fresh.lists,
        has_main=fresh.has_main,
    )


def says_the_same(rule: Rule, old: Rule, changed_lists: set[str]) -> bool:
    """Whether both rules decide the same; one that asks a changed list does not."""
    if _head(rule) != _head(old):
        return False
    if rule.action is not old.action and _said(rule.action) != _said(old.action):
        return False
    fields, others = rule.fields, old.fields
    if len(fields) != len(others):
        return False
    for field, other in zip(fields, others):  # noqa: B905 - equally long, and zip's check costs as much as the rest
        if field is not other and (
            type(field) is not type(other) or field.name != other.name or field.told != other.told
        ):
            return False
        if changed_lists and any(value.lstrip("!")[1:] in changed_lists for value in field.values if "@" in value[:2]):
            return False
    return True


# Each takes all of them in one call: ten thousand rules are asked at every reload.
_head = attrgetter("priority", "enabled", "when", "disable", "title")
_said = attrgetter("kind", "target", "targets", "log", "on_fail", "throttle", "notify")


def _changed_lists(fresh: Ruleset, before: Ruleset) -> set[str]:
    known = {one.name: one for one in before.lists}
    return {one.name for one in fresh.lists if one.name not in known or not _holds_the_same(one, known[one.name])}


def _holds_the_same(one: NamedList, old: NamedList) -> bool:
    if one.ranges != old.ranges or [p.text for p in one.domains] != [p.text for p in old.domains]:
        return False
    return one.names is old.names or one.names.says_the_same(old.names)
