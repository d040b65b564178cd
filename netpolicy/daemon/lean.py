"""Keeps the resting daemon small: imports without what they bring along unasked, free memory given back.

Never hides a module for longer than the imports that it is put around: what needs TLS later
imports it as usual. The figures: `make bench`, family memory, with and without.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator

# asyncio imports ssl where it can, hashlib the OpenSSL of _hashlib: 4.5 MB, nearly all of it libcrypto.
UNASKED = ("ssl", "_ssl", "_hashlib")

# hashlib's own SHA-256, which some builds leave to OpenSSL: its name until CPython 3.11, and since.
OWN_HASHES = ("_sha256", "_sha2")


@contextlib.contextmanager
def kept_out(names: tuple[str, ...] = UNASKED) -> Iterator[None]:
    """Inside, importing one of `names` that is not loaded yet fails as if it was not installed."""
    hidden = [name for name in names if name not in sys.modules and _can_miss(name)]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # the import system's own way to say no
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def _can_miss(name: str) -> bool:
    return name != "_hashlib" or any(importlib.util.find_spec(own) is not None for own in OWN_HASHES)


def give_back() -> bool:
    """What is free inside the heap goes back to the system; False where the C library does so by itself.

    After ten thousand rules were put in force that is 5 MB. Takes milliseconds, without holding the interpreter.
    """
    try:
        is_glibc = bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (ValueError, OSError):  # musl does not know the word
        is_glibc = False
    if not is_glibc:
        return False
    try:
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
    except (ImportError, OSError, AttributeError):  # the light profile may come without ctypes
        return False
    return True
