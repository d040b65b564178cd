"""Beginnings and ends of connections, packet by packet: answered, repeated, refused, closed, forgotten."""

from __future__ import annotations

import pytest

from netpolicy.flows.handshakes import LIMIT, UNANSWERED_SECONDS, Handshakes, Origin
from netpolicy.flows.packet_frame import Frame
from netpolicy.flows.seen import CLOSED, OPEN, RESET, Measured, SeenKey
from netpolicy.flows.seen import SYN as UNANSWERED
from tests.flows.packets import ACK, CLIENT, FIN, REMOTE, RST, SYN, TCP, mapped

MAC = bytes.fromhex("020000000001")


def key(port: int = 40000) -> SeenKey:
    return mapped(CLIENT[4]), mapped(REMOTE[4]), port, 443, TCP


class Line:
    """A device where packets of one connection pass at times of the test's choosing."""

    def __init__(self, talks: Handshakes, port: int = 40000, ifindex: int = 3) -> None:
        self.talks, self.key, self.ifindex = talks, key(port), ifindex

    def up(
        self, flags: int, when: float, sequence: int = 1000, acknowledged: int = 0, ttl: int = 64
    ) -> Measured | None:
        return self._pass(True, flags, when, sequence, acknowledged, ttl)

    def down(
        self, flags: int, when: float, sequence: int = 5000, acknowledged: int = 0, ttl: int = 55
    ) -> Measured | None:
        return self._pass(False, flags, when, sequence, acknowledged, ttl)

    def _pass(self, up, flags, when, sequence, acknowledged, ttl):
        client, remote, client_port, remote_port, _ = self.key
        ends = (
            (client, remote, TCP, client_port, remote_port) if up else (remote, client, TCP, remote_port, client_port)
        )
        frame = Frame(*ends, ttl, flags, sequence, acknowledged, 40, 40)
        return self.talks.take(self.key, frame, Origin(up, when, self.ifindex, MAC if up else bytes(6)))


@pytest.fixture
def talks() -> Handshakes:
    return Handshakes()


@pytest.fixture
def line(talks) -> Line:
    return Line(talks)


def swept(talks: Handshakes, now: float) -> list[Measured]:
    return [one for step in talks.sweep(now) for one in step]


def test_a_connection_from_its_beginning_to_its_end(talks, line):
    assert line.up(SYN, 10.0) is None
    open_ = line.down(SYN | ACK, 10.04, acknowledged=1001)
    assert (open_.state, open_.final, open_.rtt_remote_us, open_.first, open_.last) == (OPEN, False, 40000, 10.0, 10.04)
    assert (open_.up.syns, open_.down.syns, open_.up.ttl, open_.down.ttl) == (1, 1, 64, 55)
    assert (open_.ifindex, open_.mac, open_.inbound, open_.mid) == (3, MAC, False, False)
    assert line.up(FIN | ACK, 11.0) is None
    assert line.up(FIN | ACK, 11.2) is None  # once more
    over = line.down(FIN | ACK, 11.3)
    assert (over.state, over.final, over.last, over.up.fin, over.down.fin) == (CLOSED, True, 11.3, True, True)
    assert over.rtt_remote_us == 40000
    assert len(talks) == 0 and talks.get(line.key) is None
    assert line.up(FIN | ACK, 11.4) is None
    assert talks.counters == {"begun": 1, "over": 1, "evicted": 0, "stray": 1}


def test_a_connection_that_the_remote_side_opens(line):
    line.down(SYN, 1.0, sequence=77)
    open_ = line.up(SYN | ACK, 1.002, acknowledged=78)
    assert (open_.inbound, open_.state, open_.rtt_remote_us, open_.mac) == (True, OPEN, 2000, MAC)


def test_where_a_syn_was_repeated_nobody_knows_which_one_was_answered(line):
    line.up(SYN, 1.0)
    line.up(SYN, 2.0)
    open_ = line.down(SYN | ACK, 2.03, acknowledged=1001)
    assert (open_.state, open_.rtt_remote_us, open_.up.syns) == (OPEN, 0, 2)


def test_a_repeated_answer_changes_no_measurement(line):
    line.up(SYN, 1.0)
    line.down(SYN | ACK, 1.03, acknowledged=1001)
    assert line.down(SYN | ACK, 2.03, acknowledged=1001) is None
    over = line.down(RST, 3.0)
    assert (over.rtt_remote_us, over.down.syns) == (30000, 2)


def test_an_answer_to_something_else_is_none(line):
    line.up(SYN, 1.0)
    assert line.down(SYN | ACK, 1.03, acknowledged=1002) is None
    assert line.up(SYN | ACK, 1.03, acknowledged=1001) is None
    assert line.down(SYN | ACK, 1.05, acknowledged=1001).state == OPEN


