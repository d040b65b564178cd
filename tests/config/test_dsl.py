"""The DSL: the predecessor's grammar and phrases, the newer sections, every mistake of a file in one run."""

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netpolicy.config.dsl import MAX_LINES, read_dsl
from netpolicy.config.load import load_text
from netpolicy.config.unload import as_key
from tests.spellings import load_plain

VECTORS = json.loads((Path(__file__).parent.parent / "data" / "vectors.json").read_text())["dsl"]


def load(text):
    return load_text(text, "f", "dsl")


def errors_of(loaded):
    return [item for item in loaded.diagnostics if item.severity == "error"]


def options(section):
    return {option.name: option.values for option in section.options}


@pytest.mark.parametrize("vector", [pytest.param(one, id=f"{one['id']} {one['title']}") for one in VECTORS])
def test_every_dsl_vector(vector):
    loaded, expect = load(vector["dsl"]), vector["expect"]
    errors = errors_of(loaded)
    if vector["id"] == "D32":  # a blank between quotes: refused as a name, but not torn apart
        assert "invalid match token" not in errors[0].message
    elif vector["id"] == "D33":
        assert (errors[0].message, errors[0].line) == ("unterminated quote", 2)
    elif vector["id"] == "D40":
        assert options(read_dsl(vector["dsl"]).sections[0]) == {"dest_port": ("1",)}
    elif expect["ok"] is True and "priority" in expect:
        assert (errors[0].message, options(read_dsl(vector["dsl"]).sections[0])["priority"]) == (
            "match must contain at least one field or any: true",
            ("5",),
        )
    elif expect["ok"] is True and "rules" in expect:
        assert not errors
        assert as_key(loaded.ruleset) == as_key(load_plain(with_priority(expect["rules"])).ruleset)
    elif expect["ok"] is True:
        assert not errors
    else:
        place, _, phrase = expect["error"].rpartition("line ")[2].rpartition(": ")
        wanted = phrase if place.isdecimal() else expect["error"]
        found = [item for item in errors if wanted in item.message]
        assert found, errors
        assert not place.isdecimal() or found[0].line == int(place)


def with_priority(rules):
    return [{"priority": 0} | rule for rule in rules]


WHOLE = """\
netpolicy:
  enabled yes
  primary wan
  assert lan can wan tcp/443

# the lines
outbound wan interface wan probe=ping:192.0.2.1,tcp:192.0.2.2:443 masq  # fibre
outbound wg0 interface wg0
outbound tunnel_fast group failover wg0 wan
outbound tunnel_any group wg0 wan
outbound vpn table 100
outbound px xray frankfurt
outbound office tunnel ssh://me@vps.example.net:22 key=vps
outbound nothing block
outbound third:
  type interface
  interface = eth3
  title "The third line"
  probe ping:192.0.2.3
  probe ping:192.0.2.4, ping:192.0.2.5

schedule evening days=fri-sun,mon from=22:00 to=6:30
throttle slow down=2mbit up=512kbit
list video youtube.com =googlevideo.com regex:^a{1}b=c url=https://lists.example/x?a=b refresh=1d
assert guest cannot lan

rule films:
  title "Films, at night"
  match domain=@video,example.org schedule=evening
  match dest_port=443 protocol=tcp,udp
  action fallback=px,wan throttle=slow on_fail=block log notify
"""


