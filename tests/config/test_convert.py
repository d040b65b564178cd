"""From one spelling to another: what is kept, what is said, and when there is no text."""

from __future__ import annotations

import pytest

from netpolicy.config import convert
from netpolicy.config.convert import convert_text
from netpolicy.config.load import load_text
from netpolicy.config.spelling import FORMATS

SAME = {
    "uci": """\
config outbound 'wan'
	option type 'interface'
	option interface 'wan'

config rule 'video_calls'
	option name 'video calls'
	option priority '100'
	list sni '*.zoom.us'
	list proto 'udp'
	list dest_port '443'
	list dest_port '8801-8810'
	list state 'NORMAL'
	option route 'wan'
	option log '1'
""",
    "dsl": """\
outbound wan interface wan

rule "video calls":
  priority 100
  match sni="*.zoom.us" protocol=udp port=443,8801-8810
  when state=NORMAL
  action route=wan log=true
""",
    "yaml": """\
outbounds:
  - name: wan
    type: interface
    interface: wan
rules:
  - name: video calls
    priority: 100
    match:
      sni: "*.zoom.us"
      protocol: udp
      port: "443,8801-8810"
    when:
      state: NORMAL
    action:
      route: wan
      log: true
""",
}


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_one_rule_set_in_each_spelling(source, target):
    made = convert_text(SAME[source], "f", source, target)
    assert made.text == SAME[target]
    assert made.diagnostics == ()
    assert not made.loses_comments


BROKEN = {
    "uci": "config rule 'a'\n\toption any '1'\n\toption blokc '1'\n",
    "dsl": "rule a:\n  match any\n  action blokc\n",
    "yaml": "rules:\n  - name: a\n    priority: 1\n    match: {any: true}\n    action: {blokc: true}\n",
}


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_of_a_broken_text_there_is_nothing_and_its_errors(source, target):
    made = convert_text(BROKEN[source] + SAME[source] * (source != "yaml"), "f", source, target)
    assert made.text is None
    assert "error" in [item.severity for item in made.diagnostics]


def test_warnings_go_with_the_text():
    made = convert_text("config rule 'a'\n\tlist sni '*zoom.us'\n\toption route 'wan'\n", "f", "uci", "dsl")
    assert made.text is not None
    assert {"NP204", "NP209"} <= {item.code for item in made.diagnostics}


@pytest.mark.parametrize("target", ["uci", "yaml", "dsl"])
def test_comments_that_are_not_kept_are_said(target):
    text = "# one\nconfig rule 'a' # two\n\toption any '1'\n\toption block '1'\n"
    made = convert_text(text, "f", "uci", target)
    assert made.loses_comments
    assert [item.message for item in made.diagnostics if item.code == "NP301"] == ["comments are not kept"]
    assert "#" not in (made.text or "")


def test_the_dsl_keeps_its_own_comments():
    text = "# one\n\n# two\nrule a:  # three\n  match any  # four\n  action block\n# five\n"
    made = convert_text(text, "f", "dsl", "dsl")
    assert not made.loses_comments
    assert all(f"# {word}" in (made.text or "") for word in ("one", "two", "three", "four", "five"))
    assert convert_text(made.text or "", "f", "dsl", "dsl").text == made.text
    assert convert_text(text, "f", "dsl", "uci").loses_comments


@pytest.mark.parametrize(
    ("text", "format", "loses"),
    [
        ("config rule 'a'\n\toption name 'a # b'\n\toption any '1'\n\toption block '1'\n", "uci", False),
        ("config rule 'a'\n\toption name 'C:\\'\n# why\n\toption any '1'\n\toption block '1'\n", "uci", True),
        ("config rule 'a'\n\toption any '1'#why\n\toption block '1'\n", "uci", True),
        (
            "rules:\n- {name: rock 'n roll, priority: 1, match: {any: true}, action: {block: true}} # why\n",
            "yaml",
            True,
        ),
        ('rules:\n- {name: "a # b", priority: 1, match: {any: true}, action: {block: true}}\n', "yaml", False),
    ],
)
def test_whatever_the_quotes_a_comment_is_noticed(text, format, loses):
    assert convert_text(text, "f", format, format).loses_comments == loses


def test_a_printed_text_that_says_something_else_is_given_to_nobody(monkeypatch):
    monkeypatch.setattr(convert, "print_ruleset", lambda ruleset, format: SAME["uci"].replace("443", "444"))
    with pytest.raises(AssertionError, match="does not say the same"):
        convert_text(SAME["dsl"], "f", "dsl", "uci")


def test_further_files_stay_a_list_and_are_not_read():
    text = "config netpolicy 'main'\n\toption enabled '1'\n\tlist ruleset 'none such.dsl'\n"
    made = convert_text(text, "f", "uci", "yaml")
    assert made.text == "netpolicy:\n  enabled: true\n  ruleset: none such.dsl\n"
    assert load_text(made.text, "f", "yaml").ruleset.settings.ruleset == ("none such.dsl",)


def test_options_without_a_place_in_the_predecessors_form_have_one_in_every_spelling():
    text = "schedule s days=mon-fri from=8:00 to=16:00\nthrottle t down=2mbit\nassert lan cannot wan\n"
    text += "rule a:\n  match schedule=!s\n  action fallback=direct,block throttle=t notify on_fail=block\n"
    there = convert_text(text, "f", "dsl", "yaml")
    assert there.text is not None
    back = convert_text(there.text, "f", "yaml", "dsl")
    assert back.text == convert_text(text, "f", "dsl", "dsl").text


EMPTY = {
    "no days": "schedules:\n  - {name: s, days: []}\n",
    "no members": "outbounds:\n  - {name: g, type: group, member: []}\n",
    "no entries": "lists:\n  - {name: l, entry: []}\n",
    "no interface": 'outbounds:\n  - {name: w, type: interface, interface: ""}\n',
    "no node": 'outbounds:\n  - {name: w, type: xray, node: ""}\n',
}


@pytest.mark.parametrize("case", EMPTY)
def test_what_is_empty_is_refused_and_no_defect_of_ours(case):
    assert convert_text(EMPTY[case], "f", "yaml", "uci").text is None
