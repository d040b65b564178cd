"""What changed, by names: nothing is left out, nothing is said that is not so, and no secret comes out."""

from __future__ import annotations

import random
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.config.load import load, load_text
from netpolicy.config.unload import as_key
from netpolicy.core.model import Ruleset
from netpolicy.service.reuse import with_known_rules
from netpolicy.service.rule_difference import _moved, differences, in_lines
from tests.config.rulesets import random_ruleset

BEFORE = """
config netpolicy 'main'
	option enabled '1'
config outbound 'a'
	option type 'interface'
	option interface 'wana'
config outbound 'b'
	option type 'interface'
	option interface 'wanb'
config schedule 'night'
	option from '22:00'
	option to '06:00'
config throttle 'slow'
	option down '2mbit'
config list 'nets'
	list entry '192.0.2.0/24'
	list entry 'example.com'
config rule 'games'
	list src_iface 'lan'
	option route 'a'
config rule 'mail'
	list dest_port '25'
	list proto 'tcp'
	option block 'reject'
config rule 'office'
	list dest_addr '198.51.100.0/24'
	list dest_addr '198.51.101.0/24'
	option route 'a'
	option on_fail 'block'
"""


def ruleset(text: str) -> Ruleset:
    loaded = load_text(text)
    assert not [one for one in loaded.diagnostics if one.severity == "error"], loaded.diagnostics
    return loaded.ruleset


def lines(*edits: tuple[str, str], width: int = 80) -> list[str]:
    text = BEFORE
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    return in_lines(differences(ruleset(BEFORE), ruleset(text)), width)


MAIL = BEFORE[BEFORE.index("config rule 'mail'") : BEFORE.index("config rule 'office'")]
OFFICE = BEFORE[BEFORE.index("config rule 'office'") :]


@pytest.mark.parametrize(
    ("edits", "wanted"),
    [
        ([], []),
        ([("\toption route 'a'", "\toption route 'b'")], ["~ rule games: action route a → route b"]),
        ([("block 'reject'", "block '1'")], ["~ rule mail: action block reject → block"]),
        ([("block 'reject'", "route 'a'\n\toption log '1'")],
         ["~ rule mail: log 0 → 1, action block reject → route a"]),
        ([("\toption on_fail 'block'\n", "")], ["~ rule office: on_fail block → next"]),
        ([("config rule 'mail'\n", "config rule 'mail'\n\toption priority '5'\n")], ["~ rule mail: priority 0 → 5"]),
        ([("config rule 'mail'\n", "config rule 'mail'\n\toption enabled '0'\n")], ["~ rule mail: enabled 1 → 0"]),
        ([("list dest_port '25'", "list dest_port '25,465'")], ["~ rule mail: dest_port +465"]),
        ([("198.51.101.0/24", "198.51.102.0/24")], ["~ rule office: dest_addr +198.51.102.0/24 -198.51.101.0/24"]),
        ([("\tlist src_iface 'lan'\n", "\toption any '1'\n")],
         ["~ rule games: any 0 → 1, src_iface lan → –"]),
        ([(MAIL, "")], ["- rule mail (block reject, tcp/25, priority 0)"]),
        ([("rule 'mail'", "rule 'post'")],
         ["- rule mail (block reject, tcp/25, priority 0)", "+ rule post (block reject, tcp/25, priority 0)"]),
        ([("interface 'wanb'", "interface 'wanc'\n\toption masq '1'")],
         ["~ outbound b: interface wanb → wanc, masq 0 → 1"]),
        ([("'22:00'", "'23:00'")], ["~ schedule night: from 22:00 → 23:00"]),
        ([("'2mbit'", "'4mbit'")], ["~ throttle slow: down 2mbit → 4mbit"]),
        ([("list entry 'example.com'", "list entry 'example.org'")], ["~ list nets: entry +example.org -example.com"]),
        ([("enabled '1'", "enabled '0'\n\toption mode 'observe'")],
         ["~ settings: enabled 1 → 0, mode enforce → observe"]),
        ([("enabled '1'", "enabled '1'\n\tlist assert 'lan can wan'\n\tlist assert 'a can wan'")],
         ["~ settings: assert +lan can wan +a can wan"]),
    ],
)  # fmt: skip
def test_each_change_is_said_in_its_words(edits, wanted):
    assert lines(*edits) == wanted


def test_two_that_change_places_are_one_move():
    assert lines(("config rule 'games'\n\tlist src_iface 'lan'\n\toption route 'a'\n", "")) == [
        "- rule games (route a, src_iface lan, priority 0)"
    ]
    swapped = BEFORE.replace(MAIL, "").replace(OFFICE, OFFICE + MAIL)
    found = differences(ruleset(BEFORE), ruleset(swapped))
    assert [(one.name, one.change) for one in found] in ([("mail", "moved")], [("office", "moved")])
    assert found[0].as_dict()["details"][0]["field"] == "order"


def test_many_options_are_lines_below_and_none_is_too_wide():
    found = lines(
        (
            "config rule 'mail'\n",
            "config rule 'mail'\n\toption priority '500'\n\toption log '1'\n\toption name 'No mail'\n",
        ),
        ("list dest_port '25'", "list dest_port '25'\n\tlist src_addr '192.168.1.0/24'"),
    )
    assert found[0] == "~ rule mail:" and all(line.startswith("    ") for line in found[1:])
    assert found[1] == "    name – → No mail" and len(found) == 5
    entries = "".join([f"\tlist entry '10.{n}.0.0/24'\n" for n in range(100)])
    found = lines(("\tlist entry 'example.com'\n", entries), width=60)
    assert found == ["~ list nets:", "    entry +10.0.0.0/24 +10.1.0.0/24 +10.2.0.0/24 +(97 more)…"]


