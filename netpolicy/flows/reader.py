"""Read the name that the first bytes of a connection carry: the one door to the parsers.

Never keeps or shows payload: it is parsed and dropped, or waits, bounded, for the rest of a split hello.
Never guesses: without a name the result is an Unknown with its reason. Time comes with each payload.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from netpolicy.flows import dns_wire, http_host, tls_hello
from netpolicy.flows.assembly import Assembly
from netpolicy.flows.dns_message import Asked, Proof, Timed, proof
from netpolicy.flows.dns_stream import MessageStreams
from netpolicy.flows.names import INCOMPLETE, NO_NAME, NOT_DECRYPTED, OTHER, Refused
from netpolicy.flows.quic_crypto import Cipher
from netpolicy.flows.quic_stream import QuicStream
from netpolicy.flows.recent import Recent
from netpolicy.flows.seen import (
    BEGINNING,
    DNS_ANSWER,
    DNS_ANSWERING,
    DNS_ASKING,
    DNS_QUERY,
    HELLO,
    INBOUND,
    QUIC,
    STREAM,
    Payload,
    SeenKey,
)

TLS, HTTP, DNS = "tls", "http", "dns"

# Flows whose name is known already; more of their first bytes may still come. Of a key, which has 300 bytes, the hash
# is kept: it depends on a secret of this process, and who has another's by chance only misses later pieces of a hello.
DONE_LIMIT, DONE_SECONDS = 4096, 15.0


class Name(NamedTuple):
    """The name that a client gave for the other end of a connection."""

    key: SeenKey
    name: str  # lower case, no final dot
    source: str  # "tls", "quic" or "http"
    ech: bool = False  # the hello may hide another name: this one is the outer server's, or the hello is greased
    alpn: tuple[str, ...] = ()
    of_remote: bool = True  # False: sent to a proxy, or by the remote to us; it names somebody else
    whole: bool = True  # False: the rest of the hello never came, so `ech` and `alpn` may be missing


class Answer(NamedTuple):
    """What a name server told a client."""

    key: SeenKey
    name: str  # that was asked for
    aliases: tuple[str, ...]
    addresses: tuple[Timed, ...]  # 16 bytes each, with the seconds they may be believed
    hints: tuple[Timed, ...]  # the same of HTTPS records
    ech: bool  # the answer offers encrypted hellos, which name one of `public_names`
    public_names: tuple[str, ...]
    asked: bool  # a question that it answers was seen before
    source: str = DNS


class Unknown(NamedTuple):
    """No name, and why: a word of `names`."""

    key: SeenKey
    source: str  # "tls", "quic", "http", "dns", or "" where no protocol was recognised
    reason: str


Result = Name | Answer | Unknown

# Makes a record without the checks of its own constructor, which take longer than all the rest of it.
_make = tuple.__new__


class Reader:
    """Payloads in, results out, at most one for each flow. Not for several threads at once.

    Without a `cipher` QUIC is NOT_DECRYPTED; with one that `is_costly` the caller limits the QUIC payloads.
    """

    def __init__(
        self,
        cipher: Cipher | None = None,
        streams: Assembly | None = None,
        hellos: Assembly | None = None,
        asked: Asked | None = None,
    ) -> None:
        """`streams` joins TCP, `hellos` what QUIC packets hold; both have modest limits of their own."""
        self._streams = Assembly() if streams is None else streams
        # Apart, so that what waits is known to be no name of the remote when its time is over.
        self._inbound = Assembly(flows=32, total_bytes=64 << 10)
        self._hellos = Assembly() if hellos is None else hellos
        self._quic = None if cipher is None else QuicStream(cipher, self._hellos)
        self._asked = Asked() if asked is None else asked
        self._asking, self._answering = MessageStreams(), MessageStreams()
        # What the payload that was read last said beside its result: DNS over TCP may have several answers in one.
        self.more: list[Result] = []
        self._done = Recent(DONE_LIMIT, DONE_SECONDS)
        self._by_kind: dict[str, Callable[[Payload], Result | None]] = {
            STREAM: self._stream,
            HELLO: self._told_hello,
            BEGINNING: self._beginning,
            INBOUND: self._stream,
            QUIC: self._quic_hello,
            DNS_QUERY: self._question,
            DNS_ANSWER: self._answer,
            DNS_ASKING: self._questions,
            DNS_ANSWERING: self._answers,
        }

    def read(self, payload: Payload) -> Result | None:
        """What is known with this piece; None while more is needed, and for what says nothing new.

        Where `more` is not empty then, it is for the caller to take out.
        """
        return self._by_kind[payload.kind](payload)

    @property
    def counters(self) -> dict[str, int]:
        """What was given up while it waited, and the bytes that wait (see `Assembly`), by kind, as `tcp_evicted`."""
        found: dict[str, int] = {}
        for name, joined in (("tcp", self._streams), ("inbound", self._inbound), ("quic", self._hellos)):
            found |= {f"{name}_{what}": count for what, count in joined.counters.items()}
            found[f"{name}_held"] = joined.held
        for which, messages in (("asking", self._asking), ("answering", self._answering)):
            found |= {f"{which}_{what}": count for what, count in messages.counters.items()}
            found[f"{which}_held"] = messages.held
        return found

    def expire(self, now: float) -> list[Result]:
        """What is known of flows whose first bytes stay incomplete. To be called every few seconds."""
        found: list[Result] = [_late(key, data) for key, data in self._streams.expire(now)]
        found += [_inbound(_late(key, data)) for key, data in self._inbound.expire(now)]
        if self._quic is not None:
            found += [_late_hello(key, data) for key, data in self._quic.expire(now)]
        self._asking.expire(now)
        found += [Unknown(key, DNS, INCOMPLETE) for key in self._answering.expire(now)]
        self._asked.expire(now)
        self._done.age(now)
        return found

    def _stream(self, payload: Payload) -> Result | None:
        key, kind, offset, data, now, first = payload
        streams = self._inbound if kind == INBOUND else self._streams
        is_waiting = bool(streams.waiting) and key in streams.waiting  # nearly always nothing does, and keys are long
        if first:
            if is_waiting:
                streams.drop(key)
                is_waiting = False
        elif self._done.has(hash(key), now):
            return None
        source = "" if offset else _source(data)
        try:
            if offset or is_waiting:
                data = streams.add(key, offset, data, now)
                source = _source(data)
            found, missing = _read_stream(key, source, data)
            if missing:
                self._done.discard(hash(key))  # an older flow may have had the same key
                if data and key not in streams.waiting:
                    streams.add(key, 0, data, now)
                return None
        except Refused as refused:
            found = Unknown(key, source if refused.reason != OTHER else "", refused.reason)
        if streams.waiting:
            streams.drop(key)
        self._done.add(hash(key), now)
        return _inbound(found) if kind == INBOUND else found

    def _told_hello(self, payload: Payload) -> Result:
        """Nothing follows that would be sent: what is known of it is forgotten, not remembered."""
        key, _, _, data, _, _ = payload
        if self._streams.waiting:
            self._streams.drop(key)
        try:
            return _hello(key, TLS, tls_hello.from_told(data))
        except Refused as refused:
            return Unknown(key, TLS, refused.reason)

    def _beginning(self, payload: Payload) -> Result:
        """All that there will be of a stream: what is in it is said now, and not when waiting was in vain."""
        key, data = payload.key, payload.data
        source = _source(data)
        try:
            found, missing = _read_stream(key, source, data)
        except Refused as refused:
            return Unknown(key, source if refused.reason != OTHER else "", refused.reason)
        return found if isinstance(found, Name) or not missing else Unknown(key, source, INCOMPLETE)

    def _quic_hello(self, payload: Payload) -> Result | None:
        key = payload.key
        if self._quic is None:
            return Unknown(key, QUIC, NOT_DECRYPTED)
        if payload.first:
            self._done.discard(hash(key))
            self._quic.forget(key)
        elif self._done.has(hash(key), payload.when):
            return None
        try:
            hello = tls_hello.from_message(self._quic.add(key, payload.data, payload.when))
            if hello.missing:
                return None
            found = _hello(key, QUIC, hello)
        except Refused as refused:
            found = Unknown(key, QUIC, refused.reason)
        self._quic.forget(key)
        self._done.add(hash(key), payload.when)
        return found

    def _question(self, payload: Payload) -> Result | None:
        return self._note(payload, payload.data)

    def _questions(self, payload: Payload) -> Result | None:
        return self._several(payload, self._asking, self._note)

    def _note(self, payload: Payload, message: bytes) -> Result | None:
        try:
            self._asked.note(payload.key, dns_wire.parse(message), payload.when)
        except Refused as refused:
            return Unknown(payload.key, DNS, refused.reason)
        return None

    def _answer(self, payload: Payload) -> Result | None:
        return self._told(payload, payload.data)

    def _answers(self, payload: Payload) -> Result | None:
        return self._several(payload, self._answering, self._told)

    def _told(self, payload: Payload, data: bytes) -> Result:
        key = payload.key
        try:
            message = dns_wire.parse(data)
            found = proof(message)
        except Refused as refused:
            return Unknown(key, DNS, refused.reason)
        return _answered(key, found, self._asked.was(key, message, payload.when))

    def _several(
        self, payload: Payload, streams: MessageStreams, read: Callable[[Payload, bytes], Result | None]
    ) -> Result | None:
        self.more = []
        try:
            found = [result for one in streams.add(payload) if (result := read(payload, one)) is not None]
        except Refused as refused:
            return Unknown(payload.key, DNS, refused.reason)
        self.more = found[1:]
        return found[0] if found else None


def _source(data: bytes) -> str:
    if not data:
        return ""
    if data[0] == tls_hello.HANDSHAKE:
        return TLS
    return HTTP if 0x41 <= data[0] <= 0x5A else ""  # a capital letter


def _read_stream(key: SeenKey, source: str, data: bytes) -> tuple[Name | Unknown, int]:
    """The result and how many bytes are missing. Raises Refused."""
    if not data:
        return Unknown(key, "", INCOMPLETE), 1
    if source == TLS:
        hello = tls_hello.from_stream(data)
        return _hello(key, source, hello), hello.missing
    request = http_host.from_stream(data)
    if not request.host:
        return Unknown(key, source, request.reason), request.missing
    return Name(key, request.host, source, of_remote=not request.proxied), 0


def _hello(key: SeenKey, source: str, hello: tls_hello.Hello) -> Name | Unknown:
    name, reason, ech, protocols, missing = hello
    if not name:
        return Unknown(key, source, reason)
    return _make(Name, (key, name, source, ech, protocols, True, not missing))


def _late(key: SeenKey, data: bytes) -> Name | Unknown:
    """Of a stream that stays incomplete: the name, where it is in what came."""
    source = _source(data)
    try:
        found, _ = _read_stream(key, source, data)
    except Refused:
        return Unknown(key, source, INCOMPLETE)
    return found if isinstance(found, Name) else Unknown(key, source, INCOMPLETE)


def _late_hello(key: SeenKey, data: bytes) -> Result:
    try:
        found = _hello(key, QUIC, tls_hello.from_message(data))
    except Refused:
        return Unknown(key, QUIC, INCOMPLETE)
    return found if isinstance(found, Name) else Unknown(key, QUIC, INCOMPLETE)


def _inbound(found: Name | Unknown) -> Name | Unknown:
    return found._replace(of_remote=False) if isinstance(found, Name) else found


def _answered(key: SeenKey, found: Proof, asked: bool) -> Result:
    """An answer without any address says nothing that could be learned, unless it offers ech."""
    if not found.addresses and not found.hints and not found.ech:
        return Unknown(key, DNS, NO_NAME)
    names, addresses, hints, ech, public = found
    return Answer(key, names[0], names[1:], addresses, hints, ech, public, asked)
