"""Patterns on the names behind an address."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.domain import DomainSet, parse_domain
from netpolicy.core.value import ValueProblem


@pytest.mark.parametrize(
    ("text", "hits", "misses"),
    [
        ("example.com", ["example.com", "a.example.com", "a.b.example.com"], ["evilexample.com", "example.org", "com"]),
        ("=example.com", ["example.com"], ["a.example.com"]),
        ("*.example.com", ["a.example.com", "a.b.example.com"], ["example.com", "xexample.com", ".example.com"]),
        ("keyword:track", ["a.tracker.com", "track"], ["trac.k"]),
        (r"regex:^ad\d+\.", ["ad1.example.com"], ["bad1.example.com"]),
    ],
)
def test_each_kind_means_what_the_rules_say(text, hits, misses):
    pattern = parse_domain(text)
    assert all(pattern.matches(name) for name in hits)
    assert not any(pattern.matches(name) for name in misses)


def test_the_canonical_text_is_in_lower_case_without_the_root_dot():
    texts = {
        text: parse_domain(text).text for text in ("Example.COM.", "= A.b", "*.A.b.", "KEYWORD:Ad", r" Regex:^A\D ")
    }
    assert texts == {
        "Example.COM.": "example.com", "= A.b": "=a.b", "*.A.b.": "*.a.b", "KEYWORD:Ad": "keyword:ad",
        r" Regex:^A\D ": r"regex:^A\D",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("münchen.de", "xn--"), ("http://example.com", "without http"), ("example.com/path", "without http"),
        ("192.0.2.1", "dest_addr"), ("192.0.2.0/24", "dest_addr"), ("10.0.0.1-10.0.0.9", "dest_addr"),
        ("2001:db8::1", "dest_addr"), ("2001:DB8::/32", "dest_addr"), ("[::1]", "dest_addr"),
        ("fe80::1%lan", "dest_addr"), ("=192.0.2.1", "dest_addr"), ("http://192.0.2.1/", "without http"),
        ("example.com:443", "port"),
        ("*example.com", "*.example.com"), ("=*.a.com", "*.example.com"), ("*.", "example.com"),
        ("a*", "*.example.com"), ("a\x00.com", "example.com"), ("keyword:" + "a" * 64, "keyword:tracker"),
        ("=m\u00fcnchen.de", "xn--"), ("regex:" + "a" * 257, "two"), ("regex:", "regex:^ad"),
        ("*", "*.example.com"), ("a*b.com", "*.example.com"), ("*.*.com", "*.example.com"),
        ("", "example.com"), (".", "example.com"), ("a..b", "example.com"), ("-a.com", "example.com"),
        ("a-.com", "example.com"), ("a b.com", "example.com"), ("a" * 64 + ".com", "example.com"),
        (".".join(["a" * 60] * 5), "example.com"), ("keyword:", "keyword:tracker"), ("keyword:a b", "keyword:tracker"),
        ("regex:(", "subset"),
    ],
)  # fmt: skip
def test_what_is_no_domain_is_refused_with_what_to_write(text, hint):
    with pytest.raises(ValueProblem) as refused:
        parse_domain(text)
    assert hint in refused.value.hint


@pytest.mark.parametrize("start", ["", "=", "*.", "keyword:", "regex:", "\u00e4"])
def test_a_text_of_any_length_is_refused_in_few_words(start):
    with pytest.raises(ValueProblem) as refused:
        parse_domain(start + "a" * 1_000_000)
    assert len(refused.value.text) + len(refused.value.hint) < 200


def test_the_longest_name_and_label_are_accepted():
    name = ".".join(["a" * 63] * 3 + ["b" * 61])
    assert len(name) == 253
    assert parse_domain(name + ".").matches("x." + name)
    with pytest.raises(ValueProblem):
        parse_domain(name + "b")


@given(st.text(max_size=60))
def test_any_text_is_a_pattern_or_is_refused_and_its_canonical_text_stays(text):
    with contextlib.suppress(ValueProblem):
        pattern = parse_domain(text)
        again = parse_domain(pattern.text)
        assert (again.kind, again.text, again.word) == (pattern.kind, pattern.text, pattern.word)


LABELS = st.sampled_from(["a", "b", "com", "x-1"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.one_of(
    NAMES,
    NAMES.map("={}".format),
    NAMES.map("*.{}".format),
    LABELS.map("keyword:{}".format),
    LABELS.map("regex:^{}[.]".format),
)
# What is seen may be no name at all.
SEEN = st.one_of(NAMES, st.text("ab.", max_size=8), NAMES.map(".{}".format), NAMES.map(("b." * 200 + "{}").format))


@given(st.lists(PATTERNS, max_size=6), SEEN)
def test_a_set_of_patterns_answers_as_they_do_one_by_one(texts, name):
    patterns = tuple(parse_domain(text) for text in texts)
    assert DomainSet(patterns).matches(name) == any(pattern.matches(name) for pattern in patterns)


@pytest.mark.timeout(60)  # it would take for ever
def test_a_name_of_a_million_labels_takes_no_time():
    longest = ".".join(["a" * 63] * 3 + ["b" * 61])
    names = DomainSet((parse_domain("*.example.com"), parse_domain(longest)))
    assert not names.matches("a." * 1_000_000 + "example.org")
    assert names.matches("a." * 1_000_000 + longest)


def test_sets_hold_the_same_when_nothing_of_them_differs():
    def made(*texts, lists=()):
        return DomainSet(tuple(parse_domain(text) for text in texts), lists)

    one = made("a.example", "=b.example", "*.c.example", "keyword:ads", lists=(made("d.example"),))
    assert one.holds_the_same(made("a.example", "=b.example", "*.c.example", "keyword:ads", lists=(made("d.example"),)))
    for other in (
        made("a.example"),
        made("a.example", "=b.example", "*.x.example", "keyword:ads", lists=(made("d.example"),)),
        made("a.example", "=b.example", "*.c.example", "keyword:ad", lists=(made("d.example"),)),
        made("a.example", "=b.example", "*.c.example", "keyword:ads", lists=(made("e.example"),)),
        made("a.example", "=b.example", "*.c.example", "keyword:ads"),
    ):
        assert not one.holds_the_same(other)
