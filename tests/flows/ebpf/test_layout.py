"""The layouts in Python and those of the C file, and what is made of the bytes."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from netpolicy.flows.ebpf import layout
from netpolicy.flows.ebpf.elf import parse
from netpolicy.flows.ebpf.loading import FILES, FOLDER
from netpolicy.flows.seen import CLOSED, MAPPED, OPEN, RESET, STREAM, SYN

SOURCE = (Path(FOLDER) / "npflow.bpf.c").read_text(encoding="ascii")
CLIENT, REMOTE = MAPPED + bytes((192, 168, 1, 5)), MAPPED + bytes((198, 51, 100, 7))


def key(port: int = 40000, protocol: int = 6) -> bytes:
    return CLIENT + REMOTE + struct.pack(">HH", port, 443) + struct.pack("=I", protocol)


def side(**values: int) -> tuple[int, ...]:
    names = "bytes packets rtx isn next sample sample_at done srtt8 handshake syn_at last flags need seen syns resets"
    order = [*names.split(), "ttl", "ttl_reset", "pieces", "zero"]
    assert set(values) <= set(order)
    return tuple(values.get(name, 0) for name in order)


def flow(
    up: tuple[int, ...], down: tuple[int, ...], first: int = 10**9, flags: int = 0, mac: bytes = bytes(6)
) -> bytes:
    return layout.FLOW.pack(*up, *down, first, 3, flags, mac)


def event(kind: int, body: bytes, first: int = 1, length: int | None = None) -> bytes:
    head = struct.pack("=QHHIII", 5 * 10**9, kind, len(body) if length is None else length, 3, 700, first)
    return head + key() + body


def test_sizes_are_those_that_the_c_file_asserts() -> None:
    said = {name: int(size) for name, size in re.findall(r"_Static_assert\(sizeof\(struct (\w+)\) == (\d+)", SOURCE)}
    assert said == {
        "key": layout.KEY.size,
        "side": struct.calcsize("=" + layout.SIDE),
        "flow": layout.FLOW.size,
        "event": layout.EVENT.size,
        "stats": layout.STATS.size,
    }
    assert (layout.KEY_SIZE, layout.SIDE_SIZE, layout.FLOW_SIZE, layout.EVENT_SIZE) == (40, 64, 152, 64)


def test_the_maps_of_the_object_have_these_sizes() -> None:
    found = parse((Path(FOLDER) / FILES["little"]).read_bytes(), "little").maps
    assert {name: (one.key, one.value) for name, one in found.items()} == layout.MAPS


@pytest.mark.parametrize(
    ("prefix", "constants"),
    [
        ("SEND_", ("TLS", "HTTP", "DNS_ANSWERS", "DNS_QUERIES", "QUIC", "OVER")),
        ("SIDE_", ("SYN", "FIN", "RST", "DATA", "OPENER", "ANSWERED", "TOLD", "LOST")),
        ("FLOW_", ("MID",)),
        ("EVENT_", ("DNS_ANSWER", "OVER")),
    ],
)
def test_numbers_are_those_of_the_c_file(prefix: str, constants: tuple[str, ...]) -> None:
    for name in constants:
        said = re.search(rf"#define {prefix}{name} (\S+)", SOURCE)
        assert said and int(said.group(1), 0) == getattr(layout, prefix + name)


def test_counters_stand_in_the_order_of_the_c_file() -> None:
    body = SOURCE.split("struct stats {")[1].split("};")[0]
    assert tuple(re.findall(r"(\w+)[,;]", re.sub(r"/\*.*?\*/", "", body))) == layout.COUNTERS


def test_an_event_with_payload_is_read_whole() -> None:
    found = layout.payload(event(1, b"hello"))
    assert found is not None
    assert found == ((CLIENT, REMOTE, 40000, 443, 6), STREAM, 700, b"hello", 5.0, True)
    assert isinstance(layout.payload(memoryview(event(1, b"hello")))[3], bytes)  # type: ignore[index]


@pytest.mark.parametrize(
    "bad", [b"", event(1, b"hello")[:63], event(1, b"hello", length=6), event(9, b""), event(0, b"")]
)
def test_an_event_that_is_cut_short_or_unknown_is_none(bad: bytes) -> None:
    assert layout.payload(bad) is None
    assert layout.over(bad) is None


def test_times_are_told_of_the_side_that_waited() -> None:
    """Each side keeps how long it took to acknowledge the other; what a reader wants is the way there and back."""
    up = side(bytes=700, packets=5, handshake=1000, srtt8=8 * 3000, flags=layout.SIDE_ANSWERED, ttl=64, last=4000)
    down = side(bytes=9000, packets=7, handshake=20_000, srtt8=8 * 50_000, rtx=3, resets=1, ttl_reset=57, last=4500)
    found = layout.measured(key(), flow(up, down, mac=b"\x02\0\0\0\0\x05"), 5 * 10**9, False)
    assert (found.rtt_remote_us, found.rtt_client_us) == (20_480, 1024)
    assert (found.up.srtt_us, found.down.srtt_us) == (51_200, 3072)
    assert (found.up.bytes, found.up.packets, found.up.ttl) == (700, 5, 64)
    assert (found.down.bytes, found.down.retransmits, found.down.resets, found.down.ttl_reset) == (9000, 3, 1, 57)
    assert found.mac == b"\x02\0\0\0\0\x05" and found.ifindex == 3
    assert found.first == 1.0
    assert found.last == pytest.approx(4500 * 2**20 / 1e9, abs=0.0011)


def test_a_side_without_packets_does_not_make_the_flow_old() -> None:
    now = 2**20 * 9_000_000_000  # the counter came round twice
    found = layout.measured(key(), flow(side(packets=1, last=(now >> 20) & layout.WORD), side()), now, False)
    assert found.last == pytest.approx(now / 1e9, abs=0.002)
    assert found.mac == b""


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
    assert layout.state(6, up, down, flags) == word
    assert layout.state(17, up, down, flags) == OPEN


def test_a_number_that_was_read_half_written_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert layout.whole(1 << 40, 3) == (1 << 40 if layout.LONG_WORDS else 3 * layout.LONGEST_PACKET)
    monkeypatch.setattr(layout, "LONG_WORDS", False)
    assert layout.whole(1 << 40, 3) == 3 * layout.LONGEST_PACKET
    assert layout.whole(70_000, 0) == 70_000


def test_what_seems_to_lie_ahead_has_just_been() -> None:
    assert layout.age(5, 3 << 20) == 0
    assert layout.age(layout.WORD, 2 << 20) == 3
