"""What a rule asks besides its key: exactly what its fields say."""

import random

import pytest

from netpolicy.core.facts import Facts
from netpolicy.core.field import FIELD_ORDER
from netpolicy.core.index_condition import Conditions, check_of
from tests.core.index_agreement import EXTRA, field, near


@pytest.mark.parametrize("name", FIELD_ORDER)
def test_a_check_says_what_the_field_says(name: str) -> None:
    rng = random.Random(name)
    asked = [one for one in (field(rng, name) for _ in range(150)) if one is not None]
    facts = Facts()
    for one in asked:
        check = check_of(one)
        for fact in [None, *near(one), *EXTRA[name]]:
            setattr(facts, name, fact)
            assert bool(check(facts)) == one.matches(fact), (one, fact)


def test_protocol_and_port_are_sets_that_rules_share() -> None:
    rng = random.Random(1)
    conditions = Conditions()
    tcp, ports = _field(rng, "proto"), _field(rng, "dest_port")
    first = conditions.entry(0, [tcp, ports])
    second = conditions.entry(1, [ports, tcp])
    assert first[1] is second[1] and first[1] is not None
    assert first[2] is second[2]
    assert first[3] is None


def test_what_is_asked_of_one_field_twice_is_asked_twice() -> None:
    rng = random.Random(3)
    facts = Facts()
    for _ in range(200):
        asked = [one for one in (field(rng, name) for name in ("dest_port", "dest_port", "src_mac")) if one is not None]
        _, protocols, ports, check, following = Conditions().entry(0, asked)
        facts.dest_port = rng.choice((80, 443, 450, 1500, 67))
        facts.src_mac = rng.choice(("02:00:00:00:00:01", "02:00:00:00:00:02"))
        met = protocols is None and (ports is None or facts.dest_port in ports) and (check is None or check(facts))
        assert met == all(one.matches(getattr(facts, one.name)) for one in asked)
        assert following is None


def _field(rng: random.Random, name: str):
    while True:
        found = field(rng, name)
        if found is not None and len(found.values) == 1 and "-" not in found.values[0] and "!" not in found.values[0]:
            return found
