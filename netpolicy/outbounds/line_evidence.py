"""What connections of clients say for and against one line: whether what they begin, or go on with, is answered.

Pure and bounded: time is an argument. A client has one voice, however many connections it begins; one voice never says
that a line is down, it only has the line asked. From conntrack's events and the inspector (service/passive.py).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import islice
from typing import NamedTuple

from netpolicy.outbounds.line_delay import Delays, delay_words
from netpolicy.outbounds.line_share import CUTS, LOSSES, Shares
from netpolicy.outbounds.line_stall import Stalls

# So many clients, and so many addresses, of which so many answered before, speak for the line's being broken.
CLIENTS, REMOTES, KNOWN = 2, 4, 2
BUSY_REMOTES = 3  # addresses that answered just now: the line need not be asked
FRESH_SECONDS = 0.5  # … just now

MOST_CLIENTS = 64
MOST_WAITING = 16  # connections of one client that are waited for: a flood is no louder than a browser
MOST_ENDS = 16  # … and ends that answered it, which are remembered
WAITING_SECONDS = 10.0  # then nobody hopes any more, and what it said is old
CLIENT_SECONDS = 600.0  # a client that began nothing for so long

# What is bad is well again when it is only so much of what makes it bad: it must not go to and fro.
EASED = 0.5
# So many of all connections are reset without a word: somebody on the way does it, not the servers.
MOST_CUT = 0.9

NEVER = float("-inf")

End = tuple[str, int]  # address and port of a remote


class Doubt(NamedTuple):
    """Connections by the line that wait in vain while nothing is answered."""

    connections: int
    clients: int
    remotes: int
    known: int  # of the remotes: those that answered before, by this line
    is_disputed: bool = False  # one client has answers all the same

    @property
    def is_strong(self) -> bool:
        """Whether several clients and several addresses say it, and nobody the opposite."""
        enough = self.clients >= CLIENTS and self.remotes >= REMOTES and self.known >= KNOWN
        return enough and not self.is_disputed

    @property
    def words(self) -> str:
        """For people."""
        what = f"{_count(self.connections, 'connection')} of {_count(self.clients, 'client')}"
        return f"{what} to {_count(self.remotes, 'address')} without answer"


class _Client:
    """One voice."""

    __slots__ = ("ends", "proved", "seen", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[int, tuple[float, End]] = {}  # by the kernel's number: since when, and for whom
        self.ends: dict[End, float] = {}  # that answered: when what they answered began; the latest last
        self.proved = NEVER  # when the newest of all that were answered began: then the line worked
        self.seen = NEVER

    def overdue(self, after: float, until: float) -> list[End]:
        """What it waits for since the time between those two."""
        after = max(after, self.proved)
        return [end for begun, end in self.waiting.values() if after < begun <= until]


class Evidence:
    """One line's."""

    def __init__(self) -> None:
        self._clients: dict[Hashable, _Client] = {}  # who began something last is last
        self._owner: dict[int, Hashable] = {}  # who waits for which connection
        self.delays = Delays()
        self.stalls = Stalls()  # of connections that are open
        self.sent, self.received = Shares(LOSSES), Shares(LOSSES)  # what was lost of it
        self.cuts = Shares(CUTS)  # connections that were reset before a word

    def __len__(self) -> int:
        """How many connections are waited for."""
        return len(self._owner) + len(self.stalls)

    # -- what conntrack tells --------------------------------------------------------------

    def began(self, number: int, whose: Hashable, end: End, now: float) -> None:
        """A client's first packet left by the line; `number` is the kernel's of the connection."""
        client = self._clients.pop(whose, None) or _Client()
        self._clients[whose] = client
        client.seen = now
        if len(self._clients) > MOST_CLIENTS:
            self._forget(next(iter(self._clients)))
        if len(client.waiting) >= MOST_WAITING:
            self._drop_old(client, now)
        if len(client.waiting) < MOST_WAITING and number not in self._owner:
            client.waiting[number] = (now, end)
            self._owner[number] = whose

    def answered(self, number: int) -> None:
        """The far side answered it, if only by a refusal."""
        client = self._clients.get(self._owner.pop(number, None))
        if client is None or number not in client.waiting:
            return
        begun, end = client.waiting.pop(number)
        client.proved = max(client.proved, begun)
        client.ends.pop(end, None)
        client.ends[end] = begun
        if len(client.ends) > MOST_ENDS:
            del client.ends[next(iter(client.ends))]

    def ended(self, number: int) -> None:
        """It is no more, and nobody knows why."""
        client = self._clients.get(self._owner.pop(number, None))
        if client is not None:
            client.waiting.pop(number, None)

    def missed(self) -> None:
        """Events were lost, perhaps answers: what was waited for says nothing any more."""
        self._owner.clear()
        for client in self._clients.values():
            client.waiting.clear()

    def away(self) -> None:
        """The line has no way out: what anybody waits for says nothing any more."""
        self.missed()
        self.stalls.missed()
        for one in (self.sent, self.received, self.cuts):
            one.forget()

    # -- what follows ----------------------------------------------------------------------

    def doubt(self, now: float, late: float) -> Doubt | None:
        """Who waits for longer than `late` seconds, where nothing that began since was answered; None: nobody.

        Against one client that has answers two others have to wait, for what answered before: then it is disputed.
        """
        self._tidy(now)
        if not self._owner and not self.stalls:
            return None
        proofs = sorted([(client.proved, name) for name, client in self._clients.items()], key=_time, reverse=True)
        newest, best = proofs[0] if proofs else (NEVER, None)
        found = self._against(newest, now, late)
        if found is not None or len(proofs) < 1 + CLIENTS:
            return found
        found = self._against(proofs[1][0], now, late, without=best)
        if found is None or found.clients < CLIENTS or found.known < KNOWN:
            return None
        return found._replace(is_disputed=True)

    def suffered(self, now: float, slow_ms: float, lossy: float, was_bad: bool) -> str:
        """What clients suffer by a line that answers them, in words: delay, loss, or that all is cut; "" for nothing.

        `slow_ms`, `lossy`: more than that is too much; `was_bad`: it was of late, and has to be much better.
        """
        excess = self.delays.excess(now)
        if excess is not None and excess > slow_ms:
            return delay_words(excess)
        eased = EASED if was_bad else 1.0
        for shares, words in ((self.received, "receive from"), (self.sent, "send to")):
            found = shares.found(now)
            if found is not None and found.share > lossy * eased:
                what = f"{_count(found.clients, 'client')} {words} {_count(found.remotes, 'address')}"
                return f"loss {found.share * 100:.0f} % of what {what}, more than {lossy * 100:g}"
        found = self.cuts.found(now)
        if found is not None and found.share > MOST_CUT * eased:
            whose = f"{_count(found.clients, 'client')} to {_count(found.remotes, 'address')}"
            return f"connections of {whose} are reset before any answer"
        return ""

    def fares_well(self, now: float) -> bool:
        """Whether enough clients told what was lost, where they suffer nothing."""
        return any(one.found(now) is not None for one in (self.sent, self.received))

    def is_busy(self, now: float) -> bool:
        """Whether several addresses answered what began just now, and nobody waits in vain."""
        fresh = {end[0] for end, begun in self._answered() if now - begun <= FRESH_SECONDS}
        return len(fresh) >= BUSY_REMOTES and self.doubt(now, FRESH_SECONDS) is None

    def proved(self, after: float) -> int:
        """How many addresses answered what began after that time."""
        return len({end[0] for end, begun in self._answered() if begun > after})

    def ends(self, most: int) -> list[End]:
        """Some that answered last, each of another client as far as there are several."""
        columns = [list(reversed(client.ends)) for client in reversed(self._clients.values())]
        found: dict[str, End] = {}
        for place in range(MOST_ENDS):
            for column in columns:
                if place < len(column):
                    found.setdefault(column[place][0], column[place])
        return list(islice(found.values(), most))

    def _against(self, after: float, now: float, late: float, without: Hashable = None) -> Doubt | None:
        """Both kinds of waiting. That open connections go on says nothing for new ones, which may be refused."""
        clients = [(name, one) for name, one in self._clients.items() if name != without]
        overdue = {name: ends for name, one in clients if (ends := one.overdue(after, now - late))}
        stalled = self.stalls.in_vain(max(after, self.stalls.heard_last(without)), now, without)
        if not overdue and not stalled:
            return None
        open_ends = [end for ends in stalled.values() for end in ends]
        ends = [end for those in overdue.values() for end in those] + open_ends
        remotes = {end[0] for end in ends}
        # Whoever an open connection is with answered before.
        known = remotes & ({end[0] for end, _ in self._answered()} | {end[0] for end in open_ends})
        return Doubt(len(ends), len(overdue.keys() | stalled.keys()), len(remotes), len(known))

    def _answered(self) -> Iterator[tuple[End, float]]:
        for client in self._clients.values():
            yield from client.ends.items()

    # -- room ------------------------------------------------------------------------------

    def _tidy(self, now: float) -> None:
        for name in [name for name, one in self._clients.items() if now - one.seen > CLIENT_SECONDS]:
            self._forget(name)
        for client in self._clients.values():
            self._drop_old(client, now)
        self.stalls.tidy(now)

    def _drop_old(self, client: _Client, now: float) -> None:
        for number in [number for number, (begun, _) in client.waiting.items() if now - begun > WAITING_SECONDS]:
            del client.waiting[number]
            self._owner.pop(number, None)

    def _forget(self, name: Hashable) -> None:
        for number in self._clients.pop(name).waiting:
            self._owner.pop(number, None)


def _time(row: tuple[float, Hashable]) -> float:
    return row[0]


def _count(number: int, what: str) -> str:
    plural = "" if number == 1 else "es" if what.endswith("s") else "s"
    return f"{number} {what}{plural}"
