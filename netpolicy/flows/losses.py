"""What a report of one connection says of loss since the one before: segments that had to be repeated, and its fate.

Pure: values in, values out. Never a judgement: whose fault it is, many connections together say
(outbounds/line_share.py). From flows/seen.py, in whose words eBPF tells; a packet socket sees no repetitions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netpolicy.flows.seen import Measured

# New packets of a connection that are worth a word.
LEAST_NEWS = 16
# Bytes of a packet, on average: below that a direction acknowledges and says little, and nobody repeats that.
FULL_BYTES = 500
# The longest packet without payload: of IPv6, a SYN-ACK with all its options, rounded up.
EMPTY_BYTES = 84

ANSWERED, CUT = "answered", "cut"

# Packets of both directions; then packets, repeated ones and bytes of the one up, and of the one down.
Told = tuple[int, int, int, int, int, int, int]
NOTHING: Told = (0, 0, 0, 0, 0, 0, 0)


class News(NamedTuple):
    """Since it was told last. Segments are how many were repeated, of how many; None: hardly any carried something."""

    sent: tuple[int, int] | None  # by the client
    received: tuple[int, int] | None
    fate: str  # ANSWERED, CUT, or "" for neither; once for each connection


def told_of(report: Measured) -> Told:
    """What is to be kept until the next one."""
    up, down = report.up, report.down
    packets = up.packets + down.packets
    return packets, up.packets, up.retransmits, up.bytes, down.packets, down.retransmits, down.bytes


def news(before: Told, after: Told, fate: str) -> News:
    """What is new. What nobody answered meanwhile was not lost: that waits, and is another matter."""
    is_heard = after[4] - after[5] > before[4] - before[5]
    return News(_lost(before[1:4], after[1:4]) if is_heard else None, _lost(before[4:7], after[4:7]), fate)


def fate(report: Measured) -> str:
    """Whether the remote said something, or reset what it had taken without a word; "" for neither, so far."""
    if report.down.bytes > report.down.packets * EMPTY_BYTES:
        return ANSWERED
    return CUT if report.was_cut and not report.mid else ""


def _lost(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int, int] | None:
    packets, repeated, size = (new - old for new, old in zip(after, before, strict=True))
    return (max(repeated, 0), packets) if packets > 0 and size >= FULL_BYTES * packets else None
