"""Real connections out of real devices."""

from __future__ import annotations

import pytest

from netpolicy.outbounds.check_line import FAILED, NO_WAY, PASSED, REFUSED, UNKNOWN, Line, timed
from netpolicy.outbounds.check_tcp import tcp
from tests.kernel.streams import SERVER
from tests.netns import needs_root
from tests.outbounds.far_side import LINE_A, LINE_B, answered

pytestmark = [pytest.mark.kernel, needs_root]


async def say_nothing(_reader, _writer) -> None:
    """A server that takes connections."""


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("line", [LINE_A, LINE_B], ids=["a", "b"])
async def test_a_connection_is_taken_by_either_line(steady, family, line):
    async with steady.serving(5000, say_nothing, family):
        assert (await answered(tcp(line, SERVER[family], 5000))).state == PASSED


@pytest.mark.parametrize("family", [4, 6])
async def test_a_closed_port_is_refused_and_silence_is_a_timeout(far, family):
    answer = await answered(tcp(LINE_A, SERVER[family], 5001))
    assert (answer.state, answer.reason) == (FAILED, REFUSED)
    far.swallow("eth0")
    answer = await timed(tcp(LINE_A, SERVER[family], 5001), 0.3)
    assert (answer.state, answer.reason) == (FAILED, "timeout")


async def test_it_leaves_by_the_line_and_by_no_other(far):
    far.swallow("eth0")
    async with far.serving(5000, say_nothing):
        assert (await answered(tcp(LINE_B, SERVER[4], 5000))).state == PASSED
        assert (await timed(tcp(LINE_A, SERVER[4], 5000), 0.3)).state == FAILED


async def test_what_the_router_itself_refuses_says_nothing_of_the_line(far):
    for address in SERVER.values():
        far.place.router.run("ip", *(["-6"] if ":" in address else []), "route", "add", "unreachable", address)
        answer = await answered(tcp(Line("x"), address, 5000))
        assert (answer.state, answer.reason) == (UNKNOWN, NO_WAY)
