"""A kernel adapter whose steps are counted, refused or never come, for tests of what a change sends.

A step is one transaction: a text that nft loads, or a batch over netlink. Rehearsals and listings are none.
"""

from __future__ import annotations

from collections.abc import Iterable

from netpolicy.dataplane.kernel import Kernel
from netpolicy.dataplane.names import TABLE
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.nft import Nft, NftError
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.nft_messages import Change


class Killed(BaseException):
    """As after kill -9: nothing that would clear up runs."""


class Steps:
    """Counts steps; in place of number `at` (from 0) it raises. Who was killed takes no step after it either."""

    def __init__(self, at: int | None = None, kind: type[BaseException] = NftError) -> None:
        self.taken = 0
        self.runs: list[str] = []  # of the nft program, by its first arguments
        self._at = at
        self._kind = kind

    def take(self) -> None:
        self.taken += 1
        number = self.taken - 1
        if self._at is not None and (number == self._at or (number > self._at and self._kind is Killed)):
            raise self._kind("the test refuses")

    @property
    def was_reached(self) -> bool:
        """Whether there was such a step."""
        return self._at is not None and self.taken > self._at


class WatchedNft(Nft):
    """The nft program, with its runs on record."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        object.__setattr__(self, "steps", steps)

    async def load(self, text: str) -> None:
        self.steps.take()  # type: ignore[attr-defined]
        await super().load(text)

    async def _run(self, command: list[str], text: str) -> str:
        self.steps.runs.append(" ".join(command[1:3]))  # type: ignore[attr-defined]
        return await super()._run(command, text)


class WatchedLink(NftLink):
    """The netlink socket, batch by batch."""

    def __init__(self, steps: Steps) -> None:
        super().__init__(TABLE)
        self._steps = steps

    def commit(self, changes: Iterable[Change], generation: int | None = None) -> None:
        self._steps.take()
        super().commit(changes, generation)


class WatchedKernel(Kernel):
    """The real one on the real kernel, with its steps counted."""

    def __init__(self, steps: Steps | None = None) -> None:
        self.steps = steps or Steps()
        super().__init__(open_netlink("builtin"), WatchedNft(self.steps))

    def _open_link(self) -> NftLink:
        if self._link is None:
            self._link = WatchedLink(self.steps)
        return self._link


def generation() -> int:
    """The number that every transaction of any program in this namespace counts up."""
    with NftLink(TABLE) as link:
        return link.generation()
