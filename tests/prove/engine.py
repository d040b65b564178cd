"""The engine's part of the proof: reference evaluator against compiled index, in slices of seeds.

The cases themselves are made in tests/core; here they are only counted up to the number asked for.
"""

from __future__ import annotations

from tests.core.index_agreement import differences

CASES = 1_000_000
SLICE = 10_000


def slice_differences(seed: int) -> list[str]:
    """What differs in one slice."""
    return [f"engine seed {seed}: {text}" for text in differences(seed, SLICE)]
