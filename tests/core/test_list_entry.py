"""Entries of lists: what is meant as an address, what as a name, and what is neither."""

from __future__ import annotations

import pytest

from netpolicy.core.list_entry import looks_like_address, parse_entry
from netpolicy.core.value import ValueProblem


@pytest.mark.parametrize(
    "text",
    ["192.0.2.1", "192.0.2.0/24", "192.0.2.1-192.0.2.9", "::1", "2001:db8::/32", "::1-::2", "1.2.3", "192.0.2.0/33"],
)
def test_what_is_meant_as_an_address_is_read_as_one(text):
    assert looks_like_address(text)


@pytest.mark.parametrize(
    "text", ["a.b", "1.example", "keyword:a", "regex:a:b", "1-2.example", "=1.2.3.4", "*.1", "localhost"]
)
def test_what_is_meant_as_a_name_is_not(text):
    assert not looks_like_address(text)


@pytest.mark.parametrize(
    "text", ["", "  ", "!192.0.2.1", "@names", "192.0.2.1/24", "1.2.3", "a..b", "http://a.example", "10"]
)
def test_what_is_no_entry_is_refused(text):
    with pytest.raises(ValueProblem):
        parse_entry(text)
