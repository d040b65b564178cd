"""Which sets want a name: the same that the fields themselves say, however many there are."""

from __future__ import annotations

import pytest

from netpolicy.core.field import parse_field
from netpolicy.core.named_list import Lists, NamedList
from netpolicy.dataplane.learned_sets import base_name
from netpolicy.service.name_index import NameIndex, heirs

LISTS = Lists((NamedList("long", (*[f"n{number}.long.example" for number in range(100)], "=b.test")),))
FIELDS = {
    base_name(field): field
    for field in (
        parse_field("domain", ("example.com", "=one.test")),
        parse_field("domain", ("*.example.com",)),
        parse_field("domain", ("example.com", "!ads.example.com")),
        parse_field("domain", ("keyword:vid", "regex:^x[0-9]+\\.")),
        parse_field("domain", ("@long",), LISTS),
        parse_field("sni", ("*.example.com", "exact.test")),
        parse_field("sni", ("*video*",)),
    )
}
NAMES = ("example.com", "a.example.com", "x.ads.example.com", "ads.example.com", "one.test", "a.one.test", "exact.test",
         "a.exact.test", "vid.test", "x7.test", "n5.long.example", "a.n5.long.example", "b.test", "long.example",
         "badexample.com", "EXAMPLE.com.", "my.video.test", "com", "a..example.com")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_index_says_what_the_fields_say(name: str) -> None:
    wanted = {base for base, field in FIELDS.items() if field.matches(name)}
    assert set(NameIndex(FIELDS).bases(name)) == wanted


def test_no_field_wants_nothing() -> None:
    assert NameIndex({}).bases("example.com") == ()


@pytest.mark.parametrize(
    ("before", "after", "name", "is_heir"),
    [
        ("a.test", "b.test a.test", "domain", True),
        ("b.test a.test", "a.test b.test", "domain", True),  # another order is another set
        ("a.test !x.a.test", "a.test", "domain", True),
        ("a.test !x.a.test", "a.test !x.a.test @long", "domain", True),
        ("a.test", "a.test !x.a.test", "domain", False),
        ("a.test b.test", "a.test", "domain", False),
        ("!a.test", "b.test", "domain", False),
        ("a.test", "a.test", "sni", False),
        ("a.test", "a.test", "domain", False),  # it is the same set
    ],
)
def test_a_set_is_handed_down_to_a_question_that_wants_all_of_it(before, after, name, is_heir) -> None:
    old, new = parse_field("domain", tuple(before.split()), LISTS), parse_field(name, tuple(after.split()), LISTS)
    expected = {base_name(old): [base_name(new)]} if is_heir else {}
    assert heirs({base_name(old): old}, {base_name(new): new}) == expected
