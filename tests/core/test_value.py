"""The one error that core raises for what a person wrote."""

from netpolicy.core.value import ValueProblem


def test_a_problem_carries_what_is_wrong_and_what_to_write():
    problem = ValueProblem("wrong", "right")
    assert isinstance(problem, ValueProblem)
    assert (str(problem), problem.text, problem.hint) == ("wrong", "wrong", "right")
