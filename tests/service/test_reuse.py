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


def test_a_list_of_names_that_was_read_anew_makes_its_rules_new_and_an_equal_one_does_not(tmp_path):
    held = [f"n{number}.example" for number in range(3000)]
    file = tmp_path / "names.txt"
    config = tmp_path / "netpolicy"
    config.write_text(
        "config netpolicy 'main'\n\toption enabled '1'\nconfig list 'far'\n\toption file 'names.txt'\n"
        "config rule 'one'\n\tlist domain '@far'\n\toption block 'reject'\n"
    )

    def ruleset(*more: str):
        file.write_text("\n".join([*held, *more]))
        return load(str(config)).ruleset

    first = ruleset()
    assert with_known_rules(ruleset(), first).rules[0] is first.rules[0]
    assert with_known_rules(ruleset("one.more.example"), first).rules[0] is not first.rules[0]
