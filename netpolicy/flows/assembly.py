"""Join the pieces of streams by where they belong, until somebody can read the beginning.

Knows no protocol and no clock; bounded in flows, bytes and age, and what it gives up is counted.
Two pieces that say different things of the same place are refused: which of them the receiver takes is not known.
"""

from __future__ import annotations

from netpolicy.flows.names import MALFORMED, Refused
from netpolicy.flows.seen import SeenKey

# What a piece takes beside its bytes: an entry of a dict, two objects.
PIECE_COST = 150


class _Flow:
    """The joined beginning of a stream, and pieces that lie beyond it."""

    __slots__ = ("held", "joined", "loose", "since")

    def __init__(self, now: float) -> None:
        self.joined = bytearray()
        self.loose: dict[int, bytes] = {}
        self.since = now
        self.held = PIECE_COST


class Assembly:
    """Beginnings of streams. One for each kind of stream: TLS and QUIC number their bytes differently."""

    def __init__(
        self,
        flows: int = 256,
        flow_bytes: int = 16 << 10,
        total_bytes: int = 256 << 10,
        age_seconds: float = 10.0,
        pieces: int = 64,
    ) -> None:
        """`flow_bytes`: of a stream nothing beyond is kept. `pieces`: of one flow that may wait for earlier ones."""
        self._limits = flows, flow_bytes, total_bytes, pieces
        self._age = age_seconds
        # Oldest first. For others to ask what is in there, without the cost of a call; never to change.
        self.waiting: dict[SeenKey, _Flow] = {}
        self._held = 0
        self.counters = {"evicted": 0, "expired": 0, "beyond": 0, "contradicted": 0}

    def __len__(self) -> int:
        return len(self.waiting)

    @property
    def limit(self) -> int:
        """How many flows can wait at once."""
        return self._limits[0]

    @property
    def held(self) -> int:
        """Bytes that are taken, with what holding them costs."""
        return self._held

    def add(self, key: SeenKey, offset: int, data: bytes, now: float) -> bytes:
        """Put a piece where it belongs; what `beginning` then is. Raises as `put`."""
        self.put(key, offset, data, now)
        return self.beginning(key)

    def beginning(self, key: SeenKey) -> bytes:
        """The stream from its first byte as far as it is whole; b"" while the first piece is missing."""
        flow = self.waiting.get(key)
        return bytes(flow.joined) if flow is not None else b""

    def put(self, key: SeenKey, offset: int, data: bytes, now: float) -> None:
        """Put a piece where it belongs.

        Raises Refused (MALFORMED), and forgets the flow, where a piece contradicts an earlier one.
        """
        limit = self._limits[1]
        if offset + len(data) > limit:
            self.counters["beyond"] += 1
            data = data[: max(limit - offset, 0)]
        flow = self.waiting.get(key)
        if flow is None:
            if not data:
                return
            flow = self.waiting[key] = _Flow(now)
            self._held += PIECE_COST
        before = flow.held
        agrees = _put(flow, offset, data) if data else True
        self._held += flow.held - before
        if not agrees:
            self.counters["contradicted"] += 1
            self.drop(key)
            raise Refused(MALFORMED)
        self._make_room(key)

    def drop(self, key: SeenKey) -> None:
        """Forget a flow; one that is not there is fine."""
        flow = self.waiting.pop(key, None)
        if flow is not None:
            self._held -= flow.held

    def expire(self, now: float) -> list[tuple[SeenKey, bytes]]:
        """Take out what waited for too long, with the beginning that was there."""
        found: list[tuple[SeenKey, bytes]] = []
        for key, flow in self.waiting.items():
            if now - flow.since < self._age:
                break
            found.append((key, bytes(flow.joined)))
        for key, _ in found:
            self.drop(key)
        self.counters["expired"] += len(found)
        return found

    def _make_room(self, key: SeenKey) -> None:
        """The oldest give way; the flow that was just added to only as the last."""
        flows, _, total, pieces = self._limits
        if len(self.waiting[key].loose) > pieces:
            self._evict(key)
        while len(self.waiting) > flows or self._held > total:
            self._evict(next(iter(self.waiting)))

    def _evict(self, key: SeenKey) -> None:
        self.counters["evicted"] += 1
        self.drop(key)


def _put(flow: _Flow, offset: int, data: bytes) -> bool:
    """Whether the piece agrees with what is there; where it does it is joined or kept."""
    if offset > len(flow.joined):
        return _keep(flow, offset, data)
    if not _join(flow, offset, data):
        return False
    # Those that touch now. A few at most: more were not let in.
    for start in sorted(flow.loose):
        if start > len(flow.joined):
            break
        piece = flow.loose.pop(start)
        flow.held -= len(piece) + PIECE_COST
        if not _join(flow, start, piece):
            return False
    return True


def _keep(flow: _Flow, offset: int, data: bytes) -> bool:
    """Of two pieces with the same beginning the longer one stays."""
    other = flow.loose.get(offset)
    if other is not None:
        if not data.startswith(other) and not other.startswith(data):
            return False
        if len(data) <= len(other):
            return True
        flow.held -= len(other) + PIECE_COST
    flow.loose[offset] = data
    flow.held += len(data) + PIECE_COST
    return True


def _join(flow: _Flow, offset: int, data: bytes) -> bool:
    """Append what is new; False where the rest is not what was there before."""
    known = flow.joined[offset : offset + len(data)]
    if not data.startswith(known):
        return False
    flow.joined += data[len(known) :]
    flow.held += len(data) - len(known)
    return True
