"""Plain rule objects, as the vectors have them, written in each spelling by hand.

By other code than the printers of the package, and also for rules that no printer would write.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from netpolicy.config.assemble import Loaded
from netpolicy.config.load import load_text
from netpolicy.config.unload import as_key
from netpolicy.config.value import identifier, is_name
from netpolicy.core.model import Ruleset

Rule = dict[str, Any]


class NotExpressible(Exception):
    """The spelling has no way to write it; the text says why."""


def as_yaml(rules: Any) -> str:
    """JSON is YAML."""
    return "rules: " + json.dumps(rules) + "\n"


def as_uci(rules: list[Rule]) -> str:
    return "\n".join(_uci_rule(rule) for rule in rules)


def _uci_rule(rule: Rule) -> str:
    name = rule["name"].strip()
    if not name:
        raise NotExpressible("a section without a name is an anonymous one in UCI")
    lines = [f"config rule {_uci(identifier(name) if not is_name(name) else name)}"]
    if not is_name(name):
        lines.append(f"\toption name {_uci(name)}")
    for key, value in _flat(rule):
        if isinstance(value, list):
            if not value:
                raise NotExpressible("a list without values does not exist in UCI")
            lines += [f"\tlist {key} {_uci(one)}" for one in value]
        else:
            lines.append(f"\toption {key} {_uci(value)}")
    return "\n".join(lines) + "\n"


def _uci(value: Any) -> str:
    text = {True: "1", False: "0"}[value] if isinstance(value, bool) else str(value)
    return "'" + text.replace("'", "'\\''") + "'"


def _flat(rule: Rule) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in rule.items():
        if key in ("match", "action"):
            found += list(value.items())
        elif key == "when":
            found += [("state", value["state"])] if value else []
        elif key != "name":
            found.append((key, value))
    return found


def as_dsl(rules: list[Rule]) -> str:
    return "\n".join(_dsl_rule(rule) for rule in rules)


def _dsl_rule(rule: Rule) -> str:
    lines = [f"rule {rule['name']}:"]
    for key, value in rule.items():
        if key in ("match", "action"):
            pairs = [_dsl(name, one) for name, one in value.items()]
            if pairs:
                lines.append(f"  {key} " + " ".join(pairs))
        elif key == "when" and value:
            lines.append(f"  when state={_states(value['state'])}")
        elif key == "disable":
            lines.append(f"  disable {_states(value)}")
        elif key not in ("name", "when"):
            lines.append(f"  {key} {value}")
    return "\n".join(lines) + "\n"


def _dsl(key: str, value: Any) -> str:
    if value is True:
        return key
    if value is False and key in ("any", "block"):
        raise NotExpressible(f"{key}=false is an unknown key in the DSL (D34, D35)")
    if value is False:
        return f"{key}=false"
    quoted = '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{key}={quoted}"


def _states(value: Any) -> str:
    return ",".join(value) or "," if isinstance(value, list) else str(value)


SPELL: dict[str, Callable[[Any], str]] = {"uci": as_uci, "dsl": as_dsl, "yaml": as_yaml}


def load_plain(rules: Any, format: str = "yaml") -> Loaded:
    """What the rules mean in that spelling. Raises NotExpressible."""
    return load_text(SPELL[format](rules), f"<{format}>", format)


def key(ruleset: Ruleset) -> tuple[object, ...]:
    return as_key(ruleset)
