"""Rule blocks: every way to write a line of one, and the predecessor's phrases for mistakes."""

import pytest

from netpolicy.config.dsl import read_dsl
from netpolicy.config.load import load_text


def read(*lines):
    """The options of a rule with these lines, and what is wrong: (code, line, column, message)."""
    parsed = read_dsl("rule a:\n" + "".join([f"  {line}\n" for line in lines]))
    options = {option.name: option.values for option in parsed.sections[0].options}
    return options, [(item.code, item.line, item.column, item.message) for item in parsed.diagnostics]


def hint_of(line):
    diagnostics = read_dsl(f"rule a:\n  {line}\n").diagnostics
    assert len(diagnostics) == 1
    assert read_dsl(f"rule a:\n  {line}\n").sections[0].broken
    return diagnostics[0].hint, diagnostics[0].fix


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("match any", {"any": ("1",)}),
        ("match any=true", {"any": ("1",)}),
        ("match any=yes", {"any": ("1",)}),
        ("match proto=tcp dest_port=1", {"proto": ("tcp",), "dest_port": ("1",)}),
        ("match protocol = tcp port = 1,2", {"proto": ("tcp",), "dest_port": ("1", "2")}),
        ("match sni=a sni='b c'", {"sni": ("a", "b c")}),
        ("action block", {"block": ("1",)}),
        ("action block=true", {"block": ("true",)}),
        ("action block=drop", {"block": ("drop",)}),
        ("action block=reject", {"block": ("reject",)}),
        ("action route=x=y log", {"route": ("x=y",), "log": ("1",)}),
        ("action log=yes notify=on", {"log": ("1",), "notify": ("1",)}),
        ("action log=no", {"log": ("no",)}),
        ("action fallback=a,b", {"fallback": ("a", "b")}),
        ("priority 5 # five", {"priority": ("5",)}),
        ("priority -1", {"priority": ("-1",)}),
        ('title "A, b # c"', {"name": ("A, b # c",)}),
        ("enabled off", {"enabled": ("off",)}),
    ],
)
def test_lines(line, options):
    assert read(line) == (options, [])


@pytest.mark.parametrize(
    "states",
    ["NORMAL,DEGRADED", "state=NORMAL,DEGRADED", "state = NORMAL , DEGRADED", "state =NORMAL,DEGRADED",
     "state= NORMAL DEGRADED", 'state="NORMAL,DEGRADED"', "state='NORMAL',\"DEGRADED\"", "'NORMAL, DEGRADED'"],
)  # fmt: skip
@pytest.mark.parametrize(("word", "name"), [("when", "state"), ("disable", "disable")])
def test_states_however_the_blanks_and_quotes_stand(states, word, name):
    assert read(f"{word} {states}") == ({name: ("NORMAL", "DEGRADED")}, [])


@pytest.mark.parametrize("line", ["when state=", "when state = ", "disable state=,", 'when state=""'])
def test_a_state_is_required_after_the_key(line):
    options, wrong = read(line)
    assert not options
    assert [(code, message) for code, _, _, message in wrong] == [("NP203", "state value is required")]


def test_another_key_before_states_is_a_value_that_is_no_state():
    loaded = load_text("rule a:\n  match any\n  action block\n  when stat=NORMAL\n", "f", "dsl")
    item = next(item for item in loaded.diagnostics if item.severity == "error")
    assert (item.line, item.column) == (4, 8)
    assert "invalid state value: stat=NORMAL" in item.message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("foo bar", ("NP101", 2, 3, "unknown directive 'foo'")),
        ("match ", ("NP101", 2, 3, "unknown directive: 'match' alone")),
        ("match # c", ("NP101", 2, 3, "unknown directive: 'match' alone")),
        ("match tcp", ("NP105", 2, 9, "invalid match token")),
        ("match =x", ("NP105", 2, 9, "invalid match token")),
        ("match any,log", ("NP105", 2, 9, "invalid match token")),
        ("match prot=tcp", ("NP101", 2, 9, "unknown match key prot")),
        ("match route=x", ("NP101", 2, 9, "unknown match key route")),
        ("match any=false", ("NP101", 2, 9, "unknown match key any")),
        ("match latency_ms=>1,2", ("NP105", 2, 9, "latency_ms takes one value")),
        ("action x", ("NP105", 2, 10, "invalid action token")),
        ("action drop=true", ("NP101", 2, 10, "unknown action key drop")),
        ("action block=false", ("NP101", 2, 10, "unknown action key block")),
        ("action route=a,b", ("NP105", 2, 10, "route takes one value")),
        ("priority high", ("NP105", 2, 12, "invalid priority")),
        ("priority 1 2", ("NP105", 2, 12, "invalid priority")),
        ("priority 1.5", ("NP105", 2, 12, "invalid priority")),
        ("priority \u0661", ("NP105", 2, 12, "invalid priority")),
        ("title a b", ("NP105", 2, 3, "title takes one value")),
        ('match sni="', ("NP003", 2, 13, "unterminated quote")),
    ],
)
def test_mistakes_at_their_place(line, expected):
    assert read(line) == ({}, [expected])


@pytest.mark.parametrize(
    ("line", "hint", "fix"),
    [
        ("prioritty 5", "did you mean 'priority'?", "priority"),
        ("match prtocol=tcp", "did you mean 'protocol'?", "protocol"),
        ("priority=5", "write `priority VALUE`, without =", ""),
        ("title=x", "write `title VALUE`, without =", ""),
        ("port 443", "write `match port=VALUE`", ""),
        ("dest_port=443", "write `match port=VALUE`", ""),
        ("route wan", "write `action route=VALUE`", ""),
        ("state NORMAL", "write `when state=VALUE`", ""),
        ("schedule evening", "write `match schedule=VALUE`", ""),
        ("throttle slow", "write `action throttle=VALUE`", ""),
        ("outbound wan interface wan", "a section begins at the margin", ""),
        ("match any=no", "leave it out, or write `any` alone", ""),
    ],
)
def test_what_was_meant_is_said_and_a_fix_never_takes_a_value_away(line, hint, fix):
    assert hint_of(line) == (hint, fix)
