"""Keeps the resting daemon small: imports without what they bring along unasked, free memory given back.

Never hides a module for longer than the imports that it is put around: what needs TLS later
imports it as usual. The figures: `make bench`, family memory, with and without.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from types import FunctionType
from typing import Any

# asyncio imports ssl where it can, hashlib the OpenSSL of _hashlib: 4.5 MB, nearly all of it libcrypto.
# shutil imports what archives are packed with: 0.3 MB.
UNASKED = ("ssl", "_ssl", "_hashlib", "bz2", "lzma")

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


def forget(names: tuple[str, ...]) -> None:
    """Modules that were needed once go, where nobody holds anything of them; who asks again has them made anew.

    To be called before what stays is loaded, which then takes their place: half a megabyte for argparse.
    """
    for name in names:
        sys.modules.pop(name, None)
    gc.collect()


def forget_annotations() -> None:
    """Of our functions that are loaded: nobody asks for them at run time, and what loads next takes their place.

    Those of classes stay, from which dataclasses and named tuples are made.
    """
    for found in gc.get_objects():
        if isinstance(found, FunctionType) and (found.__module__ or "").startswith("netpolicy."):
            found.__annotations__ = None  # type: ignore[assignment]  # gives back what would be an empty dict


def _can_miss(name: str) -> bool:
    return name != "_hashlib" or any(importlib.util.find_spec(own) is not None for own in OWN_HASHES)


# malloc.h of glibc: options of mallopt.
MMAP_THRESHOLD, ARENA_MAX = -3, -8

# What takes more than this gets pages of its own, which go back to the system when it is freed.
LARGE = 64 << 10  # bytes


def one_heap() -> bool:
    """All threads allocate from one heap, and what is large stands beside it; False where it cannot be told so.

    By itself glibc gives each worker a heap, and keeps large blocks in it once some were freed: with ten
    thousand rules 2 MB more at rest, and 7 MB at the highest point. To be called before there are threads.
    """
    heap = _glibc()
    return heap is not None and bool(heap.mallopt(ARENA_MAX, 1)) and bool(heap.mallopt(MMAP_THRESHOLD, LARGE))


def give_back() -> bool:
    """What is free inside the heap goes back to the system; False where the C library does so by itself.

    Takes milliseconds, without holding the interpreter.
    """
    heap = _glibc()
    if heap is not None:
        heap.malloc_trim(0)
    return heap is not None


def _glibc() -> Any:
    """The C library, where it is glibc; musl knows neither of the options, and needs none."""
    try:
        is_glibc = bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (ValueError, OSError):  # musl does not know the word
        is_glibc = False
    if not is_glibc:
        return None
    try:
        import ctypes

        return ctypes.CDLL(None)
    except (ImportError, OSError):  # the light profile may come without ctypes
        return None
