"""An event loop whose clock jumps: hours pass in no time, and nothing waits for a busy machine."""

from __future__ import annotations

import asyncio
import selectors


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer as soon as there is nothing else to do."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now


class _Jumping(selectors.SelectSelector):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None):
        found = super().select(0)
        if not found and timeout:
            self._clock.now += timeout
        return found
