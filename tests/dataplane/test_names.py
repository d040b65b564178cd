"""Names of kernel objects: short, lower case, and never the same for two rules."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from netpolicy.dataplane import names

NAMES = st.text("abAB_012345678cdef9", min_size=1, max_size=64)


@given(st.sets(NAMES, min_size=2, max_size=20))
@example({"A", "a"})
@example({"x" * 40, "x" * 41, "X" * 40})
def test_two_rules_never_share_a_name(found):
    assert len({names.rule_chain(name) for name in found}) == len(found)
    assert len({names.counter(name) for name in found}) == len(found)


def test_no_name_can_take_the_cut_name_of_another():
    """Written by somebody who knows the hash: the second would fall into the first one's chain."""
    taken = names.rule_chain("A")
    assert names.rule_chain(taken.removeprefix("r_")) != taken
    long = names.rule_chain("x" * 50)
    assert names.rule_chain(long.removeprefix("r_")) != long


def test_ten_thousand_long_names_with_one_head_stay_apart():
    found = {names.rule_chain("the_same_head_of_every_name_" + str(number)) for number in range(10_000)}
    assert len(found) == 10_000


@given(NAMES)
def test_a_name_is_plain_short_and_always_the_same(name):
    made = names.rule_chain(name)
    assert re.fullmatch(r"r_[a-z0-9_]{1,29}", made)
    assert made == names.rule_chain(name)


def test_a_short_lower_case_name_stays_readable():
    assert names.rule_chain("guest_mail") == "r_guest_mail"
    assert names.counter("guest_mail") == "c_guest_mail"
    assert names.saving_chain(3) == "m_03" and names.marking_chain(28) == "k_28"


def test_generations_count_up_and_wrap():
    assert names.next_generation(0) == 1
    assert names.next_generation(998) == 999
    assert names.next_generation(999) == 1
    assert names.generation_of("g12_forwarded") == 12
    assert names.generation_of("guest") == 0
    assert names.without_generation("g999_own") == "g_own"
    assert names.without_generation("r_g1_x") == "r_g1_x"
