"""A line is late in order, or silent, and says so when asked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.lab.relay import QUEUE_LIMIT, Line, Orders


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
