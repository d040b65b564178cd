"""Other weights and orders of members, said at run time."""

from __future__ import annotations

import pytest

from netpolicy.core.model import Outbound, Ruleset
from netpolicy.outbounds.group_order import uses
from netpolicy.service.by_hand import ByHand

A, B = Outbound("a", "interface", weight=3), Outbound("b", "interface")
BALANCE = Outbound("both", "group", member=("a", "b"), strategy="balance")
BEST = Outbound("best", "group", member=("a", "b"))
RULES = Ruleset(outbounds=(A, B, BALANCE, BEST))


def shares(said: ByHand, group: str) -> tuple[tuple[str, int], ...]:
    return uses(said.applied(RULES), {}, {})[group].shares[4]


def test_weights_and_orders_count_until_they_are_taken_back():
    said = ByHand()
    assert said.applied(RULES) is RULES
    said.weigh("b", 7)
    said.order(BEST, ["b", "a"])
    assert (shares(said, "both"), shares(said, "best")) == ((("a", 3), ("b", 7)), (("b", 1),))
    assert (said.said(B), said.said(BEST)) == ((7, ()), (1, ("b", "a")))
    said.weigh("b", 0)
    said.order(BEST, [])
    assert said.applied(RULES) is RULES and RULES.outbounds[1].weight == 1


def test_a_reload_may_change_the_members_of_a_group():
    said = ByHand()
    said.order(BEST, ["b", "a"])
    assert said.said(Outbound("best", "group", member=("c", "b")))[1] == ("b", "c")


def test_what_cannot_be_is_refused_in_words_and_changes_nothing():
    said = ByHand()
    for wrong in (-1, 1001):
        with pytest.raises(ValueError, match="not between 1 and 1000"):
            said.weigh("a", wrong)
    for members in (["a"], ["a", "b", "b"], ["a", "c"], ["a", 5]):
        with pytest.raises(ValueError, match="name all of a, b"):
            said.order(BEST, members)
    with pytest.raises(ValueError, match="only groups"):
        said.order(A, ["b"])
    assert said.applied(RULES) is RULES
