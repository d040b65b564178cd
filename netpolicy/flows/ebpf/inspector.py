"""The eBPF tier as one object: load, attach to devices, and hand out what is seen to two callbacks.

Never changes or holds up a packet, never decides, and follows no device by itself: whoever owns it says which.
Everything it makes in the kernel ends with this process, or is replaced by the next one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows.ebpf import attach as attaching
from netpolicy.flows.ebpf import entries, layout, sweep
from netpolicy.flows.ebpf.attach import Attachment
from netpolicy.flows.ebpf.clsact import TrafficControl
from netpolicy.flows.ebpf.loading import Capacity, Loaded, Unloadable
from netpolicy.flows.ebpf.ring import Ring
from netpolicy.flows.ebpf.sweep import Patience
from netpolicy.flows.seen import Measured, Payload

# A third of the ring: until then the reader's own clock is soon enough, and much cheaper. Five hundred connections a
# second, with small hellos, are less within a fifth of a second.
WAKE_PART = 3
AT_ONCE = 2000  # events of one `drain`: some milliseconds


class Switches(NamedTuple):
    """What may leave the kernel. All off: packets are still counted, by nobody's name."""

    tls: bool = False  # beginnings of TLS connections, which have the server's name
    http: bool = False  # beginnings of HTTP requests, which have the host
    dns_answers: bool = False
    dns_queries: bool = False
    quic: bool = False
    flows: bool = False  # who talks to whom, how much, and how well

    @property
    def bits(self) -> int:
        """As the program reads them."""
        bits = (
            layout.SEND_TLS, layout.SEND_HTTP, layout.SEND_DNS_ANSWERS, layout.SEND_DNS_QUERIES, layout.SEND_QUIC,
            layout.SEND_OVER,
        )  # fmt: skip
        return sum(bit for bit, on in zip(bits, self, strict=True) if on)


class Inspector:
    """Not for several threads at once. Making one raises Unloadable, BpfError or OSError: then there is no such tier.

    Call `drain` when `fileno` is readable and every 100 to 200 ms, and run through `sweep` every second or some.
    """

    def __init__(
        self,
        on_payload: Callable[[Payload], None],
        on_measured: Callable[[Measured], None],
        switches: Switches,
        capacity: Capacity | None = None,
        patience: Patience | None = None,
        path: str | None = None,
    ) -> None:
        self._on_measured = on_measured
        self._tell = entries.telling(on_payload, on_measured, self._count_unreadable)
        self._patience = patience or Patience()
        self._capacity = capacity or Capacity()
        self._attached: dict[str, Attachment] = {}
        self._swept = time.monotonic_ns()
        self._evicted = self._removed = self._unreadable = 0
        with contextlib.ExitStack() as made:
            self._loaded = Loaded(self._capacity, path)
            made.callback(self._loaded.close)
            self._ring = Ring(self._loaded.maps["events"].descriptor, self._capacity.ring)
            made.callback(self._ring.close)
            self._kernel = KernelSocket(ROUTE)
            made.callback(self._kernel.close)
            self.set_switches(switches)
            for down in (False, True):  # now, so that a kernel that refuses them is known at once
                self._loaded.program(True, down)
            self._made = made.pop_all()

    def set_switches(self, switches: Switches) -> None:
        """What leaves the kernel from now on."""
        self._switches = switches
        # a name is wanted before its first connection, which comes at once
        urgent = 1 << layout.EVENT_DNS_ANSWER | 1 << layout.EVENT_DNS_ANSWERING
        wake = self._capacity.ring // WAKE_PART
        settings = layout.SETTINGS.pack(switches.bits, urgent, wake, 0)
        self._loaded.maps["config"].update(bytes(4), settings)

    def attach(self, name: str, role: str = attaching.LAN, ways: Sequence[str] = attaching.WAYS) -> str:
        """See that the device is watched; by which way. May be repeated, also after the device came anew.

        Raises NotAttached, NetlinkError (no such device) or BpfError.
        """
        device = attaching.find_device(self._kernel, name)
        present = self._attached.get(name)
        if present is not None:
            if present.device == device and present.role == role and present.way in ways and present.is_alive():
                return present.way
            self.detach(name)
        up, down = (self._loaded.program(device.ethernet, direction) for direction in (False, True))
        self._attached[name] = attaching.attach(self._kernel, device, role, up, down, ways)
        return self._attached[name].way

    def detach(self, name: str) -> None:
        """Watch the device no more; nothing where it is not watched, or gone. Raises NetlinkError."""
        present = self._attached.pop(name, None)
        if present is not None:
            present.close()

    def attached(self) -> dict[str, tuple[str, bool]]:
        """By device: the way, and whether it still holds."""
        return {name: (one.way, one.is_alive()) for name, one in self._attached.items()}

    def is_taken_off(self, name: str) -> bool:
        """Whether somebody took our programs off a device that is still there. Raises NetlinkError."""
        present = self._attached.get(name)
        return present is not None and present.is_taken_off()

    def remove_left_over(self) -> int:
        """Take off what killed processes left on any device of this namespace; before the first `attach`."""
        return TrafficControl(self._kernel).remove_all()

    def fileno(self) -> int:
        """Readable when much waits, or something urgent. For epoll and the like; not for reading."""
        return self._loaded.maps["events"].descriptor

    def drain(self, limit: int = AT_ONCE) -> int:
        """Hand out what waits, in its order; how many events it was. As many as `limit`: call again."""
        return self._ring.records.drain(self._tell, limit)

    def sweep(self) -> Iterator[int]:
        """Tell which flows changed since the last time, and which are silently over. Steps of some milliseconds.

        What is told as changed is told again when it is over.
        """
        now = time.monotonic_ns()
        since, self._swept = now - self._swept, now
        flows, alive = self._loaded.maps["flows"], 0
        begun = self._counts()["begun"]
        for batch in flows.batches():
            for key, flow in batch:
                verdict = sweep.judge(key, flow, now, since, self._patience)
                alive += not verdict.told
                if verdict.what == sweep.KEEP:
                    continue
                final = verdict.what == sweep.OVER
                if self._switches.flows and verdict.what != sweep.FORGET:
                    self._on_measured(entries.measured(key, flow, now, final))
                if verdict.what != sweep.CHANGED and flows.delete(bytes(key)) and not verdict.told:
                    self._removed += 1
                    alive -= 1
            yield len(batch)
        # Begun before the walk, over after it: what happened meanwhile makes this too small, and never too large.
        self._evicted = max(self._evicted, begun - self._counts()["over"] - self._removed - alive)

    def counters(self) -> dict[str, int]:
        """Totals since the start: what the programs saw, and everything that was not told.

        lost: events that found the ring full; full: flows that found no place; evicted: flows that made place for
        newer ones before their end was told (as of the last sweep); unreadable: events that nobody understood.
        """
        return {**self._counts(), "evicted": self._evicted, "unreadable": self._unreadable}

    def close(self) -> None:
        """Detach everywhere and unload. May be repeated."""
        for name in list(self._attached):
            with contextlib.suppress(NetlinkError):
                self.detach(name)
        self._made.close()

    def _counts(self) -> dict[str, int]:
        return dict(zip(layout.COUNTERS, self._loaded.maps["counts"].summed(layout.STATS), strict=True))

    def _count_unreadable(self) -> None:
        self._unreadable += 1


__all__ = ["Inspector", "Switches", "Unloadable"]
