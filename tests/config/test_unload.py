"""A rule set as canonical sections, and the key by which rule sets are compared."""

from __future__ import annotations

from random import Random

from netpolicy.config.load import load_text
from netpolicy.config.schema import SECTION_TYPES, SECTIONS
from netpolicy.config.source import Option, Section
from netpolicy.config.unload import as_key, to_sections, with_titles_as_names
from netpolicy.core.calendar import Schedule
from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Outbound, Rule, Ruleset, Settings, Throttle
from netpolicy.core.named_list import NamedList

from .rulesets import random_ruleset

BLOCK = Action("block", "drop")


def said(section: Section) -> dict[str, tuple[str, ...]]:
    return {option.name: option.values for option in section.options}


def only(ruleset: Ruleset) -> Section:
    (section,) = to_sections(ruleset)
    return section


def test_defaults_are_left_out_but_for_those_that_nobody_should_have_to_know():
    assert said(only(Ruleset(settings=Settings()))) == {"enabled": ("0",)}
    assert said(only(Ruleset(outbounds=(Outbound("w", "direct"),)))) == {"type": ("direct",)}
    assert said(only(Ruleset(throttles=(Throttle("t", up=8000),)))) == {"up": ("8kbit",)}
    assert said(only(Ruleset(lists=(NamedList("l", ("A.example",)),)))) == {"entry": ("a.example",)}
    assert said(only(Ruleset(rules=(Rule("r", 0, (), BLOCK),)))) == {
        "priority": ("0",), "any": ("1",), "block": ("1",),
    }  # fmt: skip
    assert said(only(Ruleset(schedules=(Schedule("s"),)))) == {
        "days": ("mon-sun",), "from": ("00:00",), "to": ("24:00",),
    }  # fmt: skip


def test_without_a_main_section_there_are_no_settings_but_what_must_hold():
    assert to_sections(Ruleset()) == ()
    section = only(Ruleset(settings=Settings(mode="observe", asserts=("lan can wan",)), has_main=False))
    assert said(section) == {"assert": ("lan can wan",)}


def test_an_action_says_what_it_needs_and_nothing_else():
    actions = {
        Action("route", "w"): {"route": ("w",)},
        Action("route", "w", True, "block", throttle="slow", notify=True): {
            "route": ("w",), "throttle": ("slow",), "on_fail": ("block",), "log": ("1",), "notify": ("1",),
        },
        Action("switch_route", "w"): {"switch_route": ("w",)},
        Action("fallback", "a", targets=("a", "b")): {"fallback": ("a", "b")},
        Action("block", "reject"): {"block": ("reject",)},
        Action("block", "drop"): {"block": ("1",)},
        Action("throttle", "slow"): {"throttle": ("slow",)},
    }  # fmt: skip
    for action, expected in actions.items():
        found = said(only(Ruleset(rules=(Rule("r", 0, (), action),))))
        assert {name: found[name] for name in found if name not in ("priority", "any")} == expected


def test_sections_and_options_are_in_the_order_of_canonical_text():
    for number in range(50):
        sections = to_sections(random_ruleset(Random(number)))
        types = [SECTION_TYPES.index(section.type) for section in sections]
        assert types == sorted(types)
        for section in sections:
            order = SECTIONS[section.type].order
            ranks = [order.index(option.name) for option in section.options]
            assert ranks == sorted(set(ranks))


def test_a_title_is_the_name_where_the_identifier_follows_from_it():
    def named(name: str, title: str) -> tuple[str, bool]:
        section = Section("rule", name, False, 0, (Option("name", (title,), False),) if title else ())
        (found,) = with_titles_as_names((section,))
        return found.name, found.option("name") is not None

    assert named("video_calls", "video calls") == ("video calls", False)
    assert named("video_calls_2", "video calls") == ("video_calls_2", True)  # another one has the name
    assert named("a_b", "a  b") == ("a_b", True)  # reading a name makes one blank of two
    assert named("a_b_", "a b ") == ("a_b_", True)
    assert named("mail", "") == ("mail", False)


def test_only_rules_are_named_by_their_title():
    section = Section("outbound", "the_vpn", False, 0, (Option("name", ("the vpn",), False),))
    assert with_titles_as_names((section,)) == (section,)


def test_keys_are_equal_for_what_decides_alike_and_not_for_anything_else():
    def key(port: str = "443", **how: object) -> object:
        return as_key(Ruleset((Rule("r", 1, (parse_field("dest_port", (port,)),), BLOCK, **how),)))  # type: ignore[arg-type]

    assert key() == key("0443") == key(position="elsewhere:7")
    others = [key("80"), key(when=("NORMAL",)), key(disable=("NORMAL",)), key(enabled=False), key(title="x")]
    assert key() not in others
    first, second = Rule("a", 1, (), BLOCK), Rule("b", 1, (), BLOCK)
    assert as_key(Ruleset((first, second))) != as_key(Ruleset((second, first)))  # the order is meaning


def test_the_key_of_what_was_read_does_not_depend_on_how_it_was_written():
    one = load_text("config rule a\n\toption port '443'\n\toption protocol 'TCP'\n\toption block 'yes'\n")
    other = load_text("rule a:\n  match protocol=tcp port=443\n  action block\n", "f", "dsl")
    assert as_key(one.ruleset) == as_key(other.ruleset)