def test_every_section_type_in_one_line_and_as_a_block():
    loaded = load(WHOLE)
    assert not errors_of(loaded)
    ruleset = loaded.ruleset
    assert ruleset.settings.asserts == ("lan can wan tcp/443", "guest cannot lan")
    assert [(one.name, one.type) for one in ruleset.outbounds] == [
        ("wan", "interface"), ("wg0", "interface"), ("tunnel_fast", "group"), ("tunnel_any", "group"), ("vpn", "table"),
        ("px", "xray"), ("office", "tunnel"), ("nothing", "block"), ("third", "interface"),
    ]  # fmt: skip
    wan, _, fast, any_, vpn, px, office, _, third = ruleset.outbounds
    assert (wan.probe, wan.masq) == (("ping:192.0.2.1", "tcp:192.0.2.2:443"), True)
    assert fast.member == any_.member == ("wg0", "wan")
    assert (vpn.table, px.node, office.key) == (100, "frankfurt", "vps")
    assert (third.interface, third.title, len(third.probe)) == ("eth3", "The third line", 3)
    assert ruleset.schedules[0].days == (0, 4, 5, 6)
    assert ruleset.lists[0].entries == ("youtube.com", "=googlevideo.com", "regex:^a{1}b=c")
    rule = ruleset.rules[0]
    assert rule.match_text == "domain=@video,example.org proto=tcp,udp dest_port=443 schedule=evening"
    assert (rule.action.text, rule.action.log, rule.title) == ("fallback px,wan throttle slow", True, "Films, at night")


def test_asserts_alone_make_no_main_section():
    loaded = load("assert lan can wan\nrule a:\n  match any\n  action block\n")
    assert not loaded.ruleset.has_main
    assert loaded.ruleset.settings.asserts == ("lan can wan",)


def test_a_value_stands_where_its_caret_will():
    found = load('rule a:\n  match port=80,99999 sni="x y"\n  action route=x\n').diagnostics
    places = {(item.line, item.column, item.length) for item in found if item.code == "NP105"}
    assert places == {(2, 17, 5), (2, 28, 3)}


def test_every_mistake_of_a_file_is_said_in_one_run():
    text = """\
priority 5
rule a:
  prioritty 5
  match prot=tcp port=1
  action rout=x
rule b:
  match sni="x
  action route=x
rule :
  match any
  action route=x
outbond wan interface wan
rule good:
  match any
  action route=x
throttle slow dwn=2mbit
"""
    loaded = load(text)
    assert [(item.line, item.message) for item in errors_of(loaded) if item.code not in ("NP201", "NP202")] == [
        (1, "content must be inside a rule block"),
        (3, "unknown directive 'prioritty'"),
        (4, "unknown match key prot"),
        (5, "unknown action key rout"),
        (7, "unterminated quote"),
        (12, "unknown directive 'outbond'"),
        (16, "throttle 'slow': unknown option dwn of throttle"),
        (16, "throttle 'slow' limits nothing"),
        (9, "rule name is required"),
        (15, "route 'x' is not an outbound"),
        (8, "route 'x' is not an outbound"),
        (11, "route 'x' is not an outbound"),
    ]
    hints = [item.hint for item in errors_of(loaded)]
    assert "did you mean 'priority'?" in hints
    assert "did you mean 'route'?" in hints


def test_what_a_later_line_replaces_is_said_and_one_line_joins():
    loaded = load("rule a:\n  match port=1 port=2\n  match port=3\n  priority 1\n  priority 2\n  action block\n")
    assert [(item.code, item.line) for item in loaded.diagnostics] == [("NP005", 3), ("NP005", 5), ("NP210", 0)][:2]
    assert loaded.ruleset.rules[0].match_text == "dest_port=3"
    joined = load("rule a:\n  match port=1 port=2\n  action block\n").ruleset.rules[0]
    assert joined.match_text == "dest_port=1,2"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("rule rule x:", "rule x"), ('rule "a: #b":', "a: #b"), (r'rule "say \"hi\"\\":', 'say "hi"\\'),
        ("rule my rule::  # note", "my rule"), ("rule\tx", "x"), ("  rule x :", "x"), ("rule 'it':", "it"),
    ],
)  # fmt: skip
def test_names_of_rules(line, name):
    assert read_dsl(line + "\n").sections[0].name == name


def types_of(text):
    return [(section.type, section.name) for section in read_dsl(text).sections]


def test_an_indented_header_word_in_a_rule_is_a_forgotten_directive_and_no_section():
    text = "rule a:\n  match any\n  schedule evening\n  throttle slow\n  action block\n"
    loaded = load(text)
    assert [(item.line, item.hint) for item in errors_of(loaded)] == [
        (3, "write `match schedule=VALUE`"),
        (4, "write `action throttle=VALUE`"),
    ]
    assert types_of(text) == [("rule", "a")]
    assert loaded.blocked_skip


