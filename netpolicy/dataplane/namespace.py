"""Network namespaces of a child process: making one, going back into one, dying with the parent.

Never used in the daemon itself: a thread that changes its namespace takes the sockets it opens with it. System
calls: unshare(2), setns(2), prctl(2); by Python's own functions where it has them (3.12), else by ctypes.
"""

from __future__ import annotations

import os
import signal
from typing import Any

NEW_NETWORK = 0x40000000  # CLONE_NEWNET
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class NoNamespaces(Exception):
    """This machine, or this Python, gives us no network namespaces; the text says why."""


def new() -> int:
    """Moves this process into a fresh network namespace; a descriptor that keeps it. Raises NoNamespaces."""
    try:
        if hasattr(os, "unshare"):
            os.unshare(NEW_NETWORK)
        else:
            _call("unshare", NEW_NETWORK)
        return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NoNamespaces(f"no network namespace can be made: {error.strerror}") from None


def enter(descriptor: int) -> None:
    """Moves this process into a namespace. Raises NoNamespaces."""
    try:
        if hasattr(os, "setns"):
            os.setns(descriptor, NEW_NETWORK)
        else:
            _call("setns", descriptor, NEW_NETWORK)
    except OSError as error:
        raise NoNamespaces(f"a network namespace cannot be entered: {error.strerror}") from None


def die_with_parent() -> bool:
    """The kernel kills this process when its parent ends, however that ends. False where it cannot be asked."""
    try:
        _call("prctl", DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    except (NoNamespaces, OSError):
        return False
    return True


def _call(name: str, *arguments: int) -> None:
    libc = _library()
    if getattr(libc, name)(*arguments) != 0:
        import ctypes

        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _library() -> Any:
    try:
        import ctypes
    except ImportError:  # a package of its own on OpenWrt
        raise NoNamespaces("this Python has no ctypes: install python3-ctypes") from None
    return ctypes.CDLL(None, use_errno=True)
