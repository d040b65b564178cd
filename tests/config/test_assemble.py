"""Files put together: names, what is skipped, what is fatal, and what the rest still is.

More of it by whole texts: test_load.py.
"""

from __future__ import annotations

import pytest

from netpolicy.config.assemble import MAX_RULES, Assembly, Loaded, assemble
from netpolicy.config.diagnostic import Diagnostic, Place
from netpolicy.config.source import Option, Section, SourceFile
from netpolicy.config.value import MAX_NAME, is_name
from netpolicy.core.list_content import ListContent
from tests.core.gathered import gathered

LINE = iter(range(1, 10**9))


def section(type: str, name: str, /, _broken: bool = False, _anonymous: bool = False, **options: object) -> Section:
    """A section in a line of its own."""
    line = next(LINE)
    made = [
        Option(key.rstrip("_"), value if isinstance(value, tuple) else (str(value),), isinstance(value, tuple), line, 3)
        for key, value in options.items()
    ]
    return Section(type, name, _anonymous, line, tuple(made), 1, _broken)


def rule(name: str, /, **options: object) -> Section:
    return section("rule", name, **({"any": 1, "route": "direct"} | options))


def made(*sections: Section, keeps: bool = False) -> Loaded:
    return assemble((SourceFile("f", sections, ()),), keeps)


def errors(loaded: Loaded) -> list[str]:
    return [item.code for item in loaded.diagnostics if item.severity == "error"]


def names(loaded: Loaded) -> list[tuple[str, str]]:
    return [(one.name, one.title) for one in loaded.ruleset.rules]


TITLED = {
    "an identifier": (["mail"], [("mail", "mail")]),
    "blanks": (["video calls"], [("video_calls", "video calls")]),
    "blanks around and between": (["  a \t b  "], [("a_b", "a b")]),
    "two titles of one identifier": (["a b", "a-b", "a.b"], [("a_b", "a b"), ("a_b_2", "a-b"), ("a_b_3", "a.b")]),
    "an identifier that a title took": (["a b", "a_b"], [("a_b", "a b"), ("a_b_2", "a_b")]),
    "a title whose identifier is a name": (["a_b", "a b"], [("a_b", "a_b"), ("a_b_2", "a b")]),
    "the name of the settings": (["main"], [("main_2", "main")]),
    "a long title": (["a b" * 30], [(("a_b" * 30)[: MAX_NAME - 4], "a b" * 30)]),
}


@pytest.mark.parametrize("case", TITLED)
def test_a_rule_has_an_identifier_and_keeps_its_title(case):
    written, expected = TITLED[case]
    loaded = made(*[rule(name) for name in written])
    assert not errors(loaded)
    assert names(loaded) == expected
    assert all(is_name(name) for name, _ in expected)


def test_titles_without_a_letter_are_told_apart():
    found = names(made(rule("视频"), rule("音乐"), rule("!!!")))
    assert len({name for name, _ in found}) == 3
    assert all(name.startswith("rule_") or name == "___" for name, _ in found)


def test_a_title_of_its_own_wins_over_the_name():
    assert names(made(rule("a", name="For people"))) == [("a", "For people")]
    assert names(made(rule("a b", title="For people"))) == [("a_b", "For people")]


def test_a_rule_may_not_have_the_name_of_something_else_whatever_its_identifier():
    outbound = section("outbound", "vpn", type="direct")
    loaded = made(outbound, rule("vpn"))
    assert errors(loaded) == ["NP107"]
    assert not loaded.ruleset.rules
    assert names(made(section("outbound", "a_b", type="direct"), rule("a b"))) == [("a_b_2", "a b")]


@pytest.mark.parametrize(
    ("name", "anonymous", "code"),
    [("", False, "NP106"), ("   ", False, "NP106"), ("a" * 65, False, "NP106"), ("", True, None)],
)
def test_a_rule_needs_a_name_unless_the_spelling_has_anonymous_ones(name, anonymous, code):
    loaded = made(rule(name, _anonymous=anonymous))
    assert errors(loaded) == ([code] if code else [])
    assert len(loaded.ruleset.rules) == (0 if code else 1)


