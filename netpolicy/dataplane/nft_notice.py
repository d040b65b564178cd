"""What a notification of nftables says in its first bytes: which table it is about, or which transaction is done.

Pure, and never raises on what it reads; thousands come for one set that somebody fills. Format:
<linux/netfilter/nf_tables.h>; every object tells its table first, in attribute 1.
"""

from __future__ import annotations

import struct

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.learned_sets import PREFIX

SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
DELETE_TABLE = 2  # NFT_MSG_DELTABLE
NEW_GENERATION = 15  # NFT_MSG_NEWGEN: the end of a transaction

HEADER_SIZE = 4  # struct nfgenmsg; its first byte is the family
TABLE = 1  # NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, …
NEW_ELEMENTS, DELETE_ELEMENTS = 12, 14  # NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM
SET_NAME = 2  # NFTA_SET_ELEM_LIST_SET
_LEARNED = (PREFIX + "_").encode()
GENERATION_ID = 1

_NUMBER = struct.Struct(">I")


def is_notice(message: wire.Message) -> bool:
    """Whether it is one of nftables."""
    return message.kind >> 8 == SUBSYSTEM and len(message.payload) >= HEADER_SIZE


def head(payload: bytes) -> bytes:
    """Family and table as they stand there: equal for all objects of one table, and short."""
    if len(payload) >= HEADER_SIZE + wire.ATTRIBUTE.size:
        length, kind = wire.ATTRIBUTE.unpack_from(payload, HEADER_SIZE)
        if kind == TABLE:
            return payload[:1] + payload[HEADER_SIZE : HEADER_SIZE + length]
    return payload


def table(payload: bytes) -> str:
    """The table's name, "" where none is told."""
    return wire.text(wire.attributes(payload, HEADER_SIZE).get(TABLE))


def is_learned(message: wire.Message) -> bool:
    """Whether it tells of elements of a set that fills by itself, in whatever table."""
    if message.kind & 0xFF not in (NEW_ELEMENTS, DELETE_ELEMENTS):
        return False
    payload = message.payload
    at = HEADER_SIZE
    if len(payload) < at + wire.ATTRIBUTE.size:
        return False
    at += wire.ATTRIBUTE.unpack_from(payload, at)[0] + 3 & ~3  # behind the table's name stands that of the set
    if len(payload) < at + wire.ATTRIBUTE.size:
        return False
    kind: int = wire.ATTRIBUTE.unpack_from(payload, at)[1]
    return kind == SET_NAME and payload.startswith(_LEARNED, at + wire.ATTRIBUTE.size)


def generation(payload: bytes) -> int | None:
    """The number of the transaction that is done."""
    value = wire.attributes(payload, HEADER_SIZE).get(GENERATION_ID, b"")
    return int(_NUMBER.unpack(value)[0]) if len(value) == _NUMBER.size else None
