"""A machine made of answers, for what the doctor asks of a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netpolicy.service.doctor_finding import Finding
from netpolicy.service.doctor_system import MISSING, Ran, Room, System


class Patient(System):
    """This machine, with all the time that its programs take where many tests run at once."""

    def __init__(self) -> None:
        super().__init__(600.0)

    def run(self, *words: str, seconds: float = 60.0) -> Ran:
        return super().run(*words, seconds=seconds)


class Machine(System):
    """Files by path, and what programs say by the beginning of their words. Nothing else is there."""

    def __init__(
        self, files: Mapping[str, str] | None = None, says: Mapping[str, Ran | str] | None = None, is_over: bool = False
    ) -> None:
        super().__init__()
        self.files = dict(files or {})
        self.says = dict(says or {})
        self.time = 1.8e9
        self.space = Room(64 << 20, True, 0o700)
        self._is_over = is_over

    @property
    def is_root(self) -> bool:
        return True

    @property
    def is_over(self) -> bool:
        return self._is_over

    def now(self) -> float:
        return self.time

    def read(self, path: str, limit: int = 1 << 20) -> str | None:
        return self.files.get(path)

    def exists(self, path: str) -> bool:
        return path in self.files

    def is_program(self, path: str) -> bool:
        return path in self.files

    def names(self, folder: str) -> tuple[str, ...]:
        return tuple(sorted(path.rpartition("/")[2] for path in self.files if path.rpartition("/")[0] == folder))

    def changed_at(self, path: str) -> float:
        return 0.0

    def room(self, path: str) -> Room:
        return self.space

    def find(self, program: str) -> str:
        return program if any(words.split()[0] == program for words in self.says) else ""

    def run(self, *words: str, seconds: float = 5.0) -> Ran:
        line = " ".join(words)
        for said, answer in self.says.items():
            if line.startswith(said):
                return Ran(0, answer) if isinstance(answer, str) else answer
        return Ran(MISSING)

    def run_apart(self, *words: str) -> Ran:
        return self.run("apart", *words)


def seen(findings: Finding | Sequence[Finding]) -> dict[str, str]:
    """The level of each code; the worst where a code is there twice."""
    found: dict[str, str] = {}
    order = ("ok", "info", "warning", "error")
    for one in [findings] if isinstance(findings, Finding) else findings:
        if order.index(one.level) >= order.index(found.get(one.code, "ok")):
            found[one.code] = one.level
    return found
