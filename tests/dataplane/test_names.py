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
    assert names.saving_chain(3) == "m_03" and names.marking_chain(28) == "k_28"
    assert names.verdict_chain(3) == "v_03" and names.arriving_chain(3) == "s_03"


@given(st.sampled_from(["l4", "g4a_da", "g6f_da_sa_mc_dp"]), st.text(), st.text())
def test_a_set_is_named_after_what_it_holds(prefix, held, other):
    made = names.content_name(prefix, held)
    assert re.fullmatch(prefix + "_[0-9a-f]{10}", made) and len(made) <= names.LONGEST
    assert (names.content_name(prefix, other) == made) == (held == other)
