"""What is defined and used by nothing, all rules included, and rules that people will take for each other.

Silent about what is unused while rules were left out because of errors: one of those may be its
user. Looks at names only; changes nothing.
"""

from __future__ import annotations

from netpolicy.config.analysis_place import Places
from netpolicy.config.diagnostic import Findings
from netpolicy.core.model import Ruleset

WORDS = {
    "outbound": "no rule, group or setting names the outbound",
    "list": "no rule names the list",
    "schedule": "no rule names the schedule",
    "throttle": "no rule names the throttle profile",
}


def check_switched_off(ruleset: Ruleset, places: Places, findings: Findings) -> None:
    """Report a main section with which no rule counts."""
    if ruleset.settings.enabled or not ruleset.has_main or not any(rule.enabled for rule in ruleset.rules):
        return
    place = places.option("netpolicy", "main", "enabled")
    hint = "write `option enabled '1'` in the main section; in DSL and YAML `enabled` true"
    if places.written("netpolicy", "main", "enabled") is None:
        text = "the main section does not say `enabled`: NetPolicy does nothing, and no rule counts"
        findings.warning("NP219", place, text, hint)
    else:
        findings.info("NP219", place, "NetPolicy is switched off, and no rule counts", hint)


def check_unused(ruleset: Ruleset, places: Places, findings: Findings) -> None:
    """Report what nothing uses. A file of definitions alone is meant for other files."""
    if not ruleset.rules:
        return
    used = _used(ruleset)
    defined = {
        "outbound": [one.name for one in ruleset.outbounds],
        "list": [one.name for one in ruleset.lists],
        "schedule": [one.name for one in ruleset.schedules],
        "throttle": [one.name for one in ruleset.throttles],
    }
    for type, names in defined.items():
        for name in names:
            if name not in used[type]:
                text = f"{WORDS[type]} {name!r}"
                findings.info("NP463", places.section(type, name), text, "use it, or remove it")


def _used(ruleset: Ruleset) -> dict[str, set[str]]:
    outbounds = {ruleset.settings.default, ruleset.settings.primary}
    lists: set[str] = set()
    schedules: set[str] = set()
    throttles: set[str] = set()
    for outbound in ruleset.outbounds:
        outbounds.update(outbound.member)
    for rule in ruleset.rules:
        outbounds.update(rule.action.targets)
        throttles.add(rule.action.throttle)
        for field in rule.fields:
            names = [value.lstrip("!") for value in field.values]
            lists.update(name[1:] for name in names if name.startswith("@"))
            if field.name == "schedule":
                schedules.update(names)
    for text in ruleset.settings.asserts:
        lists.update(word[1:] for word in text.split() if word.startswith("@"))
    return {"outbound": outbounds, "list": lists, "schedule": schedules, "throttle": throttles}


def check_titles(ruleset: Ruleset, places: Places, findings: Findings) -> None:
    """Report rules whose names for people differ in nothing but capitals and blanks."""
    first: dict[str, str] = {}
    for rule in ruleset.rules:
        plain = " ".join(rule.title.casefold().split())
        other = first.setdefault(plain, rule.name)
        if other != rule.name:
            text = f"{rule.title!r} and the rule {other!r} are called alike"
            findings.info("NP464", places.option("rule", rule.name, "name"), text, "give one of them another name")
