"""Checks lines once, before and after a change, and says what the change has broken.

Decides nothing about health over time and reverts nothing: who asks does. What did not pass before is not demanded
after; what says nothing of the line (no right to send it, no support for it) counts neither for nor against.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from netpolicy.core.model import Outbound
from netpolicy.core.value import ValueProblem
from netpolicy.outbounds import name_servers
from netpolicy.outbounds.check_dns import dns, resolve
from netpolicy.outbounds.check_gateway import gateway
from netpolicy.outbounds.check_http import http
from netpolicy.outbounds.check_line import (
    FAILED,
    NO_PRIVILEGE,
    NO_SUPPORT,
    NO_WAY,
    PASSED,
    SECONDS,
    UNKNOWN,
    Answer,
    Line,
    Unsendable,
    not_answered,
    not_permitted,
    timed,
)
from netpolicy.outbounds.check_ping import ping
from netpolicy.outbounds.check_target import DNS, HTTP, HTTPS, PING, TCP, Target, parse_target
from netpolicy.outbounds.check_tcp import tcp
from netpolicy.outbounds.lines import LineState

# Between the tries of what was lost: a switch that learns, an answer that was lost, a neighbour that is looked up.
BACK_OFF_SECONDS = (1.0,)

# Sockets open at once: a router of 128 outbounds with three probes each must not run out of descriptors.
AT_ONCE = 32
ADDRESSES_TRIED = 2  # of a name, at once

# Of these nothing follows for the line.
SAYS_NOTHING = (NO_PRIVILEGE, NO_SUPPORT)

Question = tuple[Line, str, Callable[[], Awaitable[Answer]]]

SENDERS: dict[str, Callable[[Line, str, Target], Awaitable[Answer]]] = {
    PING: lambda line, address, _target: ping(line, address),
    TCP: lambda line, address, target: tcp(line, address, target.port),
    HTTP: http,
    HTTPS: http,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one line. `what` is "gateway IPv4", "gateway IPv6" or the words of a probe."""

    outbound: str
    what: str
    answer: Answer

    @property
    def state(self) -> str:
        """passed, failed or unknown."""
        return self.answer.state

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the others of one time."""
        return self.outbound, self.what


@dataclass(frozen=True, slots=True)
class Loss:
    """What passed before and does not any more."""

    before: Check
    after: Check

    @property
    def text(self) -> str:
        """For the record: where, what, why."""
        return f"outbound {self.after.outbound}: {self.after.what}: {self.after.answer.text} (it passed before)"


def line_of(outbound: Outbound, state: LineState, mark: int) -> Line:
    """The line of an outbound as it is now; `mark` has the bits of its class, 0 where it has none yet.

    Opens the files that name servers. Words that make no target are kept, and told as unknown.
    """
    targets, unsendable = [], []
    for words in dict.fromkeys(outbound.probe):
        try:
            targets.append(parse_target(words))
        except ValueProblem as problem:
            unsendable.append((words, problem.text))
    servers = name_servers.known(outbound.interface)
    return Line(outbound.name, state.device, mark, state.hops, tuple(targets), servers, tuple(unsendable))


async def check_lines(lines: Iterable[Line], seconds: float = SECONDS) -> tuple[Check, ...]:
    """Every gateway and probe of every line, all at once; little more than `seconds` unless there are hundreds."""
    asked = list(lines)
    gate = asyncio.Semaphore(AT_ONCE)
    found = await asyncio.gather(*(_check(gate, one, seconds) for line in asked for one in _questions(line)))
    not_asked = (
        Check(line.outbound, words, Answer(UNKNOWN, NO_SUPPORT, why))
        for line in asked
        for words, why in line.unsendable
    )
    return (*found, *not_asked)


async def send(line: Line, target: Target) -> Answer:
    """One probe, once. Waits for ever where nothing answers: put a limit around it (`check_line.timed`)."""
    if target.kind == DNS:
        return await dns(line, target.host)
    addresses = (target.host,) if target.is_address else await resolve(line, target.host)
    return await _first_passed([SENDERS[target.kind](line, one, target) for one in _one_per_family(addresses)])


def compare(before: Iterable[Check], after: Iterable[Check], outbounds: Collection[str]) -> tuple[Loss, ...]:
    """What was lost, of that which is still asked. A line or a probe that is gone by intention is no loss.

    A gateway that nobody knows any more is one, while its outbound is among the `outbounds` that still are.
    """
    now = {check.key: check for check in after}
    found = []
    for check in before:
        then = now.get(check.key)
        if then is None and check.what.startswith("gateway ") and check.outbound in outbounds:
            then = Check(check.outbound, check.what, Answer(UNKNOWN, NO_WAY, "no gateway is known any more"))
        if then is not None and check.state == PASSED and not _may_stand(then):
            found.append(Loss(check, then))
    return tuple(found)


async def losses(
    before: Sequence[Check],
    lines: Sequence[Line],
    seconds: float = SECONDS,
    back_off: Sequence[float] = BACK_OFF_SECONDS,
) -> tuple[Loss, ...]:
    """What is lost for certain: in every one of `len(back_off) + 1` tries. `lines` are those after the change."""
    outbounds = {line.outbound for line in lines}
    found = compare(before, await check_lines(lines, seconds), outbounds)
    for pause in back_off:
        if not found:
            break
        await asyncio.sleep(pause)
        concerned = {loss.after.outbound for loss in found}
        again = await check_lines([line for line in lines if line.outbound in concerned], seconds)
        keys = {loss.after.key for loss in found}
        found = tuple(loss for loss in compare(before, again, outbounds) if loss.after.key in keys)
    return found


def _may_stand(after: Check) -> bool:
    return after.state == PASSED or (after.state == UNKNOWN and after.answer.reason in SAYS_NOTHING)


def _questions(line: Line) -> list[Question]:
    found: list[Question] = [
        (line, f"gateway IPv{hop.family}", partial(gateway, line, hop.gateway)) for hop in line.hops if hop.gateway
    ]
    return found + [(line, target.words, partial(send, line, target)) for target in line.targets]


async def _check(gate: asyncio.Semaphore, question: Question, seconds: float) -> Check:
    line, what, ask = question
    async with gate:
        return Check(line.outbound, what, await timed(ask(), seconds))


def _one_per_family(addresses: Iterable[str]) -> list[str]:
    return list({":" in one: one for one in reversed(tuple(addresses))}.values())[:ADDRESSES_TRIED]


async def _first_passed(work: Sequence[Awaitable[Answer]]) -> Answer:
    """The first that passes; where none does, what the last one said, failures before doubts."""
    tasks = [asyncio.ensure_future(_settled(one)) for one in work]
    said: list[Answer] = []
    try:
        for finished in asyncio.as_completed(tasks):
            said.append(await finished)
            if said[-1].state == PASSED:
                return said[-1]
    finally:
        for task in tasks:
            task.cancel()
    return max(said, key=lambda answer: answer.state == FAILED)


async def _settled(work: Awaitable[Answer]) -> Answer:
    """The answer also where the sender raises; of several addresses one may be beyond reach."""
    try:
        return await work
    except Unsendable as unsendable:
        return unsendable.answer
    except PermissionError as error:
        return not_permitted(error)
    except OSError as error:
        return not_answered(error)
