"""What is made of events and entries, and of those that are cut short."""

from __future__ import annotations

import struct

import pytest

from netpolicy.flows.ebpf import entries, layout
from netpolicy.flows.seen import CLOSED, MAPPED, OPEN, RESET, STREAM, SYN, Measured, Payload, Side

CLIENT, REMOTE = MAPPED + bytes((192, 168, 1, 5)), MAPPED + bytes((198, 51, 100, 7))


def key(port: int = 40000, protocol: int = 6) -> bytes:
    return CLIENT + REMOTE + struct.pack(">HH", port, 443) + struct.pack("=I", protocol)


def side(**values: int) -> tuple[int, ...]:
    order = ["bytes", "packets", "rtx", "srtt8", "handshake", "last", "flags", "syns", "resets", "ttl", "ttl_reset"]
    assert set(values) <= set(order)
    return tuple(values.get(name, 0) for name in order)


def flow(
    up: tuple[int, ...], down: tuple[int, ...], first: int = 10**9, flags: int = 0, mac: bytes = bytes(6)
) -> bytes:
    return layout.FLOW.pack(first, 3, flags, mac, *up, *down)


def event(kind: int, body: bytes, first: int = 1, length: int | None = None) -> bytes:
    head = struct.pack("=QHHIII", 5 * 10**9, kind, len(body) if length is None else length, 3, 700, first)
    return head + CLIENT + REMOTE + struct.pack("=HHI", 40000, 443, 6) + body


UP, DOWN = (700, 5, 1, 2, 3, True, 51_200, 64, 57), (9000, 7, 0, 0, 1, False, 3072, 63, 0)


def end(state: int = 2, mac: bytes = b"\2\0\0\0\0\5", up: tuple[int, ...] = UP) -> bytes:
    """The body of an event of a flow that is over."""
    form = "=" + layout.TOLD * 2 + "II???B6s6xQQ"
    return struct.pack(form, *up, *DOWN, 20_480, 1024, False, True, False, state, mac, 10**9, 4 * 10**9)


def test_an_event_of_an_end_is_read_whole() -> None:
    key = (CLIENT, REMOTE, 40000, 443, 6)
    mac = b"\2\0\0\0\0\5"
    assert entries.over(event(6, end())) == Measured(
        key, CLOSED, Side(*UP), Side(*DOWN), 20_480, 1024, False, True, False, 1.0, 4.0, True, 3, mac
    )  # fmt: skip
    found = entries.over(event(6, end(state=3, mac=bytes(6))))
    assert found is not None and (found.state, found.mac) == (RESET, b"")


def test_a_number_of_an_end_that_was_read_half_written_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "LONG_WORDS", False)
    found = entries.over(event(6, end(up=(1 << 40, 3, *UP[2:]))))
    assert found is not None
    assert (found.up, found.down) == (Side(3 * entries.LONGEST_PACKET, 3, *UP[2:]), Side(*DOWN))


def test_an_event_with_payload_is_read_whole() -> None:
    found = entries.payload(event(1, b"hello"))
    assert found is not None
    assert found == ((CLIENT, REMOTE, 40000, 443, 6), STREAM, 700, b"hello", 5.0, True)


@pytest.mark.parametrize(
    "bad", [b"", event(1, b"hello")[:63], event(1, b"hello", length=6), event(10, b""), event(0, b"")]
)
def test_an_event_that_is_cut_short_or_unknown_is_none(bad: bytes) -> None:
    assert entries.payload(bad) is None
    assert entries.over(bad) is None


def test_an_event_is_told_to_whom_it_is_for() -> None:
    pieces: list[Payload] = []
    ends: list[Measured] = []
    unreadable: list[bool] = []
    tell = entries.telling(pieces.append, ends.append, lambda: unreadable.append(True))
    over = event(6, end())
    for one in (event(1, b"hello"), over, over[:-1], event(10, b"hello"), event(1, b"hello")[:-1], b"", bytes(9)):
        tell(one)
    assert ([one.data for one in pieces], [one.final for one in ends], len(unreadable)) == ([b"hello"], [True], 5)


