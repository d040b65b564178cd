"""What comes out of the pieces is what went in: by every attribute, and with what was shared still shared."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from netpolicy.config.assemble import Loaded
from netpolicy.config.convert import print_ruleset
from netpolicy.config.load import load, load_text
from netpolicy.core.field import FIELD_ORDER
from netpolicy.core.model import Ruleset
from netpolicy.service.pieces import PIECE, Unpacking, pack
from tests.config.rulesets import random_ruleset, same

FOLDER = Path(__file__).resolve().parents[2] / "examples"
EXAMPLES = sorted([path for ending in ("np", "uci", "yaml") for path in FOLDER.glob(f"*.{ending}")])
SOME = """
config list 'nets'
	list entry '192.0.2.0/24'
config rule 'first'
	list dest_addr '@nets'
	list proto 'tcp'
	option route 'direct'
config rule 'second'
	list dest_addr '@nets'
	list proto 'tcp'
	option name 'with a title'
	option route 'direct'
"""


def through(loaded: Loaded, before: Ruleset | None = None) -> Loaded:
    unpacking = Unpacking(before)
    for piece in pack(loaded, before):
        unpacking.take(piece)
    assert unpacking.loaded is not None
    return unpacking.loaded


def everything(loaded: Loaded) -> object:
    rules = loaded.ruleset
    positions = [one.position for one in (*rules.rules, *rules.outbounds, *rules.lists, *rules.schedules)]
    beside = (loaded.diagnostics, loaded.skipped, loaded.fatal, loaded.blocked_skip, positions, rules.has_main)
    return same(rules), beside


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_the_same_afterwards(path):
    loaded = load(str(path), needs_main=False)
    found = through(loaded)
    assert everything(found) == everything(loaded)
    assert print_ruleset(found.ruleset, "uci") == print_ruleset(loaded.ruleset, "uci")


@pytest.mark.parametrize("seed", range(150))
def test_every_random_rule_set_is_the_same_afterwards(seed):
    ruleset = random_ruleset(random.Random(seed))
    found = through(Loaded(ruleset, (), (("a", "b"),), blocked_skip=True))
    assert everything(found) == everything(Loaded(ruleset, (), (("a", "b"),), blocked_skip=True))


def test_fields_and_actions_that_rules_share_are_shared_afterwards():
    first, second = through(load_text(SOME)).ruleset.rules
    assert first.fields[1] is second.fields[1] and first.action is second.action


def test_a_name_of_a_field_is_the_text_that_the_code_has():
    for rule in through(load_text(SOME)).ruleset.rules:
        assert all(any(field.name is name for name in FIELD_ORDER) for field in rule.fields)


def test_what_was_found_wrong_comes_along():
    loaded = load_text("config rule 'x'\n\tlist dest_port 'y'\n\toption block '1'\n")
    found = through(loaded)
    assert found.diagnostics == loaded.diagnostics and found.skipped == loaded.skipped and found.blocked_skip
    assert found.diagnostics[0].severity == "error"


def test_no_piece_is_large():
    """Long lists go ahead in parts; what holds them says only which they are."""
    entries = "".join([f"\tlist entry '10.{number >> 8}.{number & 255}.0/25'\n" for number in range(4000)])
    names = "".join([f"\tlist entry 'a{number}.example'\n" for number in range(4000)])
    rules = "".join([f"config rule 'r{n}'\n\toption rtt_ms '>{n}'\n\toption block '1'\n" for n in range(2000)])
    text = f"config list 'nets'\n{entries}config list 'names'\n{names}{rules}"
    text += "config rule 'all'\n\tlist dest_addr '!@nets'\n\tlist domain '@names'\n\toption block '1'\n"
    loaded = load_text(text)
    assert len(loaded.ruleset.rules) == 2001 and len(loaded.diagnostics) > PIECE
    pieces = list(pack(loaded))
    assert len(pieces) > 20 and max(map(len, pieces)) < 200_000
    assert everything(through(loaded)) == everything(loaded)


def test_without_the_last_piece_there_is_nothing():
    unpacking = Unpacking()
    for piece in list(pack(load_text(SOME)))[:-1]:
        unpacking.take(piece)
    assert unpacking.loaded is None


def test_an_empty_configuration_comes_through():
    assert through(Loaded(Ruleset(), (), fatal=True)).fatal


def test_what_both_have_is_told_by_its_place():
    before = load_text(SOME).ruleset
    changed = SOME.replace("with a title", "with another")
    pieces = list(pack(load_text(SOME), before))
    assert sum(map(len, pieces)) < sum(map(len, pack(load_text(SOME))))
    found = through(load_text(changed), before)
    assert found.ruleset.rules[0] is before.rules[0] and found.ruleset.rules[1] is not before.rules[1]
    assert everything(found) == everything(load_text(changed))


def test_a_list_that_changed_makes_the_rules_that_name_it_new():
    before = load_text(SOME).ruleset
    found = through(load_text(SOME.replace("192.0.2.0/24", "192.0.3.0/24")), before)
    assert not any(rule in before.rules for rule in found.ruleset.rules)


def test_what_cannot_be_used_moves_no_lines():
    before = load_text(SOME).ruleset
    positions = [rule.position for rule in before.rules]
    fresh = load_text("# a line\n" + SOME)
    fresh.fatal = True
    pieces = list(pack(fresh, load_text(SOME).ruleset))
    unpacking = Unpacking(before)
    for piece in pieces:
        unpacking.take(piece)
    assert [rule.position for rule in before.rules] == positions


def test_a_network_that_rules_share_stays_shared():
    named = [("a", "10.0.0.1"), ("b", "10.0.0.1"), ("c", "10.0.0.2"), ("d", "10.0.0.1"), ("e", "2001:db8::/32")]
    text = "".join(f"config rule '{name}'\n\tlist src_addr '{net}'\n\toption route 'direct'\n" for name, net in named)
    loaded = load_text(text)
    found = through(loaded).ruleset.rules
    assert everything(through(loaded)) == everything(loaded)
    assert found[0].fields[0] is found[1].fields[0] is found[3].fields[0]
    assert [rule.match_text for rule in found] == [f"src_addr={net}" for _, net in named]
