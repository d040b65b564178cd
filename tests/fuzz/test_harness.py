"""The fuzzer can fail: defects that are planted in a parser are found, each of its kind."""

from __future__ import annotations

import itertools
import os
import signal
import time
from random import Random

import pytest

from netpolicy.config.spelling import UCI

from . import __main__, targets
from .harness import Finding, Limits, run, smaller
from .mutation import Mutator
from .seeds import corpus, documents, tokens

TOKEN = b"reject"
# A machine may be busy, and one in a machine may be charged for time that it did not get. Those that wait for a limit
# to be over have less of it.
LIMITS = Limits(cpu_seconds=5, wall_seconds=60, mebibytes=64)
BRISK = Limits(cpu_seconds=0.5, wall_seconds=60, mebibytes=64)
HASTY = Limits(cpu_seconds=5, wall_seconds=2, mebibytes=64)
KEPT: list[bytes] = []


def raises(data: bytes) -> None:
    if TOKEN in data:
        raise IndexError("string index out of range")
    targets.uci(data)


def loops(data: bytes) -> None:
    while TOKEN in data:
        pass
    targets.uci(data)


def sleeps(data: bytes) -> None:
    if TOKEN in data:
        time.sleep(600)
    targets.uci(data)


def allocates(data: bytes) -> None:
    if TOKEN in data:
        bytearray(200 << 20)
    targets.uci(data)


def hoards(data: bytes) -> None:
    """Little by little: no single input takes much."""
    KEPT.append(bytes(1 << 20))


def dies(data: bytes) -> None:
    if TOKEN in data:
        os.kill(os.getpid(), signal.SIGKILL)


def recurses(data: bytes) -> None:
    if TOKEN in data:
        recurses(data)


def swallows(data: bytes) -> None:
    """A handler that takes everything must not take the watchdog's word, too."""
    try:
        loops(data)
    except Exception:  # noqa: BLE001 - that is the mistake
        return


def found_by(target) -> Finding | None:
    mutator = Mutator(Random(1), documents(UCI), tokens())
    return run(target, mutator.next, 3000, {loops: BRISK, swallows: BRISK, sleeps: HASTY}.get(target, LIMITS))


@pytest.mark.parametrize(
    ("target", "what", "detail"),
    [
        (raises, "exception", "IndexError: string index out of range"),
        (recurses, "exception", "RecursionError"),
        (loops, "slow", "TooSlow"),
        (swallows, "slow", "TooSlow"),
        (sleeps, "hang", "more than 2 s at one input"),
        (allocates, "memory", "MemoryError"),
        (hoards, "memory", "MemoryError"),
        (dies, "ended (-9)", "the process ended with -9"),
    ],
)
def test_a_planted_defect_is_found(target, what, detail):
    found = found_by(target)
    assert found is not None
    assert found.what == what
    assert detail in found.detail
    assert TOKEN in found.data or target is hoards


def test_a_parser_without_a_defect_is_survived():
    assert found_by(targets.uci) is None


def test_a_reader_that_takes_something_otherwise_is_found(monkeypatch):
    quick = targets.read_text
    monkeypatch.setattr(targets, "read_text", lambda text, file: quick(text.replace("reject", "drop"), file))
    found = found_by(targets.uci_words)
    assert found is not None
    assert "Disagreement" in found.detail


def test_what_is_found_is_made_small():
    found = run(raises, lambda: b"config rule 'a'\n\toption block 'reject'\n" * 20, 1, LIMITS)
    assert found is not None
    assert smaller(raises, found, LIMITS).data == TOKEN


def test_the_same_seed_gives_the_same_inputs():
    def some(seed: int) -> list[bytes]:
        mutator = Mutator(Random(seed), documents(UCI), tokens())
        return [mutator.next() for _ in range(50)]

    assert some(1) == some(1) != some(2)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_every_target_takes_what_its_inputs_begin_with(name):
    if name == "yaml-library" and not targets.HAS_LIBRARY:
        pytest.skip("PyYAML is not installed")
    for data in itertools.islice(corpus(name), 20):
        targets.TARGETS[name](data)


def test_one_defect_is_reported_once_and_another_beside_it(monkeypatch, capsys):
    def two(data: bytes) -> None:
        raises(data)
        if b"list" in data:
            raise OSError("odd")

    monkeypatch.setitem(targets.TARGETS, "uci", two)
    monkeypatch.setattr(__main__, "_report", lambda name, found: print("reported", found.detail.split()[-1]))
    assert __main__.main(["--engine", "own", "--parser", "uci", "--count", "300"]) == 1
    out = capsys.readouterr().out
    assert (out.count("reported"), out.count("range"), out.count("odd")) == (2, 1, 1)
