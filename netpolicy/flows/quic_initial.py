"""Read the first packets of a QUIC client: their headers, what protects them, and the pieces of TLS inside.

Never trusts a byte of a packet whose tag is wrong; keeps nothing between two datagrams.
Formats: RFC 9000 (12.2, 16, 17.2, 19), RFC 9001 (5.3, 5.4), RFC 9369 (3.2: version 2 numbers its packets otherwise).
"""

from __future__ import annotations

from typing import NamedTuple

from netpolicy.flows.names import MALFORMED, OTHER, QUIC_VERSION, Refused
from netpolicy.flows.quic_crypto import BLOCK, TAG_BYTES, V1, V2, Cipher, Keys
from netpolicy.flows.tls_hello import HELLO_LIMIT

LONG_HEADER = 0x80
# Version to the types of packet that may stand in a client's first datagrams: Initial, and 0-RTT and Handshake.
INITIAL = {V1: 0, V2: 1}
RETRY = {V1: 3, V2: 0}
CONNECTION_ID_LIMIT = 20
DATAGRAM_LIMIT = 16 << 10
# Coalesced packets that are looked at. A client sends one Initial, then at most 0-RTT or Handshake.
PACKET_LIMIT = 4

PADDING, PING, ACK, ACK_ECN, CRYPTO, CLOSE = 0x00, 0x01, 0x02, 0x03, 0x06, 0x1C
FRAME_LIMIT = 1500  # a datagram of pings alone
ACK_RANGES = 64
CRYPTO_LIMIT = 4 + HELLO_LIMIT


class Packet(NamedTuple):
    """One protected Initial."""

    version: int
    destination: bytes  # connection id; that of the very first packet makes the keys
    data: bytes  # from the first byte of its header to the last of its tag
    number_at: int  # where the packet number begins


def is_quic(datagram: bytes) -> bool:
    """Whether it may begin with a packet that has a long header; its second bit may be greased (RFC 9287)."""
    return len(datagram) > 6 and datagram[0] & LONG_HEADER != 0


def initials(datagram: bytes) -> list[Packet]:
    """The Initial packets of a client's datagram. Raises Refused: OTHER, QUIC_VERSION, MALFORMED.

    What stands behind them and is no packet of that version is left alone, as receivers do (RFC 9000, 12.2).
    """
    if not is_quic(datagram) or len(datagram) > DATAGRAM_LIMIT:
        raise Refused(OTHER)
    found: list[Packet] = []
    at = seen = 0
    while seen < PACKET_LIMIT and is_quic(datagram[at : at + 8]):
        version = int.from_bytes(datagram[at + 1 : at + 5], "big")
        if version not in INITIAL:
            if at:
                break
            raise Refused(QUIC_VERSION)
        kind = datagram[at] >> 4 & 3
        if kind == RETRY[version]:
            break  # only servers send it, and it has no length
        try:
            packet, end = _packet(datagram, at, version, kind == INITIAL[version])
        except (IndexError, Refused):
            if at:
                break
            raise Refused(MALFORMED) from None
        if kind == INITIAL[version]:
            found.append(packet)
        at = end
        seen += 1
    return found


def _packet(data: bytes, begin: int, version: int, has_token: bool) -> tuple[Packet, int]:
    """The packet and where it ends. Raises Refused or IndexError."""
    at = begin + 5
    size = data[at]
    destination = data[at + 1 : at + 1 + size]
    at += 1 + size
    source_size = data[at]
    if size > CONNECTION_ID_LIMIT or source_size > CONNECTION_ID_LIMIT:
        raise Refused(MALFORMED)
    at += 1 + source_size
    if has_token:
        token, at = _number(data, at)
        at += token
    length, at = _number(data, at)
    # What is taken as a sample for the header begins four bytes behind the number's place; the tag is as long.
    if length < 4 + max(BLOCK, TAG_BYTES) or at + length > len(data):
        raise Refused(MALFORMED)
    return Packet(version, destination, data[begin : at + length], at - begin), at + length


def unseal(packet: Packet, keys: Keys, cipher: Cipher) -> bytes | None:
    """The frames of a packet; None where these are not its keys."""
    data, at = packet.data, packet.number_at
    mask = cipher.block(keys.mask_key, data[at + 4 : at + 4 + BLOCK])
    first = data[0] ^ (mask[0] & 0x0F)
    size = (first & 3) + 1
    number = int.from_bytes(data[at : at + size], "big") ^ int.from_bytes(mask[1 : 1 + size], "big")
    header = bytes((first,)) + data[1:at] + number.to_bytes(size, "big")
    # A client's first packets have small numbers: what was sent is all of it.
    nonce = (int.from_bytes(keys.nonce, "big") ^ number).to_bytes(len(keys.nonce), "big")
    return cipher.open(keys.key, nonce, header, data[at + size :])


def crypto_pieces(frames: bytes) -> list[tuple[int, bytes]]:
    """Offset and bytes of the CRYPTO frames, as they come. Raises Refused (MALFORMED) for what no Initial may hold."""
    found: list[tuple[int, bytes]] = []
    at, end = 0, len(frames)
    try:
        for _ in range(FRAME_LIMIT):
            if at == end:
                return found
            kind = frames[at]
            if kind == PADDING:
                at = end - len(frames[at:].lstrip(b"\0"))
            elif kind == CRYPTO:
                offset, at = _number(frames, at + 1)
                size, at = _number(frames, at)
                if offset + size > CRYPTO_LIMIT or at + size > end:
                    raise Refused(MALFORMED)
                found.append((offset, frames[at : at + size]))
                at += size
            else:
                at = _behind(frames, at, kind)
    except IndexError:
        pass
    raise Refused(MALFORMED)


def _behind(frames: bytes, at: int, kind: int) -> int:
    """Where a frame ends that says nothing of names. Raises Refused or IndexError."""
    at += 1
    if kind == PING:
        return at
    if kind in (ACK, ACK_ECN):
        _largest, at = _number(frames, at)
        _delay, at = _number(frames, at)
        ranges, at = _number(frames, at)
        if ranges > ACK_RANGES:
            raise Refused(MALFORMED)
        for _ in range(1 + 2 * ranges + (3 if kind == ACK_ECN else 0)):
            _, at = _number(frames, at)
        return at
    if kind == CLOSE:
        _code, at = _number(frames, at)
        _frame, at = _number(frames, at)
        size, at = _number(frames, at)
        return at + size
    raise Refused(MALFORMED)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer (RFC 9000, 16) and where it ends. IndexError where the data ends before."""
    first = data[at]
    if first < 0x40:
        return first, at + 1
    size = 1 << (first >> 6)
    end = at + size
    if end > len(data):
        raise IndexError
    return int.from_bytes(data[at:end], "big") & ((1 << (8 * size - 2)) - 1), end
