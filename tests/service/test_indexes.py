"""The index of the rules in force: made beside the loop, given up for newer rules, never seen half made."""

from __future__ import annotations

import asyncio
import time

from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Rule, Ruleset
from netpolicy.service.indexes import KEPT, Indexes


def ruleset(count: int) -> Ruleset:
    return Ruleset(
        tuple(
            Rule(
                f"r{n}", n % 7, (parse_field("dest_addr", (f"10.{n % 250}.{n // 250}.0/24",)),), Action("block", "drop")
            )
            for n in range(count)
        )
    )


async def test_it_is_there_when_it_is_made_and_for_no_other_rule_set():
    indexes, rules = Indexes(), ruleset(300)
    assert indexes.of(rules) is None
    await indexes.prepare(rules)
    found = indexes.of(rules)
    assert found is not None and found.ruleset is rules
    assert indexes.of(ruleset(300)) is None
    await indexes.prepare(rules)
    assert indexes.of(rules) is found


async def test_the_loop_gets_its_turns_while_it_is_made():
    """On a clock that says that every step took a whole slice."""
    ticks = iter(range(10_000_000))
    indexes, rules = Indexes(stopwatch=lambda: float(next(ticks))), ruleset(5000)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while indexes.of(rules) is None:
            turns += 1
            await asyncio.sleep(0)

    await asyncio.gather(indexes.prepare(rules), others())
    assert turns > 10


async def test_rules_that_were_replaced_meanwhile_are_given_up():
    old, new = ruleset(5000), ruleset(10)
    indexes = Indexes(stopwatch=_slow())
    making = asyncio.create_task(indexes.prepare(old))
    await asyncio.sleep(0)
    await indexes.prepare(new)
    await making
    assert indexes.of(old) is None and indexes.of(new) is not None


async def test_only_those_in_use_are_kept_and_nothing_when_nothing_is_in_force():
    indexes = Indexes()
    every = [ruleset(n) for n in range(3, 7)]
    for one in every:
        await indexes.prepare(one)
    assert [indexes.of(one) is not None for one in every] == [False, False, True, True]
    assert KEPT == 2
    indexes.forget()
    assert indexes.of(every[-1]) is None


async def test_those_of_before_are_let_go_after_some_seconds(monkeypatch):
    monkeypatch.setattr("netpolicy.service.indexes.KEPT_SECONDS", 0.02)
    indexes, old, new = Indexes(), ruleset(3), ruleset(4)
    for one in (old, new):
        await indexes.prepare(one)
    assert indexes.of(old) is not None
    until = time.monotonic() + 30
    while indexes.of(old) is not None and time.monotonic() < until:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)
    assert indexes.of(old) is None
    assert indexes.of(new) is not None


async def test_rules_with_other_actions_only_cost_no_second_index():
    indexes, rules = Indexes(), ruleset(50)
    await indexes.prepare(rules)
    other = Rule("r7", 0, rules.rules[7].fields, Action("block", "reject"))
    changed = Ruleset((*rules.rules[:7], other, *rules.rules[8:]))
    await indexes.prepare(changed)
    first, second = indexes.of(rules), indexes.of(changed)
    assert first is not None and second is not None and first._tables is second._tables
    assert other in second.rules and other not in first.rules


def _slow():
    start = time.perf_counter()
    return lambda: (time.perf_counter() - start) * 1000
