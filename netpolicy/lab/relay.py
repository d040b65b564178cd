"""Be one provider's line: carry packets between two TUN devices, late, or not at all.

Decides only when a packet may leave; never looks into it, never re-orders a direction.
Packets come from the kernel's TUN devices (Documentation/networking/tuntap), orders from a
Unix packet socket, one per connection: `delay MS` (round trip), `drop`, `restore`, `stats`.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable

from netpolicy.lab import namespaces
from netpolicy.lab.network import LINE, TUN_DEVICE
from netpolicy.lab.topology import INTERNET, provider

TUNSETIFF = 0x400454CA  # <linux/if_tun.h>
IFF_TUN_WITHOUT_HEADER = 0x0001 | 0x1000  # IFF_TUN | IFF_NO_PI
PACKET_LIMIT = 65536
# About a second of a busy test; what comes on top is lost, as on any line.
QUEUE_LIMIT = 20_000
READS_AT_ONCE = 64
CALLERS_LIMIT = 8


class Line:
    """One direction: packets and when they may leave. None overtakes another, even when the delay shrinks."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.carried = 0
        self.lost = 0

    def put(self, packet: bytes, now: float, delay: float) -> None:
        """Accept a packet; the newest is lost when the queue is full."""
        if len(self.waiting) >= QUEUE_LIMIT:
            self.lost += 1
            return
        self.waiting.append((now + delay, packet))

    def take(self, now: float) -> bytes | None:
        """The next packet whose time has come, or None."""
        if not self.waiting or self.waiting[0][0] > now:
            return None
        self.carried += 1
        return self.waiting.popleft()[1]

    def next_due(self) -> float | None:
        """When the next packet leaves, or None when nothing waits."""
        return self.waiting[0][0] if self.waiting else None


class Orders:
    """What the line was told: how late, and whether it is silently dead."""

    def __init__(self, rtt_ms: float) -> None:
        self.delay = rtt_ms / 2000
        self.dead = False

    def obey(self, text: str) -> str:
        """Carry out one order; the answer begins with `ok` or `error`."""
        word, _, value = text.strip().partition(" ")
        if word == "drop":
            self.dead = True
        elif word == "restore":
            self.dead = False
        elif word == "delay" and value.replace(".", "", 1).isdigit():
            self.delay = float(value) / 2000
        elif word != "stats":
            return f"error: unknown order {text.strip()!r}: use delay MS, drop, restore or stats"
        return f"ok delay_ms={self.delay * 2000:g} dead={int(self.dead)}"


def open_tun(node: str, device: str) -> int:
    """Attach to the node's TUN device; the file stays attached wherever this process goes."""
    with namespaces.inside(node):
        handle = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(handle, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN_WITHOUT_HEADER))
    return handle


def carry(near: int, far: int, control: socket.socket, orders: Orders) -> None:
    """Serve for ever."""
    out, back = Line(), Line()
    ways = {near: (far, out), far: (near, back)}
    answer = _answerer(orders, out, back)
    callers: list[socket.socket] = []
    # select, not epoll: its timeout has microseconds, and there are few files.
    while True:
        due = [moment for moment in (out.next_due(), back.next_due()) if moment is not None]
        timeout = max(0.0, min(due) - time.monotonic()) if due else None
        ready, _, _ = select.select([near, far, control, *callers], [], [], timeout)
        for caller in [one for one in callers if one in ready]:
            callers.remove(caller)
            answer(caller)
        if control in ready:
            # Whoever connects and says nothing must not hold the line up, and may say it late.
            callers.append(control.accept()[0])
            for oldest in callers[:-CALLERS_LIMIT]:
                callers.remove(oldest)
                oldest.close()
        for source, (target, line) in ways.items():
            if source in ready:
                _take_in(source, line, orders)
            _let_out(target, line)


def _take_in(source: int, line: Line, orders: Orders) -> None:
    now = time.monotonic()
    for _ in range(READS_AT_ONCE):
        try:
            packet = os.read(source, PACKET_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            return  # the device is down: nothing to carry
        if orders.dead:
            line.lost += 1
        else:
            line.put(packet, now, orders.delay)


def _let_out(target: int, line: Line) -> None:
    now = time.monotonic()
    while (packet := line.take(now)) is not None:
        try:
            os.write(target, packet)
        except OSError:
            line.lost += 1  # device down or full: the packet is lost, the line lives


def _answerer(orders: Orders, out: Line, back: Line) -> Callable[[socket.socket], None]:
    def answer(caller: socket.socket) -> None:
        with caller:
            try:
                reply = orders.obey(caller.recv(256).decode("ascii", "replace"))
                caller.send(f"{reply} out={out.carried} back={back.carried} lost={out.lost + back.lost}".encode())
            except OSError:
                return

    return answer


def main(argv: list[str]) -> int:
    """`relay PROVIDER RTT_MS SOCKET`; prints `ready` when packets are carried."""
    line = provider(argv[0])
    near, far = open_tun(line.node, LINE), open_tun(INTERNET, line.far_device)
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.bind(argv[2])
    control.listen(4)
    print("ready", flush=True)
    carry(near, far, control, Orders(float(argv[1])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
