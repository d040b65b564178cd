"""What conntrack costs whoever reads it: its table over netlink and as text, and its events.

The table is made of real connections through a router. A bare reading takes nothing apart: what is left is the
kernel's, and no reader gets below it. Never asserts a bar. Data: process_time, so other people's work does not count.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from benchmarks.conversations import CLIENT, OPENING, PORT, TCP, Conversations, Stage, ends_of
from benchmarks.course import Course
from benchmarks.measure import SAMPLE_SECONDS, Family, Options, Ratio, Sample, Turns, leave_out
from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import NETFILTER, open_socket
from netpolicy.flows import ctdump, ctmessage, ctnetlink, proc
from netpolicy.flows.model import Flow
from netpolicy.flows.table import FlowTable
from netpolicy.flows.watch import LIMIT

ENTRIES = 60_000  # fewer where samples are asked to be shorter than usual
PART = 6_000  # connections whose frames are there at the same time

NEW_PER_SECOND = 10_000  # and as many ends
STEP = 20
OPEN = 1_000  # connections between a beginning and an end
EVENT_SECONDS = 150  # of the length of a sample

BARE, TRACKED, FLOWS = "bare", "tracked", "flows"


def tracking(options: Options) -> Iterator[Turns]:
    """The table, then the events."""
    course = Course()
    try:
        _prepare(course)
        entries = int(ENTRIES * min(1.0, options.seconds / SAMPLE_SECONDS))
        for first in range(0, entries, PART):
            conversations = Conversations(course, PART, OPENING, first)
            conversations.send(PART)
            conversations.close()
        readings = {f"inspector/table/{source}/{what}": _reading(course, read)
                    for (source, what), read in _readings().items()}  # fmt: skip
        ratios = tuple(Ratio(name, name, f"{name.rpartition('/')[0]}/{BARE}") for name in readings if BARE not in name)
        yield Turns("ms", readings, ratios, parts=3)
        course.forget()
        events = _Events(course, options.seconds * EVENT_SECONDS)
        for what, unit in (("rate", "events/s"), ("lost", "events"), ("cpu", "µs")):
            name = f"inspector/events/{what}"
            yield Turns(unit, {name: partial(events.value, what)}, counts=(name,))
    finally:
        course.close()


FAMILIES: dict[str, Family] = {"inspector": tracking}


def _prepare(course: Course) -> None:
    """Connections are tracked and counted; those of frames that nobody answers stay."""
    course.load_conntrack()
    course.router.switch(
        netfilter__nf_conntrack_acct=1, netfilter__nf_conntrack_checksum=0,
        netfilter__nf_conntrack_tcp_timeout_syn_sent=3_600,
    )  # fmt: skip


def _readings() -> dict[tuple[str, str], Callable[[], Iterable[object]]]:
    found: dict[tuple[str, str], Callable[[], Iterable[object]]] = {
        ("netlink", BARE): ctdump.payloads,
        ("netlink", TRACKED): ctnetlink.tracked_batches,
        ("netlink", FLOWS): ctnetlink.dump_batches,
    }
    if os.path.exists(proc.PATH):
        found[("text", BARE)] = proc._chunks
        found[("text", TRACKED)] = proc.tracked_batches
        found[("text", FLOWS)] = proc.batches
    else:
        leave_out("inspector/table/text", f"{proc.PATH} is not there")
    return found


def _reading(course: Course, read: Callable[[], Iterable[object]]) -> Sample:
    def sample() -> float:
        with course.router.entered():
            began = time.process_time()
            for _ in read():
                continue
            return (time.process_time() - began) * 1e3

    return sample


class _Events:
    """One run, measured when first asked."""

    def __init__(self, course: Course, seconds: float) -> None:
        self._course, self._seconds = course, seconds
        self._found: dict[str, float] = {}

    def value(self, name: str) -> float:
        """rate: events per second; lost: of those that were; cpu: of the reader and its table, for each."""
        if not self._found:
            self._found = self._measured()
        return self._found[name]

    def _measured(self) -> dict[str, float]:
        count = int(NEW_PER_SECOND * self._seconds) // STEP * STEP
        conversations = Conversations(self._course, count, (Stage(True, 0x02, 0, 0),))
        with self._course.router.entered():
            events, ends = ctnetlink.Events(), open_socket(NETFILTER)
        deletions = [b"".join(map(_deletion, range(first, first + STEP))) for first in range(0, count, STEP)]
        child = os.fork()
        if child == 0:
            _live(conversations, ends, deletions)
        table, heard, worked, began = FlowTable(LIMIT), 0, time.process_time(), time.perf_counter()
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            heard += _hear(events, table, 0.1)
        took = time.perf_counter() - began
        os.waitpid(child, 0)
        while more := _hear(events, table, 0.1):
            heard += more
        worked = time.process_time() - worked
        for opened in (events, ends, conversations):
            opened.close()
        return {"rate": 2 * count / took, "lost": 2.0 * count - heard, "cpu": worked / max(heard, 1) * 1e6}


def _hear(events: ctnetlink.Events, table: FlowTable, seconds: float) -> int:
    if not select.select([events], [], [], seconds)[0]:
        return 0
    found = events.read()
    for event in found:
        table.apply(event)
    return sum(event.kind in ("new", "destroy") for event in found)


def _live(conversations: Conversations, ends: socket.socket, deletions: list[bytes]) -> None:
    """The life of the child: connections begin, and end a little later."""
    code = 1
    try:
        os.sched_setaffinity(0, set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0) or {0})
        began, step = time.perf_counter(), 0
        while step < len(deletions) + OPEN // STEP:
            conversations.send(STEP)
            if step >= OPEN // STEP:
                ends.sendto(deletions[step - OPEN // STEP], (0, 0))
            step += 1
            time.sleep(max(0.0, began + step * STEP / NEW_PER_SECOND - time.perf_counter()))
        code = 0
    finally:
        os._exit(code)


def _deletion(number: int) -> bytes:
    port, server, _ = ends_of(number)
    ends = socket.inet_ntoa(CLIENT.to_bytes(4, "big")), port, socket.inet_ntoa(server.to_bytes(4, "big")), PORT
    flow = Flow(0, 4, TCP, *ends, ends[2], ends[3], ends[0], ends[1])
    return wire.message(ctmessage.DELETE, wire.F_REQUEST, 1, ctmessage.encode_delete(flow))