def test_as_data_it_has_both_values():
    text = BEFORE.replace("option route 'a'", "option route 'b'", 1)
    assert [one.as_dict() for one in differences(ruleset(BEFORE), ruleset(text))] == [
        {"kind": "rule", "name": "games", "change": "changed",
         "details": [{"field": "action", "before": "route a", "after": "route b"}]}
    ]  # fmt: skip


def test_a_file_of_a_list_that_holds_something_else_is_a_difference(tmp_path):
    path, nets = tmp_path / "netpolicy", tmp_path / "nets"
    path.write_text("config netpolicy 'main'\nconfig list 'nets'\n\toption file 'nets'\n\tlist entry '10.0.0.0/8'\n")
    found = []
    for text in ("192.0.2.0/24\n", "192.0.2.0/25\n", "192.0.2.0/25\nexample.com\n", "192.0.2.0/25\nexample.org\n"):
        nets.write_text(text)
        found.append(load(str(path)).ruleset)
    said = [in_lines(differences(old, new)) for old, new in pairwise(found)]
    assert said == [
        ["~ list nets: holds others: 2 networks, 0 names"],
        ["~ list nets: holds 2 networks, 0 names → 2 networks, 1 names"],
        ["~ list nets: holds others: 2 networks, 1 names"],
    ]
    assert differences(found[0], load_again(path, nets, "192.0.2.0/24\n")) == []


def load_again(path: Path, nets: Path, text: str) -> Ruleset:
    nets.write_text(text)
    return load(str(path)).ruleset


def test_no_secret_comes_out():
    text = BEFORE.replace(
        "list entry '192.0.2.0/24'", "list entry '192.0.2.0/24'\n\toption url 'https://me:hunter2@h/x?hunter2'"
    )
    text = text.replace("config rule 'mail'\n", "config rule 'mail'\n\toption name 'password=hunter2'\n")
    found = differences(ruleset(BEFORE), ruleset(text))
    assert len(found) == 2
    for one in (found, differences(ruleset(text), ruleset(BEFORE)), differences(Ruleset(), ruleset(text))):
        assert "hunter2" not in str([part.as_dict() for part in one]) + "".join(in_lines(one))


def test_a_main_section_that_comes_or_goes_is_said():
    rules = ruleset(BEFORE)
    assert in_lines(differences(Ruleset(), rules))[0] == "+ settings (enabled 1)"
    assert in_lines(differences(rules, Ruleset()))[0] == "- settings (enabled 1)"


def test_long_differences_are_counted():
    many = ruleset(
        BEFORE + "".join([f"config rule 'r{n}'\n\tlist dest_port '{n + 1}'\n\toption route 'a'\n" for n in range(500)])
    )
    found = in_lines(differences(ruleset(BEFORE), many), limit=20)
    assert len(found) == 20 and found[-1] == "… and 481 more"


@pytest.mark.parametrize("seed", range(60))
def test_it_is_empty_exactly_when_both_say_the_same(seed):
    one, other = random_ruleset(random.Random(seed)), random_ruleset(random.Random(seed + 1000))
    again = random_ruleset(random.Random(seed))
    assert differences(one, again) == [] == differences(one, one)
    for old, new in ((one, other), (other, one), (Ruleset(), one)):
        found = differences(old, new)
        assert bool(found) == (as_key(old) != as_key(new))
        assert all(len(line) <= 80 and line.isprintable() for line in in_lines(found))
        assert {part.change for part in found} <= {"added", "removed", "changed", "moved"}
        names = {(part.kind, part.name) for part in found if part.change == "added"}
        back = {(part.kind, part.name) for part in differences(new, old) if part.change == "removed"}
        assert names == back


@given(st.permutations(range(9)), st.integers(0, 9))
def test_taking_out_what_moved_leaves_the_order_and_it_is_as_little_as_possible(places, drop):
    places = [place for place in places if place != drop]
    moved = _moved(places)
    stay = [place for place in places if place not in moved]
    assert stay == sorted(stay)
    best = [0] * len(places)  # the plain way, to know how long it can be
    for at, place in enumerate(places):
        best[at] = 1 + max([best[i] for i in range(at) if places[i] < place], default=0)
    assert len(stay) == max(best)


def big(changed: int = -1) -> Ruleset:
    rules = []
    for n in range(9_900):
        where, way = f"10.{n >> 8}.{n & 255}.0/24", "b" if n == changed else "a"
        rules.append(f"config rule 'r{n}'\n\tlist dest_addr '{where}'\n\toption route '{way}'\n")
    return ruleset(BEFORE + "".join(rules))


def test_ten_thousand_rules_with_one_change_take_milliseconds():
    before, fresh = big(), big(77)
    shared = with_known_rules(fresh, before)
    for after, limit in ((shared, 0.1), (fresh, 0.4)):  # as it is: 10 ms and 30 ms
        taken = []
        for _ in range(3):  # a collection of all the garbage of this process only adds to it
            started = time.thread_time()
            assert in_lines(differences(before, after)) == ["~ rule r77: action route a → route b"]
            taken.append(time.thread_time() - started)
        assert min(taken) < limit
