"""How much is granted in a second, to all and to one."""

from __future__ import annotations

from netpolicy.flows.ration import Ration


def granted(ration: Ration, owners: str, now: float) -> str:
    return "".join(owner for owner in owners if ration.is_granted(owner, now))


def test_one_gets_no_more_than_his_part_and_all_no_more_than_there_is() -> None:
    assert granted(Ration(4, 2), "aaabcdcb", 0.5) == "aabc"


def test_each_second_begins_anew() -> None:
    ration = Ration(2, 2)
    assert granted(ration, "aab", 0.0) == "aa"
    assert granted(ration, "b", 0.99) == ""
    assert granted(ration, "bba", 1.0) == "bb"
    assert granted(ration, "a", 0.5) == "a"  # told late: a packet of before
