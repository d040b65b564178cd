"""How TCP connections begin and end, from their SYN, FIN and RST alone: answered or not, how quickly, closed or reset.

Pure: time comes with each packet. Bounded: the oldest connections give way, counted. Never tells of a connection
whose beginning it did not see. Formats: RFC 9293; the rule about repeated segments is Karn's (RFC 6298, 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from netpolicy.flows.packet_frame import ACK, FIN, RST, SYN, Frame
from netpolicy.flows.seen import CLOSED, OPEN, RESET, Measured, SeenKey, Side
from netpolicy.flows.seen import SYN as UNANSWERED

LIMIT = 4096  # some 800 bytes each
STEP = 256  # connections that are told of at once: about a millisecond
# After the last SYN: Linux repeats one after 1, 3, 7 and 15 s.
UNANSWERED_SECONDS = 20.0
SEQUENCES = 1 << 32


class Origin(NamedTuple):
    """Where a packet was seen."""

    up: bool  # from the client
    when: float  # time.monotonic()
    ifindex: int = 0
    mac: bytes = b""


class _Way:
    """One direction."""

    __slots__ = ("fin", "resets", "syns", "ttl", "ttl_reset")

    def __init__(self) -> None:
        self.syns = self.resets = self.ttl = self.ttl_reset = 0
        self.fin = False

    def side(self) -> Side:
        return Side(syns=self.syns, resets=self.resets, fin=self.fin, ttl=self.ttl, ttl_reset=self.ttl_reset)


class Talk:
    """A connection whose SYN was seen."""

    __slots__ = (
        "down", "first", "heard", "ifindex", "inbound", "is_news", "isn", "key", "last", "mac", "rtt_us", "state", "up",
    )  # fmt: skip

    def __init__(self, key: SeenKey, frame: Frame, origin: Origin) -> None:
        self.key = key
        self.inbound = not origin.up
        self.isn = frame.sequence
        self.state = UNANSWERED
        self.first = self.last = origin.when
        self.ifindex = origin.ifindex
        self.mac = b""
        self.up, self.down = _Way(), _Way()
        self.rtt_us = 0
        self.heard = False  # its first payload was handed out
        self.is_news = True  # something came since a sweep told of it

    def measured(self, final: bool) -> Measured:
        """What is known so far."""
        return Measured(
            self.key, self.state, self.up.side(), self.down.side(), rtt_remote_us=self.rtt_us, inbound=self.inbound,
            first=self.first, last=self.last, final=final, ifindex=self.ifindex, mac=self.mac,
        )  # fmt: skip


class Handshakes:
    """All connections of a device or several. Not for several threads at once."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._talks: dict[SeenKey, Talk] = {}  # the oldest first
        self._waiting: dict[SeenKey, Talk] = {}  # those of them that are not answered
        self.counters = {"begun": 0, "over": 0, "evicted": 0, "stray": 0}

    def __len__(self) -> int:
        return len(self._talks)

    def get(self, key: SeenKey) -> Talk | None:
        """The connection, or None where its beginning was not seen or it is over."""
        return self._talks.get(key)

    def take(self, key: SeenKey, frame: Frame, origin: Origin) -> Measured | None:
        """A packet with SYN, FIN or RST; what there is to tell: it was answered, or is over."""
        talk = self._talks.get(key)
        if frame.flags & (SYN | ACK | RST | FIN) == SYN and (talk is None or _is_another(talk, frame, origin)):
            talk = self._begin(key, frame, origin)
        if talk is None:
            self.counters["stray"] += 1
            return None
        if talk.ifindex != origin.ifindex:
            return None  # the same packet once more, at another device
        talk.last = max(talk.last, origin.when)
        talk.is_news = True
        if origin.up:
            talk.mac = talk.mac or origin.mac
        way, other = (talk.up, talk.down) if origin.up else (talk.down, talk.up)
        if frame.flags & RST:
            return self._reset(talk, way, frame)
        if frame.flags & SYN:
            return self._syn(talk, way, frame, origin)
        way.fin = True
        return self._end(talk, CLOSED) if other.fin else None

    def sweep(self, now: float) -> Iterator[list[Measured]]:
        """Connections that are not answered: new since the last time, or called again; final where nobody tries more.

        New is what was taken since then: its packet may be older, as it is read a moment after it passed.
        In steps of a millisecond or so; packets may be taken between them.
        """
        waiting = list(self._waiting.values())
        for start in range(0, len(waiting), STEP):
            told = (self._unanswered(talk, now) for talk in waiting[start : start + STEP])
            yield [one for one in told if one is not None]

    def _unanswered(self, talk: Talk, now: float) -> Measured | None:
        if self._waiting.get(talk.key) is not talk:
            return None  # answered meanwhile
        if now - talk.last > UNANSWERED_SECONDS:
            return self._end(talk, UNANSWERED)
        was_news, talk.is_news = talk.is_news, False
        return talk.measured(False) if was_news else None

    def _begin(self, key: SeenKey, frame: Frame, origin: Origin) -> Talk:
        self._forget(key)
        if len(self._talks) >= self._limit:
            self._forget(next(iter(self._talks)))
            self.counters["evicted"] += 1
        talk = self._talks[key] = self._waiting[key] = Talk(key, frame, origin)
        self.counters["begun"] += 1
        return talk

    def _syn(self, talk: Talk, way: _Way, frame: Frame, origin: Origin) -> Measured | None:
        way.syns += 1
        way.ttl = way.ttl or frame.ttl
        is_answer = frame.flags & ACK and origin.up == talk.inbound
        if not is_answer or talk.state != UNANSWERED or frame.acknowledged != (talk.isn + 1) % SEQUENCES:
            return None
        talk.state = OPEN
        self._waiting.pop(talk.key, None)
        opener = talk.down if talk.inbound else talk.up
        if opener.syns == 1:  # else nobody knows which of them was answered
            talk.rtt_us = max(1, round((origin.when - talk.first) * 1e6))
        return talk.measured(False)

    def _reset(self, talk: Talk, way: _Way, frame: Frame) -> Measured:
        way.resets += 1
        way.ttl_reset = way.ttl_reset or frame.ttl
        return self._end(talk, RESET)

    def _end(self, talk: Talk, state: str) -> Measured:
        talk.state = state
        self._forget(talk.key)
        self.counters["over"] += 1
        return talk.measured(True)

    def _forget(self, key: SeenKey) -> None:
        self._talks.pop(key, None)
        self._waiting.pop(key, None)


def _is_another(talk: Talk, frame: Frame, origin: Origin) -> bool:
    """A SYN that does not repeat the first one begins a new connection between the same ends."""
    return origin.up == talk.inbound or frame.sequence != talk.isn
