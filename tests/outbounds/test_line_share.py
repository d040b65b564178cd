"""What share is spoiled, of several clients and addresses: nobody alone says it, and whoever fares well counts most."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from netpolicy.outbounds import line_share
from netpolicy.outbounds.line_share import CUTS, LOSSES, MOST_CLIENTS, MOST_EACH, OLD_SECONDS, Share, Shares

SERVERS = "abcd"


def lossy(shares: Shares, now: float, *clients: str, servers: str = SERVERS, spoiled: int = 30) -> None:
    """A hundred packets each, of which so many are lost."""
    for whose, server in itertools.product(clients, servers):
        shares.note(whose, server, spoiled, 100, now)


def test_what_two_clients_lose_with_four_addresses_is_the_lines():
    shares = Shares(LOSSES)
    lossy(shares, 0.0, "desk", "phone")
    assert shares.found(1.0) == Share(0.3, 2, 4)
    for now in (100.0, 200.0, 300.0):
        lossy(shares, now, "desk", "phone", spoiled=1000)
    assert shares.found(300.0).share <= 1.0


def test_fewer_clients_addresses_or_packets_say_nothing():
    for clients, servers, of in (
        (["desk"], SERVERS, 100),
        (["desk", "phone"], "abc", 100),
        (["desk", "phone"], "abcd", 49),
    ):
        shares = Shares(LOSSES)
        for whose, server in itertools.product(clients, servers):
            shares.note(whose, server, of, of, 0.0)
        assert shares.found(0.0) is None
    shares = Shares(LOSSES)
    for whose, server in (("desk", "a"), ("phone", "b"), ("tv", "c"), ("tablet", "d")):
        shares.note(whose, server, 100, 100, 0.0)
    assert shares.found(0.0) is None, "each knows one address"


def test_one_more_client_that_loses_nothing_clears_the_line_and_of_many_it_may_be_chance():
    shares = Shares(LOSSES)
    lossy(shares, 0.0, "desk", "phone", "tv")
    lossy(shares, 0.0, "tablet", spoiled=1)
    assert shares.found(0.0) == Share(0.01, 4, 4)
    lossy(shares, 0.0, "fifth")
    assert shares.found(0.0) == Share(0.3, 4, 4)


def test_what_is_new_counts_more_than_what_was_however_much_that_was():
    shares = Shares(LOSSES)
    for now in range(60):
        lossy(shares, float(now), "desk", "phone")
    now = 60
    while shares.found(float(now)).share > 0.025:
        now += 1
        lossy(shares, float(now), "desk", "phone", spoiled=0)
    assert now - 60 < 15
    assert shares.found(now + 10.0) is not None and shares.found(now + 60.0) is None
    shares.forget()
    assert shares.found(float(now)) is None and len(shares) == 0


def test_three_of_four_addresses_have_to_cut_all_that_clients_begin():
    shares = Shares(CUTS)
    for whose, server, is_cut in itertools.product(("desk", "phone"), "abcdefgh", (1, 1)):
        shares.note(whose, server, is_cut, 1, 0.0)
    assert shares.found(0.0) == Share(1.0, 2, 8)
    shares.note("desk", "a", 0, 20, 0.0)
    assert shares.found(0.0).share == 1.0
    shares.note("desk", "b", 0, 20, 0.0)
    assert shares.found(0.0).share < 0.1, "it answers two of eight"


NOTES = st.lists(
    st.tuples(st.floats(0, 5), st.sampled_from("abcdefghijkl"), st.integers(1, 400), st.floats(0, 1)), max_size=60
)


@settings(max_examples=100, deadline=None)
@given(NOTES, st.sampled_from([LOSSES, CUTS]), st.booleans())
def test_nobody_alone_moves_anything_neither_a_client_nor_an_address(notes, custom, by_address):
    """All others lose nothing, and speak at times."""
    shares, now = Shares(custom), 0.0
    for pause, name, of, part in notes:
        now += pause
        liar = ("desk", "bad") if by_address else ("liar", name)
        shares.note(*liar, of * part, of, now)
        for whose in ("desk", "phone"):
            shares.note(whose, name, 0, of, now)
            shares.note("phone" if by_address else whose, "bad", of * part if by_address else 0, of, now)
        found = shares.found(now)
        assert found is None or found.share == 0
    assert len(shares) <= 3 * MOST_EACH


@settings(max_examples=50, deadline=None)
@given(NOTES, st.sampled_from([LOSSES, CUTS]))
def test_a_share_is_one_and_is_said_by_enough(notes, custom):
    shares, now = Shares(custom), 0.0
    for (pause, name, of, part), whose in zip(notes, itertools.cycle("xyz"), strict=False):
        now += pause
        shares.note(whose, name, of * part * 2, of, now)
        found = shares.found(now)
        if found is not None:
            assert 0 <= found.share <= 1 and found.clients >= line_share.CLIENTS and found.remotes >= custom.remotes


def test_memory_is_bounded_and_whoever_speaks_keeps_the_place():
    shares = Shares(LOSSES)
    lossy(shares, 0.0, "desk", "phone")
    for number in range(1000):
        lossy(shares, number / 1000, f"invented {number}", "desk", servers="a", spoiled=100)
        shares.note("phone", f"server {number}", 100, 100, number / 1000)
    assert len(shares._clients) == MOST_CLIENTS and len(shares._clients["phone"].remotes) == MOST_EACH
    assert set(SERVERS) <= set(shares._clients["phone"].remotes) and "desk" in shares._clients
    lossy(shares, 1.0 + OLD_SECONDS, "desk")
    lossy(shares, 1.1 + OLD_SECONDS, "new")
    assert "new" in shares._clients and len(shares._clients) == MOST_CLIENTS


def test_the_numbers_fit_what_the_page_says():
    assert (line_share.CLIENTS, LOSSES.remotes, CUTS.remotes) == (2, 4, 6)
    assert (LOSSES.half_seconds, CUTS.half_seconds) == (10.0, 20.0)
