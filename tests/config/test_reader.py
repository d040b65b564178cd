"""Which reader is chosen. What the readers read is in test_uci_contract.py."""

import subprocess
import sys

import pytest

from netpolicy.config.reader import ReaderUnavailable, open_reader
from netpolicy.config.uci_library import load_module


def test_the_builtin_reader_is_always_there():
    assert open_reader("builtin").name == "builtin"


def test_auto_takes_libuci_where_it_is_and_our_own_reader_elsewhere():
    assert open_reader("auto").name == ("pyuci" if load_module() else "builtin")


def test_an_unknown_reader_or_a_missing_library_says_so():
    with pytest.raises(ReaderUnavailable, match="auto, pyuci, builtin"):
        open_reader("magic")
    if load_module() is None:
        with pytest.raises(ReaderUnavailable, match="not installed"):
            open_reader("pyuci")


def test_importing_the_reader_imports_neither_pyuci_nor_heavy_modules():
    heavy = "('uci', 'yaml', 'ctypes', 'difflib', 'logging')"
    code = f"import sys, netpolicy.config.load; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
