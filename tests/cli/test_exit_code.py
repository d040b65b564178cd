"""The exit codes are a contract: nobody changes one by accident."""

from netpolicy.cli import exit_code
from netpolicy.cli.exit_code import Failure


def test_the_numbers_are_the_documented_ones() -> None:
    names = ("FINE", "FINDINGS", "CHANGES_PENDING", "USAGE", "INTERNAL", "INTERRUPTED", "READER_LEFT")
    assert [getattr(exit_code, name) for name in names] == [0, 1, 2, 64, 70, 130, 141]


def test_a_failure_is_a_negative_answer_unless_it_says_otherwise() -> None:
    assert Failure("text").code == 1
