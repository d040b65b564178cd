"""How often a line is asked, and what a round comes to: on a clock that jumps, with a sender of the test's own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator

import pytest

from netpolicy.core.health import FAILOVER
from netpolicy.core.line_health import Limits, LineHealth, Round
from netpolicy.outbounds.check_line import FAILED, PASSED, REFUSED, UNKNOWN, Answer, Line
from netpolicy.outbounds.check_target import Target, parse_target
from netpolicy.outbounds.line_evidence import Evidence
from netpolicy.outbounds.line_pace import Habits
from netpolicy.outbounds.line_probe import OWN_PACKETS, Prober
from tests.virtual_time import Clock

PING, OTHER, PAGE = "ping:192.0.2.9", "ping:192.0.2.10", "http:http://192.0.2.11/204"

USUAL = Habits()

Story = Callable[["Probed"], Awaitable[None]]


class Network:
    """Stands in for the line: who answers, after how long; and for its counters."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.unsendable: set[str] = set()
        self.refusing: set[str] = set()
        self.asked: list[tuple[float, str]] = []
        self.seconds = 0.02
        self.is_used = False
        self.received = 0
        self.slept = 0.0
        self._own = 0

    async def send(self, _: Line, target: Target) -> Answer:
        loop = asyncio.get_running_loop()
        self.asked.append((loop.time(), target.words))
        self._own += OWN_PACKETS[target.kind]
        if target.words in self.unsendable:
            return Answer(UNKNOWN, "no-way", "there is no way")
        if target.words in self.refusing:
            return Answer(FAILED, REFUSED, "refused")
        if target.words in self.silent:
            await asyncio.sleep(3600)
        await asyncio.sleep(self.seconds)
        return Answer(PASSED, milliseconds=self.seconds * 1000)

    def since(self) -> tuple[int, int]:
        sent, self._own = self._own, 0
        return sent + (50 if self.is_used else 0), self.received


class Probed:
    """A prober and all that it said."""

    def __init__(
        self, probes: tuple[str, ...], habits: Habits, network: Network, spread: Callable[[int], float] = lambda _: 0.0
    ) -> None:
        loop = asyncio.get_running_loop()
        self.network = network
        self.health = LineHealth(Limits(), loop.time())
        self.rounds: list[tuple[float, Round]] = []
        self.changes: list[tuple[float, str]] = []
        self.evidence = Evidence()
        self.numbers = itertools.count()
        line = Line("wan", "wana", targets=tuple(map(parse_target, probes)))
        self.prober = Prober(
            line, habits, self._told, self.health, network.send, network, self.evidence,  # type: ignore[arg-type]
            lambda: network.slept, spread,
        )  # fmt: skip

    def client(self, whose: str, address: str, is_answered: bool = True) -> None:
        """A connection of a client by the line."""
        number = next(self.numbers)
        self.evidence.began(number, whose, (address, 443), asyncio.get_running_loop().time())
        if is_answered:
            self.evidence.answered(number)

    def _told(self, one: Round) -> None:
        now = asyncio.get_running_loop().time()
        self.rounds.append((now, one))
        made = self.health.probed(one, now)
        if made is not None:
            self.changes.append((now, made.after))

    def asked(self, words: str = PING) -> list[float]:
        """When this was asked; forgotten now."""
        found = [when for when, what in self.network.asked if what == words]
        self.network.asked.clear()
        return found


@pytest.fixture
def play() -> Iterator[Callable[..., Probed]]:
    clock = Clock()

    def run(
        story: Story, *probes: str, habits: Habits = USUAL, network: Network | None = None,
        spread: Callable[[int], float] = lambda _: 0.0,
    ) -> Probed:  # fmt: skip
        async def whole() -> Probed:
            probed = Probed(probes or (PING,), habits, network or Network(), spread)
            await story(probed)
            await probed.prober.close()
            assert asyncio.all_tasks() == {asyncio.current_task()}, "closing leaves nothing"
            return probed

        return clock.run_until_complete(whole())

    yield run
    clock.close()


def gaps(times: list[float]) -> list[float]:
    return [round(later - earlier, 2) for earlier, later in itertools.pairwise(times)]


def test_a_line_that_nobody_uses_is_asked_every_ten_intervals(play):
    async def story(line):
        await asyncio.sleep(100)

    found = play(story)
    assert 9 <= len(found.asked()) <= 11
    assert found.health.state == "NORMAL" and found.prober.latency_ms == 20.0
    assert len(play(story, habits=Habits(interval=5.0)).asked()) <= 3


def test_pages_are_not_taken_for_use_of_the_line(play):
    async def story(line):
        await asyncio.sleep(100)

    assert len(play(story, PAGE).asked(PAGE)) <= 11


