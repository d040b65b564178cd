"""Cut the messages of DNS over TCP out of the first bytes of a connection, as they become whole.

Never reads what a message says, and keeps no more of one direction than an eBPF program sends of it.
Bounded in connections, bytes and time, as `Assembly` is. Formats: RFC 1035 (4.2.2), RFC 7766 (several messages).
"""

from __future__ import annotations

from netpolicy.flows.assembly import Assembly
from netpolicy.flows.names import MALFORMED, Refused
from netpolicy.flows.seen import Payload, SeenKey

SIZE = 2  # bytes in front of each message
SHORTEST = 12  # a header; nothing shorter is a message
# A connection stays open for more questions; how long is the server's choice, and often some ten seconds.
AGE_SECONDS = 60.0


class MessageStreams:
    """One direction of all such connections. Not for several threads at once."""

    def __init__(self, flows: int = 64, flow_bytes: int = 8 << 10, total_bytes: int = 128 << 10) -> None:
        self._streams = Assembly(flows, flow_bytes, total_bytes, AGE_SECONDS)

    def add(self, payload: Payload) -> list[bytes]:
        """The messages that are whole with this piece and were not before. Raises Refused (MALFORMED)."""
        key = payload.key
        if payload.first:
            self._streams.drop(key)
        known = len(self._streams.beginning(key))
        stream = self._streams.add(key, payload.offset, payload.data, payload.when)
        try:
            ends = _ends(stream)
        except Refused:
            self._streams.drop(key)
            raise
        begins = [0, *ends]
        return [stream[begin + SIZE : end] for begin, end in zip(begins, ends, strict=False) if end > known]

    def expire(self, now: float) -> list[SeenKey]:
        """Forget what is old; of these connections a message never became whole."""
        old = self._streams.expire(now)
        return [key for key, stream in old if not stream or (_ends(stream) or [0])[-1] < len(stream)]

    @property
    def counters(self) -> dict[str, int]:
        """What was given up, see `Assembly`."""
        return self._streams.counters

    @property
    def held(self) -> int:
        """Bytes that are taken."""
        return self._streams.held


def _ends(stream: bytes) -> list[int]:
    """Where each whole message ends. Raises Refused (MALFORMED) where a length is that of no message."""
    ends: list[int] = []
    at = 0
    while at + SIZE <= len(stream):
        size = stream[at] << 8 | stream[at + 1]
        if size < SHORTEST:
            raise Refused(MALFORMED)
        at += SIZE + size
        if at > len(stream):
            break
        ends.append(at)
    return ends
