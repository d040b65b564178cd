"""Stands for modules of the standard library that others import at their top and use in a rare function.

Never pretends: what is not written down here is asked of the module itself, which is loaded then. asyncio,
dataclasses and subprocess alone hold such a stand-in; whoever imports the name after the start has the module.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from types import FrameType, FunctionType, ModuleType
from typing import Any

# CPython's inspect.h.
CO_COROUTINE = 0x80

# One that is wrapped in itself has no end.
MOST_WRAPPERS = 100


class Later(ModuleType):
    """In the place of a module until something is asked that it cannot answer itself."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system asks for some that a module need not have
            raise AttributeError(name)
        return getattr(self._itself(), name)

    def _itself(self) -> ModuleType:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return importlib.import_module(self.__name__)


class LaterLogger:
    """In the place of a logger: what asyncio tells nobody but a debugger is not told."""

    def __init__(self, name: str = "") -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        import logging

        return getattr(logging.getLogger(self._name), name)

    def debug(self, *_: object, **__: object) -> None:
        """Which selector it uses."""

    def addHandler(self, handler: object) -> None:
        """Where a logger has no handler, logging writes to standard error as this one would."""


def _is_coroutine_function(one: object) -> bool:
    code = getattr(one, "__code__", None)
    return bool(code is not None and code.co_flags & CO_COROUTINE)


def _is_function(one: object) -> bool:
    return isinstance(one, FunctionType)


def _unwrapped(one: Any) -> Any:
    """The function that decorators stand around: for the texts of tasks."""
    for _ in range(MOST_WRAPPERS):
        if not hasattr(one, "__wrapped__"):
            break
        one = one.__wrapped__
    return one


def _own_annotations(kind: type) -> dict[str, Any]:
    return dict(kind.__dict__.get("__annotations__", {}))  # noqa: RUF063 - without inspect


def _no_signature(_: object) -> str:
    """For the docstring of a dataclass whose own one was left out by the compiler."""
    return ""


def _nothing() -> None:
    """For the handler of a logger."""


def _extract_stack(frame: FrameType | None = None, limit: int | None = None) -> Any:
    import traceback

    return traceback.extract_stack(frame or sys._getframe(1), limit)


# 1.4 MB together, with what they import: ast, dis, string, textwrap, tokenize.
PUT_OFF: Mapping[str, Mapping[str, object]] = {
    "asyncio.sslproto": {},
    "inspect": {
        "get_annotations": _own_annotations,
        "iscoroutinefunction": _is_coroutine_function,
        "isfunction": _is_function,
        "signature": _no_signature,
        "unwrap": _unwrapped,
    },
    "linecache": {},
    "locale": {},
    "logging": {"DEBUG": 10, "StreamHandler": _nothing, "getLogger": LaterLogger},
    "traceback": {"extract_stack": _extract_stack},  # taken at once, for asyncio's debug mode
}


@contextlib.contextmanager
def put_off(modules: Mapping[str, Mapping[str, object]] = PUT_OFF) -> Iterator[None]:
    """Inside, whoever imports one that is not loaded yet gets its stand-in, and keeps it."""
    standing = {name: _stand_in(name, known) for name, known in modules.items() if name not in sys.modules}
    sys.modules.update(standing)
    try:
        yield
    finally:
        for name, one in standing.items():
            if sys.modules.get(name) is one:
                del sys.modules[name]


def _stand_in(name: str, known: Mapping[str, object]) -> Later:
    one = Later(name)
    one.__dict__.update(known)
    return one
