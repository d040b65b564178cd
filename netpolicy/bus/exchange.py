"""Decide what an embedded broker answers and forwards: one message in, messages out.

Opens no socket; a `Peer` carries the way to send. Behaves as ubusd does (observed on it:
statuses, numbers, order of messages), except where ubusd would lose a message silently: a
call to an object whose owner does not read is answered with status 7 at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import wire
from .blobmsg import STRING, TABLE, UNSPEC, BlobError, decode_table, encode_table, raw_fields
from .catalogue import Catalogue, Entry, Peer, Signature, free_number
from .status import (
    INVALID_ARGUMENT,
    INVALID_COMMAND,
    NO_MEMORY,
    NOT_FOUND,
    OK,
    PERMISSION_DENIED,
    TIMEOUT,
)
from .wire import Message, WireError

OBJECT_LIMIT = 512  # per client; netifd and procd have a few dozen at most
PATTERN_LIMIT = 256  # per listening object
SUBSCRIPTION_LIMIT = 512  # per object
NAME_LIMIT = 256  # bytes; it travels in every event about the object
SIGNATURE_LIMIT = 64 << 10  # bytes; every `ubus list` sends them all
UNREAD_LIMIT = 2 << 20  # bytes waiting for one client: two messages of the largest size

Attributes = dict[int, Any]


class Exchange:
    """The broker without its sockets. Each request handler gives a status, or None for no status."""

    def __init__(self) -> None:
        self.catalogue = Catalogue()
        self._event_seq = 0
        self._handlers: dict[int, Callable[[Peer, Message, Attributes], int | None]] = {
            wire.PING: self._ping,
            wire.LOOKUP: self._lookup,
            wire.INVOKE: self._invoke,
            wire.ADD_OBJECT: self._add_object,
            wire.REMOVE_OBJECT: self._remove_object,
            wire.SUBSCRIBE: self._subscribe,
            wire.UNSUBSCRIBE: self._unsubscribe,
            wire.NOTIFY: self._notify,
            wire.STATUS: self._response,
            wire.DATA: self._response,
        }

    # -- clients --------------------------------------------------------------------------

    def join(
        self,
        trusted: bool,
        user: str,
        group: str,
        send: Callable[[bytes], None],
        unread: Callable[[], int],
    ) -> Peer:
        """A client connected; it is greeted. An untrusted one gets status 6 for everything."""
        peer = Peer(free_number(self.catalogue.peers), trusted, user, group, send, unread)
        self.catalogue.peers[peer.number] = peer
        send(wire.encode(wire.HELLO, 0, peer.number))
        return peer

    def leave(self, peer: Peer) -> None:
        """A client is gone, and with it its objects."""
        self.catalogue.peers.pop(peer.number, None)
        for entry in list(peer.objects):
            self._drop(entry)

    def receive(self, peer: Peer, message: Message) -> None:
        """One message from a client; raises WireError when it is not even a list of attributes."""
        attributes = message.attributes()
        handler = self._handlers.get(message.type)
        status: int | None = INVALID_COMMAND
        if not peer.trusted:
            status = None if message.type in (wire.STATUS, wire.DATA) else PERMISSION_DENIED
        elif handler is not None:
            status = handler(peer, message, attributes)
        if status is not None:
            self._reply(peer, message, wire.STATUS, {wire.ATTR_STATUS: status})

    @staticmethod
    def _reply(peer: Peer, message: Message, kind: int, attributes: Attributes) -> None:
        peer.send(wire.encode(kind, message.seq, message.peer, attributes))

    # -- objects --------------------------------------------------------------------------

    def _ping(self, peer: Peer, message: Message, attributes: Attributes) -> int | None:
        peer.send(wire.frame(wire.DATA, message.seq, message.peer, message.body))
        return OK

    def _lookup(self, peer: Peer, message: Message, attributes: Attributes) -> int | None:
        pattern = attributes.get(wire.ATTR_OBJPATH)
        if pattern == "":
            return INVALID_ARGUMENT
        found = list(self.catalogue.named(pattern))
        for entry in found:
            if entry.signature is not None:
                self._reply(peer, message, wire.DATA, _description(entry, entry.signature))
        return OK if found or pattern is None else NOT_FOUND

    def _add_object(self, peer: Peer, message: Message, attributes: Attributes) -> int | None:
        path = attributes.get(wire.ATTR_OBJPATH)
        if path is not None and (not path or len(path) > NAME_LIMIT or path in self.catalogue.paths):
            return INVALID_ARGUMENT
        if len(peer.objects) >= OBJECT_LIMIT:
            return NO_MEMORY
        try:
            signature = self._signature(attributes)
        except BlobError:
            return INVALID_ARGUMENT
        entry = self.catalogue.add(peer, path, signature)
        if path is not None:
            self._object_event("ubus.object.add", entry)
        answer = {wire.ATTR_OBJID: entry.number}
        if signature is not None and wire.ATTR_SIGNATURE in attributes:
            answer[wire.ATTR_OBJTYPE] = signature.number
        self._reply(peer, message, wire.DATA, answer)
        return OK

    def _signature(self, attributes: Attributes) -> Signature | None:
        known = attributes.get(wire.ATTR_OBJTYPE)
        if known is not None:
            return self.catalogue.signatures.get(known)
        raw = attributes.get(wire.ATTR_SIGNATURE)
        if raw is None:
            return None
        if len(raw) > SIGNATURE_LIMIT:
            raise BlobError("a signature of this size has no use")
        decode_table(raw)  # refuse now what would break every later `ubus list`
        return self.catalogue.add_signature(raw)

    def _remove_object(self, peer: Peer, message: Message, attributes: Attributes) -> int | None:
        entry, status = self._own(peer, attributes, PERMISSION_DENIED)
        if entry is None:
            return status
        answer = {wire.ATTR_OBJID: entry.number}
        if entry.signature is not None and entry.signature.users == 1:
            answer[wire.ATTR_OBJTYPE] = entry.signature.number
        self._reply(peer, message, wire.DATA, answer)
        self._drop(entry)
        return OK

    def _own(self, peer: Peer, attributes: Attributes, foreign: int) -> tuple[Entry | None, int]:
        """The client's own object a request names, or None with the status that says why not."""
        number = attributes.get(wire.ATTR_OBJID)
        if number is None:
            return None, INVALID_ARGUMENT
        entry = self.catalogue.objects.get(number)
        if entry is None:
            return None, NOT_FOUND
        return (entry, OK) if entry.owner is peer else (None, foreign)

    def _drop(self, entry: Entry) -> None:
        for target in list(entry.targets):
            self._end_subscription(entry, target)
        for subscriber in list(entry.subscribers):
            subscriber.seq = subscriber.seq + 1 & 0xFFFF
            subscriber.owner.send(
                wire.encode(
                    wire.UNSUBSCRIBE,
                    subscriber.seq,
                    0,
                    {wire.ATTR_OBJID: subscriber.number, wire.ATTR_TARGET: entry.number},
                )
            )
            self._end_subscription(subscriber, entry)
        self.catalogue.remove(entry)
        if entry.path is not None:
            self._object_event("ubus.object.remove", entry)

    # -- calls ----------------------------------------------------------------------------

    def _invoke(self, peer: Peer, message: Message, attributes: Attributes) -> int | None:
        method, number = attributes.get(wire.ATTR_METHOD), attributes.get(wire.ATTR_OBJID)
        if method is None or number is None:
            return INVALID_ARGUMENT
        if number == wire.EVENT_OBJECT:
            return self._event_call(peer, method, attributes)
        entry = self.catalogue.objects.get(number)
        if entry is None:
            return NOT_FOUND
        return self._forward(peer, entry, message.seq, method, attributes)

    def _forward(self, peer: Peer, entry: Entry, seq: int, method: str, attributes: Attributes) -> int | None:
        """Hand a call to the owner, who answers; a status only when it cannot be handed over."""
        forwarded: Attributes = {
            wire.ATTR_OBJID: entry.number,
            wire.ATTR_METHOD: method,
            wire.ATTR_USER: peer.user,
            wire.ATTR_GROUP: peer.group,
        }
        for number in (wire.ATTR_DATA, wire.ATTR_NO_REPLY):
            if number in attributes:
                forwarded[number] = attributes[number]
        try:
            data = wire.encode(wire.INVOKE, seq, peer.number, forwarded)
        except WireError:  # only just too large, by the names that were added
            return INVALID_ARGUMENT
        if entry.owner.unread() + len(data) > UNREAD_LIMIT:
            return TIMEOUT
        entry.owner.send(data)
        return None

    def _response(self, peer: Peer, message: Message, attributes: Attributes) -> int | None:
        needed = wire.ATTR_STATUS if message.type == wire.STATUS else wire.ATTR_DATA
        entry, _ = self._own(peer, attributes, PERMISSION_DENIED)
        caller = self.catalogue.peers.get(message.peer)
        if entry is not None and caller is not None and needed in attributes:
            caller.send(wire.frame(message.type, message.seq, entry.number, message.body))
        return None

    # -- events ---------------------------------------------------------------------------

    def _event_call(self, peer: Peer, method: str, attributes: Attributes) -> int | None:
        raw = attributes.get(wire.ATTR_DATA, b"")
        try:
            if method == "register":
                data = decode_table(raw)
                return self._listen(peer, data.get("object"), data.get("pattern"))
            if method == "send":
                return self._send(peer, raw_fields(raw))
        except BlobError:
            return INVALID_ARGUMENT
        return INVALID_COMMAND

    def _listen(self, peer: Peer, number: object, pattern: object) -> int:
        if not isinstance(number, int) or not isinstance(pattern, str):
            return INVALID_ARGUMENT
        number &= 0xFFFFFFFF  # it travels as a signed number
        if number < wire.FIRST_FREE_ID or not pattern:
            return PERMISSION_DENIED
        entry, status = self._own(peer, {wire.ATTR_OBJID: number}, PERMISSION_DENIED)
        if entry is None:
            return status
        if len(entry.patterns) >= PATTERN_LIMIT:
            return NO_MEMORY
        entry.patterns.append(pattern)
        if entry not in self.catalogue.listeners:
            self.catalogue.listeners.append(entry)
        return OK

    def _send(self, peer: Peer, fields: dict[str, tuple[int, bytes]]) -> int:
        kind, name = fields.get("id", (UNSPEC, b""))
        data_kind, data = fields.get("data", (UNSPEC, b""))
        if kind != STRING or data_kind != TABLE or not name.endswith(b"\0"):
            return INVALID_ARGUMENT
        event = name[: name.index(0)].decode("utf-8", "replace")
        if event.startswith("ubus."):
            return PERMISSION_DENIED
        # Its content goes on as it came: reading it is the receivers' business, as with calls.
        self._broadcast(peer, event, data)
        return OK

    def _object_event(self, name: str, entry: Entry) -> None:
        signed = entry.number - (1 << 32) if entry.number >> 31 else entry.number
        self._broadcast(None, name, encode_table({"id": signed, "path": entry.path}))

    def _broadcast(self, sender: Peer | None, name: str, raw: bytes) -> None:
        """To every listener but the sender itself."""
        for entry in self.catalogue.hearing(name):
            if entry.owner is not sender:
                self._event_seq = self._event_seq + 1 & 0xFFFF
                entry.owner.send(
                    wire.encode(
                        wire.INVOKE,
                        self._event_seq,
                        0,
                        {wire.ATTR_OBJID: entry.number, wire.ATTR_METHOD: name, wire.ATTR_DATA: raw},
                    )
                )

    # -- subscriptions --------------------------------------------------------------------

    def _subscribe(self, peer: Peer, message: Message, attributes: Attributes) -> int | None:
        entry, status = self._own(peer, attributes, INVALID_ARGUMENT)
        if entry is None:
            return status
        target = self.catalogue.objects.get(attributes.get(wire.ATTR_TARGET, 0))
        if target is None:
            return NOT_FOUND
        if target.owner is peer:
            return INVALID_ARGUMENT
        if len(target.subscribers) >= SUBSCRIPTION_LIMIT:
            return NO_MEMORY
        target.subscribers.append(entry)
        entry.targets.append(target)
        if len(target.subscribers) == 1:
            self._tell_subscribed(target)
        return OK

    def _unsubscribe(self, peer: Peer, message: Message, attributes: Attributes) -> int | None:
        entry, status = self._own(peer, attributes, INVALID_ARGUMENT)
        if entry is None:
            return status
        target = self.catalogue.objects.get(attributes.get(wire.ATTR_TARGET, 0))
        if target is None or target not in entry.targets:
            return NOT_FOUND
        self._end_subscription(entry, target)
        return OK

    def _end_subscription(self, subscriber: Entry, target: Entry) -> None:
        subscriber.targets.remove(target)
        target.subscribers.remove(subscriber)
        if not target.subscribers:
            self._tell_subscribed(target)

    @staticmethod
    def _tell_subscribed(target: Entry) -> None:
        target.seq = target.seq + 1 & 0xFFFF
        target.owner.send(
            wire.encode(
                wire.NOTIFY, target.seq, 0, {wire.ATTR_OBJID: target.number, wire.ATTR_ACTIVE: bool(target.subscribers)}
            )
        )

    def _notify(self, peer: Peer, message: Message, attributes: Attributes) -> int | None:
        method = attributes.get(wire.ATTR_METHOD)
        entry, status = self._own(peer, attributes, PERMISSION_DENIED)
        if entry is None or method is None:
            return status or INVALID_ARGUMENT
        if not attributes.get(wire.ATTR_NO_REPLY):
            self._reply(peer, message, wire.STATUS, _audience(entry))
        for subscriber in list(entry.subscribers):
            self._forward(peer, subscriber, message.seq, method, attributes)
        return None


def _description(entry: Entry, signature: Signature) -> Attributes:
    return {
        wire.ATTR_OBJPATH: entry.path,
        wire.ATTR_OBJID: entry.number,
        wire.ATTR_OBJTYPE: signature.number,
        wire.ATTR_SIGNATURE: signature.raw,
    }


def _audience(entry: Entry) -> Attributes:
    """Who will answer a notification: one number per subscriber, as attributes numbered 0."""
    numbers = b"".join(b"\0\0\0\x08" + s.number.to_bytes(4, "big") for s in entry.subscribers)
    return {wire.ATTR_OBJID: entry.number, wire.ATTR_SUBSCRIBERS: numbers, wire.ATTR_STATUS: OK}
