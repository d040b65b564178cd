"""A forgotten connection whose far end speaks first is known by its ends, once, and not for ever."""

from __future__ import annotations

from dataclasses import replace

from netpolicy.service.twins import MOST, SECONDS, Twins
from tests.service.open_flows import WAN_A, WAN_B, flow

OPEN = flow(WAN_B)
# Translated: the far end speaks to the address of the line.
HIDDEN = replace(OPEN, reply_destination="198.51.100.2", reply_destination_port=61000)


def turned(one):
    """What conntrack makes of the far end's packet."""
    return replace(
        one,
        id=99,
        source=one.reply_source,
        source_port=one.reply_source_port,
        destination=one.reply_destination,
        destination_port=one.reply_destination_port,
        reply_source=one.reply_destination,
        reply_source_port=one.reply_destination_port,
        reply_destination=one.reply_source,
        reply_destination_port=one.reply_source_port,
        mark=WAN_A,
    )


def test_the_twin_is_known_once():
    for forgotten in (OPEN, HIDDEN):
        twins = Twins()
        twins.expect(forgotten, 5.0)
        assert twins.original(turned(replace(forgotten, source_port=1, reply_destination_port=1)), 6.0) is None
        assert twins.original(turned(forgotten), 6.0) is forgotten
        assert twins.original(turned(forgotten), 6.0) is None


def test_who_begins_at_the_right_end_is_no_twin_and_has_none():
    twins = Twins()
    twins.expect(OPEN, 5.0)
    assert twins.original(replace(OPEN, id=7), 6.0) is None
    assert twins.original(turned(OPEN), 7.0) is None and len(twins) == 0


def test_what_is_silent_for_too_long_is_nobodys_twin():
    twins = Twins()
    twins.expect(OPEN, 5.0)
    assert twins.original(turned(OPEN), 5.0 + SECONDS) is None


def test_a_ping_has_no_ends_to_know_it_by():
    twins = Twins()
    twins.expect(replace(OPEN, protocol=1), 5.0)
    assert len(twins) == 0


def test_no_more_than_some_thousand_are_expected_and_the_latest_stay():
    twins = Twins()
    for number in range(MOST + 10):
        twins.expect(replace(OPEN, source=f"10.{number >> 8}.{number & 255}.1", reply_destination=str(number)), 5.0)
    assert len(twins) == MOST
    assert twins.original(turned(replace(OPEN, reply_destination="9")), 6.0) is None
    assert twins.original(turned(replace(OPEN, reply_destination="10")), 6.0) is not None