def test_a_line_in_use_is_asked_every_interval(play):
    async def story(line):
        line.network.is_used = True
        await asyncio.sleep(60)
        assert max(gaps(line.asked())[1:]) < 1.3
        line.network.is_used = False
        await asyncio.sleep(11)
        line.asked()
        await asyncio.sleep(40)
        assert len(line.asked()) <= 5

    play(story)


@pytest.mark.parametrize("spread", [lambda _: 0.0, lambda turn: turn * 0.37 % 1, lambda _: 0.999])
def test_the_death_of_a_line_in_use_is_known_within_the_budget(play, spread):
    async def story(line):
        line.network.is_used = True
        await asyncio.sleep(20)
        for late in (0.0, 0.3, 0.9):
            await asyncio.sleep(late)
            died = asyncio.get_running_loop().time()
            line.network.silent.add(PING)
            line.asked()
            await asyncio.sleep(6)
            dead = [when for when, state in line.changes if state == FAILOVER][-1]
            assert line.health.is_dead and dead - died <= 2.8
            assert max(gaps(line.asked())[:2]) <= 0.36, "suspicion asks again soon"
            line.network.silent.clear()
            await asyncio.sleep(60)
            assert line.health.state == "NORMAL"

    play(story, spread=spread)


def test_a_line_that_is_dead_at_the_start_is_known_within_the_budget_however_late_its_first_question_is(play):
    network = Network()
    network.silent.add(PING)

    async def story(line):
        await asyncio.sleep(5)
        assert line.health.is_dead and line.changes[-1][0] <= 2.8

    play(story, network=network, spread=lambda _: 0.999)


def test_what_failed_is_asked_each_second_and_after_two_minutes_each_fifth(play):
    async def story(line):
        line.network.silent.add(PING)
        await asyncio.sleep(30)
        assert line.health.state == FAILOVER
        line.asked()
        await asyncio.sleep(60)
        assert 40 <= len(line.asked()) <= 61
        await asyncio.sleep(60)
        line.asked()
        await asyncio.sleep(100)
        assert 15 <= len(line.asked()) <= 21

    play(story)


def test_a_question_that_cannot_be_sent_says_nothing(play):
    async def story(line):
        line.network.is_used = True
        line.network.unsendable.add(PING)
        await asyncio.sleep(30)

    found = play(story)
    assert (found.rounds, found.health.state) == ([], "NORMAL")
    assert found.prober.last[0][1].state == UNKNOWN


def test_one_target_that_is_dead_is_no_loss_of_the_line(play):
    async def story(line):
        line.network.is_used = True
        line.network.silent.add(OTHER)
        await asyncio.sleep(30)

    found = play(story, PING, OTHER)
    assert found.health.state == "NORMAL" and found.prober.loss == 0
    assert {(one.answered, one.asked, one.words) for _, one in found.rounds} == {(1, 2, OTHER)}


def test_which_family_answers_is_told_of_addresses_alone(play):
    async def story(probed):
        probed.network.silent.add("ping:2620:fe::9")
        await asyncio.sleep(3)

    found = play(story, PING, "ping:2620:fe::9", "dns:example.com")
    assert [one.families for _, one in found.rounds][:1] == [{4: True, 6: False}]


def test_a_quorum_of_two_wants_two_answers(play):
    async def story(line):
        line.network.is_used = True
        line.network.silent.add(OTHER)
        await asyncio.sleep(10)

    assert play(story, PING, OTHER, habits=Habits(quorum=2)).health.is_dead


def test_a_part_that_is_lost_is_told_as_loss(play):
    async def story(line):
        line.network.is_used = True
        await asyncio.sleep(30)
        line.network.silent.add(PING)
        await asyncio.sleep(0.5)
        line.network.silent.clear()
        await asyncio.sleep(3)

    assert 0 < play(story).prober.loss <= 0.2


def test_pages_are_fetched_seldom_where_something_else_answers(play):
    async def story(line):
        line.network.is_used = True
        await asyncio.sleep(60)

    found = play(story, PING, PAGE)
    assert len([one for _, one in found.network.asked if one == PAGE]) <= 7
    assert len(found.asked()) > 50


def test_where_pings_are_always_lost_a_page_that_comes_keeps_the_line(play):
    async def story(line):
        line.network.is_used = True
        line.network.silent.add(PING)
        await asyncio.sleep(120)

    found = play(story, PING, PAGE)
    assert found.changes == [] and found.prober.loss == 0
    assert all(one.enough for _, one in found.rounds)


