"""What the chains of a share say; that the kernel follows them is in tests/kernel/test_balance.py."""

from __future__ import annotations

from netpolicy.dataplane import shares
from netpolicy.dataplane.policy import Share

BOTH = ((1, 3), (2, 1))


def test_connections_take_their_turn_as_often_as_weights_say():
    (found,) = shares.chains(Share(1002, {4: BOTH, 6: BOTH}))
    assert found == (
        "v_1002",
        (
            "meta priority set 0x0",
            "numgen inc mod 4 vmap { 0-1 : goto m_01, 2 : goto m_02, 3 : goto m_01 }",
            "goto m_01",
        ),
    )
    assert shares.sets(Share(1002, {4: BOTH, 6: BOTH})) == []


def test_no_line_gets_many_connections_in_a_row_that_another_has_a_part_of():
    (found,) = shares.chains(Share(1002, {4: ((1, 100), (2, 99), (3, 1)), 6: ((1, 100), (2, 99), (3, 1))}))
    text = found[1][1]
    runs = [part.split(" : ") for part in text[text.index("{") + 2 : -2].split(", ")]
    turns = []
    for which, chain in runs:
        first, _, last = which.partition("-")
        turns += [chain] * (int(last or first) - int(first) + 1)
    assert [turns.count(f"goto m_0{number}") for number in (1, 2, 3)] == [100, 99, 1]
    twice = turns + turns  # it begins again
    assert all(len(set(twice[place : place + 4])) > 1 for place in range(len(turns)))


def test_each_family_has_its_own_way():
    (found,) = shares.chains(Share(1002, {4: ((1, 1),), 6: ((2, 1),)}))
    assert found[1][1:] == ("meta nfproto ipv4 goto m_01", "meta nfproto ipv6 goto m_02")


def test_a_client_that_is_known_is_asked_before_it_takes_a_turn_and_noted_when_it_does():
    share = Share(1002, {4: BOTH, 6: ((2, 1),)}, sticky=60)
    made = dict(shares.chains(share))
    assert list(made) == ["y_1002_01", "y_1002_02", "v_1002"]
    assert made["y_1002_01"] == (
        "update @y4_1002_01_60 { ip saddr }", "update @y6_1002_01_60 { ip6 saddr }", "goto m_01",
    )  # fmt: skip
    assert made["v_1002"][1:] == (
        "ip saddr @y4_1002_01_60 update @y4_1002_01_60 { ip saddr } goto m_01",
        "ip saddr @y4_1002_02_60 update @y4_1002_02_60 { ip saddr } goto m_02",
        "ip6 saddr @y6_1002_02_60 update @y6_1002_02_60 { ip6 saddr } goto m_02",
        "meta nfproto ipv4 numgen inc mod 4 vmap { 0-1 : goto y_1002_01, 2 : goto y_1002_02, 3 : goto y_1002_01 }",
        "meta nfproto ipv4 goto y_1002_01",
        "meta nfproto ipv6 goto y_1002_02",
    )
    assert {one.name: (one.timeout, one.dynamic) for one in shares.sets(share)} == {
        f"y{family}_1002_0{number}_60": (60, True) for family in (4, 6) for number in (1, 2)
    }
