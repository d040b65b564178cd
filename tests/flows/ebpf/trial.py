"""The real program in the running kernel, shown packets that are nowhere (BPF_PROG_TEST_RUN): no device is needed."""

from __future__ import annotations

import struct
import time
from typing import Any

from netpolicy.flows.ebpf import bpf_call, entries, layout
from netpolicy.flows.ebpf.inspector import Switches
from netpolicy.flows.ebpf.loading import Capacity, Loaded
from netpolicy.flows.ebpf.ring import Ring
from netpolicy.flows.seen import Measured, Payload

from .frames import ACK, CLIENT, FIN, REMOTE, SYN, TCP, ethernet, ipv4, ipv6, tcp

EVERYTHING = Switches(True, True, True, True, True, True)
TEST_RUN = 10
ATTR_TEST = struct.Struct("=IIIIQQIIIIQQ")
ANSWER, TOOK = 4, 36  # where the result stands
CONTEXT = struct.Struct("=164xI8xI12x")  # struct __sk_buff: gso_segs, gso_size
GO_ON = -1
SMALL = Capacity(1024, 1 << 18)


class Trial:
    """Loaded programs, and what came out of them."""

    def __init__(self, capacity: Capacity = SMALL) -> None:
        self.loaded = Loaded(capacity)
        self._ring = Ring(self.loaded.maps["events"].descriptor, capacity.ring)
        self._before = dict.fromkeys(layout.COUNTERS, 0)
        self.switch(EVERYTHING)

    def switch(self, switches: Switches) -> None:
        """What leaves the kernel."""
        self.loaded.maps["config"].update(bytes(4), layout.SETTINGS.pack(switches.bits, 0, 1 << 17, 0))

    def forget(self) -> None:
        """As if it was new."""
        self.events()
        flows = self.loaded.maps["flows"]
        for key in [bytes(key) for batch in flows.batches() for key, _ in batch]:
            flows.delete(key)
        self._before = self._totals()
        self.switch(EVERYTHING)

    def run(self, frame: bytes, down: bool = False, l3: bool = False, pieces: int = 0, size: int = 0) -> None:
        """Show it one packet; `pieces` and `size`: as merged from so many. It must always say: go on."""
        assert self.time(frame, 1, down, l3, pieces, size)[0] == GO_ON

    def time(
        self, frame: bytes, repeat: int, down: bool = False, l3: bool = False, pieces: int = 0, size: int = 0
    ) -> tuple[int, int]:
        """The answer, and the mean of the nanoseconds."""
        data, context = bytearray(frame), bytearray(CONTEXT.pack(pieces, size))
        length, place = (len(context), bpf_call.address(context)) if pieces or size else (0, 0)
        program = self.loaded.program(not l3, down)
        attr = bytearray(
            ATTR_TEST.pack(program, 0, len(data), 0, bpf_call.address(data), 0, repeat, 0, length, 0, place, 0)
        )
        bpf_call.call("run the program on a packet", TEST_RUN, attr)
        return struct.unpack_from("=i", attr, ANSWER)[0], struct.unpack_from("=I", attr, TOOK)[0]

    def events(self) -> list[Payload | Measured]:
        """What waits in the ring."""
        found: list[Payload | Measured] = []

        def fail() -> None:
            raise AssertionError("an event that cannot be read")

        self._ring.records.drain(entries.telling(found.append, found.append, fail), 100_000)
        return found

    def raw_events(self) -> list[bytes]:
        """The same, as it came."""
        found: list[bytes] = []
        self._ring.records.drain(lambda event: found.append(bytes(event)), 100_000)
        return found

    def payloads(self) -> list[Payload]:
        """The events with payload; the others are dropped."""
        return [one for one in self.events() if isinstance(one, Payload)]

    def ended(self) -> list[Measured]:
        """The events of flows that are over; the others are dropped."""
        return [one for one in self.events() if isinstance(one, Measured)]

    def flows(self) -> list[Measured]:
        """The entries of the map."""
        now = time.monotonic_ns()
        batches = self.loaded.maps["flows"].batches()
        return [entries.measured(key, flow, now, False) for batch in batches for key, flow in batch]

    def flow(self) -> Measured:
        """The only one."""
        (one,) = self.flows()
        return one

    def counts(self) -> dict[str, int]:
        """What was counted since it is as new, without what stayed 0."""
        return {
            name: value - self._before[name] for name, value in self._totals().items() if value - self._before[name]
        }

    def _totals(self) -> dict[str, int]:
        return dict(zip(layout.COUNTERS, self.loaded.maps["counts"].summed(layout.STATS), strict=True))

    def close(self) -> None:
        """Nothing is left."""
        self._ring.close()
        self.loaded.close()


class Talk:
    """A TCP connection, segment by segment: `up` from the client, `down` to it. Numbers follow by themselves.

    `inward`: the remote opens it. `server`: the port of who is connected to.
    """

    def __init__(
        self,
        shown: Trial,
        port: int = 40000,
        isn: int = 1000,
        six: bool = False,
        inward: bool = False,
        server: int = 443,
    ) -> None:
        self._shown = shown
        self._ends = ("2001:db8:1::5", "2001:db8:ffff::7") if six else (CLIENT, REMOTE)
        self._ports = (server, port) if inward else (port, server)
        self.next = {False: isn, True: isn + 7_000_000}

    def up(self, flags: int = ACK, data: bytes = b"", **how: Any) -> None:
        """A segment from the client."""
        self._send(False, flags, data, **how)

    def down(self, flags: int = ACK, data: bytes = b"", **how: Any) -> None:
        """A segment to the client."""
        self._send(True, flags, data, **how)

    def _send(self, down: bool, flags: int, data: bytes, **how: Any) -> None:
        """`seq`: another one than follows, and then nothing moves on. `pieces` and `size`: as merged."""
        moves = "seq" not in how
        seq, ack, ttl = how.pop("seq", self.next[down]), how.pop("ack", self.next[not down]), how.pop("ttl", 64)
        self._shown.run(self.frame(down, flags, data, seq, ack if flags & ACK else 0, ttl), down, **how)
        if moves:
            self.next[down] += len(data) + bool(flags & SYN) + bool(flags & FIN)

    def frame(self, down: bool, flags: int, data: bytes, seq: int, ack: int, ttl: int = 64) -> bytes:
        """A segment as an Ethernet frame."""
        source, destination = reversed(self._ends) if down else self._ends
        sport, dport = reversed(self._ports) if down else self._ports
        segment = tcp(sport, dport, seq, ack, flags, data)
        make = ipv6 if ":" in source else ipv4
        return ethernet(make(source, destination, TCP, segment, ttl=ttl), down=down)

    def shake_hands(self) -> None:
        """The client opens."""
        self.up(SYN)
        self.down(SYN | ACK)
        self.up()

    def say_goodbye(self) -> None:
        """The client ends, then the remote."""
        self.up(FIN | ACK)
        self.down(FIN | ACK)
        self.up()