def test_with_a_page_beside_the_ping_a_death_is_known_as_soon(play):
    async def story(line):
        line.network.is_used = True
        await asyncio.sleep(25.5)
        died = asyncio.get_running_loop().time()
        line.network.silent |= {PING, PAGE}
        await asyncio.sleep(6)
        assert next(when for when, state in line.changes if state == FAILOVER) - died <= 3.0

    play(story, PING, PAGE)


def test_where_what_came_in_comes_no_more_a_death_is_known_sooner(play):
    async def story(line):
        line.network.is_used, line.network.received = True, 5000
        await asyncio.sleep(20)
        for late in (0.0, 0.3, 0.9):
            await asyncio.sleep(late)
            died = asyncio.get_running_loop().time()
            line.network.silent.add(PING)
            line.network.received = 0
            await asyncio.sleep(6)
            assert line.health.is_dead and line.changes[-1][0] - died <= 2.2
            line.network.silent.clear()
            line.network.received = 5000
            await asyncio.sleep(60)
            assert line.health.state == "NORMAL"

    play(story)


def test_clients_that_wait_have_it_asked_and_two_of_them_are_a_lost_round(play):
    async def story(line):
        line.network.is_used = True
        await asyncio.sleep(20.6)
        line.asked()
        for whose, address in itertools.product(("desk", "phone"), "abcd"):
            line.client(whose, address)
        await asyncio.sleep(0.05)
        line.network.silent |= {PING, *(f"{address} port 443" for address in "abcd")}
        died = asyncio.get_running_loop().time()
        for whose, address in itertools.product(("desk", "phone"), "abcd"):
            line.client(whose, address, is_answered=False)
            await asyncio.sleep(0.01)
        await asyncio.sleep(3)
        assert line.changes[-1][1] == FAILOVER and line.changes[-1][0] - died <= 2.0
        what = "8 connections of 2 clients to 4 addresses without answer; 2 of "
        assert line.health.is_dead and line.health.because.startswith(what)

    play(story)


def test_one_client_that_begins_what_nobody_answers_costs_a_few_questions_and_nothing_else(play):
    async def story(line):
        line.network.is_used = True
        await asyncio.sleep(20)
        line.asked()
        for number in range(10_000):
            line.client("liar", f"192.0.2.{number % 250}", is_answered=False)
            if not number % 100:
                await asyncio.sleep(0.6)
        assert len(line.asked()) <= 65, "a minute"
        assert line.changes == []

    play(story)


@pytest.mark.parametrize("lossy", [0.05, float("inf")])
def test_what_clients_lose_degrades_a_line_whose_probes_are_answered_and_no_more(play, lossy):
    """Until it is half of what is too much: 4 % are well before, and are not enough afterwards."""
    after = []

    async def story(line):
        line.network.is_used = True
        for lost in (4, 20, 4, 0):
            for _ in range(20):
                for whose, address in itertools.product(("desk", "phone"), "abcd"):
                    line.evidence.received.note(whose, address, lost, 100, asyncio.get_running_loop().time())
                await asyncio.sleep(3)
            after.append(line.health.state)

    found = play(story, habits=Habits(lossy=lossy))
    assert after == (["NORMAL", "DEGRADED", "DEGRADED", "NORMAL"] if lossy < 1 else ["NORMAL"] * 4)
    assert len(found.changes) == (3 if lossy < 1 else 0)
    words = "loss 20 % of what 2 clients receive from 4 addresses, more than 5"
    assert (words in {one.seen for _, one in found.rounds}) == (lossy < 1)


def test_a_line_that_clients_have_answers_by_is_asked_seldom_until_they_have_none(play):
    async def story(line):
        line.network.is_used, line.network.received = True, 5000
        await asyncio.sleep(20)
        line.asked()
        for _ in range(200):
            for address in "abcd":
                line.client("desk", address)
            await asyncio.sleep(0.3)
        assert len(line.asked()) <= 13
        died = asyncio.get_running_loop().time()
        await asyncio.sleep(2)
        assert line.asked()[0] - died <= 1.0

    play(story)


@pytest.mark.parametrize("how", ["refusing", "silent", "passed"])
def test_where_no_target_answers_servers_of_clients_tell_whether_the_line_or_the_target_is_dead(play, how):
    async def story(line):
        line.network.is_used = True
        for address in "abc":
            line.client("desk", address)
        await asyncio.sleep(10)
        line.network.silent.add(PING)
        if how != "passed":
            getattr(line.network, how).update(f"{address} port 443" for address in "abc")
        line.network.received = 100_000  # of which much comes in though nothing gets out
        await asyncio.sleep(10)
        line.network.asked.clear()
        await asyncio.sleep(60)
        assert len([one for _, one in line.network.asked if "port" in one]) <= 12, "now and then"

    found = play(story)
    assert found.health.state == FAILOVER and found.health.is_dead == (how == "silent")
    if how != "silent":
        assert found.health.because.startswith("no probe is answered (ping:192.0.2.9), though ")


