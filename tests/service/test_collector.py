"""The collector keeps away from many new objects, and still frees what died in a cycle with itself."""

from __future__ import annotations

import gc
import weakref

from netpolicy.service.collector import WALKED_EVERY, undisturbed


class Transport:
    """Refers to itself, as those of asyncio do."""

    def __init__(self) -> None:
        self.read = self.ready

    def ready(self) -> None: ...


def test_nothing_is_collected_inside_and_something_is_afterwards():
    assert gc.isenabled()
    with undisturbed():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_lives_then_is_walked_no_more():
    kept = Transport()
    with undisturbed():
        pass
    assert not any(one is kept for one in gc.get_objects())


def test_what_was_frozen_and_died_is_freed_after_a_hundred_times_at_most():
    transport = Transport()
    with undisturbed():
        pass
    died = weakref.ref(transport)
    del transport
    for _ in range(WALKED_EVERY):
        assert died() is None or gc.isenabled()
        with undisturbed():
            pass
    assert died() is None