def test_the_name_of_an_anonymous_rule_follows_from_what_it_says():
    first, second = rule("", _anonymous=True), rule("", _anonymous=True, proto="tcp")
    (one,), (other,) = names(made(first)), names(made(second))
    assert one != other
    assert dict(names(made(second, first))).keys() == {one[0], other[0]}


def test_a_name_used_twice_keeps_the_first_rule_and_none_of_two_outbounds():
    loaded = made(rule("a"), rule("a"))
    assert errors(loaded) == ["NP107"]
    assert names(loaded) == [("a", "a")]
    twice = made(section("outbound", "w", type="direct"), section("outbound", "w", type="block"))
    assert errors(twice) == ["NP107"]
    assert twice.ruleset.outbounds == ()


@pytest.mark.parametrize("type", ["outbound", "schedule", "throttle", "list"])
def test_the_other_sections_have_names_that_uci_takes(type):
    needed = {"outbound": {"type": "direct"}, "throttle": {"up": "1mbit"}, "list": {"entry": ("a.example",)}}
    for name in ("a b", "", "a-b", "a" * 65):
        loaded = made(section(type, name, **needed.get(type, {})))
        assert errors(loaded) == ["NP106"], name
    assert errors(made(section(type, "a", **needed.get(type, {})))) == []


def test_one_name_for_two_types_is_refused():
    loaded = made(section("schedule", "x"), section("throttle", "x", up="1mbit"))
    assert errors(loaded) == ["NP107"]
    assert (len(loaded.ruleset.schedules), len(loaded.ruleset.throttles)) == (1, 0)


def test_every_part_has_its_place_in_the_rule_set_in_the_order_of_the_file():
    loaded = made(
        rule("r2"),
        section("list", "l", entry=("a.example",)),
        section("throttle", "t", up="1mbit"),
        section("schedule", "s2"),
        section("schedule", "s1"),
        section("outbound", "o2", type="direct"),
        section("outbound", "o1", type="block"),
        section("netpolicy", "main", enabled=1),
        rule("r1"),
    )
    ruleset = loaded.ruleset
    assert not errors(loaded)
    assert [one.name for one in (*ruleset.outbounds, *ruleset.schedules)] == ["o2", "o1", "s2", "s1"]
    assert [one.name for one in (*ruleset.throttles, *ruleset.lists, *ruleset.rules)] == ["t", "l", "r2", "r1"]
    assert ruleset.has_main
    assert ruleset.settings.enabled


@pytest.mark.parametrize(
    ("options", "is_flagged"),
    [
        ({"block": 1}, True),
        ({"block": "reject"}, True),
        ({"block": 0, "route": "direct"}, False),
        ({"route": "direct", "on_fail": "block"}, True),
        ({"route": "direct"}, False),
        ({"route": "block"}, True),
        ({"route": "pit"}, True),
        ({"fallback": ("direct", "pit")}, True),
        ({"block": 1, "enabled": "off"}, False),
    ],
)
def test_a_skipped_rule_is_flagged_when_what_it_stopped_would_pass(options, is_flagged):
    broken = section("rule", "r", any=1, colour="red", **options)
    loaded = made(section("outbound", "pit", type="block"), broken, rule("fine"))
    assert [name for name, _ in loaded.skipped] == ["r"]
    assert "colour" in loaded.skipped[0][1]
    assert (loaded.fatal, loaded.blocked_skip) == (False, is_flagged)
    assert names(loaded) == [("fine", "fine")]


def test_what_a_front_end_could_not_read_in_full_is_not_used():
    loaded = made(rule("a", _broken=True), section("schedule", "s", _broken=True), rule("b"))
    assert names(loaded) == [("b", "b")]
    assert loaded.ruleset.schedules == ()
    assert made(section("netpolicy", "main", _broken=True, enabled=1)).fatal


