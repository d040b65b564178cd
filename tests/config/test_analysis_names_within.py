"""Which pattern is covered by which other, among many."""

from __future__ import annotations

import pytest

from netpolicy.config.analysis_name import domain_atoms, sni_atoms
from netpolicy.config.analysis_names_within import MOST_OTHERS, NameCovers
from netpolicy.core.domain import parse_domain


def domains(*texts: str) -> NameCovers:
    return NameCovers([domain_atoms(parse_domain(text)) for text in texts])


@pytest.mark.parametrize(
    ("patterns", "pairs"),
    [
        (("a.b", "x.a.b"), [(1, 0)]),
        (("x.a.b", "a.b"), [(0, 1)]),
        (("*.a.b", "a.b"), [(0, 1)]),
        (("=a.b", "*.a.b"), []),
        (("keyword:a", "=xay", "=b"), [(1, 0)]),
        (("regex:a", "regex:a", "=a"), [(1, 0)]),
        (("a.b", "b.c", "c.d"), []),
    ],
)
def test_a_covered_pattern_is_paired_with_its_cover(patterns: tuple[str, ...], pairs: list[tuple[int, int]]) -> None:
    assert domains(*patterns).pairs() == pairs


def test_of_two_equal_ones_the_later_is_too_many() -> None:
    assert NameCovers([sni_atoms("*"), sni_atoms("**")]).pairs() == [(1, 0)]


def test_empty_patterns_are_in_nothing() -> None:
    assert NameCovers([(), ()]).pairs() == []


def test_what_an_exclusion_can_touch() -> None:
    covers = NameCovers([sni_atoms("*.a.b"), sni_atoms("c*")])
    assert covers.may_touch(sni_atoms("x.a.b")[0])
    assert covers.may_touch(sni_atoms("cc")[0])
    assert covers.may_touch(sni_atoms("*.d")[1])  # c.d
    assert not covers.may_touch(sni_atoms("d.b")[0])
    assert not NameCovers([sni_atoms("*.a.b")]).may_touch(sni_atoms("*.c.b")[1])


def test_too_many_to_compare_are_in_doubt_touched() -> None:
    many = domains(*[f"=h{at}.b" for at in range(MOST_OTHERS + 1)])
    assert many.may_touch(("only", "never.seen"))
