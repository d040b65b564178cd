"""A module is hidden for as long as the imports last, and for nobody who has it already."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from netpolicy.daemon import lean

NAME = "wave"  # a module of the standard library that nothing here uses


@pytest.fixture(autouse=True)
def _not_loaded(monkeypatch):
    monkeypatch.delitem(sys.modules, NAME, raising=False)


def test_a_module_that_is_kept_out_cannot_be_imported_meanwhile():
    with lean.kept_out((NAME,)), pytest.raises(ImportError):
        __import__(NAME)


def test_afterwards_it_can_be_imported_as_usual():
    with lean.kept_out((NAME,)):
        pass
    assert __import__(NAME).open


def test_it_can_be_imported_after_an_import_that_failed():
    with pytest.raises(RuntimeError), lean.kept_out((NAME,)):
        raise RuntimeError
    assert __import__(NAME).open


def test_a_module_that_is_loaded_stays_so():
    with lean.kept_out(("sys",)):
        assert __import__("sys") is sys
    assert sys.modules["sys"] is sys


def test_where_only_openssl_can_hash_it_is_not_kept_out(monkeypatch):
    monkeypatch.delitem(sys.modules, "_hashlib", raising=False)
    monkeypatch.setattr(lean, "OWN_HASHES", ("no_such_module",))
    with lean.kept_out(("_hashlib",)):
        assert "_hashlib" not in sys.modules


def test_free_memory_is_given_back_where_the_c_library_keeps_it():
    many = [bytearray(100_000) for _ in range(300)]  # from the heap, below what is mapped alone
    last = bytearray(100_000)  # keeps the end of the heap in use
    del many
    before = _resident()
    if not lean.give_back():
        pytest.skip("this C library gives back by itself, or there is no ctypes")
    assert _resident() <= before and last is not None


@pytest.mark.parametrize("missing", ["glibc", "ctypes"])
def test_without_a_way_to_do_so_nothing_happens(monkeypatch, missing):
    def unknown(_):
        raise ValueError

    if missing == "glibc":
        monkeypatch.setattr(lean.os, "confstr", unknown)
    else:
        monkeypatch.setitem(sys.modules, "ctypes", None)
    assert lean.give_back() is False


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])
