"""The mirror says what the kernel holds, and when it cannot be sure."""

from __future__ import annotations

from netpolicy.dataplane.nft_element import Element
from netpolicy.service import learned_addresses
from netpolicy.service.learned_addresses import SETTLED_SECONDS, UNSETTLED, Addresses

FOUR, SIX = "d_00000000004", "d_00000000006"
BASE = "d_0000000000"
KEY, ADDRESS = bytes((192, 0, 2, 20)), (4, 0xC0000214)
KEY6, ADDRESS6 = bytes.fromhex("20010db8") + bytes(11) + b"\x09", (6, 0x20010DB8 << 96 | 9)
LATER = 10 + SETTLED_SECONDS


def mirror() -> Addresses:
    made = Addresses()
    made.follow([BASE])
    assert made.of(ADDRESS, 0) is None  # nobody has read the sets yet
    made.read({FOUR: [], SIX: []}, 0)
    return made


def test_an_address_is_in_its_set_until_its_time_is_over_and_in_no_other() -> None:
    made = mirror()
    made.told(FOUR, [Element(KEY, timeout_ms=60_000)], True, 10)
    made.told(SIX, [Element(KEY6, timeout_ms=90_000)], True, 10)
    assert made.of(ADDRESS, LATER) == made.of(ADDRESS6, LATER) == frozenset({BASE})
    assert made.of(ADDRESS, 75) == frozenset() and made.of((4, 1), LATER) == frozenset()
    assert made.left(FOUR, KEY, 40) == 30
    made.told(FOUR, [Element(KEY)], False, 20)
    assert made.of(ADDRESS, 30) == frozenset()


def test_what_changed_a_moment_ago_is_said_to_be_unsettled() -> None:
    made = mirror()
    made.told(FOUR, [Element(KEY, timeout_ms=60_000)], True, 10)
    assert made.of(ADDRESS, 10.5) == frozenset({BASE, UNSETTLED})
    made.told(FOUR, [Element(KEY, timeout_ms=60_000)], True, 50)  # once more: it was there all the time
    assert made.of(ADDRESS, 50.5) == frozenset({BASE})
    made.told(FOUR, [Element(KEY)], False, 60)
    assert made.of(ADDRESS, 60.5) == frozenset({UNSETTLED})


def test_what_a_dump_does_not_tell_any_more_comes_back_with_its_time() -> None:
    made = mirror()
    made.told(FOUR, [Element(KEY, timeout_ms=60_000)], True, 10)
    assert made.read({FOUR: [], SIX: []}, 40) == {FOUR: [Element(KEY, timeout_ms=30_000)]}
    assert made.read({FOUR: [Element(KEY, timeout_ms=60_000, expires_ms=9_000)]}, 41) == {}
    assert made.left(FOUR, KEY, 41) == 9
    made.follow([])
    assert made.read({}, 42) == {} and len(made) == 0


def test_more_than_there_is_room_for_is_not_known(monkeypatch) -> None:
    monkeypatch.setattr(learned_addresses, "MOST", 2)
    made = mirror()
    made.told(FOUR, [Element(bytes((10, 0, 0, n)), timeout_ms=5000) for n in range(3)], True, 10)
    assert made.of(ADDRESS, LATER) is None
    made.expire(100)
    assert made.of(ADDRESS, 100) == frozenset()
