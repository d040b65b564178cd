"""What went wrong, for a person."""

from __future__ import annotations

import errno

import pytest

from netpolicy.service.failures import fault_in_words, in_words


def test_errors_are_one_sentence() -> None:
    assert in_words(OSError(errno.EACCES, "Permission denied", "/x")) == "cannot write /x: Permission denied"
    assert in_words(ValueError("no")) == "no"


def test_a_fault_is_told_with_the_innermost_place() -> None:
    def deep() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError) as raised:
        deep()
    place = f"test_failures.py:{deep.__code__.co_firstlineno + 1}"
    assert fault_in_words(raised.value) == f"a fault in netpolicy at {place}, please report it: KeyError: 'x'"
    assert fault_in_words(ValueError("no")) == "a fault in netpolicy, please report it: ValueError: no"
