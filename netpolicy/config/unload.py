"""A rule set as canonical sections: what every printer prints, so that all spellings say the same.

Never drops anything but defaults; reading the sections again gives an equal rule set.
Driven by the table in schema.py. Runs on MicroPython.
"""

from netpolicy.config.schema import SECTIONS, SectionSpec
from netpolicy.config.source import Option, Section
from netpolicy.config.value import identifier
from netpolicy.core.calendar import Schedule, format_days
from netpolicy.core.model import BLOCK, FALLBACK, ROUTES, THROTTLE, Outbound, Rule, Ruleset, Settings
from netpolicy.core.model import Throttle as Profile
from netpolicy.core.named_list import NamedList

TYPE_CHECKING = False  # MicroPython has no typing module to import this from
if TYPE_CHECKING:
    from typing import Any

# Written even where they are the default: nobody should have to know it.
ALWAYS = {"netpolicy": ("enabled",), "outbound": ("type",), "rule": ("priority",), "schedule": ("from", "to")}


def to_sections(ruleset: Ruleset) -> tuple[Section, ...]:
    """The sections of a rule set, in the order of canonical text."""
    found = [_settings(ruleset)] if ruleset.has_main or ruleset.settings.asserts else []
    found.extend(_outbound(one) for one in ruleset.outbounds)
    found.extend(_schedule(one) for one in ruleset.schedules)
    found.extend(_throttle(one) for one in ruleset.throttles)
    found.extend(_list(one) for one in ruleset.lists)
    found.extend(_rule(one) for one in ruleset.rules)
    return tuple(found)


def with_titles_as_names(sections: tuple[Section, ...]) -> tuple[Section, ...]:
    """The sections as DSL and YAML name them: there the name of a rule may have blanks."""
    return tuple([_named_by_title(one) if one.type == "rule" else one for one in sections])


def _named_by_title(section: Section) -> Section:
    title = section.option("name")
    if title is None or identifier(title.values[0]) != section.name:
        return section
    if " ".join(title.values[0].split()) != title.values[0]:
        return section  # blanks that reading the name would drop
    rest = tuple([one for one in section.options if one is not title])
    return Section(section.type, title.values[0], False, 0, rest)


def as_key(ruleset: Ruleset) -> "tuple[object, ...]":
    """Everything a rule set says, comparable: equal keys decide and print alike."""
    return tuple(
        [
            (section.type, section.name, tuple([(one.name, one.values) for one in section.options]))
            for section in to_sections(ruleset)
        ]
    )


def _section(type: str, name: str, record: object, special: "dict[str, tuple[str, ...]]") -> Section:
    """The section of a record, option by option as the table has them."""
    spec = SECTIONS[type]
    options = []
    for option_name in spec.order:
        spec_option = spec.options[option_name]
        if option_name in special:
            values = special[option_name]
        else:
            values = _values(spec, option_name, getattr(record, spec_option.attribute, None))
        is_default = values == (spec_option.default,) and option_name not in ALWAYS.get(type, ())
        if values and not is_default:
            options.append(Option(option_name, values, spec_option.is_list))
    return Section(type, name, False, 0, tuple(options))


def _values(spec: SectionSpec, name: str, value: "Any") -> tuple[str, ...]:
    option = spec.options[name]
    if value is None or value == "" or value == ():
        return ()
    if option.is_list:
        return tuple([option.show(one) for one in value])
    return (option.show(value),)


def _title(record: "Settings | Outbound | Schedule | Profile | NamedList | Rule") -> tuple[str, ...]:
    title = getattr(record, "title", "")
    return (title,) if title and title != getattr(record, "name", "") else ()


def _settings(ruleset: Ruleset) -> Section:
    section = _section("netpolicy", "main", ruleset.settings, {})
    if ruleset.has_main:
        return section
    asserts = tuple([option for option in section.options if option.name == "assert"])
    return Section("netpolicy", "main", False, 0, asserts)


def _outbound(outbound: Outbound) -> Section:
    special = {"name": _title(outbound)}
    if not outbound.table:
        special["table"] = ()
    return _section("outbound", outbound.name, outbound, special)


def _schedule(schedule: Schedule) -> Section:
    special = {"name": _title(schedule), "days": format_days(schedule.days)}
    return _section("schedule", schedule.name, schedule, special)


def _throttle(profile: Profile) -> Section:
    special = {"name": _title(profile)}
    for name in ("down", "up"):
        if not getattr(profile, name):
            special[name] = ()
    return _section("throttle", profile.name, profile, special)


def _list(named: NamedList) -> Section:
    return _section("list", named.name, named, {"name": _title(named)})


def _rule(rule: Rule) -> Section:
    special = {"name": _title(rule), "any": () if rule.fields else ("1",)}
    for field in rule.fields:
        special[field.name] = field.values
    special.update(_action(rule))
    return _section("rule", rule.name, rule, special)


def _action(rule: Rule) -> "dict[str, tuple[str, ...]]":
    action = rule.action
    special: dict[str, tuple[str, ...]] = {}
    for kind in ROUTES + (BLOCK, THROTTLE):  # noqa: RUF005 - not in MicroPython
        special[kind] = ()
    if action.kind == FALLBACK:
        special[FALLBACK] = action.targets
    elif action.kind == BLOCK:
        special[BLOCK] = ("1",) if action.target == "drop" else (action.target,)
    else:
        special[action.kind] = (action.target,)
    if action.throttle:
        special[THROTTLE] = (action.throttle,)
    special["on_fail"] = () if action.on_fail == "next" else (action.on_fail,)
    special["log"] = ("1",) if action.log else ()
    special["notify"] = ("1",) if action.notify else ()
    return special
