"""AES-128 by OpenSSL's libcrypto, through ctypes.

Never loaded with the module: making a LibCrypto loads it, and OSError says that there is none.
Interface: EVP_EncryptInit(3) of OpenSSL 1.1 and 3, which LibreSSL has as well.
"""

from __future__ import annotations

from typing import Any

# OpenWrt has 3 since 23.05 and 1.1 in 22.03; the bare name is what development packages add.
NAMES = ("libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so")
LONGEST = 16 << 10  # bytes of a packet
SET_TAG = 0x11  # EVP_CTRL_AEAD_SET_TAG
TAG_BYTES = 16


class LibCrypto:
    """Two contexts of the library, used again for every packet."""

    name = "libcrypto"
    is_costly = False

    def __init__(self) -> None:
        """OSError, ImportError or AttributeError where there is no such library, no ctypes or no such function."""
        import ctypes

        lib = _library(ctypes)
        pointer, number = ctypes.c_void_p, ctypes.c_int
        for cipher in (lib.EVP_aes_128_ecb, lib.EVP_aes_128_gcm, lib.EVP_CIPHER_CTX_new):
            cipher.restype, cipher.argtypes = pointer, []
        update = [pointer, pointer, ctypes.POINTER(number), ctypes.c_char_p, number]
        begin = [pointer, pointer, pointer, ctypes.c_char_p, ctypes.c_char_p]
        lib.EVP_EncryptInit_ex.argtypes = lib.EVP_DecryptInit_ex.argtypes = begin
        lib.EVP_EncryptUpdate.argtypes = lib.EVP_DecryptUpdate.argtypes = update
        lib.EVP_DecryptFinal_ex.argtypes = update[:3]
        lib.EVP_CIPHER_CTX_ctrl.argtypes = [pointer, number, number, ctypes.c_char_p]
        lib.EVP_CIPHER_CTX_free.argtypes, lib.EVP_CIPHER_CTX_free.restype = [pointer], None
        self._lib, self._string_at = lib, ctypes.string_at
        self._out, self._length = ctypes.create_string_buffer(LONGEST + TAG_BYTES), number(0)
        self._length_at = ctypes.byref(self._length)
        self._ecb, self._gcm = lib.EVP_CIPHER_CTX_new(), lib.EVP_CIPHER_CTX_new()
        usable = self._ecb and self._gcm
        usable = usable and lib.EVP_EncryptInit_ex(self._ecb, lib.EVP_aes_128_ecb(), None, None, None)
        if not (usable and lib.EVP_DecryptInit_ex(self._gcm, lib.EVP_aes_128_gcm(), None, None, None)):
            raise OSError("libcrypto has no AES-128")

    def __del__(self) -> None:
        for context in (getattr(self, "_ecb", None), getattr(self, "_gcm", None)):
            if context:
                self._lib.EVP_CIPHER_CTX_free(context)

    def block(self, key: bytes, data: bytes) -> bytes:
        """One block, encrypted."""
        lib, context = self._lib, self._ecb
        lib.EVP_EncryptInit_ex(context, None, None, key, None)
        lib.EVP_EncryptUpdate(context, self._out, self._length_at, data, 16)
        return bytes(self._string_at(self._out, 16))

    def open(self, key: bytes, nonce: bytes, header: bytes, sealed: bytes) -> bytes | None:
        """What AES-128-GCM sealed; None where the tag is wrong, or the packet longer than packets are."""
        lib, context, out, length_at = self._lib, self._gcm, self._out, self._length_at
        size = len(sealed) - TAG_BYTES
        if not 0 <= size <= LONGEST:
            return None
        lib.EVP_DecryptInit_ex(context, None, None, key, nonce)
        lib.EVP_CIPHER_CTX_ctrl(context, SET_TAG, TAG_BYTES, sealed[size:])
        if header:
            lib.EVP_DecryptUpdate(context, None, length_at, header, len(header))
        lib.EVP_DecryptUpdate(context, out, length_at, sealed, size)
        # Only this says that the bytes are right: until then nothing of them is used.
        if lib.EVP_DecryptFinal_ex(context, None, length_at) <= 0:
            return None
        return bytes(self._string_at(out, size))


def _library(ctypes: Any) -> Any:
    """By name alone: ctypes.util.find_library starts a compiler."""
    refusal = OSError("no libcrypto")
    for name in NAMES:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            refusal = error
    raise refusal
