"""The broker without sockets: what one message makes it send, and to whom."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.bus import request, wire
from netpolicy.bus.blobmsg import encode_table
from netpolicy.bus.catalogue import Peer
from netpolicy.bus.exchange import (
    NAME_LIMIT,
    OBJECT_LIMIT,
    PATTERN_LIMIT,
    SIGNATURE_LIMIT,
    UNREAD_LIMIT,
    Exchange,
)
from netpolicy.bus.wire import Message, Parser, WireError


class Client:
    """A client in memory: speaks messages, remembers what it was sent."""

    def __init__(self, exchange: Exchange, trusted: bool = True) -> None:
        self.exchange = exchange
        self.inbox: list[Message] = []
        self.unread = 0
        self.parser = Parser()
        self.peer: Peer = exchange.join(trusted, "root", "wheel", self._receive, lambda: self.unread)

    def _receive(self, data: bytes) -> None:
        self.inbox += self.parser.feed(data)

    def say(self, kind: int, attributes: dict, peer: int = 0, seq: int = 1) -> list[Message]:
        self.inbox.clear()
        [message] = Parser().feed(wire.encode(kind, seq, peer, attributes))
        self.exchange.receive(self.peer, message)
        return self.inbox

    def status(self, kind: int, attributes: dict, peer: int = 0) -> int | None:
        for message in self.say(kind, attributes, peer):
            if message.type == wire.STATUS:
                return message.attributes()[wire.ATTR_STATUS]
        return None

    def add(self, path: str | None = None, signature: bytes | None = b"") -> int:
        attributes: dict = {} if path is None else {wire.ATTR_OBJPATH: path}
        if signature is not None:
            attributes[wire.ATTR_SIGNATURE] = signature
        return self.say(wire.ADD_OBJECT, attributes)[0].attributes()[wire.ATTR_OBJID]


def test_a_client_is_greeted_with_its_number():
    client = Client(Exchange())
    assert (client.inbox[0].type, client.inbox[0].peer) == (wire.HELLO, client.peer.number)


def test_a_ping_comes_back_as_data():
    client = Client(Exchange())
    answers = client.say(wire.PING, {wire.ATTR_DATA: b"abcd"}, seq=9)
    assert [(m.type, m.seq) for m in answers] == [(wire.DATA, 9), (wire.STATUS, 9)]
    assert answers[0].attributes() == {wire.ATTR_DATA: b"abcd"}


def test_object_numbers_stay_out_of_the_reserved_ones():
    client = Client(Exchange())
    assert all(client.add() > 1024 for _ in range(100))


def test_a_call_reaches_the_owner_with_the_callers_names_and_the_answer_comes_back():
    exchange = Exchange()
    owner, caller = Client(exchange), Client(exchange)
    number = owner.add("thing")
    owner.inbox.clear()
    caller.say(wire.INVOKE, request.invoke(number, "ask", b""), peer=number, seq=77)
    [call] = owner.inbox
    assert (call.seq, call.peer) == (77, caller.peer.number)
    assert call.attributes() == {
        wire.ATTR_OBJID: number,
        wire.ATTR_METHOD: "ask",
        wire.ATTR_DATA: b"",
        wire.ATTR_USER: "root",
        wire.ATTR_GROUP: "wheel",
    }
    owner.say(wire.STATUS, {wire.ATTR_STATUS: 5, wire.ATTR_OBJID: number}, peer=caller.peer.number, seq=77)
    assert [(m.type, m.seq, m.peer) for m in caller.inbox] == [(wire.STATUS, 77, number)]


def test_an_answer_in_the_name_of_a_foreign_object_goes_nowhere():
    exchange = Exchange()
    owner, caller, liar = Client(exchange), Client(exchange), Client(exchange)
    number = owner.add("thing")
    caller.inbox.clear()
    liar.say(wire.STATUS, {wire.ATTR_STATUS: 0, wire.ATTR_OBJID: number}, peer=caller.peer.number)
    assert caller.inbox == []


def test_refusals():
    exchange = Exchange()
    client, other = Client(exchange), Client(exchange)
    mine, theirs = client.add("mine"), other.add("theirs")
    assert client.status(wire.ADD_OBJECT, {wire.ATTR_OBJPATH: "theirs"}) == 2
    assert client.status(wire.ADD_OBJECT, {wire.ATTR_OBJPATH: ""}) == 2
    assert client.status(wire.ADD_OBJECT, {wire.ATTR_OBJPATH: "x" * (NAME_LIMIT + 1)}) == 2
    assert client.status(wire.ADD_OBJECT, {wire.ATTR_SIGNATURE: b"\xff\xff\xff\xff"}) == 2
    assert client.status(wire.ADD_OBJECT, {wire.ATTR_SIGNATURE: bytes(SIGNATURE_LIMIT + 4)}) == 2
    assert client.status(wire.REMOVE_OBJECT, {wire.ATTR_OBJID: theirs}) == 6
    assert client.status(wire.REMOVE_OBJECT, {wire.ATTR_OBJID: 5}) == 4
    assert client.status(wire.REMOVE_OBJECT, {}) == 2
    assert client.status(wire.INVOKE, {wire.ATTR_OBJID: mine}) == 2
    assert client.status(wire.INVOKE, request.invoke(3, "add", b"")) == 4
    assert client.status(wire.INVOKE, request.invoke(1, "nothing", b"")) == 1
    assert client.status(wire.INVOKE, request.invoke(1, "send", b"\xff\xff\xff\xff")) == 2
    assert client.status(wire.INVOKE, request.invoke(1, "send", encode_table({"id": "x"}))) == 2
    assert client.status(wire.INVOKE, request.register(theirs, "x")) == 6
    assert client.status(wire.INVOKE, request.register(7, "x")) == 6
    assert client.status(wire.INVOKE, request.register(mine, "")) == 6
    assert client.status(wire.SUBSCRIBE, {wire.ATTR_OBJID: mine, wire.ATTR_TARGET: mine}) == 2
    assert client.status(wire.SUBSCRIBE, {wire.ATTR_OBJID: mine, wire.ATTR_TARGET: 9}) == 4
    assert client.status(wire.UNSUBSCRIBE, {wire.ATTR_OBJID: mine, wire.ATTR_TARGET: theirs}) == 4
    assert client.status(wire.NOTIFY, request.invoke(theirs, "x", b"")) == 6
    assert client.status(wire.MONITOR, {}) == 1
    assert client.status(200, {}) == 1


def test_an_untrusted_client_is_denied_whatever_it_asks():
    client = Client(Exchange(), trusted=False)
    for kind in (wire.PING, wire.LOOKUP, wire.INVOKE, wire.ADD_OBJECT, wire.SUBSCRIBE, wire.NOTIFY, 99):
        assert client.status(kind, {}) == 6


def test_what_one_client_may_hold_is_bounded():
    client = Client(Exchange())
    number = client.add()
    for _ in range(PATTERN_LIMIT):
        assert client.status(wire.INVOKE, request.register(number, "x")) == 0
    assert client.status(wire.INVOKE, request.register(number, "x")) == 11
    for _ in range(OBJECT_LIMIT - 1):
        client.add()
    assert client.status(wire.ADD_OBJECT, {}) == 11


def test_a_call_to_an_owner_with_a_full_queue_is_status_7():
    exchange = Exchange()
    owner, caller = Client(exchange), Client(exchange)
    number = owner.add("thing")
    owner.unread = UNREAD_LIMIT
    assert caller.status(wire.INVOKE, request.invoke(number, "ask", b"")) == 7


def test_an_event_comes_once_to_an_object_with_two_patterns_and_not_to_the_sender():
    exchange = Exchange()
    listener, sender = Client(exchange), Client(exchange)
    number = listener.add(signature=None)
    for pattern in ("a.*", "*"):
        listener.status(wire.INVOKE, request.register(number, pattern))
    own = sender.add(signature=None)
    sender.status(wire.INVOKE, request.register(own, "*"))
    listener.inbox.clear()
    sender.say(wire.INVOKE, request.event("a.b", {"n": 1}))
    assert [m.attributes()[wire.ATTR_METHOD] for m in listener.inbox] == ["a.b"]
    assert [m.type for m in sender.inbox] == [wire.STATUS]


def test_the_broker_tells_owner_and_subscriber_about_beginning_and_end():
    exchange = Exchange()
    owner, subscriber = Client(exchange), Client(exchange)
    target = owner.add("thing")
    number = subscriber.add(signature=None)
    pair = {wire.ATTR_OBJID: number, wire.ATTR_TARGET: target}
    owner.inbox.clear()
    assert subscriber.status(wire.SUBSCRIBE, pair) == 0
    assert owner.inbox[-1].attributes() == {wire.ATTR_OBJID: target, wire.ATTR_ACTIVE: True}
    assert subscriber.status(wire.UNSUBSCRIBE, pair) == 0
    assert owner.inbox[-1].attributes() == {wire.ATTR_OBJID: target, wire.ATTR_ACTIVE: False}
    subscriber.status(wire.SUBSCRIBE, pair)
    subscriber.inbox.clear()
    exchange.leave(owner.peer)
    assert [(m.type, m.attributes()) for m in subscriber.inbox] == [(wire.UNSUBSCRIBE, pair)]


def test_a_notification_that_wants_answers_names_who_will_give_them():
    exchange = Exchange()
    owner, subscriber = Client(exchange), Client(exchange)
    target, number = owner.add("thing"), subscriber.add(signature=None)
    subscriber.status(wire.SUBSCRIBE, {wire.ATTR_OBJID: number, wire.ATTR_TARGET: target})
    [answer] = owner.say(wire.NOTIFY, request.invoke(target, "changed", b""))
    assert answer.attributes()[wire.ATTR_SUBSCRIBERS] == b"\0\0\0\x08" + number.to_bytes(4, "big")


def test_objects_that_share_a_signature_are_listed_with_it():
    exchange = Exchange()
    client = Client(exchange)
    raw = request.signature({"m": {"a": int}})
    first = client.say(wire.ADD_OBJECT, {wire.ATTR_OBJPATH: "one", wire.ATTR_SIGNATURE: raw})[0].attributes()
    client.say(wire.ADD_OBJECT, {wire.ATTR_OBJPATH: "two", wire.ATTR_OBJTYPE: first[wire.ATTR_OBJTYPE]})
    found = [request.object_info(m.attributes()) for m in client.say(wire.LOOKUP, {}) if m.type == wire.DATA]
    assert [(i.path, i.methods) for i in found if i] == [
        ("one", {"m": {"a": "Integer"}}),
        ("two", {"m": {"a": "Integer"}}),
    ]


def test_nothing_is_left_when_everybody_has_gone():
    exchange = Exchange()
    clients = [Client(exchange) for _ in range(3)]
    numbers = [client.add(f"o{n}", request.signature({"m": {}})) for n, client in enumerate(clients)]
    for client, number in zip(clients, numbers, strict=True):
        client.status(wire.INVOKE, request.register(number, "*"))
        for target in numbers:
            client.status(wire.SUBSCRIBE, {wire.ATTR_OBJID: number, wire.ATTR_TARGET: target})
    for client in clients:
        exchange.leave(client.peer)
    rest = exchange.catalogue
    assert not (rest.peers or rest.objects or rest.paths or rest.signatures or rest.listeners)


KINDS = st.integers(0, 12)
BODIES = st.one_of(
    st.binary(max_size=80),
    st.dictionaries(st.sampled_from([wire.ATTR_DATA, wire.ATTR_SIGNATURE]), st.binary(max_size=60), max_size=2),
    st.dictionaries(st.sampled_from(sorted(wire.NUMBERS)), st.sampled_from([0, 1, 2, 3, 4, 2**32 - 1]), max_size=4),
)


@given(st.lists(st.tuples(KINDS, BODIES, st.sampled_from(["", "a", "send", "register", "*"])), max_size=8))
def test_any_sequence_of_messages_is_answered_or_a_wire_error(conversation):
    exchange = Exchange()
    clients = [Client(exchange), Client(exchange)]
    numbers = [client.add(name) for client, name in zip(clients, "ab", strict=True)]
    for turn, (kind, body, word) in enumerate(conversation):
        if isinstance(body, dict):
            known = {k: numbers[v - 2] if v in (2, 3) and k in wire.NUMBERS else v for k, v in body.items()}
            raw = wire.encode(
                kind, 1, clients[0].peer.number, {**known, wire.ATTR_METHOD: word, wire.ATTR_OBJPATH: word}
            )
        else:
            raw = wire.frame(kind, 1, 0, body)
        with contextlib.suppress(WireError):
            for message in Parser().feed(raw):
                exchange.receive(clients[turn % 2].peer, message)
