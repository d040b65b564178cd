"""Say which addresses a DNS answer proves for the name that was asked for.

Never believes an address whose owner is not the question's name, or the end of a chain of CNAMEs that starts there.
Knows no clock and no other message: whether anybody asked, `Asked` keeps for the caller who gives it a time.
Sources: RFC 1035, RFC 2181 (5.2, 10.1), RFC 9460; the wire format is in `dns_wire`.
"""

from __future__ import annotations

from typing import NamedTuple

from netpolicy.flows import dns_service, dns_wire
from netpolicy.flows.dns_wire import AAAA, CNAME, HTTPS, A, Message, Record
from netpolicy.flows.names import DNS_REFUSED, MALFORMED, OTHER, TRUNCATED, Refused
from netpolicy.flows.recent import Recent
from netpolicy.flows.seen import MAPPED, SeenKey

CHAIN_LIMIT = 16  # CNAMEs behind one another; resolvers follow about as many
ADDRESS_LIMIT = 64  # of one answer
QUESTIONS = frozenset((A, AAAA, HTTPS))

Timed = tuple[bytes, int]  # an address of 16 bytes, IPv4 mapped; how many seconds it may be believed


class Proof(NamedTuple):
    """What an answer says of a name. Of an answer without addresses and hints the names alone are there."""

    names: tuple[str, ...]  # the one that was asked for, then the aliases that lead to the addresses
    addresses: tuple[Timed, ...]
    hints: tuple[Timed, ...] = ()  # of HTTPS records: clients may go there before they asked for addresses
    ech: bool = False  # the answer offers encrypted hellos
    public_names: tuple[str, ...] = ()  # which these hellos name instead


def proof(message: Message) -> Proof:
    """What the answer proves. Raises Refused: OTHER, DNS_REFUSED, TRUNCATED, MALFORMED, or ADDRESS for the name."""
    if not message.is_answer or message.kind not in QUESTIONS:
        raise Refused(OTHER)
    if message.truncated:
        raise Refused(TRUNCATED)  # the client drops it and asks again over TCP
    if message.code:
        raise Refused(DNS_REFUSED)
    first = dns_wire.text_of(message.name)
    by_owner: dict[bytes, list[Record]] = {}
    for record in message.answers:
        by_owner.setdefault(record.owner, []).append(record)
    chain, lifetime = _chain(message, by_owner)
    names = (first, *[name for name in map(_text_or_none, chain[1:]) if name])
    records = by_owner.get(chain[-1], [])
    addresses = _addresses(message.data, records, lifetime)
    if message.kind != HTTPS:
        return Proof(names, addresses)
    hints, offers, public = _services(message.data, records, lifetime)
    return Proof(names, addresses, hints, offers, public)


def _chain(message: Message, by_owner: dict[bytes, list[Record]]) -> tuple[list[bytes], int]:
    """The names from the question's to the last alias, and the shortest lifetime on the way."""
    chain, lifetime = [message.name], dns_wire.LONGEST_LIFETIME
    while True:
        aliases = [record for record in by_owner.get(chain[-1], ()) if record.kind == CNAME]
        if not aliases:
            return chain, lifetime
        targets = {_target(message, record) for record in aliases}
        target = targets.pop()
        # Two targets of one name are forbidden (RFC 2181, 10.1): which is meant nobody knows.
        if targets or target in chain or len(chain) > CHAIN_LIMIT:
            raise Refused(MALFORMED)
        lifetime = min(lifetime, *[record.lifetime for record in aliases])
        chain.append(target)


def _target(message: Message, record: Record) -> bytes:
    name, end = dns_wire.name_at(message.data, record.start, message.names)
    if end != record.end:
        raise Refused(MALFORMED)
    return name


def _addresses(data: bytes, records: list[Record], lifetime: int) -> tuple[Timed, ...]:
    found: dict[bytes, int] = {}
    for record in records:
        if record.kind == A and record.end - record.start == 4:
            address = MAPPED + data[record.start : record.end]
        elif record.kind == AAAA and record.end - record.start == 16:
            address = data[record.start : record.end]
        elif record.kind in (A, AAAA):
            raise Refused(MALFORMED)
        else:
            continue
        if is_host(address) and len(found) < ADDRESS_LIMIT:
            # Lifetimes of one set are equal, or else the shortest counts (RFC 2181, 5.2).
            found[address] = min(found.get(address, lifetime), record.lifetime)
    return tuple(found.items())


def _services(data: bytes, records: list[Record], lifetime: int) -> tuple[tuple[Timed, ...], bool, tuple[str, ...]]:
    """Hints, whether ech is offered, and the public names, of all HTTPS records of a name."""
    hints: dict[bytes, int] = {}
    public: list[str] = []
    offers = False
    for record in records:
        if record.kind != HTTPS:
            continue
        service = dns_service.parse(data[record.start : record.end])
        if service is None:
            continue
        offers = offers or service.ech
        public += service.public_names
        for address in service.hints:
            if is_host(address) and len(hints) < ADDRESS_LIMIT:
                hints[address] = min(hints.get(address, lifetime), record.lifetime)
    return tuple(hints.items()), offers, tuple(dict.fromkeys(public))


def is_host(address: bytes) -> bool:
    """Whether one host can have the address: not 0.0.0.0, which filters answer, no loopback, no group."""
    if address.startswith(MAPPED):
        return address[12] not in (0, 127) and address[12] < 224
    return address[0] != 0xFF and address[:15] != bytes(15)


def _text_or_none(name: bytes) -> str | None:
    """An alias may have any form; one that is no host's is passed over."""
    try:
        return dns_wire.text_of(name)
    except Refused:
        return None


class Asked:
    """Questions that wait for their answer, so that one that nobody asked for can be told from the others."""

    def __init__(self, limit: int = 2048, seconds: float = 10.0) -> None:
        """So many, for so long at least: clients wait five seconds and ask again."""
        self._waiting = Recent(limit, seconds)

    def __len__(self) -> int:
        return len(self._waiting)

    def note(self, key: SeenKey, message: Message, now: float) -> None:
        """A question was sent. Raises Refused (OTHER) where it is none."""
        if message.is_answer:
            raise Refused(OTHER)
        self._waiting.add((key, message.identifier, message.name, message.kind), now)

    def was(self, key: SeenKey, message: Message, now: float) -> bool:
        """Whether this answer was asked for. It stays so: answers are repeated, as questions are."""
        return self._waiting.has((key, message.identifier, message.name, message.kind), now)

    def expire(self, now: float) -> None:
        """Forget what was asked long ago."""
        self._waiting.age(now)
