"""Keeps the garbage collector from walking ten thousand rules in the middle of a turn of the loop.

Never leaves it switched off, and never lets what was put out of its way go uncollected for ever.
The figures: `gc.callbacks` in a daemon whose rules all change, docs/dataplane.md.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
from collections.abc import Iterator

# What is frozen while it lives, and dies in a cycle with itself, is not freed any more: the transport of a
# connection to the bus, for example. Each hundredth time everything is walked once: 0.1 s on a slow host
# with ten thousand rules, against kilobytes for each reload.
WALKED_EVERY = 100

_times = itertools.count(1)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Inside, no collection: among a hundred thousand new tuples it holds the loop for many slices, and finds nothing.

    What was made inside is frozen at the end, so that later collections do not walk it either.
    """
    if next(_times) % WALKED_EVERY:
        gc.collect(1)
    else:
        gc.unfreeze()
        gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
