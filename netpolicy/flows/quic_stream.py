"""Join the ClientHello that a QUIC client sends in one or several Initial packets, in whatever order.

Knows keys and pieces, not what a hello says; no clock. Bounded as `assembly` is, and in flows whose keys are kept.
Post-quantum key shares need two packets, and Chromium cuts its hello into dozens of frames in random order.
"""

from __future__ import annotations

from netpolicy.flows.assembly import Assembly
from netpolicy.flows.names import NOT_DECRYPTED, Refused
from netpolicy.flows.quic_crypto import Cipher, Keys, keys_of
from netpolicy.flows.quic_initial import Packet, crypto_pieces, initials, unseal
from netpolicy.flows.seen import SeenKey


class QuicStream:
    """The beginnings of clients' handshakes. Not for several threads at once."""

    def __init__(self, cipher: Cipher, assembly: Assembly) -> None:
        self._cipher = cipher
        self._assembly = assembly
        self._keys: dict[SeenKey, Keys] = {}  # of the flows in the assembly; oldest first

    def add(self, key: SeenKey, datagram: bytes, now: float) -> bytes:
        """The handshake from its first byte as far as it is known; b"" where nothing is yet.

        Raises Refused: OTHER, QUIC_VERSION, MALFORMED, or NOT_DECRYPTED where no packet opens.
        """
        packets = initials(datagram)
        pieces: list[tuple[int, bytes]] = []
        opened = 0
        for packet in packets:
            frames = self._open(key, packet)
            if frames is not None:
                opened += 1
                pieces += crypto_pieces(frames)
        if not opened and packets:
            if key in self._keys:
                return b""  # receivers drop what does not open, and wait for the rest
            raise Refused(NOT_DECRYPTED)
        if len(pieces) == 1 and pieces[0][0] == 0 and key not in self._assembly.waiting:
            return self._alone(key, pieces[0][1], now)
        for offset, data in pieces:
            self._assembly.put(key, offset, data, now)
        return self._assembly.beginning(key)

    def _alone(self, key: SeenKey, data: bytes, now: float) -> bytes:
        """The only piece so far. Mostly it is the whole hello, and there is nothing to keep."""
        if len(data) >= 4 and len(data) >= 4 + int.from_bytes(data[1:4], "big"):
            return data
        return self._assembly.add(key, 0, data, now)

    def forget(self, key: SeenKey) -> None:
        """The flow is read, or another one begins under its key."""
        self._keys.pop(key, None)
        self._assembly.drop(key)

    def expire(self, now: float) -> list[tuple[SeenKey, bytes]]:
        """Take out what waited for too long, with the beginning that was there."""
        found = self._assembly.expire(now)
        for key in [key for key in self._keys if key not in self._assembly.waiting]:
            del self._keys[key]
        return found

    def _open(self, key: SeenKey, packet: Packet) -> bytes | None:
        """With the keys of the flow's first packet, else with its own: the first, or one behind a Retry."""
        known = self._keys.get(key)
        if known is not None:
            frames = unseal(packet, known, self._cipher)
            if frames is not None:
                return frames
        own = keys_of(packet.version, packet.destination)
        if own == known:
            return None
        frames = unseal(packet, own, self._cipher)
        if frames is None:
            return None
        if known is not None:
            self._assembly.drop(key)  # another connection, which starts its handshake again
        self._remember(key, own)
        return frames

    def _remember(self, key: SeenKey, keys: Keys) -> None:
        self._keys.pop(key, None)
        self._keys[key] = keys
        while len(self._keys) > self._assembly.limit:
            del self._keys[next(iter(self._keys))]
