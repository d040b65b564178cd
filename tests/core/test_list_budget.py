"""Which limits hold on which machine."""

from __future__ import annotations

import pytest

from netpolicy.core.list_budget import KERNEL_BYTES, LARGE, MIB, MIDDLE, SMALL, budget_of


@pytest.mark.parametrize(
    ("memory", "budget"),
    [(0, SMALL), (120 * MIB, SMALL), (240 * MIB, MIDDLE), (490 * MIB, LARGE), (2000 * MIB, LARGE)],
)
def test_a_machine_gets_the_budget_of_its_size(memory: int, budget: object) -> None:
    assert budget_of(memory) is budget


@pytest.mark.parametrize("budget", [SMALL, MIDDLE, LARGE])
def test_one_list_at_its_limit_fits_into_the_kernels_part(budget) -> None:
    assert budget.addresses * KERNEL_BYTES[4] <= budget.kernel


def test_a_large_machine_takes_what_was_promised() -> None:
    assert LARGE.addresses >= 100_000
    assert LARGE.names >= 500_000
