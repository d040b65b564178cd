"""Which names stand behind an address, as DNS answers and handshakes told, and how much that is worth.

Pure: time is an argument. Bounded in addresses and in names of each; what was heard longest ago gives way, counted,
and first of whoever told the most: clients can lie. Never guesses: an address that nobody named is Unnamed, with the
reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from netpolicy.flows import giving_way

ADDRESSES, NAMES_EACH, PUBLIC_NAMES = 4096, 8, 256
NAMES = 2  # as many names as addresses, times this: with eight for each, liars had 15 MB filled
PUBLIC_NAMES_EACH = 32  # of one client

# What most encrypted hellos show, and nothing else uses. Clients that encrypt their hello mostly encrypt their
# questions too, so no answer that says this passes us.
KNOWN_PUBLIC = frozenset(("cloudflare-ech.com",))

# Clients use an answer for longer than it says (browsers a minute and more), and records that live for days move.
SHORTEST_SECONDS, LONGEST_SECONDS = 300.0, 86400.0
# After a handshake that said it: servers keep their names for hours, not for ever.
SEEN_SECONDS = 3600.0

# What a name is worth for a connection of a client: it said so itself; it asked for it, or said it to that address
# before, and nobody else's name is there; several names are there, or another client knows it.
CERTAIN, LIKELY, POSSIBLE = "certain", "likely", "possible"

DNS = "dns"

NEVER_NAMED = "no DNS answer and no handshake named this address"
EXPIRED = "what named this address is too old"


class Told(NamedTuple):
    """One name of an address. `client` is who asked or said it, 16 bytes."""

    name: str
    client: bytes
    source: str  # "dns", "tls", "quic" or "http"
    until: float


class Named(NamedTuple):
    """The best name for a connection."""

    name: str
    source: str
    confidence: str
    others: int = 0  # how many more names stand behind the address


class Unnamed(NamedTuple):
    """No name, and why."""

    why: str


class Learned:
    """Names by address. Addresses are 16 bytes, IPv4 mapped."""

    def __init__(self, addresses: int = ADDRESSES, names_each: int = NAMES_EACH) -> None:
        self._limit = addresses
        self._names_each = names_each
        self._told: dict[bytes, list[Told]] = {}  # in the order of the last word about each
        self._count = 0  # of names
        self._public: dict[str, dict[bytes, None]] = {}  # by name: the clients who were told it
        self.dropped = 0  # addresses and names that made place for newer ones

    def __len__(self) -> int:
        return len(self._told)

    def note_answer(
        self, client: bytes, name: str, addresses: Iterable[tuple[bytes, int]], now: float, public: Iterable[str] = ()
    ) -> None:
        """A name server told the client these addresses, with the seconds they may be believed.

        `public`: the names that encrypted hellos to this server show instead of its own.
        """
        for one in public:
            self._note_public(client, one)
        for address, seconds in addresses:
            lifetime = min(max(float(seconds), SHORTEST_SECONDS), LONGEST_SECONDS)
            self._note(address, Told(name, client, DNS, now + lifetime), now)

    def note_hello(self, client: bytes, address: bytes, name: str, source: str, now: float) -> None:
        """The client named the server at this address in its own handshake or request."""
        self._note(address, Told(name, client, source, now + SEEN_SECONDS), now)

    def hides_another(self, client: bytes, address: bytes, name: str, now: float) -> bool:
        """Whether a hello of the client that may be encrypted, and shows this name, is known to hide another.

        What an answer to somebody else says does not count against a client who asked for the name itself: nobody
        asks for the name in front, and a liar's answer would hide everybody's.
        """
        told = self._public.get(name, ())
        if name in KNOWN_PUBLIC or client in told:
            return True
        asked = (one.name == name and one.client == client and one.source == DNS and one.until > now
                 for one in self._told.get(address, ()))  # fmt: skip
        return bool(told) and not any(asked)

    def look_up(self, client: bytes, address: bytes, now: float) -> Named | Unnamed:
        """The best name that is known for a connection of the client to the address, without its own handshake."""
        present = self._told.get(address)
        if not present:
            return Unnamed(NEVER_NAMED)
        alive = [one for one in present if one.until > now]
        if not alive:
            return Unnamed(EXPIRED)
        own = [one for one in alive if one.client == client]
        best = (own or alive)[-1]
        names = {one.name for one in alive}
        only = len({one.name for one in own}) == 1
        return Named(best.name, best.source, LIKELY if only else POSSIBLE, len(names) - 1)

    def everything(self, now: float) -> Iterator[tuple[str, tuple[bytes, float]]]:
        """Each name with an address of it and the seconds that this may be believed."""
        for address, told in self._told.items():
            for one in told:
                if one.until > now:
                    yield one.name, (address, one.until - now)

    def names(self, address: bytes, now: float) -> tuple[str, ...]:
        """All names of an address, the latest last."""
        return tuple(dict.fromkeys(one.name for one in self._told.get(address, ()) if one.until > now))

    def expire(self, now: float) -> None:
        """Forget what is too old. O(addresses): to be called every minute or so."""
        for address in list(self._told):
            present = self._told[address]
            alive = [one for one in present if one.until > now]
            self._count -= len(present) - len(alive)
            if alive:
                self._told[address] = alive
            else:
                del self._told[address]

    def _note(self, address: bytes, told: Told, now: float) -> None:
        known = self._told.pop(address, [])
        kept = [one for one in known if one.until > now and (one.name, one.client) != (told.name, told.client)]
        kept.append(told)
        if len(kept) > self._names_each:
            (gone,) = giving_way.chosen(((place, one.client) for place, one in enumerate(kept)), 1)
            del kept[gone]
            self.dropped += 1
        self._told[address] = kept
        self._count += len(kept) - len(known)
        if len(self._told) > self._limit or self._count > self._limit * NAMES:
            for one in giving_way.chosen(self._owned(), giving_way.number(self._limit)):
                self._count -= len(self._told.pop(one))
                self.dropped += 1

    def _owned(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Every address with the one client who names it; None for several."""
        for address, told in self._told.items():
            client = told[0].client
            yield address, client if len(told) == 1 or all(one.client == client for one in told) else None

    def _note_public(self, client: bytes, name: str) -> None:
        clients = self._public.pop(name, {})
        clients[client] = None
        if len(clients) > self._names_each:
            del clients[next(iter(clients))]
        self._public[name] = clients
        own = [one for one, others in self._public.items() if client in others]
        if len(own) > PUBLIC_NAMES_EACH:
            self._public[own[0]].pop(client)
            if not self._public[own[0]]:
                del self._public[own[0]]
        if len(self._public) > PUBLIC_NAMES:
            del self._public[next(iter(self._public))]


__all__ = ["CERTAIN", "LIKELY", "POSSIBLE", "Learned", "Named", "Unnamed"]
