"""Lines before and after a change: what is lost, what is forgiven, and how long it takes."""

from __future__ import annotations

import asyncio
import time

import pytest

from netpolicy.core.model import Outbound
from netpolicy.dataplane.policy import Hop
from netpolicy.outbounds.check import Check, check_lines, compare, line_of, losses
from netpolicy.outbounds.check_line import (
    FAILED,
    NO_NAME,
    NO_PRIVILEGE,
    NO_SUPPORT,
    NO_WAY,
    PASSED,
    UNKNOWN,
    Answer,
    Line,
)
from netpolicy.outbounds.check_target import parse_target
from netpolicy.outbounds.lines import LineState
from tests.kernel.streams import SERVER
from tests.netns import needs_root
from tests.outbounds.far_side import LINE_A, LINE_B, PATIENCE_SECONDS, line
from tests.outbounds.test_check_dns import server
from tests.outbounds.test_check_http import page

kernel = pytest.mark.kernel
GATEWAYS = ["gateway IPv4", "gateway IPv6"]
TRIES = (0.01, 0.01)  # a fifth of a second may be too short for an answer, but not three times


def check(state: str, reason: str = "", outbound: str = "a", what: str = "ping:9.9.9.9") -> Check:
    return Check(outbound, what, Answer(state, reason, reason))


@pytest.mark.parametrize(
    ("after", "is_lost"),
    [
        ((PASSED, ""), False), ((FAILED, "timeout"), True), ((UNKNOWN, NO_WAY), True), ((UNKNOWN, NO_NAME), True),
        ((UNKNOWN, NO_PRIVILEGE), False), ((UNKNOWN, NO_SUPPORT), False),
    ],
)  # fmt: skip
def test_what_passed_before_must_pass_after_unless_nothing_is_known(after, is_lost):
    assert bool(compare([check(PASSED)], [check(*after)], {"a"})) is is_lost


@pytest.mark.parametrize("before", [(FAILED, "timeout"), (UNKNOWN, NO_WAY), (UNKNOWN, NO_PRIVILEGE)])
def test_what_did_not_pass_before_is_not_demanded(before):
    assert compare([check(*before)], [check(FAILED, "timeout")], {"a"}) == ()


def test_what_is_gone_by_intention_is_no_loss_but_a_gateway_nobody_knows_is():
    before = [check(PASSED), check(PASSED, what="gateway IPv4"), check(PASSED, what="gateway IPv4", outbound="b")]
    (loss,) = compare(before, [], {"a"})
    assert loss.after.key == ("a", "gateway IPv4")
    assert loss.text == "outbound a: gateway IPv4: no gateway is known any more (it passed before)"


def test_a_line_is_made_of_what_is_known_of_its_outbound():
    outbound = Outbound("fibre", "interface", interface="wan", probe=("ping:9.9.9.9", "ping:9.9.9.9", "tcp:host"))
    made = line_of(outbound, LineState("fibre", "interface", True, "up", "eth1", (Hop(4, "192.0.2.1"),)), 0x01000000)
    assert (made.outbound, made.device, made.mark, made.hops) == ("fibre", "eth1", 0x01000000, (Hop(4, "192.0.2.1"),))
    assert [target.words for target in made.targets] == ["ping:9.9.9.9"]
    assert [words for words, _ in made.unsendable] == ["tcp:host"]


async def test_a_probe_that_makes_no_target_is_told_and_counts_for_nothing():
    (told,) = await check_lines([Line("a", unsendable=(("tcp:host", "it names no port"),))])
    assert (told.what, told.state, told.answer.text) == ("tcp:host", UNKNOWN, "it names no port")
    assert compare([check(PASSED, what="tcp:host")], [told], {"a"}) == ()


@kernel
@needs_root
async def test_every_kind_is_sent_by_every_line_at_once(far):
    probes = (
        f"ping:{SERVER[4]}",
        f"ping:{SERVER[6]}",
        f"tcp:{SERVER[6]}:5000",
        "http://host.example/",
        "dns:both.example",
    )
    lines = [line(of, *probes, servers=(SERVER[4],)) for of in (LINE_A, LINE_B)]

    def names(question: bytes) -> bytes | None:
        from tests.outbounds.test_check_dns import A, reply

        if b"host" in question:
            return reply(question, SERVER[4]) if question[-4:-2] == A.to_bytes(2, "big") else reply(question)
        return server(question)

    async def quiet(_reader, _writer):
        pass

    async with far.answering(53, names), far.serving(80, page(b"HTTP/1.1 200 OK")), far.serving(5000, quiet, 6):
        found = await check_lines(lines, PATIENCE_SECONDS)
    assert [one.what for one in found if one.outbound == "b"] == [*GATEWAYS, *probes]
    assert [one for one in found if one.state != PASSED] == []


@kernel
@needs_root
async def test_a_line_that_begins_to_swallow_is_lost_and_the_other_is_not(far):
    lines = [line(of, f"ping:{SERVER[4]}", f"ping:{SERVER[6]}") for of in (LINE_A, LINE_B)]
    before = await check_lines(lines, PATIENCE_SECONDS)
    assert {one.state for one in before} == {PASSED}
    assert await losses(before, lines, PATIENCE_SECONDS, (0.01,)) == ()
    far.swallow("eth0")
    found = await losses(before, lines, 0.2, TRIES)
    assert [loss.after.key for loss in found] == [("a", f"ping:{SERVER[4]}"), ("a", f"ping:{SERVER[6]}")]
    assert "no answer within 0.2 s (it passed before)" in found[0].text


@kernel
@needs_root
async def test_a_gateway_that_went_is_lost(far):
    before = await check_lines([LINE_A, LINE_B], PATIENCE_SECONDS)
    far.place.server.run("ip", "address", "del", "198.51.100.1/24", "dev", "eth1")
    found = await losses(before, [LINE_A, LINE_B], 0.2, TRIES)
    assert [loss.after.key for loss in found] == [("b", "gateway IPv4")]
    (unknown,) = await losses(before, [LINE_A, Line("b", "wanb", LINE_B.mark, LINE_B.hops[1:])], 0.2, TRIES)
    assert unknown.after.answer.reason == NO_WAY


@kernel
@needs_root
async def test_what_comes_back_between_the_tries_is_not_lost(far):
    lines = [line(LINE_A, f"ping:{SERVER[4]}")]
    before = await check_lines(lines, PATIENCE_SECONDS)
    far.swallow("eth0")
    asking = asyncio.ensure_future(losses(before, lines, 0.2, (0.3, *TRIES)))
    await asyncio.sleep(0.3)
    far.place.server.run("nft", "delete", "table", "inet", "swallow")
    assert await asking == ()


@kernel
@needs_root
async def test_a_hundred_dead_probes_take_no_longer_than_their_turns(far):
    far.swallow("eth0")
    lines = [Line(f"a{n}", "wana", 0, (), (parse_target(f"tcp:{SERVER[4]}:{5000 + n}"),)) for n in range(96)]
    for is_last in (False, False, True):  # at best: others need the processor too
        begun = time.monotonic()
        found = await check_lines(lines, 0.2)
        assert {one.answer.reason for one in found} == {"timeout"}
        if time.monotonic() - begun < 3:
            return
        assert not is_last
