"""AES-128 by the kernel, through sockets of the family AF_ALG: for routers without libcrypto or ctypes.

Never keeps a key in the kernel for longer than one packet. OSError where the kernel has no such sockets, or no GCM.
Interface: Documentation/crypto/userspace-if.rst; Python's socket module speaks it.
"""

from __future__ import annotations

import errno
import socket

BLOCK, TAG_BYTES = 16, 16
LONGEST = 16 << 10  # bytes of a packet; the kernel takes as much in one piece


class KernelAes:
    """Two sockets that stand for the algorithms; each use opens one more for as long as it takes."""

    name = "kernel"
    is_costly = False

    def __init__(self) -> None:
        if not hasattr(socket, "AF_ALG"):
            raise OSError(errno.EAFNOSUPPORT, "this Python knows no AF_ALG")
        self._ecb = _bound("skcipher", "ecb(aes)")
        self._gcm = _bound("aead", "gcm(aes)")
        self._gcm.setsockopt(socket.SOL_ALG, socket.ALG_SET_AEAD_AUTHSIZE, None, TAG_BYTES)

    def __del__(self) -> None:
        for opened in (getattr(self, "_ecb", None), getattr(self, "_gcm", None)):
            if opened is not None:
                opened.close()

    def block(self, key: bytes, data: bytes) -> bytes:
        """One block, encrypted."""
        with _keyed(self._ecb, key) as use:
            use.sendmsg_afalg([data], op=socket.ALG_OP_ENCRYPT)
            return use.recv(BLOCK)

    def open(self, key: bytes, nonce: bytes, header: bytes, sealed: bytes) -> bytes | None:
        """What AES-128-GCM sealed; None where the tag is wrong, or the packet longer than packets are."""
        size = len(sealed) - TAG_BYTES
        if not 0 <= size <= LONGEST:
            return None
        with _keyed(self._gcm, key) as use:
            use.sendmsg_afalg([header + sealed], op=socket.ALG_OP_DECRYPT, iv=nonce, assoclen=len(header))
            try:
                return use.recv(len(header) + size)[len(header) :]
            except OSError as error:
                if error.errno == errno.EBADMSG:
                    return None
                raise


def _bound(kind: str, algorithm: str) -> socket.socket:
    made = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
    try:
        made.bind((kind, algorithm))
    except OSError:
        made.close()
        raise
    return made


def _keyed(algorithm: socket.socket, key: bytes) -> socket.socket:
    algorithm.setsockopt(socket.SOL_ALG, socket.ALG_SET_KEY, key)
    return algorithm.accept()[0]
