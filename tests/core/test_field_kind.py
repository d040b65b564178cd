"""Fields of numbers and words: what each kind takes and means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.field import parse_field
from netpolicy.core.value import ValueProblem

PORTS = st.integers(0, 65535)


@given(st.lists(st.tuples(st.booleans(), PORTS, PORTS), min_size=1, max_size=6), PORTS)
def test_ports_are_the_wanted_without_the_unwanted(parts, port):
    texts, wanted, unwanted = [], set(), set()
    for negated, one, other in parts:
        low, high = sorted((one, other))
        texts.append(f"{'!' if negated else ''}{low}-{high}")
        (unwanted if negated else wanted).update(range(low, high + 1))
    field = parse_field("dest_port", (",".join(texts),))
    expected = (not wanted or port in wanted) and port not in unwanted
    assert field.matches(port) == expected


@given(st.sampled_from([">", "<", ">=", "<=", "==", "="]), st.integers(0, 300), st.integers(0, 300))
def test_comparators_compare(operator, bound, seen):
    python = {"=": "=="}.get(operator, operator)
    assert parse_field("latency_ms", (f"{operator} {bound}",)).matches(seen) == eval(f"{seen} {python} {bound}")


@pytest.mark.parametrize(
    "text", ["=>120", "> =120", "<>5", ">120ms", ">-1", ">1_0", ">=", ">4294967296", "120", "!=5", ">１"]
)
def test_a_comparator_that_could_never_match_is_refused(text):
    with pytest.raises(ValueProblem):
        parse_field("rtt_ms", (text,))


def test_words_exclude_and_include():
    field = parse_field("src_mac", ("02-00-00-00-00-0A", "!02:00:00:00:00:0b"))
    assert field.matches("02:00:00:00:00:0a")
    assert not field.matches("02:00:00:00:00:0b")
    assert not parse_field("family", ("!ipv6",)).matches(6)


def test_a_schedule_is_met_by_the_names_that_are_active():
    field = parse_field("schedule", ("evening", "!holiday"))
    assert field.matches(("evening", "school"))
    assert not field.matches(("evening", "holiday"))
    assert not field.matches(())


def test_shares_compare_alike_in_percent_and_as_decimals():
    for text in (">5%", ">0.05", "> 0.050"):
        field = parse_field("error_rate", (text,))
        assert field.matches(0.051)
        assert not field.matches(0.05)
    for text in (">1.1", ">101%", ">5", ">0.00000001", ">%", "5%"):
        with pytest.raises(ValueProblem):
            parse_field("loss", (text,))