def test_what_came_in_before_the_death_or_is_sent_again_is_no_sign_of_life(play):
    class Dying(Network):
        died = 0.0

        def since(self) -> tuple[int, int]:
            sent, _ = super().since()
            begun = asyncio.get_running_loop().time() - self.died
            return sent, 1_000_000 if self.died == 0 or begun < 0.1 else 800

    async def story(line):
        line.network.is_used = True
        await asyncio.sleep(20.4)
        died = line.network.died = asyncio.get_running_loop().time()
        line.network.silent.add(PING)
        await asyncio.sleep(6)
        assert line.health.is_dead and line.changes[-1][0] - died <= 2.8

    play(story, network=Dying())


def test_much_that_comes_in_is_told_with_a_round_that_nobody_answers(play):
    async def story(line):
        line.network.is_used = True
        line.network.silent.add(PING)
        line.network.received = 100_000
        await asyncio.sleep(10)

    found = play(story)
    assert found.rounds and all(one.alive for _, one in found.rounds)
    assert found.health.state == FAILOVER and not found.health.is_dead


def test_whoever_sees_trouble_has_it_asked_at_once(play):
    async def story(line):
        await asyncio.sleep(5.5)
        line.asked()
        line.prober.hurry()
        await asyncio.sleep(0.01)
        assert len(line.asked()) == 1

    play(story)


@pytest.mark.parametrize("steps", range(5))
def test_closing_ends_it_also_where_somebody_sees_trouble_in_that_moment(play, steps):
    """As where a line goes away: it is looked at once more, and not probed any more."""

    async def story(probed):
        await asyncio.sleep(5.03)
        probed.prober.hurry()
        for _ in range(steps):
            await asyncio.sleep(0)
        await asyncio.wait_for(probed.prober.close(), 60)

    play(story)


def test_closing_in_the_middle_of_a_round_ends_it(play):
    async def story(line):
        line.network.silent |= {PING, PAGE}
        await asyncio.sleep(0.5)

    assert play(story, PING, PAGE).rounds == []


@pytest.mark.parametrize("is_used", [True, False])
def test_a_round_in_which_the_machine_slept_says_nothing_and_the_line_is_asked_again_at_once(play, is_used):
    async def story(line):
        line.network.is_used = is_used
        await asyncio.sleep(20)
        for _ in range(5):  # as long as the window of the state machine
            line.network.silent.add(PING)
            line.asked()
            line.prober.hurry()
            await asyncio.sleep(0.05)
            assert line.network.asked
            line.network.slept += 3600.0  # the answers come meanwhile
            line.network.silent.clear()
            line.asked()
            await asyncio.sleep(1.0)
            assert line.asked(), "whether it is still there"
            await asyncio.sleep(10)

    found = play(story)
    assert found.changes == [] and found.prober.loss == 0 and all(one.enough for _, one in found.rounds)


def test_a_line_that_failed_is_asked_within_a_second_of_waking_however_seldom_it_is_asked(play):
    async def story(line):
        line.network.silent.add(PING)
        await asyncio.sleep(300)
        assert line.health.state == FAILOVER
        await asyncio.sleep(60.0 - (asyncio.get_running_loop().time() - line.asked()[-1]) + 5)
        line.asked()
        line.network.slept += 3600.0
        await asyncio.sleep(1.1)
        assert line.asked()

    play(story, habits=Habits(interval=60.0))


def test_a_line_that_died_while_the_machine_slept_is_known_within_the_budget(play):
    async def story(line):
        await asyncio.sleep(25)
        line.network.slept += 3600.0
        line.network.silent.add(PING)
        woke = asyncio.get_running_loop().time()
        await asyncio.sleep(6)
        assert line.health.is_dead and line.changes[-1][0] - woke <= 3.0, "also one that nobody uses"

    play(story)


def test_what_clients_waited_for_when_the_machine_fell_asleep_is_not_held_against_the_line(play):
    async def story(line):
        line.network.is_used = True
        await asyncio.sleep(20)
        for whose, address in itertools.product(("desk", "phone"), "abcd"):
            line.client(whose, address)
        await asyncio.sleep(0.05)
        for whose, address in itertools.product(("desk", "phone"), "abcd"):
            line.client(whose, address, is_answered=False)
        line.network.slept += 3600.0
        await asyncio.sleep(20)

    found = play(story)
    assert found.changes == [] and not any(one.seen for _, one in found.rounds)
