"""Names are found label by label, from the end, and no other way."""

import pytest

from netpolicy.core.field import parse_field
from netpolicy.core.field_name import Domains, Names
from netpolicy.core.index_column import Groups, ranks_of
from netpolicy.core.index_name import DOMAIN_SUFFIX, KINDS, is_exact_key, name_steps, wanted_of


def rows(*names: str) -> tuple[dict, bool]:
    """The table of groups that want one name each, and everything under it."""
    groups = Groups()
    for number, name in enumerate(names):
        groups.add(number, parse_field("domain", (name,)), (number, None, None, None, None))
        groups.note_keys(number, 1)
    steps = name_steps([(number * KINDS + DOMAIN_SUFFIX, (name,)) for number, name in enumerate(names)], groups)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_every_parent_down_to_two_labels_has_a_row() -> None:
    table, tops = rows("a.b.c.example.com", "example.com", "example.org")
    assert sorted(table) == ["a.b.c.example.com", "b.c.example.com", "c.example.com", "example.com", "example.org"]
    assert [name for name in sorted(table) if table[name][4]] == ["b.c.example.com", "c.example.com", "example.com"]
    assert not tops


def test_a_name_that_two_groups_want_has_the_rules_of_both() -> None:
    table, _ = rows("example.com", "example.com")
    assert list(ranks_of([table["example.com"][0]])) == [0, 1]


def test_names_of_one_label_are_told() -> None:
    assert rows("com")[1]
    assert rows("localhost", "example.com")[1]


@pytest.mark.parametrize(
    ("name", "values", "words", "literals", "is_complete", "is_exact"),
    [
        ("domain", ("example.com", "=a.b", "*.c.d"), ["a.b", "c.d", "example.com"], [], True, True),
        ("domain", ("example.com", "!a.example.com"), ["example.com"], [], True, False),
        ("domain", ("keyword:track", "regex:^ads[0-9]"), [], ["track", "ads"], True, False),
        ("domain", ("regex:[0-9]",), [], [], False, False),
        ("sni", ("a.b", "*.c.d", "localhost"), ["a.b", "c.d", "localhost"], [], True, True),
        ("sni", ("a.b", "!c.d"), ["a.b"], [], True, False),
        ("sni", ("exam*", "*ample", "*xam*", "*.com*", "*..com", "a..b"), [],
         ["exam", "ample", "xam", ".com", ".com", "a..b"], True, False),
        ("sni", ("*", "co*"), [], [], False, False),
    ],
)  # fmt: skip
def test_what_a_field_wants(
    name: str, values: tuple[str, ...], words: list[str], literals: list[str], is_complete: bool, is_exact: bool
) -> None:
    field = parse_field(name, values)
    assert isinstance(field, (Domains, Names))
    wanted = wanted_of(field)
    assert wanted is not None
    assert sorted(word for _, some in wanted.words for word in some) == words
    assert (wanted.literals, wanted.is_complete, is_exact_key(field)) == (literals, is_complete, is_exact)


def test_a_field_that_only_excludes_wants_nothing() -> None:
    assert wanted_of(parse_field("domain", ("!example.com",))) is None
    assert wanted_of(parse_field("sni", ("!example.com",))) is None
    assert wanted_of(parse_field("proto", ("tcp",))) is None
