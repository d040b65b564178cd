"""When silence is an end."""

from __future__ import annotations

import struct

import pytest

from netpolicy.flows.ebpf import layout
from netpolicy.flows.ebpf.layout import (
    SIDE_ANSWERED,
    SIDE_DATA,
    SIDE_FIN,
    SIDE_OPENER,
    SIDE_RST,
    SIDE_SYN,
    SIDE_TOLD,
)
from netpolicy.flows.ebpf.sweep import CHANGED, FORGET, KEEP, OVER, Patience, judge

from .test_entries import flow, side

NOW = 10_000 * 10**9
SECOND = 10**9
PATIENCE = Patience()


def key(protocol: int = 6, remote_port: int = 443) -> bytes:
    return bytes(32) + struct.pack(">HH", 40000, remote_port) + struct.pack("=I", protocol)


def entry(silent: float, up: int, down: int = 0) -> bytes:
    """Flags of both sides, the last packet so many seconds ago."""
    last = (NOW - int(silent * SECOND)) >> layout.COARSE
    first = side(packets=1, flags=up, last=last)
    return flow(first, side(packets=1, flags=down, last=last - 5) if down else side())


def verdict(silent: float, up: int, down: int = 0, since: int = 5 * SECOND, **of: int) -> str:
    return judge(key(**of), entry(silent, up, down), NOW, since, PATIENCE).what


TALKING = (SIDE_SYN | SIDE_OPENER | SIDE_ANSWERED, SIDE_SYN | SIDE_ANSWERED)


@pytest.mark.parametrize(
    ("flags", "patience"),
    [
        ((SIDE_SYN | SIDE_OPENER,), PATIENCE.unanswered),
        (TALKING, PATIENCE.tcp),
        ((SIDE_DATA,), PATIENCE.tcp),
        ((SIDE_FIN | SIDE_ANSWERED, SIDE_FIN), PATIENCE.closing),
    ],
)
def test_a_connection_is_over_after_its_patience(flags: tuple[int, ...], patience: float) -> None:
    assert verdict(patience - 0.5, *flags) == KEEP
    assert verdict(patience + 0.5, *flags) == OVER


def test_udp_is_over_sooner_and_dns_soonest() -> None:
    assert verdict(PATIENCE.udp - 1, 0, protocol=17) == KEEP
    assert verdict(PATIENCE.udp + 1, 0, protocol=17) == OVER
    assert verdict(PATIENCE.dns + 1, 0, protocol=17, remote_port=53) == OVER
    assert verdict(PATIENCE.dns + 1, *TALKING, remote_port=53) == KEEP


def test_a_reset_connection_was_told_and_is_forgotten_without_a_word() -> None:
    assert verdict(1, SIDE_RST | SIDE_TOLD, SIDE_ANSWERED) == KEEP
    assert verdict(PATIENCE.told + 1, SIDE_RST | SIDE_TOLD, SIDE_ANSWERED) == FORGET
    assert judge(key(), entry(1, SIDE_TOLD), NOW, SECOND, PATIENCE).told


def test_what_had_a_packet_since_the_last_time_is_told_as_changed() -> None:
    assert verdict(2, *TALKING, since=5 * SECOND) == CHANGED
    assert verdict(6, *TALKING, since=5 * SECOND) == KEEP
    assert verdict(-1, *TALKING) == CHANGED  # a packet that came after the walk began
    assert verdict(0.011, *TALKING, since=SECOND // 500) == CHANGED  # the program's clock is not as sharp as ours


def test_a_side_that_never_said_anything_does_not_count() -> None:
    """Its time is 0, which is long ago, or a moment ago where the machine has just started."""
    late = flow(side(packets=1, last=NOW >> layout.COARSE), side())
    assert judge(key(), late, NOW, SECOND, PATIENCE).what == CHANGED
    early = flow(side(packets=1, last=0), side())
    assert judge(key(17, 53), early, 2**20 * 100, SECOND, PATIENCE).what == CHANGED
