"""The colours of the DSL, as VS Code's tokenizer gives them: complete, and never red for what is right.

`python -m tests.editors.test_grammar` writes reference.tokens anew, for a look at the difference.
"""

from __future__ import annotations

import functools
import json

import pytest

from netpolicy.config.dsl import HEADERS, read_dsl
from netpolicy.config.dsl_rule import DIRECTIVES
from netpolicy.config.linter import lint_text
from netpolicy.config.schema import ACTION, MATCH, SECTIONS, OptionSpec
from netpolicy.config.spelling import DSL
from netpolicy.config.value import RATE_UNITS, TIME_UNITS
from netpolicy.core.calendar import DAYS, GROUPS, LONG_DAYS
from netpolicy.core.health import STATES
from netpolicy.core.packet import PROTOCOLS
from tests.editors.samples import HERE, REFERENCE, changed, printed, snippets, written
from tests.editors.vscode import GRAMMAR, Token, ask, why_not

GOLDEN = HERE / "reference.tokens"

SECTION = "storage.type.section"
NAME = "entity.name.section"
DIRECTIVE = "keyword.other.directive"
OPTION = "keyword.other.option"
KEY = "support.type.property-name"
COMMENT = "comment.line.number-sign"
NUMBER = "constant.numeric"
COMPARISON = "keyword.operator.comparison"
DOUBLE = "string.quoted.double"

# Line and text in reference.np, and what they are: said once more, so that nobody writes nonsense anew.
KINDS = (
    (1, "# What reference.tokens shows the colours of: every construct of the DSL once.", COMMENT),
    (3, "netpolicy", SECTION), (4, "enabled", OPTION), (4, "true", "constant.language.boolean"),
    (5, "observe", "constant.language.choice"), (5, "# changes nothing", COMMENT),
    (9, "#2.np", "string.unquoted"), (10, "can", "keyword.operator.assertion"), (13, "outbound", SECTION),
    (13, "wan", NAME), (13, "probe", KEY),
    (16, "'proxy'", NAME), (16, '"node, the first"', DOUBLE), (18, "type", OPTION),
    (23, "mon", "constant.language.day"), (23, "18:00", NUMBER),
    (24, "mbit", "keyword.other.unit"), (31, "zoom priority: first", NAME),
    (31, ":", "punctuation.separator.colon"), (31, "# a comment behind a name with blanks", COMMENT),
    (32, "priority", DIRECTIVE), (32, "100", NUMBER), (35, "match", DIRECTIVE), (35, "sni", KEY),
    (35, "=", "keyword.operator.assignment"), (35, '"*.zoom.us"', DOUBLE), (35, "tcp", "constant.language.protocol"),
    (35, "443", NUMBER), (35, "!", "keyword.operator.negation"), (36, "@nets", "variable.other.list"),
    (36, "fd00::/8", "constant.other.address"), (36, "02:00:00:00:00:0a", "constant.other.address"),
    (37, ">", COMPARISON), (37, "120", NUMBER), (37, "<=", COMPARISON), (37, "50", NUMBER),
    (38, "NORMAL", "constant.language.state"), (38, "degraded", "constant.language.state"),
    (40, "action", DIRECTIVE), (40, "vpn", "string.unquoted"), (40, "on_fail", KEY),
    (42, '"block: it"', NAME), (43, "any", KEY), (45, "RULE", "invalid.illegal.unknown-directive"),
)  # fmt: skip

