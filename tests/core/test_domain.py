"""Patterns on the names behind an address."""

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
        ("*.example.com", ["a.example.com", "a.b.example.com"], ["example.com", "xexample.com", ".example.com"[1:]]),
        ("keyword:track", ["a.tracker.com", "track"], ["trac.k"]),
        (r"regex:^ad\d+\.", ["ad1.example.com"], ["bad1.example.com"]),
    ],
)
def test_each_kind_means_what_the_rules_say(text, hits, misses):
    pattern = parse_domain(text)
    assert all(pattern.matches(name) for name in hits)
    assert not any(pattern.matches(name) for name in misses)


def test_the_canonical_text_is_in_lower_case_without_the_root_dot():
    texts = {text: parse_domain(text).text for text in ("Example.COM.", "= A.b", "*.A.b.", "KEYWORD:Ad", r"regex:^A\D")}
    assert texts == {
        "Example.COM.": "example.com", "= A.b": "=a.b", "*.A.b.": "*.a.b", "KEYWORD:Ad": "keyword:ad",
        r"regex:^A\D": r"regex:^A\D",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("münchen.de", "xn--"), ("http://example.com", "without http"), ("example.com/path", "without http"),
        ("192.0.2.1", "dest_addr"), ("*", "*.example.com"), ("a*b.com", "*.example.com"), ("*.*.com", "*.example.com"),
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


LABELS = st.sampled_from(["a", "b", "com", "x-1"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.one_of(NAMES, NAMES.map("={}".format), NAMES.map("*.{}".format), LABELS.map("keyword:{}".format))


@given(st.lists(PATTERNS, max_size=6), NAMES)
def test_a_set_of_patterns_answers_as_they_do_one_by_one(texts, name):
    patterns = tuple(parse_domain(text) for text in texts)
    assert DomainSet(patterns).matches(name) == any(pattern.matches(name) for pattern in patterns)
