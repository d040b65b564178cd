"""The door to queues on devices: what stands there is read, and ours are put there, changed and taken away.

Never replaces a queue of somebody else: the kernel is asked to add, and refuses where there is one. No program
is started. Messages: netlink_tc.py; which queues: shaping.py.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Callable

from netpolicy.dataplane import netlink_tc as tc
from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane import shaping
from netpolicy.dataplane.limits import MAJOR
from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from netpolicy.dataplane.netlink_tc import HtbClass, Queue
from netpolicy.dataplane.shaping import BFIFO, FQ_CODEL, HANDLE, REST, Observed, Step
from netpolicy.dataplane.state import NetlinkError
from netpolicy.dataplane.vacancies import Vacancies

ANY = 0  # no device has this index

CODEL_INTERVAL_US = 100_000
CODEL_MEMORY = 4 << 20  # bytes that wait below one class at most

JUST_EMPTIED = "somebody took its queue away a moment ago, and may be about to put another one there"

GONE = (errno.ENOENT, errno.ENODEV, errno.ESRCH, errno.EINVAL)  # EINVAL: the default queue cannot be deleted


class TrafficControl:
    """Queues in the network namespace where it is first used. `kind`: the root queue's, another one in tests."""

    def __init__(self, kind: str = shaping.HTB, clock: Callable[[], float] = time.monotonic) -> None:
        self._kind = kind
        self._vacancies = Vacancies(clock)
        self._kernel: KernelSocket | None = None
        self._leaf = FQ_CODEL
        self._refusals: dict[int, str] = {}  # by the device's index; ANY: on every device

    def close(self) -> None:
        """Gives the socket back; may be repeated."""
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    def observe(self) -> Observed:
        """What stands on every device. Raises NetlinkError."""
        try:
            queues = self._queues()
        except NetlinkError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            return Observed({}, {"": "this kernel has no traffic control"})
        names = dict(socket.if_nameindex())
        self._vacancies.see(names, queues)
        refusals = {names[index]: JUST_EMPTIED for index in self._vacancies.resting() if index in names}
        refusals |= {names[index]: why for index, why in self._refusals.items() if index in names}
        if ANY in self._refusals:
            refusals[""] = self._refusals[ANY]
        ours = [one.index for one in queues if one.parent == tc.ROOT and one.handle == HANDLE and one.kind == "htb"]
        classes = {index: self._classes(index) for index in ours}
        return Observed(shaping.of_devices(names, queues, classes), refusals)

    def rests_for(self) -> float:
        """Seconds until a device that rests now may have a queue of ours again; 0 when none rests."""
        return self._vacancies.rests_for()

    def take(self, step: Step) -> None:
        """Does one thing; what is gone already is no fault. Raises NetlinkError: observe again then.

        What was refused for good is remembered: those devices are told with the reason.
        """
        if step.verb == "delete":
            with contextlib.suppress(_Gone):
                self._delete(step)
            return
        try:
            self._add_root(step) if step.what == "root" else self._write_class(step)
        except NetlinkError as error:
            if step.what == "root" and error.errno in (errno.ENOENT, errno.EOPNOTSUPP):
                self._refusals[ANY] = f"this kernel has no queue of kind {self._kind}: install kmod-sched-core"
            # Else somebody was first, the device is gone, or the queue that the class is to stand below.
            elif error.errno not in (errno.EEXIST, errno.ENODEV) and (step.what == "root" or self._is_ours(step.index)):
                self._refusals[step.index] = str(error)
            raise

    def _add_root(self, step: Step) -> None:
        body = tc.htb(step.index, HANDLE, REST, self._kind)
        self._request(f"put a queue on {step.device}", tc.NEWQDISC, wire.F_CREATE | wire.F_EXCL, body)
        self._vacancies.put(step.index)

    def _write_class(self, step: Step) -> None:
        handle = HANDLE | step.minor
        rate = step.rate // 8
        body = tc.htb_class(step.index, HANDLE, handle, rate, burst(step.minor, step.rate), shaping.quantum(step.rate))
        self._request(f"limit speed on {step.device}", tc.NEWTCLASS, wire.F_CREATE, body)
        try:
            self._write_leaf(step, handle, self._leaf)
        except NetlinkError as error:
            if error.errno != errno.ENOENT or self._leaf == BFIFO:
                raise
            self._write_leaf(step, handle, BFIFO)
            self._leaf = BFIFO  # this kernel has not the other one: the queue above was there

    def _write_leaf(self, step: Step, handle: int, leaf: str) -> None:
        target = shaping.target_us(step.rate)
        body = (
            tc.fq_codel(step.index, handle, target, CODEL_INTERVAL_US + target - 5000, CODEL_MEMORY)
            if leaf == FQ_CODEL
            else tc.bfifo(step.index, handle, shaping.fifo_size(step.rate))
        )
        self._request(f"put a queue on {step.device}", tc.NEWQDISC, wire.F_CREATE | wire.F_REPLACE, body)

    def _delete(self, step: Step) -> None:
        kind, body = (
            (tc.DELQDISC, tc.request(step.index, HANDLE, tc.ROOT))
            if step.what == "root"
            else (tc.DELTCLASS, tc.request(step.index, HANDLE | step.minor))
        )
        if step.what == "root":
            self._vacancies.took(step.index)
        try:
            self._request(f"take a queue off {step.device}", kind, 0, body)
        except NetlinkError as error:
            if error.errno in GONE:
                raise _Gone from None
            raise

    def _queues(self) -> list[Queue]:
        answers = self._socket().dump("list queues", tc.GETQDISC, tc.request(0))
        found = [tc.queue(answer.payload) for answer in answers if answer.kind == tc.NEWQDISC]
        return [one for one in found if one is not None]

    def _is_ours(self, index: int) -> bool:
        """Whether that device has our queue now."""
        roots = {one.index: one.handle for one in self._queues() if one.parent == tc.ROOT}
        return roots.get(index) == HANDLE

    def _classes(self, index: int) -> tuple[HtbClass, ...]:
        answers = self._socket().dump("list classes", tc.GETTCLASS, tc.request(index))
        found = [tc.read_class(answer.payload) for answer in answers if answer.kind == tc.NEWTCLASS]
        return tuple([one for one in found if one is not None and one.handle >> 16 == MAJOR])

    def _request(self, operation: str, kind: int, flags: int, body: bytes) -> None:
        self._socket().request(operation, kind, flags, body)

    def _socket(self) -> KernelSocket:
        if self._kernel is None:
            self._kernel = KernelSocket(ROUTE)
        return self._kernel


class _Gone(Exception):
    """What was to be deleted is not there."""


def burst(minor: int, rate: int) -> int:
    """Bytes that the class may send at once."""
    # For what no limit holds: so much that it never waits.
    return rate // 8 // 100 if minor == REST else shaping.burst(rate)
