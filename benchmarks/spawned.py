"""What child processes cost: how many programs were started, and the most memory one of them had.

A small stand-in for nft starts the real one and notes its peak. The stand-in is an interpreter
of eight megabytes, and a child begins as a copy of it: smaller peaks show as that. Used
where things are counted, never where they are timed. Sources: getrusage(2), posix_spawn(3).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STAND_IN = """#!{python} -SE
import os, resource, sys
child = os.posix_spawnp("nft", ["nft", *sys.argv[1:]], os.environ)
status = os.waitpid(child, 0)[1]
with open({notes!r}, "a") as notes:
    notes.write("%d\\n" % resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Spawned:
    """The runs of one stand-in; `program` is its path."""

    def __init__(self, folder: Path) -> None:
        self.program = str(folder / "nft")
        self._notes = folder / "notes"
        Path(self.program).write_text(STAND_IN.format(python=sys.executable, notes=str(self._notes)), encoding="utf-8")
        Path(self.program).chmod(0o755)

    def take(self) -> list[int]:
        """The peak of each run since the last time, in kB."""
        if not self._notes.exists():
            return []
        found = [int(line) for line in self._notes.read_text(encoding="ascii").split()]
        self._notes.unlink()
        return found


@contextmanager
def watched() -> Iterator[Spawned]:
    """A stand-in that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield Spawned(Path(folder))