@pytest.mark.parametrize("code", ["NP001", "NP002", "NP003", "NP004", "NP007"])
def test_an_error_of_form_is_fatal_wherever_it_is(code):
    finding = Diagnostic(code, "error", "g", 1, 1, "", "wrong")
    warning = Diagnostic(code, "warning", "g", 1, 1, "", "odd")
    first = SourceFile("f", (rule("a"),), ())
    assert assemble((first, SourceFile("g", (), (finding,)))).fatal
    assert not assemble((first, SourceFile("g", (), (warning,)))).fatal
    assert not assemble((first, SourceFile("g", (), (Diagnostic("NP101", "error", "g", 1, 1, "", "x"),)))).fatal


def test_a_further_file_may_say_what_must_hold_and_no_other_setting():
    main = SourceFile("f", (section("netpolicy", "main", enabled=1, assert_=("lan can wan",)),), ())
    more = SourceFile("g", (section("netpolicy", "main", assert_=("guest cannot lan",)),), ())
    loaded = assemble((main, more))
    assert not errors(loaded)
    assert loaded.ruleset.settings.asserts == ("lan can wan", "guest cannot lan")
    wrong = assemble((main, SourceFile("g", (section("netpolicy", "main", enabled=0),), ())))
    assert errors(wrong) == ["NP007"]
    assert wrong.fatal


def test_assertions_alone_are_no_main_section():
    loaded = made(section("netpolicy", "main", assert_=("lan can wan",)), rule("a"))
    assert not loaded.ruleset.has_main
    assert loaded.ruleset.settings.asserts == ("lan can wan",)


def test_an_unknown_section_is_named_only_where_its_type_is_a_word():
    loaded = made(section("rul", "a", block=1))
    assert errors(loaded) == ["NP102"]
    assert loaded.blocked_skip
    assert "did you mean 'rule'?" in [item.hint for item in loaded.diagnostics]
    secret = made(section("pass:word", "a"))
    assert "pass" not in secret.diagnostics[0].message


def test_too_many_rules_are_refused_before_they_are_read():
    loaded = made(*[rule(f"r{number}") for number in range(MAX_RULES + 1)])
    assert errors(loaded) == ["NP004"]
    assert loaded.fatal
    assert loaded.ruleset.rules == ()


def test_where_everything_was_read_is_kept_where_somebody_asks():
    first, line = rule("video calls"), section("outbound", "w", type="direct")
    loaded = made(line, first, keeps=True)
    assert loaded.sources[("outbound", "w")] == ("f", line)
    assert loaded.sources[("rule", "video_calls")][1].line == first.line
    assert [file.file for file in loaded.files] == ["f"]
    assert made(line, first).sources == {}
    assert made(line, first).files == ()


def test_the_entries_of_a_lists_file_come_from_whoever_reads_files():
    asked: list[tuple[str, int]] = []

    def entries(section: Section, file: str) -> tuple[bool, ListContent]:
        asked.append((section.name, section.line))
        return True, gathered("192.0.2.1")

    named = section("list", "l", file="more")
    assembly = Assembly(entries)
    assembly.begin(SourceFile("f", (named, rule("r", any=0, dest_addr=("@l",))), ()))
    loaded = assembly.finish()
    assert not errors(loaded)
    assert asked == [("l", named.line)]
    assert loaded.ruleset.rules[0].fields[0].matches((4, 0xC0000201))


def test_a_list_whose_file_is_refused_takes_the_rules_with_it_that_name_it():
    def entries(section: Section, file: str) -> tuple[bool, None]:
        assembly.findings.error("NP004", Place(file, section.line), "too long")
        return False, None

    blocking = section("rule", "r", dest_addr=("@l",), block=1)
    assembly = Assembly(entries)
    assembly.begin(SourceFile("f", (section("list", "l", file="more"), blocking), ()))
    loaded = assembly.finish()
    assert errors(loaded) == ["NP004", "NP212"]
    assert loaded.skipped == (("r", "the list 'l' has errors"),)
    assert loaded.blocked_skip, "what it blocked would pass"
    assert not loaded.ruleset.lists
