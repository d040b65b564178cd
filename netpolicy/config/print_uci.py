"""Print a rule set as canonical UCI text: loading it gives the same rule set.

Prints no default but the priority, and keeps the order of the rules, which is meaning.
Comments and the layout of the original are not kept. Quoting as libuci's own export.
"""

from netpolicy.config.schema import MAIN, OUTBOUND
from netpolicy.core.model import BLOCK, Outbound, Rule, Ruleset, Settings

SINGLE_VALUE = ("latency_ms", "rtt_ms")


def to_uci(ruleset: Ruleset) -> str:
    """The text of a configuration file."""
    parts = [_settings(ruleset.settings)]
    parts += [_outbound(outbound) for outbound in ruleset.outbounds]
    taken = {"main", *(outbound.name for outbound in ruleset.outbounds)}
    parts += [_rule(rule, free_name(rule.name, taken)) for rule in ruleset.rules]
    return "\n".join(parts)


def free_name(name: str, taken: set[str]) -> str:
    """The name, or one like it: in UCI all sections of a file share their names, in other spellings they do not."""
    return name if name not in taken else free_name(name + "_rule", taken)


def quote(text: str) -> str:
    """The text as one UCI word."""
    return "'" + text.replace("'", "'\\''") + "'"


def _option(name: str, value: str) -> str:
    return f"\toption {name} {quote(value)}\n"


def _flag(value: bool) -> str:
    return "1" if value else "0"


def _text(value: object) -> str:
    return _flag(value) if isinstance(value, bool) else str(value)


def _settings(settings: Settings) -> str:
    lines = ["config netpolicy 'main'\n"]
    for name in MAIN:
        if name not in Settings.__slots__:
            continue
        value = getattr(settings, name)
        text = f"0x{value:08x}" if name == "fwmark_mask" else _text(value)
        if name == "enabled" or (text and text != MAIN[name].default):
            lines.append(_option(name, text))
    return "".join(lines)


def _outbound(outbound: Outbound) -> str:
    lines = [f"config outbound {quote(outbound.name)}\n"]
    if outbound.title != outbound.name:
        lines.append(_option("name", outbound.title))
    for name in OUTBOUND:
        value = getattr(outbound, name, "") if name != "name" else ""
        text = _text(value)
        if value and text != OUTBOUND[name].default:
            lines.append(_option(name, text))
    return "".join(lines)


def _rule(rule: Rule, name: str) -> str:
    lines = [f"config rule {quote(name)}\n"]
    if rule.title != name:
        lines.append(_option("name", rule.title))
    if not rule.enabled:
        lines.append(_option("enabled", "0"))
    lines.append(_option("priority", str(rule.priority)))
    if not rule.fields:
        lines.append(_option("any", "1"))
    for field in rule.fields:
        if field.name in SINGLE_VALUE:
            lines.append(_option(field.name, field.values[0]))
        else:
            lines += [f"\tlist {field.name} {quote(value)}\n" for value in field.values]
    lines += [f"\tlist state {quote(state)}\n" for state in rule.when]
    lines += [f"\tlist disable {quote(state)}\n" for state in rule.disable]
    return "".join(lines + _action(rule))


def _action(rule: Rule) -> list[str]:
    action = rule.action
    value = "1" if action.kind == BLOCK and action.target == "drop" else action.target
    lines = [_option(action.kind, value)]
    if action.log:
        lines.append(_option("log", "1"))
    if action.on_fail != "next":
        lines.append(_option("on_fail", action.on_fail))
    return lines
