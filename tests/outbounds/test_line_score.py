"""Latency, how much it varies, and loss, of the answers of some rounds."""

from __future__ import annotations

from netpolicy.outbounds.check_line import FAILED, PASSED, Answer
from netpolicy.outbounds.check_target import parse_target
from netpolicy.outbounds.line_score import REMEMBERED, Scores

PING, OTHER = parse_target("ping:192.0.2.1"), parse_target("ping:192.0.2.2")
PAGE = parse_target("http:http://192.0.2.3/")


def passed(milliseconds: float) -> Answer:
    return Answer(PASSED, "", "", milliseconds)


LOST = Answer(FAILED, "timeout", "no answer")


def test_before_an_answer_nothing_is_known():
    scores = Scores([PING])
    assert (scores.latency_ms, scores.jitter_ms, scores.loss) == (None, None, None)
    scores.note([(PING, LOST)])
    assert (scores.latency_ms, scores.jitter_ms) == (None, None) and scores.loss == 1 / REMEMBERED


def test_a_steady_line_has_no_jitter_however_slow_it_is_and_one_that_changes_has():
    steady, changing = Scores([PING]), Scores([PING])
    for number in range(40):
        steady.note([(PING, passed(300))])
        changing.note([(PING, passed(30 + 20 * (number % 2)))])
    assert (steady.latency_ms, steady.jitter_ms) == (300, 0)
    assert changing.jitter_ms == 20 and 35 < (changing.latency_ms or 0) < 45


def test_a_round_without_an_answer_moves_neither():
    scores = Scores([PING])
    for answer in (passed(30), LOST, passed(34)):
        scores.note([(PING, answer)])
    assert (scores.latency_ms, scores.jitter_ms) == (31, 4)


def test_a_pages_time_counts_where_nothing_else_answers():
    scores = Scores([PING, PAGE])
    scores.note([(PING, passed(20)), (PAGE, passed(900))])
    assert scores.latency_ms == 20
    scores = Scores([PING, PAGE])
    scores.note([(PING, LOST), (PAGE, passed(900))])
    assert scores.latency_ms == 900


def test_one_target_that_is_dead_is_no_loss_and_what_is_told_is_forgotten():
    scores = Scores([PING, OTHER])
    for answer in (passed(1), LOST):
        scores.note([(PING, answer), (OTHER, LOST)])
    assert scores.loss == 1 / REMEMBERED
    scores.forget_losses()
    scores.note([(PING, passed(1))])
    assert scores.loss == 0
