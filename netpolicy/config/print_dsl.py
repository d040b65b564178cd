"""Print sections as canonical DSL text: reading it gives the same sections.

A rule is a block of lines; any other section is one line where that fits, a block otherwise.
Quotes only where they are needed, but for sni and comparators, which the predecessor's users
know quoted. Canonical form: docs/dsl.md. Runs on MicroPython.
"""

from netpolicy.config.dsl import ASSERT, HEADER
from netpolicy.config.dsl_section import list_directive
from netpolicy.config.dsl_word import KEY_CHARACTERS
from netpolicy.config.schema import ACTION, FLAG, MATCH, OUTBOUND_POSITIONAL, SECTION_TYPES, SECTIONS, OptionSpec
from netpolicy.config.source import Option, Section
from netpolicy.config.value import TRUE

WIDTH = 100
BARE_CHARACTERS = KEY_CHARACTERS + "_.-:/@*!+%~$?&"
ALWAYS_QUOTED = ("sni", "latency_ms", "rtt_ms", "error_rate", "loss")

# The primary action first, then what goes with it.
ACTION_ORDER = ("route", "switch_route", "fallback", "block", "throttle", "on_fail", "log", "notify")


class Block:
    """A section as text: lines by directive, HEADER first; `is_open` says that it has inner lines."""

    __slots__ = ("is_open", "lines")

    def __init__(self, lines: "list[tuple[str, str]]", is_open: bool) -> None:
        self.lines = lines
        self.is_open = is_open


def to_dsl(sections: tuple[Section, ...]) -> str:
    """The text of the sections, those of a type in their order."""
    blocks = [block_of(section) for section in in_order(sections)]
    return "\n".join(["".join([text + "\n" for _, text in block.lines]) for block in blocks])


def in_order(sections: tuple[Section, ...]) -> "list[Section]":
    """The sections in the order of canonical text."""
    return [section for type in SECTION_TYPES for section in sections if section.type == type]


def block_of(section: Section, wants_open: bool = False) -> Block:
    """The lines of a section; `wants_open`: a block even where one line would do."""
    if section.type == "rule":
        return Block(_rule_lines(section), True)
    if section.type == "netpolicy":
        return _main_block(section)
    line = _one_line(section)
    if line and len(line) <= WIDTH and not wants_open:
        return Block([(HEADER, line)], False)
    return Block(_open_lines(section), True)


def quote(text: str, must: bool = False) -> str:
    """The text as one piece, between quotes where it needs them."""
    if text and not must and text[0] != ":" and all(c in BARE_CHARACTERS for c in text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _name(section: Section) -> str:
    is_plain = section.name and all(c in KEY_CHARACTERS + ".-" for c in section.name)
    return section.name if is_plain else quote(section.name, True)


def _pieces(spec: OptionSpec, option: Option) -> str:
    must = spec.name in ALWAYS_QUOTED
    if spec.kind == FLAG:
        return "true" if option.values[0] in TRUE else "false"
    return ",".join([quote(value, must) for value in option.values])


def _pair(spec: OptionSpec, option: Option) -> str:
    if spec.name == "any" or (spec.name == "block" and option.values[0] in TRUE):
        return spec.word
    return spec.word + "=" + _pieces(spec, option)


def _rule_lines(section: Section) -> "list[tuple[str, str]]":
    spec = SECTIONS["rule"]
    found = {option.name: option for option in section.options}
    lines = [(HEADER, f"rule {_name(section)}:")]
    for name in ("priority", "name", "enabled"):
        if name in found:
            word = spec.options[name].word
            lines.append((word, f"  {word} {_single(spec.options[name], found[name])}"))
    match = [_pair(spec.options[name], found[name]) for name in spec.order if _is_of(name, MATCH, found)]
    lines.append((MATCH, "  match " + " ".join(match)))
    for word, name in (("when", "state"), ("disable", "disable")):
        if name in found:
            lines.append((word, "  {} state={}".format(word, ",".join(found[name].values))))
    action = [_pair(spec.options[name], found[name]) for name in ACTION_ORDER if name in found]
    lines.append((ACTION, "  action " + " ".join(action)))
    return lines


def _is_of(name: str, group: str, found: "dict[str, Option]") -> bool:
    return name in found and SECTIONS["rule"].options[name].group == group


def _single(spec: OptionSpec, option: Option) -> str:
    return _pieces(spec, option)


def _main_block(section: Section) -> Block:
    """The settings are always a block; assertions alone are lines of their own."""
    spec = SECTIONS["netpolicy"]
    if all(option.name == ASSERT for option in section.options) and section.options:
        values = section.options[0].values
        return Block([(list_directive(ASSERT, index), "assert " + value) for index, value in enumerate(values)], False)
    lines = [(HEADER, "netpolicy:")]
    for option in section.options:
        lines.extend(_option_lines(spec.options[option.name], option))
    return Block(lines, True)


def _option_lines(spec: OptionSpec, option: Option) -> "list[tuple[str, str]]":
    if spec.name == ASSERT:
        lines = ["  assert " + value for value in option.values]
    elif spec.is_list:
        lines = [f"  {spec.word} {quote(value)}" for value in option.values]
    else:
        return [(spec.name, f"  {spec.word} {_pieces(spec, option)}")]
    return [(list_directive(spec.name, index), line) for index, line in enumerate(lines)]


def _open_lines(section: Section) -> "list[tuple[str, str]]":
    lines = [(HEADER, f"{section.type} {_name(section)}:")]
    for option in section.options:
        lines.extend(_option_lines(SECTIONS[section.type].options[option.name], option))
    return lines


def _one_line(section: Section) -> str:
    """The section in one line."""
    spec = SECTIONS[section.type]
    found = {option.name: option for option in section.options}
    parts = [section.type, _name(section)]
    taken = []
    for name in _positional(section, found):
        option = found.get(name)
        if option is None:
            continue
        taken.append(name)
        parts.append(" ".join([quote(value) for value in option.values]))
    for option in section.options:
        if option.name not in taken:
            parts.append(_pair_of(spec.options[option.name], option))
    return " ".join(parts)


def _positional(section: Section, found: "dict[str, Option]") -> "tuple[str, ...]":
    names = SECTIONS[section.type].positional
    if section.type == "outbound" and "type" in found:
        names = names + OUTBOUND_POSITIONAL[found["type"].values[0]]
        if "strategy" not in found:
            names = tuple([name for name in names if name != "strategy"])
            if any(value in SECTIONS["outbound"].options["strategy"].choices for value in _values(found, "member")):
                names = tuple([name for name in names if name != "member"])
    return names


def _values(found: "dict[str, Option]", name: str) -> tuple[str, ...]:
    return found[name].values if name in found else ()


def _pair_of(spec: OptionSpec, option: Option) -> str:
    return spec.word + "=" + _pieces(spec, option)
