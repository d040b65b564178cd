"""What the benchmarks rest on: they notice a router that decides wrongly, and a reload that lets packets by."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.apply import COLD, ONE, Reloads
from benchmarks.course import Course, WrongMeasure
from benchmarks.path_rules import Change, flows, named_flows, open_flows, ruleset
from benchmarks.talk import Bulk
from netpolicy.core.evaluate import decide
from netpolicy.core.facts import Facts
from tests.daemon.running import until

pytestmark = pytest.mark.kernel

RULES = 30


@pytest.fixture
def course() -> Iterator[Course]:
    made = Course()
    yield made
    made.close()


def test_the_product_and_the_yardstick_decide_as_the_reference_does(course: Course) -> None:
    rules = ruleset(RULES)
    course.carry(rules)
    course.check(rules, flows(300, RULES))
    other = Course()
    other.load_linear(rules)
    other.check(rules, flows(300, RULES))
    other.close()


def test_a_router_that_decides_otherwise_is_not_measured(course: Course) -> None:
    course.carry(ruleset(RULES))
    with pytest.raises(WrongMeasure):
        course.check(ruleset(RULES, Change(action=3)), flows(300, RULES))


def test_every_packet_arrives_and_the_flows_are_forgotten(course: Course) -> None:
    course.carry(ruleset(RULES))
    sender, before = course.sender(flows(100, RULES)), course.arrived()
    while sender.passed < 300:
        sender.send(64)
    until(lambda: course.arrived() - before >= sender.passed)
    assert course.arrived() - before == sender.passed
    assert course.router.run("conntrack", "-C").strip() == "100"
    course.forget()
    assert course.router.run("conntrack", "-C").strip() == "0"
    sender.close()


def test_bulk_traffic_comes_in_frames_of_an_ordinary_cable(course: Course) -> None:
    """With offload a frame would hold 64 000 bytes, and the router would forward one where others forward forty."""
    course.carry(ruleset(RULES))
    before = course.arrived()
    talk = Bulk(course, open_flows(2, RULES)[1])
    arrived = 0
    while arrived <= 100_000:  # in time that is not ours there is nothing to be seen
        arrived += talk.run(0.01)
    talk.close()
    assert course.arrived() - before >= arrived / 1_460


def test_a_reload_that_empties_the_table_first_is_noticed() -> None:
    reloads = Reloads(10)
    seen, _ = reloads.under_load(ONE)
    assert (seen.lost, seen.wrong) == (0, 0)
    seen, _ = reloads.under_load(COLD)
    assert seen.wrong > 0
    reloads.course.close()


def test_traffic_meets_the_rule_that_it_is_made_for_before_and_after_a_change() -> None:
    for change in (Change(), Change(match=4), Change(every_match=True)):
        rules = ruleset(RULES, change)
        for flow, name in named_flows(500, RULES):
            facts = Facts()
            facts.family, facts.proto, facts.src_iface = 4, 17, "lan"
            facts.src_addr, facts.dest_addr = (4, flow.source), (4, flow.destination)
            facts.src_port, facts.dest_port = flow.source_port, flow.destination_port
            winner = decide(rules, facts).rule
            assert (winner.name if winner else "") == name
