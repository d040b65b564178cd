"""What the kernel, the probes and a person say of lines, and what comes out for rules and groups."""

from __future__ import annotations

import asyncio
import itertools
import sys

import pytest

from netpolicy.core.health import FAILOVER, NORMAL
from netpolicy.core.line_health import Round
from netpolicy.core.model import Outbound, Ruleset, Settings
from netpolicy.core.spread import part
from netpolicy.dataplane.policy import Hop
from netpolicy.outbounds.lines import LineState
from netpolicy.service.line_watch import SILENT_SECONDS, LineWatch
from tests.virtual_time import Clock

LOST, GOOD, SLOW = Round(False, None, None, "ping:192.0.2.9"), Round(True, 20.0, 0.0), Round(True, 900.0, 0.0)
A = Outbound("a", "interface", interface="wana", probe=("ping:192.0.2.9",))
B = Outbound("b", "interface", interface="wanb")
GROUP = Outbound("g", "group", member=("a", "b"))


def rules(*outbounds: Outbound, primary: str = "a") -> Ruleset:
    return Ruleset(outbounds=outbounds or (A, B, GROUP), settings=Settings(primary=primary))


def states(a: bool = True, b: bool = True) -> list[LineState]:
    def one(name: str, up: bool) -> LineState:
        return LineState(name, "interface", up, "has a way out" if up else "no carrier", f"wan{name}", (Hop(4, ""),))

    return [one("a", a), one("b", b), LineState("g", "group", True, "always usable")]


