"""Fields as ranges of numbers: the same facts satisfy both."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.config.analysis_side import (
    LIMITS_OF,
    NEVER_STEERED,
    OFFSET,
    UNKNOWN,
    WEEK,
    Sides,
    everything,
    holds,
    measured,
    minutes_of,
    within,
)
from netpolicy.core.address import V6
from netpolicy.core.calendar import MIDNIGHT, Schedule
from netpolicy.core.facts import parse_facts
from netpolicy.core.field import parse_field
from netpolicy.core.ranges import merge
from netpolicy.core.share import MILLION

SCHEDULES = (Schedule("night", (0, 6), 22 * 60, 6 * 60), Schedule("day", (1, 2, 3), 8 * 60, 24 * 60))


@pytest.mark.parametrize(
    ("field", "values", "facts"),
    [
        ("dest_port", ("1-9", "!5"), ("0", "1", "5", "9", "10")),
        ("proto", ("!tcp",), ("tcp", "udp", "0", "255")),
        (
            "dest_addr",
            ("192.0.2.0/24", "2001:db8::/32", "!192.0.2.7"),
            ("192.0.2.7", "192.0.2.8", "2001:db8::1", "::1"),
        ),
        ("src_addr", ("!192.0.2.0/24",), ("192.0.2.1", "192.0.3.1", "::")),
        ("family", ("!ipv4",), ("ipv4", "ipv6")),
        ("src_iface", ("!lan",), ("lan", "wan", "never-met")),
        ("src_iface", ("lan", "wan", "!wan"), ("lan", "wan", "never-met")),
        ("latency_ms", (">120",), ("120", "120.5", "121")),
        ("latency_ms", ("<1",), ("0", "0.5", "1")),
        ("rtt_ms", ("==5",), ("4.5", "5", "5.5")),
        ("loss", (">5%",), ("0.05", "0.050001", "0.06", "1")),
        ("error_rate", ("<=100%",), ("0", "1")),
    ],
)
def test_a_side_holds_what_the_field_matches(field: str, values: tuple[str, ...], facts: tuple[str, ...]) -> None:
    made = parse_field(field, values)
    sides = Sides()
    side = sides(made)
    assert side is not None and side == merge(side)
    for text in facts:
        fact = getattr(parse_facts({field: text}), field)
        assert holds(side, number_of(sides, field, fact)) == made.matches(fact), text


def number_of(sides: Sides, field: str, fact: object) -> int:
    """The number that stands for a fact on its line."""
    if field == "src_iface":
        return sides.number(fact)
    if isinstance(fact, tuple):
        return OFFSET[fact[0]] + fact[1]
    if field in ("loss", "error_rate", "latency_ms", "rtt_ms"):
        exact = float(str(fact)) * (MILLION if field in ("loss", "error_rate") else 1)
        return 2 * int(exact) + (exact != int(exact))
    return int(str(fact))


@pytest.mark.parametrize("values", [("night",), ("!night",), ("night", "day"), ("day", "!night")])
def test_schedules_are_minutes_of_the_week(values: tuple[str, ...]) -> None:
    field = parse_field("schedule", values)
    side = Sides(SCHEDULES)(field)
    assert side is not None
    for minute in range(0, WEEK, 7):
        active = tuple(one.name for one in SCHEDULES if one.is_active(minute // MIDNIGHT, minute % MIDNIGHT))
        assert holds(side, minute) == field.matches(active)


def test_the_minutes_of_a_schedule_stay_in_the_week() -> None:
    assert minutes_of(Schedule("n", (6,), 23 * 60, 60)) == ((0, 59), (6 * MIDNIGHT + 23 * 60, WEEK - 1))
    assert minutes_of(Schedule("n", (0,), 23 * 60, 0)) == ((23 * 60, MIDNIGHT - 1),)


def test_names_and_unknown_schedules_are_no_side() -> None:
    assert Sides()(parse_field("sni", ("a.example",))) is None
    assert Sides()(parse_field("schedule", ("night",))) is None


def test_comparators_that_nothing_satisfies_are_empty() -> None:
    assert measured(parse_field("latency_ms", ("<0",))) == ()
    assert measured(parse_field("loss", (">100%",))) == ()
    assert measured(parse_field("loss", (">=0",))) == ((0, 2 * MILLION),)


def test_everything_has_the_unknown_too() -> None:
    for name in LIMITS_OF:
        assert holds(everything(name), UNKNOWN)
    assert not holds(everything("family"), 5)


def test_what_is_never_steered_has_both_families() -> None:
    assert holds(NEVER_STEERED, 0x7F000001) and holds(NEVER_STEERED, OFFSET[V6] + 1)
    assert not holds(NEVER_STEERED, 0xC0000201)


pairs = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda pair: (min(pair), max(pair)))).map(merge)


@given(pairs, pairs)
def test_within_is_inclusion_of_sets(inner, outer) -> None:
    def numbers(side):
        return {number for low, high in side for number in range(low, high + 1)}

    assert within(inner, outer) == (numbers(inner) <= numbers(outer))
    assert all(holds(inner, number) == (number in numbers(inner)) for number in range(-1, 22))
