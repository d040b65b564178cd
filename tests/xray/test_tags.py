"""Names of nodes inside Xray."""

from __future__ import annotations

import pytest

from netpolicy.xray.tags import LONGEST, RESERVED, Tags


def taken(*labels: str) -> list[str]:
    tags = Tags()
    return [tags.take(label, number) for number, label in enumerate(labels, 1)]


def test_equal_labels_are_numbered() -> None:
    assert taken("A", "A", "", "A") == ["A", "A-2", "proxy-3", "A-3"]


def test_a_label_that_looks_like_a_numbered_one_gets_out_of_the_way() -> None:
    assert taken("A-2", "A", "A", "proxy-5", "") == ["A-2", "A", "A-3", "proxy-5", "proxy-5-2"]


@pytest.mark.parametrize("label", sorted(RESERVED))
def test_no_node_is_called_like_something_of_ours(label: str) -> None:
    assert taken(label) == [f"{label}-2"]


@pytest.mark.parametrize("label", ["d", "dir", "r", "reje", "di" * 1])
def test_no_node_brings_direct_or_reject_into_its_balancer(label: str) -> None:
    """Xray's selectors are beginnings of tags."""
    (tag,) = taken(label)
    assert not "direct".startswith(tag) and not "reject".startswith(tag)


@pytest.mark.parametrize(
    ("label", "tag"),
    [
        ("  a \t b  ", "a b"),
        ("a\x1b[31mb", "a [31mb"),
        ("\u202ereversed", "reversed"),
        ("\n\x00", "proxy-1"),
        ("x" * 500, "x" * LONGEST),
    ],
)
def test_tags_are_printable_and_short(label: str, tag: str) -> None:
    assert taken(label) == [tag]


def test_a_thousand_equal_labels_are_a_thousand_tags() -> None:
    assert len(set(taken(*["A"] * 1000))) == 1000
