"""A reload keeps the objects of rules that did not change, and of no others."""

from __future__ import annotations

import pytest

from netpolicy.config.load import load, load_text
from netpolicy.service.reuse import with_known_rules

TEXT = """
config netpolicy 'main'
	option enabled '1'
config list 'near'
	list entry '192.168.1.0/25'
	list entry 'example.com'
config list 'far'
	list entry '198.51.100.0/24'
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
config rule 'one'
	option priority '5'
	list dest_addr '@near'
	option route 'wan_a'
config rule 'two'
	list src_addr '!@far'
	list dest_port '443'
	option route 'wan_a'
	option log '1'
config rule 'three'
	list state 'NORMAL'
	list dest_port '25'
	option block 'reject'
"""


def kept(text: str) -> set[str]:
    """The names of rules that are the same objects after TEXT was replaced by this one."""
    before = load_text(TEXT).ruleset
    known = {id(rule) for rule in before.rules}
    return {rule.name for rule in with_known_rules(load_text(text).ruleset, before).rules if id(rule) in known}


def test_nothing_changed_nothing_is_new():
    assert kept(TEXT) == {"one", "two", "three"}


def test_a_rule_keeps_its_object_when_lines_move_and_says_its_new_place():
    before = load_text(TEXT).ruleset
    after = with_known_rules(load_text("\n\n" + TEXT).ruleset, before)
    assert after.rules == before.rules
    assert after.rules[0].position == load_text("\n\n" + TEXT).ruleset.rules[0].position


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("'443'", "'80'", {"two"}),
        ("option priority '5'", "option priority '6'", {"one"}),
        ("option log '1'", "option log '0'", {"two"}),
        ("block 'reject'", "block 'drop'", {"three"}),
        ("'NORMAL'", "'FAILOVER'", {"three"}),
        ("'192.168.1.0/25'", "'192.168.1.0/24'", {"one"}),
        ("'198.51.100.0/24'", "'198.51.100.0/25'", {"two"}),
        ("'example.com'", "'example.org'", {"one"}),
        ("dest_addr '@near'", "dest_addr '@far'", {"one"}),
        ("config rule 'three'", "config rule 'four'", {"three"}),
        ("config rule 'one'\n", "config rule 'one'\n\toption enabled '0'\n", {"one"}),
        ("config rule 'one'\n", "config rule 'one'\n\toption name 'a title'\n", {"one"}),
        ("interface 'wana'", "interface 'wanb'", set()),
    ],
)
def test_what_says_something_else_is_new(old, new, changed):
    assert TEXT.count(old) >= 1
    assert kept(TEXT.replace(old, new)) == {"one", "two", "three"} - changed


def test_everything_else_is_that_of_the_new_configuration():
    before = load_text(TEXT).ruleset
    fresh = load_text(
        TEXT.replace("interface 'wana'", "interface 'wanb'").replace("enabled '1'", "enabled '0'")
    ).ruleset
    after = with_known_rules(fresh, before)
    assert (after.outbounds, after.settings, after.lists) == (fresh.outbounds, fresh.settings, fresh.lists)


@pytest.mark.parametrize("count", [1, 3000])
def test_names_that_change_in_the_file_of_a_list_change_the_rules_that_ask_it(tmp_path, count):
    """The first look compared the entries of the configuration alone: such a reload went by unnoticed."""
    text = "config netpolicy 'main'\n\nconfig list 'v'\n\toption file 'v.txt'\n\n"
    text += "config rule 'films'\n\tlist domain '@v'\n\toption block '1'\n\nconfig rule 'other'\n\toption any '1'\n"
    (tmp_path / "netpolicy").write_text(text + "\toption block '1'\n")

    def read(last):
        (tmp_path / "v.txt").write_text("".join(f"n{number}.example\n" for number in range(count)) + last)
        return load(str(tmp_path / "netpolicy")).ruleset

    before = read("a.example\n")
    same = [
        old is new for old, new in zip(before.rules, with_known_rules(read("a.example\n"), before).rules, strict=True)
    ]
    assert same == [True, True]
    changed = with_known_rules(read("b.example\n"), before).rules
    assert [old is new for old, new in zip(before.rules, changed, strict=True)] == [False, True]
    assert changed[0].fields[0].matches("b.example")
