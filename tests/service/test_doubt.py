"""What is said without a walk over the rules is what the walk says, for every fact that may be hidden."""

from __future__ import annotations

import gc
import random
import sys
from itertools import product

import pytest

from netpolicy.service.doubt import Doubt
from netpolicy.service.judge import Judge
from tests.service.open_flows import AROUND, DIRECT, MAC, compiled, flow, rule

UNKNOWN = "192.168.1.77"
MATCHES = ("any=1", "+dest_port=443", "+proto=tcp", "+src_addr=192.168.1.0/24", "+src_iface=lan", "+src_iface=lo")
HIDEABLE = ("", f"+src_mac={MAC}", "+src_mac=02:00:00:00:00:88", f"+src_mac=!{MAC}", "+dscp=ef", "+dscp=!ef")
ACTIONS = ("route=wan_a", "route=wan_b", "switch_route=wan_b", "block=drop", "block=reject")
FLOWS = [
    flow(DIRECT, port, source)
    for port, source in product((443, 80), ("192.168.1.9", UNKNOWN, "192.0.2.2", "192.0.2.9"))
] + [flow(DIRECT, destination="192.168.1.1"), flow(DIRECT, destination="224.0.0.9")]


def rules(chance: random.Random) -> list[str]:
    made = []
    for number in range(chance.randint(1, 7)):
        fields = {chance.choice(MATCHES), chance.choice(HIDEABLE), chance.choice(HIDEABLE)} - {""}
        names = {field.split("=")[0] for field in fields}
        if len(names) < len(fields) or ("any" in names and len(names) > 1):
            continue
        extra = ("on_fail=block",) if chance.random() < 0.2 else ()
        action = chance.choice(ACTIONS)
        made.append(rule(f"r{number}", *fields, action, *(extra if "route" in action else ()),
                         priority=chance.choice((10, 50, 50, 90))))  # fmt: skip
    return made


@pytest.mark.parametrize("seed", range(40))
def test_it_says_what_the_walk_over_all_rules_says(seed):
    chance = random.Random(seed)
    judge = Judge(compiled(*rules(chance), down=chance.choice(((), ("wanb",)))))
    doubt = Doubt(judge)
    if seed % 2:
        for _ in doubt.steps():
            pass
    for one in FLOWS:
        facts = AROUND.facts(one)
        fate = judge.fate(facts)
        assert doubt.is_certain(facts, fate) == judge.is_certain(facts, fate), (one, fate)
        assert doubt.worst(facts) == judge.worst(facts), (one, fate)


def test_among_rules_for_what_is_hidden_the_rank_goes_by_hidden_fields_too():
    """Both have two fields, so the first in the file wins; without what is hidden the second would have more."""
    first = rule("first", f"+src_mac={MAC}", "+dscp=ef", "block=reject")
    second = rule("second", "+dest_port=443", f"+src_mac={MAC}", "block=drop")
    doubt = Doubt(Judge(compiled(first, second)))
    assert doubt.worst(AROUND.facts(flow(DIRECT, source=UNKNOWN))).rule == "first"


def test_a_question_costs_what_the_few_rules_cost_that_ask_for_what_is_hidden():
    """Counted in function calls: with a thousand rules as with ten."""

    def calls(count: int) -> int:
        many = [rule(f"r{number}", f"+dest_port={2000 + number}", "route=wan_a") for number in range(count)]
        judge = Judge(compiled(*many, rule("kid", f"+src_mac={MAC}", "block=drop", priority=60)))
        doubt = Doubt(judge)
        for _ in (*judge.steps(), *doubt.steps()):
            pass
        facts = AROUND.facts(flow(DIRECT, source=UNKNOWN))
        doubt.worst(facts)
        found = 0

        def count_one(*_: object) -> None:
            nonlocal found
            found += 1

        gc.disable()  # what dies elsewhere, and whoever hears of collections, is no question of ours
        sys.setprofile(count_one)
        try:
            doubt.is_certain(facts, judge.fate(facts))
            doubt.worst(facts)
        finally:
            sys.setprofile(None)
            gc.enable()
        return found

    assert calls(1000) <= calls(10) + 5
