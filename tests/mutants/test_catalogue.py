"""Each defect can still be made, and each acceptance test has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("one", MUTANTS, ids=lambda one: f"{one.number}-{one.name}".replace(" ", "-"))
def test_the_text_that_a_defect_replaces_stands_there_once(one: Mutant) -> None:
    for file, old, new in one.edits:
        assert (ROOT / file).read_text().count(old) == 1, (file, old)
        assert old != new


def test_every_acceptance_test_has_its_defect_and_every_defect_its_test() -> None:
    assert {one.number for one in MUTANTS} == set(range(1, 27))
    for one in MUTANTS:
        text = (ROOT / one.test[0]).read_text()
        word = one.test[1].split()[0]
        assert re.search(rf"def {word}", text), one


def test_every_acceptance_test_is_found_by_its_number() -> None:
    names = "".join(path.read_text() for path in (ROOT / "tests/acceptance").glob("test_*.py"))
    # 23 is IPv6: in each of the others. 26 is what a boot closes: among the tests of the kernel.
    for number in set(range(1, 26)) - {23}:
        assert f"def test_{number:02}_" in names, number