def test_times_are_told_of_the_side_that_waited() -> None:
    """Each side keeps how long it took to acknowledge the other; what a reader wants is the way there and back."""
    up = side(bytes=700, packets=5, handshake=1000, srtt8=8 * 3000, flags=layout.SIDE_ANSWERED, ttl=64, last=4000)
    down = side(bytes=9000, packets=7, handshake=20_000, srtt8=8 * 50_000, rtx=3, resets=1, ttl_reset=57, last=4500)
    found = entries.measured(key(), flow(up, down, mac=b"\x02\0\0\0\0\x05"), 5 * 10**9, False)
    assert (found.rtt_remote_us, found.rtt_client_us) == (20_480, 1024)
    assert (found.up.srtt_us, found.down.srtt_us) == (51_200, 3072)
    assert (found.up.bytes, found.up.packets, found.up.ttl) == (700, 5, 64)
    assert (found.down.bytes, found.down.retransmits, found.down.resets, found.down.ttl_reset) == (9000, 3, 1, 57)
    assert found.mac == b"\x02\0\0\0\0\x05" and found.ifindex == 3
    assert found.first == 1.0
    assert found.last == pytest.approx(4500 * 2**20 / 1e9, abs=0.0011)


def test_a_side_without_packets_does_not_make_the_flow_old() -> None:
    now = 2**20 * 9_000_000_000  # the counter came round twice
    found = entries.measured(key(), flow(side(packets=1, last=(now >> 20) & layout.WORD), side()), now, False)
    assert found.last == pytest.approx(now / 1e9, abs=0.002)
    assert found.mac == b""


@pytest.mark.parametrize("turned", [False, True])
def test_a_side_that_was_seen_since_now_has_just_been(turned: bool) -> None:
    """A walk through the map takes its time, and one direction may be the only one with packets."""
    now = 10**13
    sides = side(packets=1, last=(now >> 20) + 3), side(packets=1, last=(now >> 20) - 60_000)
    found = entries.measured(key(protocol=17), flow(*(reversed(sides) if turned else sides)), now, False)
    assert found.last == now / 1e9


def test_a_flow_was_not_seen_before_it_began() -> None:
    """The clock of the packets has ticks of milliseconds, that of the beginning has none."""
    found = entries.measured(key(), flow(side(packets=1, last=950), side(), first=10**9), 10**9 + 5, False)
    assert found.first == found.last == 1.0


@pytest.mark.parametrize(
    ("up", "down", "flags", "word"),
    [
        (layout.SIDE_SYN | layout.SIDE_OPENER, 0, 0, SYN),
        (layout.SIDE_SYN, layout.SIDE_SYN | layout.SIDE_ANSWERED, 0, OPEN),
        (layout.SIDE_DATA, 0, layout.FLOW_MID, OPEN),
        (layout.SIDE_FIN, layout.SIDE_ANSWERED, 0, OPEN),
        (layout.SIDE_FIN, layout.SIDE_FIN, 0, CLOSED),
        (layout.SIDE_FIN | layout.SIDE_RST, layout.SIDE_FIN, 0, RESET),
    ],
)
def test_flags_have_a_word(up: int, down: int, flags: int, word: str) -> None:
    assert entries.state(6, up, down, flags) == word
    assert entries.state(17, up, down, flags) == OPEN
    whole = flow(side(flags=up), side(flags=down), flags=flags)
    assert entries.measured(key(), whole, 10**9, False).state == word
    assert entries.measured(key(protocol=17), whole, 10**9, False).state == OPEN


def test_a_number_that_was_read_half_written_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert entries.whole(1 << 40, 3) == 3 * entries.LONGEST_PACKET
    assert entries.whole(70_000, 0) == 70_000
    monkeypatch.setattr(entries, "LONG_WORDS", False)
    found = entries.measured(key(), flow(side(bytes=1 << 40, packets=3), side()), 10**10, False)
    assert found.up.bytes == 3 * entries.LONGEST_PACKET
