"""The counters of a real device, and how much of what they show our own questions are."""

from __future__ import annotations

import asyncio
import socket

import pytest

from netpolicy.outbounds import line_traffic
from netpolicy.outbounds.check import send
from netpolicy.outbounds.check_line import PASSED
from netpolicy.outbounds.line_probe import OWN_PACKETS
from netpolicy.outbounds.line_traffic import Asked, Passing, Traffic
from tests.netns import needs_root
from tests.outbounds.far_side import LINE_A, answered, line

pytestmark = [pytest.mark.kernel, needs_root]


def send_bytes(count: int, size: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        for _ in range(count):
            one.sendto(b"x" * size, ("192.0.2.1", 9))


def test_what_was_sent_and_received_since_the_last_look(steady):
    traffic, far = Traffic("wana"), Traffic("wanb")
    send_bytes(5, 1000)
    sent, received = traffic.since()
    assert sent >= 5
    assert received > 500, "the far side says that nobody listens"
    send_bytes(20, 10)
    assert 20 <= traffic.since()[0] < 40
    assert far.since()[0] < 20, "what the kernel itself says at each device is less"


def test_a_name_that_begins_like_another_is_its_own_device(steady):
    steady.place.router.run("ip", "link", "add", "wan", "type", "veth", "peer", "name", "w")
    traffic = Traffic("wan")
    send_bytes(5, 10)
    assert traffic.since() == (0, 0)


def test_a_device_that_is_gone_or_made_anew_shows_nothing(steady):
    assert Traffic("nowhere").since() == (0, 0)
    steady.place.router.run("ip", "link", "add", "lived", "type", "veth", "peer", "name", "l")
    steady.place.router.run("ip", "link", "set", "lived", "up")
    traffic = Traffic("lived")
    steady.place.router.run("ip", "link", "del", "lived")
    assert traffic.since() == (0, 0)


def test_counters_that_begin_anew_are_no_negative_traffic(tmp_path, monkeypatch):
    counters = tmp_path / "dev"
    monkeypatch.setattr(line_traffic, "COUNTERS", str(counters))
    counters.write_text("wana: 9000 9 0 0 0 0 0 0 700 7 0 0 0 0 0 0\n")
    traffic = line_traffic.Traffic("wana")
    counters.write_text("wana: 10 1 0 0 0 0 0 0 20 2 0 0 0 0 0 0\n")
    assert traffic.since() == (0, 0)


class Cable:
    """Counters of one device, as each of its lines reads them."""

    def __init__(self) -> None:
        self.sent = 0

    def reader(self) -> Reader:
        return Reader(self)


class Reader:
    def __init__(self, cable: Cable) -> None:
        self._cable, self._seen = cable, cable.sent

    def since(self) -> tuple[int, int]:
        before, self._seen = self._seen, self._cable.sent
        return self._seen - before, 0


def test_questions_of_the_other_lines_of_a_device_are_no_use_of_it_and_packets_of_clients_are():
    cable, asked = Cable(), Asked()
    lines = [Passing(cable.reader(), 0.0, "wana", asked) for _ in range(6)]  # type: ignore[arg-type]
    elsewhere = Passing(cable.reader(), 0.0, "wanb", asked)  # type: ignore[arg-type]
    for second in range(1, 5):
        for one in lines[1:]:
            cable.sent += 5
            one.asks(5)
        for one in (*lines, elsewhere):
            one.look(float(second))
        assert not any(one.is_used for one in lines) and elsewhere.is_used
    cable.sent += 3
    lines[0].look(5.0)
    assert lines[0].is_used


def test_a_line_is_in_use_as_soon_as_so_much_passed_it_and_not_only_when_a_window_is_over():
    """A look comes soon after a question: of a line that nobody used, the next may be a second away."""
    cable = Cable()
    line = Passing(cable.reader(), 0.0)  # type: ignore[arg-type]
    for now, sent, is_used in ((1.0, 2, False), (1.2, 2, False), (1.5, 1, True)):
        cable.sent += sent
        line.look(now)
        assert line.is_used == is_used, now


@pytest.mark.parametrize("words", ["ping:203.0.113.5", "tcp:203.0.113.5:8081", "http:http://203.0.113.5:8081/"])
async def test_one_question_of_ours_is_less_than_what_counts_as_ours(steady, words):
    async def page(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\nConnection: close\r\n\r\n" + b"x" * 2000)

    asked = line(LINE_A, words)
    async with steady.serving(8081, page):
        traffic = Traffic("wana")
        assert (await answered(send(asked, asked.targets[0]))).state == PASSED
        await asyncio.sleep(0)
        assert 0 < traffic.since()[0] <= OWN_PACKETS[asked.targets[0].kind]
