"""Choose what reads UCI files: libuci through pyuci, or our own reader.

Never imports pyuci before somebody asks for it. Both give the same SourceFile.
"""

from typing import Protocol

from netpolicy.config.source import SourceFile
from netpolicy.config.uci import BuiltinReader
from netpolicy.config.uci_library import LibraryReader, load_module

READERS = ("auto", "pyuci", "builtin")


class ReaderUnavailable(Exception):
    """The reader that was asked for by name cannot be had; the text says why."""


class Reader(Protocol):
    """What both readers can do."""

    name: str

    def read(self, path: str) -> SourceFile:
        """The sections and findings of one file; never raises for what it contains."""


def open_reader(choice: str = "auto") -> Reader:
    """The reader for one of READERS. Raises ReaderUnavailable."""
    if choice not in READERS:
        raise ReaderUnavailable(f"no UCI reader is called {choice!r}: one of {', '.join(READERS)}")
    if choice == "builtin":
        return BuiltinReader()
    module = load_module()
    if module is not None:
        return LibraryReader(module)
    if choice == "auto":
        return BuiltinReader()
    raise ReaderUnavailable("pyuci is not installed (it needs libuci); the builtin reader needs nothing")