# A text with a mistake, and what is red in it.
MISTAKES = {
    "an unterminated double quote": ('rule a:\n  match sni="*.zoom.us\n  action block', ['"*.zoom.us']),
    "an unterminated single quote": ("rule a:\n  match sni='*.zoom.us port=1", ["'*.zoom.us port=1"]),
    "a quote that an escape keeps open": ('rule a:\n  title "a\\"', ['"a\\"']),
    "an unterminated name": ('rule "a\n  match any', ['"a']),
    "an unterminated quote of an option": ('list a:\n  title "b\n  entry c', ['"b']),
    "an unknown directive": ("rule a:\n  mach any\n  action block", ["mach"]),
    "an unknown option": ("outbound a:\n  typ table", ["typ"]),
    "an unknown match": ("rule a:\n  match ports=1 port=2", ["ports"]),
    "an unknown action": ("rule a:\n  action rout=b log", ["rout"]),
    "an unknown key of a section": ("throttle a down=1mbit upp=1mbit", ["upp"]),
    "an unknown type": ("outbound a interfce b", ["interfce"]),
    "an unknown state": ("rule a:\n  when state=NORMAL,FINE", ["FINE"]),
    "a directive alone": ("rule a:\n  match\n  action block", ["match"]),
    "a priority that is no number": ("rule a:\n  priority high", ["high"]),
    "a word that is no pair": ("rule a:\n  match tcp any", ["tcp"]),
    "any that is false": ("rule a:\n  match any=false", ["any=false"]),
    "a quote in the middle": ('rule a:\n  action route=b"c"', ['"c"']),
    "text behind a quote": ('rule a:\n  match sni="a"b', ["b"]),
    "text behind a name": ('rule "a": b\n  match any', ["b"]),
    "text behind a header": ("outbound a: table 1", [": table 1"]),
    "text outside of a block": ("match any\nrule a:", ["match any"]),
    "text after an assertion": ("assert a can b\n  match any", ["match any"]),
}

VALUES = {"priority": "5", "when": "NORMAL", "disable": "NORMAL", "match": "any", "action": "block"}


def body(type: str, word: str, value: str) -> str:
    return f"{type} {'main' if type == 'netpolicy' else 'x'}:\n  {word} {value}\n"


def words_of_the_table() -> dict[str, tuple[str, str, str]]:
    """Text, word and scope for every word of the language."""
    found = {}
    for type, spec in SECTIONS.items():
        if type == "rule":
            continue
        for word in spec.words:
            found[f"{type} {word}"] = (body(type, word, "1"), word, OPTION)
            found[f"{type} {word}="] = (f"{type} {'main' if type == 'netpolicy' else 'x'} {word}=1\n", word, KEY)
    for word in DIRECTIVES:
        found[f"rule {word}"] = (body("rule", word, VALUES.get(word, "1")), word, DIRECTIVE)
    for type, option in options():
        if option.group in (MATCH, ACTION):
            for word in {option.name, option.word}:
                found[f"{option.group} {word}="] = (body("rule", option.group, f"{word}=1"), word, KEY)
        for word in choices(option):
            line = f"{option.word} {word}" if not option.group else f"{option.group} {option.word}={word}"
            found[f"{option.name} {word}"] = (body(type, *line.split(" ")), word, "constant.language.choice")
    for word in SECTIONS["outbound"].options["type"].choices:
        found[f"outbound x {word}"] = (f"outbound x {word}\n", word, "constant.language.choice")
    for directive in ("when", "disable"):
        for word in STATES:
            found[f"{directive} {word}"] = (body("rule", directive, f"state={word}"), word, "constant.language.state")
    for word in PROTOCOLS:
        found[f"protocol {word}"] = (body("rule", "match", f"protocol={word}"), word, "constant.language.protocol")
    for word in (*DAYS, *LONG_DAYS, *sorted(GROUPS)):
        found[f"day {word}"] = (body("schedule", "days", word), word, "constant.language.day")
    for word, _ in RATE_UNITS + TIME_UNITS:
        found[f"unit {word}"] = (f"throttle x down=2{word}\n", word, "keyword.other.unit")
    for word in (">", ">=", "<", "<=", "==", "="):
        for quote in ("", '"'):
            text = body("rule", "match", f"loss={quote}{word}5%{quote}")
            found[f"comparator {quote}{word}"] = (text, word, COMPARISON)
    found.update({f"header {word}": (f"{word} main", word, SECTION) for word in HEADERS if word != "assert"})
    return found


def options() -> list[tuple[str, OptionSpec]]:
    return [(type, option) for type, spec in SECTIONS.items() for option in spec.options.values()]


def choices(option: OptionSpec) -> tuple[str, ...]:
    """The words that a value may be. Not those of lists, which have names of their own."""
    if option.name in ("block", "family"):
        return tuple(word for word in option.examples if word != "1")
    return option.choices


