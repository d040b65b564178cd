"""A line is late in order, or silent, and says so when asked."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.lab.control import ask_relay
from netpolicy.lab.relay import CALLERS_LIMIT, QUEUE_LIMIT, Line, Orders, carry


def test_a_packet_waits_for_its_time() -> None:
    line = Line()
    line.put(b"one", now=10.0, delay=0.004)
    assert line.take(10.003) is None
    assert line.next_due() == 10.004
    assert line.take(10.004) == b"one"
    assert line.next_due() is None


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.1)), max_size=50))
def test_packets_leave_in_the_order_they_came_whatever_the_delay_does(arrivals: list[tuple[float, float]]) -> None:
    line, now = Line(), 0.0
    for number, (gap, delay) in enumerate(arrivals):
        now += gap
        line.put(b"%d" % number, now, delay)
    left = []
    while (packet := line.take(now + 1)) is not None:
        left.append(int(packet))
    assert left == list(range(len(arrivals)))


def test_a_full_line_loses_the_newest_and_counts_it() -> None:
    line = Line()
    for _ in range(QUEUE_LIMIT + 3):
        line.put(b"x", 0.0, 1.0)
    assert (len(line.waiting), line.lost) == (QUEUE_LIMIT, 3)


def test_orders_change_delay_and_life_and_the_answer_tells_both() -> None:
    orders = Orders(8.0)
    assert orders.delay == 0.004
    assert orders.obey("delay 25") == "ok delay_ms=25 dead=0"
    assert orders.obey("drop") == "ok delay_ms=25 dead=1"
    assert orders.obey("restore") == "ok delay_ms=25 dead=0"


def test_an_unknown_order_changes_nothing_and_names_the_known_ones() -> None:
    orders = Orders(8.0)
    for text in ("explode", "delay", "delay -3", "delay soon", ""):
        assert orders.obey(text).startswith("error")
    assert (orders.delay, orders.dead) == (0.004, False)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, socket.socket, socket.socket]]:
    """Where a running line takes orders, and its two ends."""
    near, router = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    far, internet = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    path = tmp_path / "relay"
    with near, router, far, internet, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as control:
        control.bind(str(path))
        control.listen(CALLERS_LIMIT + 1)
        for end in (near, far):
            end.setblocking(False)
        child = os.fork()
        if child == 0:
            try:
                carry(near.fileno(), far.fileno(), control, Orders(0.0))
            finally:
                os._exit(1)
        try:
            yield path, router, internet
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def called(path: Path) -> socket.socket:
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    caller.settimeout(30)
    caller.connect(str(path))
    return caller


def test_who_orders_late_is_heard_and_holds_nobody_up(served: tuple[Path, socket.socket, socket.socket]) -> None:
    path, router, internet = served
    with called(path) as late:
        router.send(b"packet")
        assert internet.recv(100) == b"packet"
        assert ask_relay(path, "drop").startswith("ok delay_ms=0 dead=1")
        late.send(b"restore")
        assert late.recv(256).startswith(b"ok delay_ms=0 dead=0")


def test_of_too_many_who_say_nothing_the_first_is_left_out(served: tuple[Path, socket.socket, socket.socket]) -> None:
    silent = [called(served[0]) for _ in range(CALLERS_LIMIT + 1)]
    assert ask_relay(served[0], "stats").startswith("ok")
    assert [one.recv(256) for one in silent[:2]] == [b"", b""]
    for one in silent:
        one.close()
