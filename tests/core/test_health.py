"""The step from one state to the next; the table itself is in the vectors."""

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.health import NORMAL, STATES, Thresholds, step

SAMPLES = st.one_of(st.none(), st.floats(0, 1000))


@given(st.sampled_from(STATES), SAMPLES, SAMPLES)
def test_every_sample_leads_to_a_state(state, latency_ms, error_rate):
    assert step(state, latency_ms, error_rate) in STATES


@given(st.sampled_from(STATES))
def test_two_good_samples_are_always_enough(state):
    assert step(step(state, None, None), None, None) == NORMAL


def test_thresholds_are_strict_and_can_be_chosen():
    assert not Thresholds(10, 0.5).is_bad(10, 0.5)
    assert Thresholds(10, 0.5).is_bad(11, None)
    assert Thresholds(10, 0.5).is_bad(None, 0.51)
