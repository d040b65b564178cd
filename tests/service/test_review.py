"""The review of open connections: with a table that writes down what it is asked, and a kernel that decides anew."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows.entry import Entry
from netpolicy.flows.model import Flow
from netpolicy.observe.ring import Ring
from netpolicy.service.affected import Affected
from netpolicy.service.compile import Compiled
from netpolicy.service.judge import Judge
from netpolicy.service.review import MOST_POLICIES, MOST_RULE_SETS, PASSES, Review
from tests.flows.crowd import client, told
from tests.service.open_flows import AROUND, DIRECT, DONE, WAN_A, WAN_B, compiled, flow, rule

PLAIN = compiled()
BLOCK = compiled(rule("stop", "+dest_port=443", "block=reject"))
BATCH = 100


class Door:
    """`readings`: what conntrack holds, one reading after the other; `at` is called before each batch."""

    def __init__(
        self, *readings: list[Flow], refuses: bool = False, at: Callable[[int], None] = lambda _: None
    ) -> None:
        self.readings = list(readings)
        self.deleted: list[int] = []
        self.reads = 0
        self._refuses = refuses
        self._at = at

    def entries(self) -> Iterator[list[Entry]]:
        if self._refuses:
            raise NetlinkError("list connections", 1, "not permitted")
        self.reads += 1
        found = self.readings.pop(0) if self.readings else []
        for start in range(0, len(found), BATCH):
            self._at(start)
            yield [told(one) for one in found[start : start + BATCH]]

    def delete(self, flows: Sequence[Flow]) -> list[Flow]:
        self.deleted += [one.id for one in flows]
        return list(flows)

    def forget(self, mark: int, mask: int) -> None:
        raise AssertionError

    def clear_marks(self, mask: int) -> int:
        raise AssertionError

    def set_mark(self, flow: Flow, mark: int, mask: int) -> bool:
        raise AssertionError


class Case:
    """A review of that table, what it said, and which flows it said were forgotten."""

    def __init__(self, door: Door | None) -> None:
        self.said: list[str] = []
        self.forgotten: list[Flow] = []
        self.faults: list[BaseException] = []
        log = Ring(lambda: 0.0, lambda entry: self.said.append(entry.message))
        self.review = Review(door, log, lambda: AROUND.facts, self.forgotten.append, self.faults.append)


async def test_what_is_concerned_is_deleted_until_a_reading_finds_nothing() -> None:
    """Between the first reading and the second a connection came that the old rules had decided."""
    first = [flow(DIRECT, port, number=number) for number, port in enumerate((443, 80, 443), 1)]
    door = Door(first, [flow(DIRECT, 443, number=4)], [flow(DIRECT, 80, number=2)])
    case = Case(door)
    case.review.note(PLAIN, BLOCK)
    await case.review.reviewed(BLOCK)
    assert door.deleted == [1, 3, 4] == [one.id for one in case.forgotten]
    assert door.reads == 3
    assert case.said == ["3 open connections are decided again by the new rules"]


async def test_what_comes_for_ever_does_not_keep_us_for_ever() -> None:
    door = Door(*([flow(DIRECT, number=number)] for number in range(99)))
    case = Case(door)
    case.review.note(PLAIN, BLOCK)
    await case.review.reviewed(BLOCK)
    assert door.reads == PASSES


async def test_nothing_to_do_says_nothing_and_a_plain_change_reads_nothing() -> None:
    door = Door([flow(DIRECT, port=80)])
    case = Case(door)
    case.review.note(PLAIN, BLOCK)
    await case.review.reviewed(BLOCK)
    plain = compiled(rule("video", "+dest_port=443", "route=wan_b"))
    case.review.note(PLAIN, plain)
    await case.review.reviewed(plain)
    assert case.said == [] and door.reads == 1 and door.deleted == []
    nobody = Case(None)
    nobody.review.note(PLAIN, BLOCK)
    await nobody.review.reviewed(BLOCK)


async def test_a_refusal_leaves_connections_as_they_are_and_is_said() -> None:
    case = Case(Door(refuses=True))
    case.review.note(PLAIN, BLOCK)
    await case.review.reviewed(BLOCK)
    assert len(case.said) == 1 and "open connections keep the way they have" in case.said[0]
    assert not case.faults


async def test_a_fault_of_ours_is_told_and_the_next_change_is_reviewed() -> None:
    door = Door([flow(DIRECT)], [flow(DIRECT, number=8)], at=lambda _: 1 // (door.reads - 1))
    case = Case(door)
    case.review.note(PLAIN, BLOCK)
    await case.review.reviewed(BLOCK)
    assert [type(fault) for fault in case.faults] == [ZeroDivisionError]
    case.review.note(PLAIN, BLOCK)
    await case.review.reviewed(BLOCK)
    assert door.deleted == [8]


async def test_it_stands_still_during_a_turn_and_goes_on_after_it() -> None:
    """In the middle of the table: no entry is read, judged or deleted until the turn is over."""
    begun = asyncio.Event()
    table = [flow(DIRECT, number=number) for number in range(1, 1001)]
    door = Door(table, at=lambda start: begun.set() if start == 3 * BATCH else None)
    case = Case(door)
    case.review.note(PLAIN, BLOCK)
    await begun.wait()
    case.review.stand_still()
    before = len(door.deleted)
    for _ in range(100):
        await asyncio.sleep(0)
    assert before <= len(door.deleted) <= 4 * BATCH < len(table)
    case.review.go_on()
    await case.review.reviewed(BLOCK)
    assert door.deleted == list(range(1, 1001))


async def test_when_nothing_is_in_force_any_more_no_entry_goes() -> None:
    begun = asyncio.Event()
    door = Door([flow(DIRECT, number=number) for number in range(1, 1001)], at=lambda start: start and begun.set())
    case = Case(door)
    case.review.note(PLAIN, BLOCK)
    await begun.wait()
    case.review.drop()
    gone = len(door.deleted)
    await case.review.reviewed(BLOCK)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(door.deleted) == gone <= 2 * BATCH


async def test_who_changes_rules_for_ever_waits_and_the_table_is_read_to_its_end() -> None:
    """A change with each batch that is read: each time more than one table can be held against."""
    others = [compiled(rule(f"r{number}", "+dest_port=25", "block=drop")) for number in range(3 * MOST_RULE_SETS)]
    case = Case(Door([flow(DIRECT, number=number) for number in range(1, 301)]))
    before = PLAIN
    for number, after in enumerate(others):
        case.review.stand_still()
        case.review.note(before, after)
        await case.review.room()
        assert len({id(one) for one in case.review._policies}) <= MOST_RULE_SETS
        case.review.go_on()
        before = after
        assert number < len(others)
    await case.review.reviewed(before)
    assert MOST_POLICIES > MOST_RULE_SETS


class Kernel(Door):
    """A table whose flows come back with the class that the rules in force give them."""

    def __init__(self, flows: list[Flow], force: Compiled, at: Callable[[int], None]) -> None:
        super().__init__(at=at)
        self.table = {one.id: one for one in flows}
        self.force = Judge(force)

    def entries(self) -> Iterator[list[Entry]]:
        self.reads += 1
        numbers = sorted(self.table)
        for start in range(0, len(numbers), BATCH):
            self._at(start)
            yield [told(self.table[number]) for number in numbers[start : start + BATCH]]

    def delete(self, flows: Sequence[Flow]) -> list[Flow]:
        for one in flows:
            self.table[one.id] = self.decided(one)
        return super().delete(flows)

    def decided(self, one: Flow) -> Flow:
        number = self.force.fate(AROUND.facts(one)).number
        return replace(one, mark=self.force.marks.bits(number) | DONE)


ACTIONS = ("route=wan_a", "route=wan_b", "switch_route=wan_a", "switch_route=wan_b")


def random_rules(chance: random.Random, may_block: bool) -> tuple[str, ...]:
    actions = (*ACTIONS, "block=reject") if may_block else ACTIONS
    return tuple(
        rule(f"r{port}", f"+dest_port={port}", chance.choice(actions))
        for port in (443, 80, 25, 5060)
        if chance.random() < 0.75
    )


@pytest.mark.parametrize("seed", range(14))
async def test_changes_in_the_middle_of_a_review_end_where_one_after_the_other_ends(seed: int) -> None:
    """Whenever they come: against a model in which every review is over before the next change comes."""
    chance = random.Random(seed)
    policies = [compiled(*random_rules(chance, False)) for _ in range(chance.randint(2, 3))]
    policies.append(compiled(*random_rules(chance, True)))
    flows = [replace(client(number, chance.choice((DIRECT, WAN_A, WAN_B)), (443, 80, 25, 5060, 9)[number % 5]),
                     id=number) for number in range(1, 401)]  # fmt: skip
    coming = policies[2:]
    moments = sorted(chance.sample(range(0, 400, BATCH), len(coming)))
    case: Case

    def next_change(start: int) -> None:
        if coming and door.reads < 2 and start >= moments[len(policies) - 2 - len(coming)]:
            before, after = policies[-len(coming) - 1], coming.pop(0)
            door.force = Judge(after)
            case.review.note(before, after)

    door = Kernel(flows, policies[1], next_change)
    case = Case(door)
    case.review.note(policies[0], policies[1])
    await case.review.reviewed(policies[1])
    while coming:  # there was nothing to read: the first change concerned nobody
        next_change(BATCH * BATCH)
    await case.review.reviewed(policies[-1])
    assert not case.faults
    for one in flows:
        expected, may_be = model(policies, one)
        number = door.force.marks.number(door.table[one.id].mark)
        assert number in (expected, *may_be), one
        assert may_be or one.id not in door.deleted, one


def model(policies: list[Compiled], one: Flow) -> tuple[int, list[int]]:
    """The class in the end, and those of all rules by which it may go since it had to move at all."""
    facts, at, may_be = AROUND.facts(one), one, []
    for before, after in itertools.pairwise(policies):
        fate = Affected(before, after).fate(at, facts)
        if fate is not None:
            at = replace(at, mark=Judge(after).marks.bits(fate.number) | DONE)
        if fate is not None or may_be:
            may_be.append(Judge(after).fate(facts).number)
    return Judge(policies[-1]).marks.number(at.mark), may_be


async def test_sixty_thousand_connections_never_hold_the_loop_for_long() -> None:
    """The longest time between two turns of another task, while every connection is looked at.

    A collection of all the garbage of this process, and what a machine of others takes, only add to it: then once more.
    """
    crowd = [told(client(number, DIRECT, 80 if number % 1000 else 443)) for number in range(10_000)]
    table = [crowd[start : start + BATCH] for start in range(0, len(crowd), BATCH)] * 6
    longest = [await longest_turn(table)]
    while longest[-1] >= 0.01 and len(longest) < 3:
        longest.append(await longest_turn(table))
    assert min(longest) < 0.01, longest


async def longest_turn(table: list[list[Entry]]) -> float:
    door = Door()
    case = Case(door)
    turns: list[float] = []

    async def others() -> None:
        while True:
            turns.append(time.thread_time())  # of this thread: other programs may take the processor away
            await asyncio.sleep(0)

    readings = iter((table, table, []))
    door.entries = lambda: iter(next(readings))  # type: ignore[method-assign]
    watching = asyncio.create_task(others())
    case.review.note(PLAIN, BLOCK)
    await asyncio.sleep(0)
    await case.review.reviewed(BLOCK)
    watching.cancel()
    assert len(case.forgotten) == 120
    return max(later - earlier for earlier, later in itertools.pairwise(turns))