def words_of_others() -> dict[str, str]:
    """For each section the words that only others know."""
    every = {word for spec in SECTIONS.values() for word in spec.words} - set(HEADERS)
    known = {type: set(spec.words) for type, spec in SECTIONS.items()}
    known["rule"] = set(DIRECTIVES)
    return {f"no {type} {word}": body(type, word, "1") for type in SECTIONS for word in sorted(every - known[type])}


@functools.cache
def tokens() -> dict[str, list[Token]]:
    """Of all texts, from one run."""
    if why_not():
        pytest.skip(why_not())
    texts = {**written(), **printed(), **changed(), **snippets(), "reference": REFERENCE.read_text(encoding="utf-8")}
    texts.update({name: text for name, (text, _) in MISTAKES.items()})
    texts.update({name: text for name, (text, _, _) in words_of_the_table().items()})
    texts.update(words_of_others())
    return ask(texts)[0]


def red(name: str) -> list[str]:
    return [token.text.strip() for token in tokens()[name] if token.is_invalid]


def is_correct(name: str, text: str) -> bool:
    # NP005: what a later line replaces is read by nobody, and may be red.
    return not any(item.severity == "error" or item.code == "NP005" for item in lint_text(text, name, DSL))


def golden() -> str:
    """The reference with the scopes of each piece below its line."""
    lines = []
    for number, line in enumerate(REFERENCE.read_text(encoding="utf-8").splitlines(), 1):
        lines.append(f"{number:2} | {line}".rstrip())
        lines += [f"     {token.text.strip()}  =>  {' '.join(token.scopes) or '-'}" for token in at(number)]
    return "\n".join(lines) + "\n"


def at(line: int) -> list[Token]:
    return [token for token in tokens()["reference"] if token.line == line]


def test_the_reference_has_its_colours() -> None:
    assert golden().splitlines() == GOLDEN.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(("line", "text", "scope"), KINDS)
def test_a_piece_of_the_reference_is_what_it_is(line: int, text: str, scope: str) -> None:
    assert scope in {token.scope for token in at(line) if token.text.strip() == text}


def test_there_are_examples_and_pages_to_look_at() -> None:
    assert sum(name.startswith("examples/") for name in written()) >= 5
    assert sum(name.startswith("docs/") for name in written()) >= 1


@pytest.mark.parametrize("name", sorted(written()))
def test_a_correct_text_of_the_repository_has_nothing_red(name: str) -> None:
    if is_correct(name, written()[name]):
        assert red(name) == []
    else:
        assert not name.startswith("examples/")


@pytest.mark.parametrize("name", sorted(snippets()))
def test_a_snippet_has_nothing_red(name: str) -> None:
    assert red(name) == []


def test_random_rule_sets_have_a_colour_everywhere_and_nothing_red() -> None:
    for name in printed():
        assert red(name) == []
        assert [token for token in tokens()[name] if not token.scopes] == []


def test_nothing_is_red_that_is_correct_after_a_careless_change() -> None:
    correct = [name for name, text in changed().items() if is_correct(name, text)]
    assert len(correct) > 10
    assert [(name, red(name)) for name in correct if red(name)] == []


def test_most_mistakes_of_form_are_red() -> None:
    """The rest takes counting, or comparing lines, which a grammar of this kind cannot."""
    broken = [name for name, text in changed().items() if read_dsl(text).diagnostics and not is_correct(name, text)]
    assert len(broken) > 50
    assert sum(bool(red(name)) for name in broken) > 0.8 * len(broken)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_red_and_no_more_than_that(mistake: str) -> None:
    text, expected = MISTAKES[mistake]
    assert not is_correct(mistake, text)
    assert red(mistake) == expected


def test_every_word_of_the_table_has_its_colour() -> None:
    wrong = []
    for name, (_, word, scope) in words_of_the_table().items():
        found = {token.scope for token in tokens()[name] if token.text.strip() == word}
        if scope not in found or red(name):
            wrong.append(f"{name}: {sorted(found)}, red: {red(name)}")
    assert wrong == []


def test_a_word_of_another_section_is_red() -> None:
    assert [name for name in words_of_others() if not red(name)] == []


def test_the_grammar_is_in_the_form_that_is_reviewed() -> None:
    text = GRAMMAR.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    GOLDEN.write_text(golden(), encoding="utf-8")
