"""Real echoes out of real devices, and answers that are not ours."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.outbounds import check_line, check_ping
from netpolicy.outbounds.check_line import FAILED, NO_WAY, PASSED, UNKNOWN, Line, timed
from netpolicy.outbounds.check_ping import ECHO, HEADER, Stamps, checksum, is_answer, ping, question, without_ip_header
from tests.kernel.streams import SERVER
from tests.netns import needs_root
from tests.outbounds.far_side import LINE_A, LINE_B, answered

TOKEN = bytes(range(16))


@pytest.mark.kernel
@needs_root
@pytest.mark.parametrize("has_ping_sockets", [False, True])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("line", [LINE_A, LINE_B], ids=["a", "b"])
async def test_an_address_answers_by_either_line(far, family, line, has_ping_sockets):
    if has_ping_sockets:  # a new namespace has none
        far.place.router.sysctl("net/ipv4/ping_group_range", "0 0")
    begun = time.monotonic()
    answer = await answered(ping(line, SERVER[family]))
    assert (answer.state, answer.reason) == (PASSED, ""), answer
    assert 0 < answer.milliseconds <= (time.monotonic() - begun) * 1000 + 1


@pytest.mark.kernel
@needs_root
@pytest.mark.parametrize("family", [4, 6])
async def test_a_line_that_swallows_packets_fails_and_the_other_passes(far, family):
    far.swallow("eth0")
    answer = await timed(ping(LINE_A, SERVER[family]), 0.3)
    assert (answer.state, answer.reason) == (FAILED, "timeout")
    assert (await answered(ping(LINE_B, SERVER[family]))).state == PASSED


@pytest.mark.kernel
@needs_root
async def test_without_a_way_it_is_not_known(far):
    far.place.router.run("ip", "-6", "route", "del", "default")
    answer = await answered(ping(LINE_A, SERVER[6]))
    assert (answer.state, answer.reason) == (UNKNOWN, NO_WAY)
    gone = await answered(ping(Line("x", "nowhere"), SERVER[4]))
    assert (gone.state, gone.reason) == (UNKNOWN, NO_WAY)


@pytest.mark.kernel
@needs_root
async def test_an_address_that_a_router_calls_unreachable_fails(far):
    far.place.server.run("ip", "route", "add", "unreachable", "203.0.113.77")
    far.place.server.sysctl("net/ipv4/ip_forward", 1)
    answer = await timed(ping(LINE_A, "203.0.113.77"), 0.5)
    assert answer.state == FAILED


@pytest.mark.kernel
@needs_root
async def test_the_time_is_that_of_the_question_that_was_answered(far, monkeypatch):
    """By satellite the answer to the first one comes when the second one has just left."""
    monkeypatch.setattr(check_line, "PACE_SECONDS", 0.1)
    monkeypatch.setattr(check_ping, "TOGETHER_NS", check_ping.LONGEST_NS)  # never told too short
    far.place.server.sysctl("net/ipv4/icmp_echo_ignore_all", 1)
    with far.place.server.entered():
        server = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    server.bind((SERVER[4], 0))
    loop = asyncio.get_running_loop()
    asked, begun = [], time.monotonic()

    def hear() -> None:
        data, (address, _) = server.recvfrom(1000)
        kind, _, _, identifier, number = HEADER.unpack_from(without_ip_header(data))
        if kind == ECHO[4][0]:
            asked.append(number)
            rest = without_ip_header(data)[HEADER.size :]
            bare = HEADER.pack(ECHO[4][1], 0, 0, identifier, number) + rest
            reply = HEADER.pack(ECHO[4][1], 0, checksum(bare), identifier, number) + rest
            loop.call_later(0.15, server.sendto, reply, (address, 0))

    loop.add_reader(server, hear)
    try:
        answer = await answered(ping(LINE_A, SERVER[4]))
    finally:
        loop.remove_reader(server)
        server.close()
    assert answer.state == PASSED and len(asked) >= 2
    assert 149 <= answer.milliseconds <= (time.monotonic() - begun) * 1000 + 1


class Delayed(socket.socket):
    """Whose program has to wait for the processor as it sends."""

    before = after = 0.0

    def send(self, data: bytes) -> int:  # type: ignore[override]
        time.sleep(self.before)
        sent = super().send(data)
        time.sleep(self.after)
        return sent


@pytest.mark.parametrize(("before", "after"), [(0.2, 0.0), (0.0, 0.2)])
async def test_a_router_that_was_busy_while_it_sent_does_not_take_that_for_the_lines_delay(before, after):
    with Delayed(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        one.bind(("127.0.0.1", 0))
        one.connect(one.getsockname())  # what it says it hears
        one.before, one.after = before, after
        stamps = Stamps(one)
        stamps.send(b"hello")
        assert await stamps.receive() == b"hello"
        assert 0 < stamps.milliseconds(1) < 100


def test_only_the_reply_to_our_own_question_is_believed():
    for family in (4, 6):
        reply = HEADER.pack(ECHO[family][1], 0, 0, 9, 1) + TOKEN
        assert is_answer(family, reply, TOKEN) == 1
        assert not is_answer(family, question(family, TOKEN), TOKEN)  # our own question on loopback
        second = HEADER.pack(ECHO[family][1], 0, 0, 9, 2) + TOKEN
        assert not is_answer(family, second, TOKEN) and is_answer(family, second, TOKEN, 2) == 2
        assert not is_answer(family, HEADER.pack(ECHO[family][1], 0, 0, 9, 0) + TOKEN, TOKEN)
        assert not is_answer(family, HEADER.pack(ECHO[family][1], 1, 0, 9, 1) + TOKEN, TOKEN)
        assert not is_answer(family, reply[:-1] + b"x", TOKEN)
        assert not is_answer(family, reply + b"x", TOKEN)


def test_the_checksum_of_a_question_is_right():
    assert checksum(question(4, TOKEN)) == checksum(question(4, TOKEN, 9)) == 0


@given(st.binary(max_size=100))
def test_garbage_is_no_answer(data):
    assert not is_answer(4, without_ip_header(data), TOKEN)
    assert not is_answer(6, data, TOKEN)