def test_a_rule_begins_wherever_it_stands_and_others_not_deeper_than_the_header_before():
    assert types_of("rule a:\n  rule b:\n      rule c:\n") == [("rule", "a"), ("rule", "b"), ("rule", "c")]
    indented = "    list l x.example\n    schedule s:\n      days mon\n    throttle t down=1mbit\n    assert a can b\n"
    expected = [("list", "l"), ("schedule", "s"), ("throttle", "t"), ("netpolicy", "main")]
    assert types_of(indented) == expected
    assert not read_dsl(indented).diagnostics
    assert types_of("".join([line.strip() + "\n" for line in indented.splitlines()])) == expected


def test_a_mistyped_header_begins_the_section_that_was_meant_and_it_is_broken():
    good = "rule a:\n  match any\n  action route=wan\n"
    text = "outbond wan interface eth0\n" + good + "rul b:\n  match proto=udp\n  action block\n"
    loaded = load(text)
    assert [(item.code, item.line, item.column, item.length, item.fix) for item in loaded.diagnostics][:2] == [
        ("NP102", 1, 1, 7, "outbound"),
        ("NP102", 5, 1, 3, "rule"),
    ]
    assert types_of(text) == [("outbound", "wan"), ("rule", "a"), ("rule", "b")]
    assert [section.broken for section in read_dsl(text).sections] == [True, False, True]
    assert loaded.blocked_skip  # b would have blocked


def test_a_mistyped_directive_at_the_margin_is_no_header():
    found = read_dsl("rule a\nmatch any\nacton block\npriorty 5\n").diagnostics
    assert [(item.code, item.hint) for item in found] == [
        ("NP101", "did you mean 'action'?"),
        ("NP101", "did you mean 'priority'?"),
    ]


def test_a_header_with_an_open_quote_takes_its_lines_along():
    text = 'outbound "wan\n  type interface\n  interface eth0\nrule a:\n  match any\n  action block\n'
    assert [(item.line, item.message) for item in errors_of(load(text))] == [(1, "unterminated quote")]
    assert types_of(text) == [("outbound", "wan"), ("rule", "a")]


def test_line_ends_of_other_systems_are_fine_and_strange_characters_are_not():
    assert not errors_of(load("rule a:\r\n  match any\r\n  action block\r\n"))
    assert [item.code for item in errors_of(load("\ufeffrule a:\n  match any\n  action block\n"))][:1] == ["NP002"]
    assert load("rule a:\n  match any\n  action block\x00\n").fatal
    assert [(item.line, item.column) for item in errors_of(load("rule a\rb:\n"))] == [(1, 7)]
    assert len(errors_of(load("\ufeffrule a:\n  match any\n  action block\n"))) == 1


@given(st.text("rule:match acton=\"'\\,# \t\nportsniaswhe0*.>@{}", max_size=200))
@settings(max_examples=500)
def test_no_text_makes_the_reader_raise(text):
    load(text)


@pytest.mark.parametrize(
    "text", ['"' * 300_000, "," * 300_000, "rule x\n" * 100_000, "match any\n" * 200_000, "rule a:\n" + "x=" * 400_000,
             "#\n" * 300_000, "rule a:\n  match " + "port=1 " * 100_000],
)  # fmt: skip
def test_hostile_text_is_read_in_bounded_time(text):
    read_dsl(text)
    assert MAX_LINES == 200_000


@pytest.mark.parametrize(
    "text", ["rule a:\n match port=" + "," * (4 << 20), "list a " + "x " * (2 << 20), "rule x\n" * (4 << 17),
             "ab\n" * (14 << 17), "rule a:\n" + (" match port=" + "1," * 90_000 + "\n") * 4,
             "rule a:\n match " + "zz=1 " * (4 << 17), '"' * (1 << 18)],
)  # fmt: skip
def test_hostile_text_fills_no_memory(text):
    tracemalloc.start()
    found = read_dsl(text[: 4 << 20])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.diagnostics[-1].severity == "error"
    assert peak < 64 << 20
