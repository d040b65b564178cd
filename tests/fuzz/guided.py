"""One target under Atheris: inputs that reach new code are kept and changed further.

Run by `python -m tests.fuzz`. libFuzzer stops at the first input that raises, takes longer than
the budget or more memory than it may have, and writes that input to a file.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import atheris

from .harness import MEBIBYTE, Limits, TooSlow

with atheris.instrument_imports(include=["netpolicy"]):
    from .seeds import corpus, tokens
    from .targets import TARGETS

LONGEST = 4096  # bytes of an input


class TooMuchMemory(Exception):
    """An input made the process grow by more than it may."""


def main() -> None:
    name, count, seed, prefix = sys.argv[1:]
    limits = Limits()
    signal.signal(signal.SIGPROF, _too_slow)
    with tempfile.TemporaryDirectory(prefix="netpolicy-fuzz-") as folder:
        for number, text in enumerate(corpus(name)):
            (Path(folder) / f"{number:04}").write_bytes(text[:LONGEST])
        words = Path(folder + ".dict")
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in tokens(name) if word))
        options = [
            sys.argv[0], f"-runs={count}", f"-seed={seed}", f"-max_len={LONGEST}", f"-dict={words}",
            f"-timeout={int(limits.wall_seconds)}", "-rss_limit_mb=0", f"-artifact_prefix={prefix}",
            "-print_final_stats=1", "-verbosity=1", "-reload=0", folder,
        ]  # fmt: skip
        atheris.Setup(options, _watched(name, limits))
        try:
            atheris.Fuzz()
        finally:
            words.unlink()


def _watched(name: str, limits: Limits):  # type: ignore[no-untyped-def]
    target = TARGETS[name]

    def one(data: bytes) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.setitimer(signal.ITIMER_PROF, limits.cpu_seconds)
        try:
            target(data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        if grown > limits.mebibytes * MEBIBYTE:
            raise TooMuchMemory(f"{grown >> 20} MiB")

    return one


def _too_slow(number: int, frame: object) -> NoReturn:
    raise TooSlow


def _escaped(word: bytes) -> str:
    return "".join([f"\\x{byte:02x}" for byte in word])


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
