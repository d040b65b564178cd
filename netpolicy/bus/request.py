"""The messages a client sends, and what it reads from the answers.

Shared by the asyncio and the blocking client so that both say the same; knows no socket.
From libubus's use of the protocol: the `peer` of a call is the object's number, of
everything addressed to the broker itself 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from . import wire
from .blobmsg import (
    ARRAY,
    DOUBLE,
    INT8,
    INT16,
    INT32,
    INT64,
    STRING,
    TABLE,
    UNSPEC,
    BlobError,
    decode_table,
    encode_table,
)
from .status import INVALID_ARGUMENT, PARSE_ERROR, UbusError, describe
from .wire import WireError

# What a declared argument is called in `ubus -v list`; `object` stands for any type.
SIGNATURE_TYPES: dict[type, int] = {
    str: STRING,
    int: INT32,
    bool: INT8,
    float: DOUBLE,
    dict: TABLE,
    list: ARRAY,
    object: UNSPEC,
}
TYPE_NAMES = {
    ARRAY: "Array",
    TABLE: "Table",
    STRING: "String",
    INT64: "Integer",
    INT32: "Integer",
    INT16: "Integer",
    INT8: "Boolean",
    DOUBLE: "Double",
}


class ObjectInfo(NamedTuple):
    """An object on the bus: method name to argument name to type name in `methods`."""

    path: str
    id: int
    type_id: int
    methods: dict[str, dict[str, str]]


def encode(kind: int, seq: int, peer: int, attributes: dict[int, Any]) -> bytes:
    """`wire.encode`, with a value ubus cannot carry as status 2 as libubus says."""
    try:
        return wire.encode(kind, seq, peer, attributes)
    except WireError as problem:
        raise UbusError(INVALID_ARGUMENT, str(problem)) from None


def pack(data: Mapping[str, Any] | None) -> bytes:
    """The data of a call, event or reply; raises UbusError 2 for what blobmsg cannot hold."""
    try:
        return encode_table(dict(data or {}))
    except BlobError as problem:
        raise UbusError(INVALID_ARGUMENT, str(problem)) from None


def unpack(raw: bytes | None) -> dict[str, Any]:
    """The data of a message as a dict; raises UbusError 12 for bytes that are no blobmsg."""
    try:
        return decode_table(raw or b"")
    except BlobError as problem:
        raise UbusError(PARSE_ERROR, str(problem)) from None


def lookup(pattern: str | None) -> dict[int, Any]:
    """Attributes of LOOKUP; None or "*" asks for every object."""
    return {wire.ATTR_OBJPATH: pattern} if pattern not in (None, "", "*") else {}


def invoke(object_id: int, method: str, data: bytes) -> dict[int, Any]:
    """Attributes of INVOKE; the data attribute must be there even when it is empty."""
    return {wire.ATTR_OBJID: object_id, wire.ATTR_METHOD: method, wire.ATTR_DATA: data}


def event(name: str, data: Mapping[str, Any] | None) -> dict[int, Any]:
    """Attributes of the INVOKE that broadcasts an event."""
    return invoke(wire.EVENT_OBJECT, "send", pack({"id": name, "data": dict(data or {})}))


def register(object_id: int, pattern: str) -> dict[int, Any]:
    """Attributes of the INVOKE that makes `object_id` receive the events of `pattern`."""
    # The number goes as INT32 whatever its top bit is: ubusd accepts no other type here.
    signed = object_id - (1 << 32) if object_id >> 31 else object_id
    return invoke(wire.EVENT_OBJECT, "register", pack({"object": signed, "pattern": pattern}))


def signature(methods: Mapping[str, Mapping[str, type]]) -> bytes:
    """The signature blob of an object: method name to argument name to Python type."""
    return pack(
        {
            name: {argument: SIGNATURE_TYPES[kind] for argument, kind in arguments.items()}
            for name, arguments in methods.items()
        }
    )


def object_info(attributes: dict[int, Any]) -> ObjectInfo | None:
    """What one answer to LOOKUP says, or None when it is no object with a name."""
    path, number = attributes.get(wire.ATTR_OBJPATH), attributes.get(wire.ATTR_OBJID)
    if path is None or number is None:
        return None
    found = unpack(attributes.get(wire.ATTR_SIGNATURE))
    methods = {
        name: {argument: _type_name(kind) for argument, kind in arguments.items()}
        for name, arguments in found.items()
        if isinstance(arguments, dict)
    }
    return ObjectInfo(path, number, attributes.get(wire.ATTR_OBJTYPE, 0), methods)


def _type_name(kind: object) -> str:
    return TYPE_NAMES.get(kind, "(unknown)") if isinstance(kind, int) else "(unknown)"


def failure(status: int, reply: dict[str, Any] | None) -> UbusError:
    """The error of a call that ended with `status`, with the reply's own words if it has any."""
    words = (reply or {}).get("error")
    return UbusError(status, words if isinstance(words, str) else describe(status))


def matches(pattern: str, name: str) -> bool:
    """Whether an event listener or a lookup with `pattern` means `name`; only a last `*` is special."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