def test_the_numbers_of_segments_run_over(line):
    line.up(SYN, 1.0, sequence=0xFFFFFFFF)
    assert line.down(SYN | ACK, 1.03, acknowledged=0).state == OPEN


def test_a_refused_connection_and_one_that_is_torn_down(talks, line):
    line.up(SYN, 1.0)
    refused = line.down(RST | ACK, 1.01, acknowledged=1001, ttl=55)
    assert (refused.state, refused.final, refused.rtt_remote_us) == (RESET, True, 0)
    assert (refused.down.resets, refused.down.ttl_reset, refused.up.resets) == (1, 55, 0)
    line.up(SYN, 2.0, sequence=9)
    line.down(SYN | ACK, 2.01, acknowledged=10)
    torn = line.down(RST, 2.5, ttl=61)  # not as far away as the server: somebody on the way
    assert (torn.state, torn.down.ttl, torn.down.ttl_reset) == (RESET, 55, 61)
    assert line.down(RST, 2.6) is None and talks.counters["stray"] == 1


def test_a_new_connection_between_the_same_ends_is_another_one(talks, line):
    line.up(SYN, 1.0)
    line.down(SYN | ACK, 1.01, acknowledged=1001)
    line.up(SYN, 9.0, sequence=4000)
    again = line.down(SYN | ACK, 9.02, acknowledged=4001)
    assert (again.first, again.rtt_remote_us, again.up.syns) == (9.0, 20000, 1)
    line.down(SYN, 10.0, sequence=7)
    assert talks.get(line.key).inbound
    assert talks.counters["begun"] == 3 and len(talks) == 1


def test_of_connections_without_their_beginning_nothing_is_told(talks, line):
    for flags in (SYN | ACK, FIN | ACK, RST, SYN | FIN, SYN | RST):
        assert line.up(flags, 1.0) is line.down(flags, 1.0) is None
    assert len(talks) == 0 and talks.counters["stray"] == 10


def test_the_same_packet_at_a_second_device_is_not_counted_twice(talks, line):
    port = Line(talks, ifindex=4)
    line.up(SYN, 1.0)
    assert port.up(SYN, 1.0) is None
    assert port.down(SYN | ACK, 1.02, acknowledged=1001) is None
    assert line.down(SYN | ACK, 1.02, acknowledged=1001).rtt_remote_us == 20000


def test_who_is_not_answered_is_told_while_somebody_tries_and_once_more_at_the_end(talks, line):
    line.up(SYN, 10.0)
    (told,) = swept(talks, 10.5)
    assert (told.state, told.final, told.up.syns) == (UNANSWERED, False, 1)
    assert swept(talks, 10.9) == []
    line.up(SYN, 11.0)
    (told,) = swept(talks, 11.5)
    assert (told.up.syns, told.first, told.last) == (2, 10.0, 11.0)
    assert swept(talks, 11.0 + UNANSWERED_SECONDS) == []
    (told,) = swept(talks, 11.1 + UNANSWERED_SECONDS)
    assert (told.state, told.final) == (UNANSWERED, True)
    assert len(talks) == 0 and swept(talks, 99.0) == []


def test_who_called_before_a_sweep_and_is_read_after_it_is_told_by_the_next_one(talks, line):
    """The kernel hands out its packets in blocks, and the reader may be late: their time is that of their passing."""
    assert swept(talks, 10.5) == []
    line.up(SYN, 10.4)
    (told,) = swept(talks, 11.5)
    assert (told.last, told.up.syns) == (10.4, 1)
    line.up(SYN, 11.45)
    (told,) = swept(talks, 12.5)
    assert told.up.syns == 2 and swept(talks, 13.5) == []


def test_an_open_connection_is_not_swept(talks, line):
    line.up(SYN, 1.0)
    line.down(SYN | ACK, 1.01, acknowledged=1001)
    assert swept(talks, 10_000.0) == [] and len(talks) == 1


def test_what_is_answered_between_two_steps_is_not_told_as_unanswered(talks):
    lines = [Line(talks, port) for port in range(600)]
    for one in lines:
        one.up(SYN, 1.0)
    steps = talks.sweep(2.0)
    first = next(steps)
    lines[-1].down(SYN | ACK, 2.0, acknowledged=1001)
    rest = [one.key for step in steps for one in step]
    assert 0 < len(first) < 600 and len(first) + len(rest) == 599
    assert lines[-1].key not in rest


def test_a_flood_makes_the_oldest_give_way_and_is_counted(talks):
    for number in range(LIMIT + 10):
        Line(talks, number % 65536).up(SYN, 1.0, sequence=number)
    assert len(talks) == LIMIT and talks.counters["evicted"] == 10
    assert talks.get(key(9)) is None and talks.get(key(10)) is not None
    assert len(swept(talks, 2.0)) == LIMIT
