"""How much longer than usual round trips take, of several clients to several addresses."""

from __future__ import annotations

import itertools

from netpolicy.outbounds.line_delay import ACKNOWLEDGED_MS, MOST_REMOTES, Delays, delay_words

FAR = {"a": 10.0, "b": 30.0, "c": 90.0, "d": 150.0, "e": 300.0}


def usual(*clients: str) -> Delays:
    delays = Delays()
    for (address, milliseconds), client in itertools.product(FAR.items(), clients):
        delays.note(client, address, milliseconds, 0.0)
    return delays


def test_what_every_way_takes_more_is_the_lines_and_distance_is_not():
    delays = usual("desk", "phone")
    assert delays.excess(1.0) is None, "measured once"
    for (address, milliseconds), client in itertools.product(FAR.items(), ("desk", "phone")):
        delays.note(client, address, milliseconds + 200, 1.0)
    assert delays.excess(2.0) == 200.0
    assert delays.excess(12.0) is None
    assert delay_words(200.4) == "connections of clients take 200 ms longer than usual"


def test_one_client_alone_says_nothing_and_of_two_the_less_delayed_counts():
    delays = usual("liar")
    for address in FAR:
        delays.note("liar", address, 5000.0, 1.0)
    assert delays.excess(1.0) is None
    delays = usual("desk", "liar")
    for address, milliseconds in FAR.items():
        delays.note("liar", address, 5000.0, 1.0)
        delays.note("desk", address, milliseconds + 3, 1.0)
    assert delays.excess(1.0) == 3.0


def test_a_way_that_became_longer_is_usual_in_the_end_and_memory_is_bounded():
    delays = usual("desk", "phone")
    for turn in range(200):
        for (address, milliseconds), client in itertools.product(FAR.items(), ("desk", "phone")):
            delays.note(client, address, milliseconds + 100, float(turn))
    assert (delays.excess(199.0) or 0) < 1.0
    for number in range(2 * MOST_REMOTES):
        delays.note("desk", str(number), 1.0, 1.0)
    assert len(delays._remotes) == MOST_REMOTES


def test_open_connections_have_a_usual_time_of_their_own_and_some_play():
    """What is acknowledged late is not sent late; a handshake is answered at once."""
    delays = usual("desk", "phone")
    for now, added in ((0.0, 60.0), (1.0, 60.0 + ACKNOWLEDGED_MS)):
        for (address, milliseconds), client in itertools.product(FAR.items(), ("desk", "phone")):
            delays.note_open(client, address, milliseconds + added, now)
    assert delays.excess(1.0) == 0.0
    for (address, milliseconds), client in itertools.product(FAR.items(), ("desk", "phone")):
        delays.note_open(client, address, milliseconds + 60 + ACKNOWLEDGED_MS + 200, 2.0)
    assert 190.0 < (delays.excess(2.0) or 0) <= 200.0
