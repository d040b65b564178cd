"""How the fate of a packet is told: about the line, or about this router."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import time

import pytest

from netpolicy.outbounds.check_line import (
    FAILED,
    NO_PRIVILEGE,
    NO_SUPPORT,
    NO_WAY,
    PASSED,
    REFUSED,
    UNKNOWN,
    UNREACHABLE,
    Answer,
    Line,
    Unsendable,
    end_point,
    exchange,
    not_answered,
    not_sent,
    opened,
    timed,
)
from tests.netns import needs_root
from tests.outbounds.far_side import LINE_B, MARK_B


async def outcome(error: BaseException) -> tuple[str, str]:
    async def work() -> Answer:
        raise error

    answer = await timed(work())
    return answer.state, answer.reason


async def test_what_the_network_says_is_about_the_line():
    assert await outcome(OSError(errno.ECONNREFUSED, "refused")) == (FAILED, REFUSED)
    assert await outcome(OSError(errno.EHOSTUNREACH, "no")) == (FAILED, UNREACHABLE)
    assert await outcome(OSError(errno.ECONNRESET, "no")) == (FAILED, UNREACHABLE)
    assert await outcome(OSError(errno.ETIMEDOUT, "no")) == (FAILED, "timeout")
    assert not_answered(OSError(errno.ETIMEDOUT, "no")).reason == "timeout"


async def test_what_this_router_says_is_not_known_of_the_line():
    assert await outcome(PermissionError(errno.EPERM, "no")) == (UNKNOWN, NO_PRIVILEGE)
    assert await outcome(Unsendable(not_sent(OSError(errno.ENETUNREACH, "no")))) == (UNKNOWN, NO_WAY)
    assert await outcome(Unsendable(not_sent(OSError(errno.EMFILE, "no")))) == (UNKNOWN, NO_SUPPORT)
    assert await outcome(Unsendable(not_sent(OSError(errno.EAFNOSUPPORT, "no")))) == (UNKNOWN, NO_SUPPORT)


async def test_time_is_bounded_and_measured():
    begun = time.monotonic()
    answer = await timed(asyncio.Event().wait(), 0.02)
    assert (answer.state, answer.reason) == (FAILED, "timeout")
    assert 15 < answer.milliseconds <= (time.monotonic() - begun) * 1000 + 1

    async def at_once() -> Answer:
        return Answer(PASSED)

    begun = time.monotonic()
    assert (await timed(at_once())).milliseconds <= (time.monotonic() - begun) * 1000 + 1


@pytest.mark.parametrize(("turns", "state"), [(5, PASSED), (None, FAILED)])
async def test_what_came_while_this_process_stood_still_is_an_answer(turns: int | None, state: str):
    """The loop was busy with something else, or another program had the processor, until all the time was over."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.setblocking(False)
    loop = asyncio.get_running_loop()

    async def asking() -> Answer:
        loop.call_soon(time.sleep, 0.3)
        loop.call_soon(far.send, b"an answer")
        await loop.sock_recv(near, 100)
        for _ in range(turns or 0):  # of the loop: as many as it takes to understand it
            await asyncio.sleep(0)
        if turns is None:
            await asyncio.Event().wait()
        return Answer(PASSED)

    with near, far:
        assert (await timed(asking(), 0.1)).state == state


async def test_who_does_not_wait_any_longer_ends_the_question():
    ended = asyncio.Event()

    async def asking() -> Answer:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Answer(PASSED)

    task = asyncio.ensure_future(timed(asking(), 100.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


@pytest.mark.parametrize("turns", range(5))
async def test_a_question_ends_also_where_somebody_elses_answer_comes_at_that_moment(turns: int):
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.setblocking(False)
    with near, far:
        asking = asyncio.ensure_future(exchange(near, b"a question", lambda _: None))
        for _ in range(5):
            await asyncio.sleep(0)
        far.send(b"not the answer")
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        has_ended = asking.cancelled()
        asking.cancel()
        assert has_ended


async def test_a_refusal_that_comes_as_nobody_waits_any_longer_is_no_fault_of_ours():
    """What a task raised and nobody asked for is reported as a mistake in the program."""
    told: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))
    for turns in range(6):
        refused: asyncio.Future[Answer] = loop.create_future()
        asking = asyncio.create_task(timed(_answer_of(refused)))
        await asyncio.sleep(0.01)
        refused.set_exception(OSError(errno.ECONNREFUSED, "refused"))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        del asking, refused
        gc.collect()
    loop.set_exception_handler(None)
    assert told == []


async def _answer_of(found: asyncio.Future[Answer]) -> Answer:
    return await found


@pytest.mark.kernel
@needs_root
async def test_a_socket_carries_the_device_and_the_class_of_its_line(steady):
    with opened(LINE_B, 4, socket.SOCK_DGRAM) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == MARK_B
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0") == b"wanb"
        assert not made.getblocking()
    with pytest.raises(Unsendable) as refused:
        opened(Line("x", "nowhere"), 4, socket.SOCK_DGRAM)
    assert refused.value.answer.reason == NO_WAY


def test_a_link_local_address_lies_on_the_device():
    assert end_point(Line("x", "lo"), "fe80::1", 53) == ("fe80::1", 53, 0, socket.if_nametoindex("lo"))
    assert end_point(Line("x", "lo"), "192.0.2.1", 53) == ("192.0.2.1", 53)
    with pytest.raises(Unsendable):
        end_point(Line("x", "nowhere"), "fe80::1", 53)


def test_both_families_are_tried_where_the_way_is_not_known():
    assert Line("x").families == (4, 6)
    assert LINE_B.families == (4, 6)
