"""A module is hidden for as long as the imports last, and for nobody who has it already."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import FunctionType

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


def test_a_module_that_is_forgotten_goes_and_comes_again():
    import weakref

    gone = weakref.ref(__import__(NAME).open)
    lean.forget((NAME, "no_such_module"))
    assert gone() is None and NAME not in sys.modules
    assert __import__(NAME).open


def test_our_functions_lose_their_annotations_and_nobody_elses(monkeypatch):
    def annotated(number: int) -> int:
        return number

    ours = FunctionType(annotated.__code__, {"__name__": "netpolicy.some.room"})
    nameless = FunctionType(annotated.__code__, {})
    for one in (ours, nameless):
        one.__annotations__ = dict(annotated.__annotations__)
    monkeypatch.setattr(lean.gc, "get_objects", lambda: [ours, nameless, annotated, lean, []])
    lean.forget_annotations()
    assert ours.__annotations__ == {} and ours(3) == 3
    assert annotated.__annotations__ == nameless.__annotations__ != {}


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
    assert lean.give_back() is False and lean.one_heap() is False


# In a process of its own, because it is for good. Prints how far from the heap a worker's memory is, and a large block.
WORKER = """
import sys, threading
from netpolicy.daemon import lean

told = lean.one_heap() if "one" in sys.argv else None
large = bytearray(20_000_000)
del large  # a reason for glibc to keep blocks of this size in the heap from now on
here, found = bytes(2_000), []
worker = threading.Thread(target=lambda: found.append(bytes(2_000)))
worker.start()
worker.join()
large = bytes(1_000_000)
print(told, abs(id(found[0]) - id(here)) >> 30, abs(id(large) - id(here)) >> 30)
"""


def test_workers_share_one_heap_and_what_is_large_stands_beside_it():
    if not lean.give_back():
        pytest.skip("this C library is not glibc, or there is no ctypes")
    told, worker, large = run_worker("one")
    assert told == "True" and worker == "0" and int(large) > 0
    told, worker, large = run_worker("many")
    assert told == "None" and int(worker) > 0 and large == "0"  # otherwise there is nothing to be told


def run_worker(how: str) -> list[str]:
    command = [sys.executable, "-c", WORKER, how]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])
