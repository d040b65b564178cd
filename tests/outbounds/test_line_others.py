"""Which servers of clients are asked when no target answers, how seldom, and what their answers mean."""

from __future__ import annotations

from netpolicy.dataplane.policy import Hop
from netpolicy.outbounds.check_line import FAILED, PASSED, REFUSED, TIMEOUT, UNKNOWN, Answer, Line
from netpolicy.outbounds.line_evidence import Evidence
from netpolicy.outbounds.line_others import Others

LINE = Line("wan", "wana", 0, (Hop(4, "192.0.2.1"),))
SILENT, REFUSING = Answer(FAILED, TIMEOUT, "no answer"), Answer(FAILED, REFUSED, "refused")


def others(*ends: tuple[str, int]) -> Others:
    evidence = Evidence()
    for number, end in enumerate(ends):
        evidence.began(number, "desk", end, 0.0)
        evidence.answered(number)
    return Others(LINE, evidence)


def test_two_of_a_family_that_the_line_has_are_asked_seldom_unless_it_matters():
    known = others(("203.0.113.1", 443), ("203.0.113.2", 80), ("203.0.113.3", 443), ("2001:db8::1", 443))
    asked = known.due(0.0, is_at_once=False)
    assert [(one.kind, one.host, one.port) for one in asked] == [
        ("tcp", "203.0.113.3", 443),
        ("tcp", "203.0.113.2", 80),
    ]
    assert known.due(9.0, is_at_once=False) == []
    assert len(known.due(9.0, is_at_once=True)) == 2
    assert known.due(60.0, is_at_once=False, is_failed=True, is_long=True) == []
    assert len(known.due(70.0, is_at_once=False, is_failed=True, is_long=True)) == 2


def test_a_refusal_is_an_answer_and_what_could_not_be_asked_is_none():
    known = others(("203.0.113.1", 443), ("203.0.113.2", 80))
    first, second = known.due(0.0, is_at_once=True)
    known.told([(first, SILENT), (second, REFUSING)])
    assert known.reached == second.words == "203.0.113.1 port 443"
    known.told([(first, Answer(UNKNOWN)), (second, Answer(UNKNOWN))])
    assert known.reached == second.words, "nothing new is known"
    known.told([(first, SILENT), (second, SILENT)])
    assert known.reached == ""
    known.told([(first, Answer(PASSED)), (second, SILENT)])
    assert known.due(1.0, is_at_once=False, is_failed=True) == [] and known.reached == first.words
    assert known.due(1.0, is_at_once=False) == [] and known.reached == "", "that was another alarm"


def test_where_nobody_answered_a_client_there_is_nobody_to_ask():
    assert others().due(0.0, is_at_once=True) == [] and others().reached is None
    nobody = Others(LINE, None)
    assert nobody.due(0.0, is_at_once=True) == [] and nobody.reached is None