class Watching:
    """A watch and all that it said; nothing is really sent."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.told: list[tuple[str, str, str]] = []
        self.slept = 0.0
        self.watch = LineWatch(self.changed.append, self._told, slept=lambda: self.slept, seed=7)
        self.rules = rules()

    def _told(self, name: str, made) -> None:
        self.told.append((name, made.before, made.after))

    def look(self, a: bool = True, b: bool = True) -> dict[str, LineState]:
        return {one.name: one for one in self.watch.look(self.rules, states(a, b))}

    def probed(self, *rounds: Round) -> None:
        for one in rounds:
            self.watch._probed("a", self.watch._lines["a"], one)

    @property
    def order(self) -> tuple[str, ...]:
        return self.watch.uses(self.rules)["g"].order[4]


def begin(it: Watching, since: int, is_answered: bool) -> None:
    """Eight connections of two clients to four addresses by line b."""
    evidence = it.watch.evidence("b")
    assert evidence is not None
    for number in range(8):
        evidence.began(since + number, ("desk", "phone")[number % 2], (f"192.0.2.{number % 4}", 443),
                       asyncio.get_running_loop().time())  # fmt: skip
        if is_answered:
            evidence.answered(since + number)
    it.watch.weigh_later("b")


@pytest.fixture
def play():
    clock = Clock()

    def run(story) -> Watching:
        async def whole() -> Watching:
            watching = Watching()
            await story(watching)
            await watching.watch.close()
            await asyncio.sleep(0)
            return watching

        return clock.run_until_complete(whole())

    yield run
    clock.close()


def test_a_dead_line_is_down_with_its_reason_whatever_its_device_says(play):
    async def story(it):
        assert it.look()["a"].up and it.order == ("a", "b")
        it.probed(LOST, LOST, LOST)
        state = it.look()["a"]
        assert (state.up, state.reason) == (False, "3 of 3 rounds of probes lost (ping:192.0.2.9)")
        assert state.device == "wana" and state.hops, "its table stays, for those that are bound to it"
        assert it.order == ("b", "a")
        assert it.watch.engine_state(it.rules.settings) == FAILOVER

    found = play(story)
    assert found.told == [("a", "NORMAL", "DEGRADED"), ("a", "DEGRADED", "FAILOVER")]
    assert found.changed[-1] == "outbound a: 3 of 3 rounds of probes lost (ping:192.0.2.9)"


def test_a_family_that_is_silent_goes_by_another_line_and_the_other_family_stays(play, monkeypatch):
    both = [LineState(n, "interface", True, "", f"wan{n}", (Hop(4, ""), Hop(6, ""))) for n in ("a", "b")]
    monkeypatch.setattr("tests.service.test_line_watch.states", lambda *_: both)
    half, whole = Round(True, families={4: True, 6: False}), Round(True, families={4: True, 6: True})

    async def story(it):
        it.look()
        it.probed(half, half)
        assert it.watch.uses(it.rules)["g"].order == {4: ("a", "b"), 6: ("a", "b")}
        it.probed(half)
        assert it.watch.uses(it.rules)["g"].order == {4: ("a", "b"), 6: ("b", "a")}
        assert (it.watch.document("a")["state"], it.watch.document("a")["silent"]) == ("NORMAL", [6])
        assert it.look()["a"].hops == both[0].hops, "its table stays, so that it can be asked"
        it.probed(whole, whole, whole)
        assert it.watch.document("a")["silent"] == [6], "its hold-down"
        await asyncio.sleep(11)
        it.probed(whole)
        assert it.watch.document("a")["silent"] == []
        it.probed(*[Round(False, families={4: False, 6: False})] * 3)
        assert it.watch.document("a")["silent"] == [] and not it.look()["a"].up, "then it is the line that is dead"

    assert play(story).changed[0] == "outbound a: IPv6 is silent"


def test_by_which_lines_a_group_sends_each_family(play):
    async def story(it):
        it.look()
        assert it.order and it.watch.carriers("g") == {4: ("a",), 6: ()} and it.watch.carriers("a") is None
        it.look(a=False)
        assert it.order and it.watch.carriers("g") == {4: ("b",), 6: ()}
        it.look(a=False, b=False)
        assert it.order and it.watch.carriers("g") == {4: (), 6: ()}

    play(story)


def test_a_slow_line_carries_and_comes_last(play):
    async def story(it):
        it.look()
        it.probed(SLOW, SLOW, SLOW)
        assert it.look()["a"].up and it.order == ("b", "a")

    play(story)


def test_time_alone_leads_a_line_without_answers_of_probes_back(play):
    async def story(it):
        it.look()
        it.look(b=False)
        it.look()
        assert it.order == ("a", "b")
        it.rules = rules(A, B, Outbound("g", "group", member=("b", "a")))
        it.look()
        assert it.order == ("a", "b"), "b failed lately"
        await asyncio.sleep(9)
        assert it.order == ("a", "b")
        await asyncio.sleep(2)
        assert it.order == ("b", "a")

    found = play(story)
    assert found.told == [("b", "NORMAL", "FAILOVER"), ("b", "FAILOVER", "RECOVERY"), ("b", "RECOVERY", "NORMAL")]
    assert found.changed == ["outbound b: good for 10 s"], "what a turn has seen asks for no turn"


def test_a_line_that_was_never_up_is_not_held_down(play):
    async def story(it):
        assert not it.look(a=False)["a"].up
        it.look()
        assert it.order == ("a", "b") and it.watch.document("a")["trusted"]

    play(story)


def test_a_shorter_hold_down_may_be_over_at_once(play):
    async def story(w):
        w.look()
        w.look(a=False)
        w.look()
        await asyncio.sleep(1)
        assert w.order == ("b", "a")
        w.rules = rules(Outbound("a", "interface", interface="wana", hold=0), B, GROUP)
        w.look()
        assert w.order == ("a", "b")

    play(story)


def test_other_limits_are_taken_over_and_a_dead_line_stays_dead(play):
    async def story(it):
        it.look()
        it.probed(LOST, LOST, LOST)
        it.rules = rules(Outbound("a", "interface", interface="wana", probe=A.probe, max_latency_ms=1000), B, GROUP)
        assert not it.look()["a"].up
        it.probed(GOOD, GOOD, GOOD, SLOW)
        assert it.look()["a"].up
        assert it.watch.document("a")["state"] == "RECOVERY", "900 ms are not slow any more"

    play(story)


def test_a_line_is_taken_out_and_brought_back_by_hand(play):
    async def story(it):
        it.look()
        assert it.watch.set_by_hand("a", "down")
        state = it.look()["a"]
        assert (state.up, state.reason) == (False, "taken out by hand")
        assert it.watch.document("a")["by_hand"] == "down"
        assert it.watch.engine_state(it.rules.settings) == FAILOVER
        assert it.watch.set_by_hand("a", "auto")
        assert it.look()["a"].up and it.watch.engine_state(it.rules.settings) == NORMAL
        it.probed(LOST, LOST, LOST)
        assert it.watch.set_by_hand("a", "up")
        assert it.look()["a"].up and it.order == ("a", "b"), "its probes do not count"
        assert not it.look(a=False)["a"].up, "what the kernel says does"
        assert not it.watch.set_by_hand("g", "down") and not it.watch.set_by_hand("x", "down")

    play(story)


def test_a_line_with_another_gateway_stays_as_fast_as_it_was_until_it_is_measured_again(play, monkeypatch):
    """A lease with another router is no reason for a latency group to go elsewhere for a second."""
    fast, slow = Outbound("a", "interface", probe=A.probe), Outbound("b", "interface", probe=A.probe)

    def at(*gateways: str) -> list[LineState]:
        pairs = zip("ab", gateways, strict=True)
        found = [LineState(n, "interface", bool(hop), "", f"wan{n}", (Hop(4, hop),) if hop else ()) for n, hop in pairs]
        return [*found, LineState("g", "group", True, "")]

    async def story(it):
        it.rules = rules(slow, fast, Outbound("g", "group", strategy="latency", member=("b", "a")))

        def turn(*gateways: str) -> str:
            monkeypatch.setattr("tests.service.test_line_watch.states", lambda *_: at(*gateways))
            it.look()
            it.watch.follow(it.rules, {})
            return "".join(it.order)

        assert turn("192.0.2.1", "192.0.2.9") == "ba"
        lines = it.watch._lines
        lines["a"].prober.scores.latency_ms, lines["b"].prober.scores.latency_ms = 10.0, 50.0
        assert turn("192.0.2.1", "192.0.2.9") == "ab"
        assert turn("192.0.2.2", "192.0.2.9") == "ab" and lines["a"].prober.latency_ms is None
        assert turn("192.0.2.3", "192.0.2.9") == "ab", "again, before an answer came"
        lines["a"].prober.scores.latency_ms = 90.0
        assert turn("192.0.2.3", "192.0.2.9") == "ba"
        assert turn("", "192.0.2.9") == "ba"
        lines["a"].by_hand = "up"
        assert turn("192.0.2.1", "192.0.2.9") == "ba"
        assert lines["a"].latency_ms is None, "of a line that was gone nothing is known"

    play(story)


def test_what_is_gone_is_forgotten(play):
    async def story(it):
        it.look()
        it.probed(LOST, LOST, LOST)
        it.watch.look(rules(B), states()[1:2])
        assert it.watch.document("a") is None
        assert it.look()["a"].up

    play(story)


def test_what_a_person_said_of_a_line_outlives_a_change_without_it_that_goes_back(play):
    async def story(it):
        it.look()
        assert it.watch.set_by_hand("a", "down")
        it.watch.look(rules(B), states()[1:2])
        assert not it.look()["a"].up
        assert it.watch.set_by_hand("a", "auto")
        it.watch.look(rules(B), states()[1:2])
        assert it.look()["a"].up

    play(story)


def test_of_rules_that_are_only_supposed_the_lines_are_used_as_they_are_now(play):
    async def story(it):
        it.watch.look(rules(B), states()[1:2])
        supposed = rules(A, B, Outbound("g", "group", strategy="balance", member=("a", "b")))
        used = it.watch.uses(supposed, states(a=False))["g"]
        assert used.shares[4] == (("b", 1),), "nobody watches a yet, and it is down"
        assert it.watch.uses(supposed, states())["g"].shares[4] == (("a", 1), ("b", 1))
        told = [it.watch.engine_state(supposed.settings, states(a=up)) for up in (True, False)]
        assert told == [NORMAL, FAILOVER], "a is the primary one"

    play(story)


def test_only_lines_have_a_health(play):
    async def story(it):
        it.look()
        assert it.watch.document("g") is None
        assert set(it.watch.document("b")) == {
            "state", "because", "since", "trusted", "by_hand", "silent", "latency_ms", "jitter_ms", "loss",
            "probes",
        }  # fmt: skip

    play(story)


def test_clients_degrade_a_line_that_nobody_probes_and_clear_it_again(play):
    async def story(it):
        it.look()
        assert it.watch.evidence("b") is None
        it.watch.follow(it.rules, {"b": 2})
        begin(it, 0, is_answered=True)
        await asyncio.sleep(1)
        begin(it, 100, is_answered=False)
        await asyncio.sleep(3)
        assert it.look()["b"].up and it.watch.document("b")["state"] == "DEGRADED"
        assert it.watch.document("b")["because"] == "8 connections of 2 clients to 4 addresses without answer"
        begin(it, 200, is_answered=True)
        await asyncio.sleep(2)
        assert it.watch.document("b")["because"] == "4 addresses answered clients since"
        await asyncio.sleep(10)
        assert it.watch.document("b")["state"] == "NORMAL" and it.watch._lines["b"].weighing is None

    found = play(story)
    assert found.told == [("b", "NORMAL", "DEGRADED"), ("b", "DEGRADED", "RECOVERY"), ("b", "RECOVERY", "NORMAL")]


def test_who_was_waited_for_when_the_machine_fell_asleep_says_nothing_of_a_line_that_nobody_probes(play):
    async def story(it):
        it.look()
        it.watch.follow(it.rules, {"b": 2})
        begin(it, 0, is_answered=True)
        await asyncio.sleep(2)
        begin(it, 100, is_answered=False)
        it.slept += 3600.0
        await asyncio.sleep(20)
        assert len(it.watch.evidence("b").ends(4)) == 4, "who answered before is still known"

    assert play(story).told == []


def test_open_connections_of_clients_degrade_a_line_that_nobody_probes_and_a_line_that_was_away_begins_anew(play):
    def stall(it: Watching) -> None:
        evidence, now = it.watch.evidence("b"), asyncio.get_running_loop().time()
        for whose, address in (
            ("desk", "192.0.2.1"),
            ("desk", "192.0.2.2"),
            ("phone", "192.0.2.3"),
            ("phone", "192.0.2.4"),
        ):
            evidence.stalls.repeated(whose, address, (address, 443), 2, now)
        it.watch.weigh_later("b")

    async def story(it):
        it.look()
        it.watch.follow(it.rules, {"b": 2})
        stall(it)
        await asyncio.sleep(2)
        it.watch.look(it.rules, states(b=False))
        it.watch.follow(it.rules, {"b": 2})
        it.look()
        it.watch.follow(it.rules, {"b": 2})
        await asyncio.sleep(60)
        assert it.watch.document("b")["state"] == "NORMAL"
        for _ in range(2):
            stall(it)
            await asyncio.sleep(3)
        assert it.watch.document("b")["because"] == "4 connections of 2 clients to 4 addresses without answer"
        assert it.look()["b"].up and it.watch.document("b")["state"] == "DEGRADED"

    play(story)


@pytest.mark.parametrize("most", [5, 30, None])
def test_what_clients_lose_degrades_a_line_that_nobody_probes_until_it_arrives(play, most):
    async def story(it):
        limit = {} if most is None else {"max_client_loss": most}  # nothing of it counts unless somebody says how much
        it.rules = rules(A, Outbound("b", "interface", interface="wanb", **limit), GROUP)
        it.look()
        it.watch.follow(it.rules, {"b": 2})
        for lost in (20, 0):
            for _ in range(20):
                evidence, now = it.watch.evidence("b"), asyncio.get_running_loop().time()
                for whose, address in (("desk", "w"), ("desk", "x"), ("phone", "y"), ("phone", "z")):
                    evidence.sent.note(whose, address, lost, 100, now)
                it.watch.weigh_later("b")
                await asyncio.sleep(3)
            if lost and most == 5:
                assert (
                    it.watch.document("b")["because"] == "loss 20 % of what 2 clients send to 4 addresses, more than 5"
                )
                assert it.look()["b"].up
        assert it.watch.document("b")["state"] == "NORMAL" and it.watch._lines["b"].weighing is None

    found = play(story)
    way = ["NORMAL", "DEGRADED", "RECOVERY", "NORMAL"]
    assert [told for told in found.told if told[0] == "b"] == (
        [("b", before, after) for before, after in itertools.pairwise(way)] if most == 5 else []
    )


async def losing(it: Watching, lost: int, seconds: int, most: int = 5) -> None:
    """Two clients lose so many of a hundred packets by a line without probes, for so long."""
    it.rules = rules(A, Outbound("b", "interface", interface="wanb", max_client_loss=most), GROUP)
    it.look()
    it.watch.follow(it.rules, {"b": 2})
    for _ in range(seconds):
        evidence, now = it.watch.evidence("b"), asyncio.get_running_loop().time()
        for whose, address in (("desk", "w"), ("desk", "x"), ("phone", "y"), ("phone", "z")):
            evidence.received.note(whose, address, lost, 100, now)
        it.watch.weigh_later("b")
        await asyncio.sleep(1)


def test_what_was_lost_before_a_line_was_away_makes_nothing_worse_when_it_is_back(play):
    async def story(it):
        await losing(it, 20, 5)
        assert it.watch.document("b")["state"] == "DEGRADED"
        it.watch.look(it.rules, states(b=False))
        it.watch.follow(it.rules, {"b": 2})
        it.look()
        await asyncio.sleep(60)
        assert it.watch.document("b")["state"] == "NORMAL"
        await losing(it, 4, 5)  # more than half of the limit, which counts only for one that was over it
        assert it.watch.document("b")["state"] == "NORMAL"

    play(story)


def test_what_clients_lost_is_forgotten_where_nobody_says_anything_any_more(play):
    async def story(it):
        await losing(it, 20, 5)
        await asyncio.sleep(SILENT_SECONDS - 60)
        assert it.watch.document("b")["state"] == "DEGRADED"
        await asyncio.sleep(120)  # rules by state may lead everything elsewhere: then nobody could ever clear it
        assert it.watch.document("b")["state"] == "NORMAL" and it.watch._lines["b"].weighing is None

    play(story)


@pytest.mark.parametrize(("most", "further"), [(0, 0), (30, 8)])
def test_another_limit_holds_at_once_for_what_clients_lost_before(play, most, further):
    async def story(it):
        await losing(it, 20, 5)
        assert it.watch.document("b")["state"] == "DEGRADED"
        await losing(it, 20, further, most)
        await asyncio.sleep(8 - further)
        assert it.watch.document("b")["state"] == "NORMAL"
        await losing(it, 20, 2, 10)
        assert it.watch.document("b")["state"] == "DEGRADED"

    play(story)


def test_who_does_not_want_it_hears_nothing_of_clients(play):
    async def story(it):
        it.rules = rules(Outbound("a", "interface", interface="wana", passive=False), B, GROUP)
        it.look()
        it.watch.follow(it.rules, {"a": 1, "b": 2})
        assert it.watch.evidence("a") is None and it.watch.evidence("b") is not None
        it.watch.rest()
        assert it.watch.evidence("b") is None

    play(story)


def test_only_lines_with_probes_that_are_up_are_probed_with_the_mark_of_their_class(play, monkeypatch):
    async def story(it):
        it.look()
        assert "netpolicy.outbounds.line_probe" not in sys.modules or it.watch._lines["a"].prober is None
        it.watch.follow(it.rules, {"a": 1, "b": 2})
        prober = it.watch._lines["a"].prober
        assert prober is not None and prober._line.mark == 0x01000000 and prober._line.device == "wana"
        assert prober._pace._part == part(7, "a", 0), "at times of its own"
        assert it.watch._lines["b"].prober is None
        it.watch.follow(it.rules, {"a": 1, "b": 2})
        assert it.watch._lines["a"].prober is prober, "nothing changed: it goes on"
        it.watch.follow(it.rules, {"a": 3, "b": 2})
        assert it.watch._lines["a"].prober is not prober
        it.look(a=False)
        it.watch.follow(it.rules, {"a": 3, "b": 2})
        assert it.watch._lines["a"].prober is None
        it.look()
        it.watch.follow(it.rules, {"a": 3, "b": 2})
        it.watch.rest()
        assert it.watch._lines["a"].prober is None

    play(story)
