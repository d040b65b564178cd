"""Which name patterns contain which: held against names that match or do not."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.config.analysis_name import (
    ALL,
    ENDS,
    ONLY,
    NameSet,
    Open,
    are_apart,
    contains,
    domain_atoms,
    ends_of,
    may_hold,
    name_set,
    sni_atoms,
)
from netpolicy.core.domain import parse_domain
from netpolicy.core.field import parse_field
from netpolicy.core.field_name import name_matches
from netpolicy.core.named_list import Lists, NamedList

SNI = ("a.b", "*.a.b", "*.b", "*b", "a*", "a.b*", "*a*", "*.a*", "*", "b", "x.a.b", "**")
DOMAINS = ("a.b", "=a.b", "*.a.b", "b", "=x.a.b", "keyword:a", "keyword:a.b", "regex:^a", "regex:b$", "x.a.b")

LABELS = ("a", "b", "x", "xa", "ab", "c")
SAMPLE = tuple(
    ".".join(parts) for length in (1, 2, 3) for parts in itertools.product(LABELS, repeat=length)
)  # every short name of a few labels


@pytest.mark.parametrize("pattern", SNI)
def test_sni_atoms_hold_what_the_pattern_matches(pattern: str) -> None:
    for name in SAMPLE:
        assert any(may_hold(atom, name) for atom in sni_atoms(pattern)) == name_matches(pattern, name)


@pytest.mark.parametrize("pattern", DOMAINS)
def test_domain_atoms_hold_what_the_pattern_matches(pattern: str) -> None:
    parsed = parse_domain(pattern)
    for name in SAMPLE:
        assert any(may_hold(atom, name) for atom in domain_atoms(parsed)) == parsed.matches(name)


ATOMS = tuple(dict.fromkeys([a for p in SNI for a in sni_atoms(p)] + [a for p in DOMAINS for a in domain_atoms(parse_domain(p))]))  # fmt: skip  # noqa: E501


@pytest.mark.parametrize(("outer", "inner"), list(itertools.product(ATOMS, ATOMS)))
def test_one_set_contains_another_as_names_show(outer, inner) -> None:
    shown = all(may_hold(outer, name) for name in SAMPLE if may_hold(inner, name))
    if contains(outer, inner):
        assert shown
    elif "expression" not in (outer[0], inner[0]):
        # Names that the sample lacks: with letters of no pattern before and behind.
        text = inner[1]
        extended = (text, "q" + text, text + "q", "q" + text + "q", "q.q")
        assert not all(may_hold(outer, name) for name in (*SAMPLE, *extended) if may_hold(inner, name))
    if are_apart(outer, inner):
        assert not any(may_hold(outer, name) and may_hold(inner, name) for name in SAMPLE)


values = st.lists(st.sampled_from(SNI) | st.sampled_from(SNI).map("!".__add__), min_size=1, max_size=3)
domains = st.lists(st.sampled_from(DOMAINS) | st.sampled_from(DOMAINS).map("!".__add__), min_size=1, max_size=3)


@given(st.tuples(st.just("sni"), values, values) | st.tuples(st.just("domain"), domains, domains))
def test_what_a_field_covers_it_matches(case) -> None:
    name, mine, others = case
    inner, outer = parse_field(name, tuple(mine)), parse_field(name, tuple(others))
    inner_set, outer_set = name_set(inner, {}), name_set(outer, {})
    for atom in inner_set.wanted:
        if outer_set.covers(atom, inner_set):
            for one in SAMPLE:
                if may_hold(atom, one) and inner.matches(one):
                    assert outer.matches(one), (atom, one)
    if inner_set.is_empty:
        assert not any(inner.matches(one) for one in SAMPLE)


@pytest.mark.parametrize(
    ("mine", "others", "covered"),
    [
        (("*.a.b",), ("*.b", "!x.a.b"), False),
        (("*.a.b", "!x.a.b"), ("*.b", "!x.a.b"), True),
        (("*.a.b", "!*.x.a.b"), ("*.b", "!x.a.b"), False),
        (("=a.b",), ("*.b", "!x.a.b"), True),
        (("*.a.b",), ("!c.d",), True),
        (("*.a.b",), ("!keyword:x",), False),
    ],
)
def test_what_the_wider_set_excludes_must_be_excluded_too(mine, others, covered) -> None:
    inner, outer = (name_set(parse_field("domain", values), {}) for values in (mine, others))
    assert all(outer.covers(atom, inner) for atom in inner.wanted) == covered


def test_a_list_counts_as_its_entries_unless_it_may_change() -> None:
    closed, grown = NamedList("c", ("a.b",)), NamedList("g", ("a.b",), url="https://lists.example/g")
    lists = {"c": closed, "g": grown}
    made = name_set(parse_field("domain", ("@c",), Lists((closed,))), lists)
    assert made.wanted == ((ONLY, "a.b"), (ENDS, ".a.b"))
    with pytest.raises(Open):
        name_set(parse_field("domain", ("@g",), Lists((grown,))), lists)


def test_exclusions_alone_start_from_everything() -> None:
    assert name_set(parse_field("sni", ("!a",)), {}).wanted == ((ALL, ""),)
    assert not NameSet(((ALL, ""),), ((ONLY, "a"),)).is_empty


def test_ends_begin_with_a_dot() -> None:
    assert ends_of("a.b.c") == [".b.c", ".c"]
    assert ends_of(".b.c") == [".b.c", ".c"]
    assert ends_of("a") == []
