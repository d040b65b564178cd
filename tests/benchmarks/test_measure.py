"""Turns, medians and ratios, with samples that are made up."""

from __future__ import annotations

import pytest

from benchmarks.measure import Options, Ratio, Result, Turns, order, run, spread


def told(values: list[float]) -> tuple[list[float], object]:
    """A sample that gives these values, the first of them to warm up, and what is left of them."""
    left = list(values)
    return left, lambda: left.pop(0)


def test_a_ratio_is_the_median_of_the_ratios_of_neighbours() -> None:
    # The machine becomes twice as slow in the second round: the ratio does not notice.
    _, ours = told([9.0, 1.0, 2.0, 1.0])
    _, theirs = told([9.0, 2.0, 4.0, 2.0])
    turns = Turns("s", {"a": ours, "b": theirs}, (Ratio("a", "a", "b"),))  # type: ignore[dict-item]
    found = {result.name: result for result in run(turns, Options(rounds=3))}
    assert found["a"] == Result("a", 1.0, "s", 0.5, "b", 0.0)
    assert found["b"].ratio is None and found["b"].against is None and found["b"].spread > 0


def test_samples_are_taken_in_turn_and_backwards_every_second_time() -> None:
    taken: list[str] = []
    turns = Turns("s", {name: lambda name=name: taken.append(name) or 1.0 for name in "ab"}, parts=2)  # type: ignore
    run(turns, Options(rounds=1))
    assert "".join(taken) == "ab" + "ab" + "ba"


@pytest.mark.parametrize(("best", "kept"), [(min, 1.0), (max, 3.0)])
def test_a_round_keeps_its_best_part(best: object, kept: float) -> None:
    _, sample = told([9.0, 2.0, 3.0, 1.0])
    turns = Turns("s", {"a": sample}, parts=3, best=best)  # type: ignore[arg-type,dict-item]
    assert [result.value for result in run(turns, Options(rounds=1))] == [kept]


def test_what_is_counted_is_taken_once() -> None:
    left, sample = told([7.0, 8.0])
    assert run(Turns("MB", {"a": sample}, counts=("a",)), Options())[0].value == 7.0  # type: ignore[dict-item]
    assert left == [8.0]


def test_turns_are_closed_also_when_a_sample_fails() -> None:
    closed: list[bool] = []
    with pytest.raises(ZeroDivisionError):
        run(Turns("s", {"a": lambda: 1 / 0}, close=lambda: closed.append(True)), Options())
    assert closed == [True]


def test_the_spread_is_that_of_the_middle_eight_tenths() -> None:
    assert spread([float(number) for number in range(1, 12)]) == pytest.approx(8 / 6)
    assert spread([5.0]) == 0.0


def test_names_are_put_in_the_order_of_their_numbers() -> None:
    names = ["path/new/1000", "path/new/linear/10", "path/new/10", "path/new/10/vs/linear", "path/new/100"]
    assert sorted(names, key=order) == [
        "path/new/10", "path/new/10/vs/linear", "path/new/100", "path/new/1000", "path/new/linear/10",
    ]  # fmt: skip
