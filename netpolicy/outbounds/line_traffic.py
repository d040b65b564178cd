"""How much passes a line's device, from one look to the next: whether somebody uses it, whether anything comes back.

Reads two counters of a device, sends nothing, judges nothing. From /proc/net/dev (proc(5)), which is that of the
process's own network namespace; /sys/class/net is that of whoever mounted it.
"""

from __future__ import annotations

COUNTERS = "/proc/net/dev"
RECEIVED_BYTES, SENT_PACKETS = 0, 9  # columns behind the name

# Packets within a second beside our own, from which on a line is in use: routers and modems chat a little.
USED_PACKETS = 3
USED_SECONDS = 10.0  # … and counts as such: connections over a dead line send less and less
WINDOW_SECONDS = 0.9  # of looks that together tell whether it is used
STALL_SECONDS, STALL_LOOKS = 0.5, 4  # nothing comes in for so long, where it did in as many looks before


class Traffic:
    """The counters of one device."""

    __slots__ = ("_name", "_received", "_sent")

    def __init__(self, device: str) -> None:
        self._name = f"{device}:".encode()
        self._sent, self._received = self._read()

    def since(self) -> tuple[int, int]:
        """Packets sent and bytes received since the last look; 0, 0 where the device is gone or was made anew."""
        sent, received = self._read()
        before = self._sent, self._received
        self._sent, self._received = sent, received
        return max(sent - before[0], 0), max(received - before[1], 0)

    def _read(self) -> tuple[int, int]:
        try:
            with open(COUNTERS, "rb", buffering=0) as file:
                for line in (file.readall() or b"").splitlines():
                    if line.lstrip().startswith(self._name):
                        columns = line.partition(b":")[2].split()
                        return int(columns[SENT_PACKETS]), int(columns[RECEIVED_BYTES])
        except (OSError, ValueError, IndexError):
            pass
        return 0, 0


class Asked:
    """Packets of our own questions by device, at most. Lines that share a device see each other's in its counters."""

    def __init__(self) -> None:
        self._packets: dict[str, int] = {}

    def add(self, device: str, packets: int) -> None:
        """So many more."""
        self._packets[device] = self.by(device) + packets

    def by(self, device: str) -> int:
        """Since the beginning."""
        return self._packets.get(device, 0)


class Passing:
    """What passes the line's device: whether it is used, and whether what came in comes in no more."""

    def __init__(self, traffic: Traffic, now: float, device: str = "", asked: Asked | None = None) -> None:
        self._traffic = traffic
        self._device = device
        self._asked = asked or Asked()
        self._own = self._asked.by(device)  # until the window began
        self.received = 0  # bytes since the beginning
        self.last_in = now
        self.has_stalled = False
        self._sent = 0
        self._window = now
        self._used = float("-inf")
        self._now = now
        self._looks = 0  # in which something came in, of late
        self._sent_since = 0  # something came in

    @property
    def is_used(self) -> bool:
        """Whether somebody else than us sent by it of late."""
        return self._now - self._used < USED_SECONDS

    def asks(self, packets: int) -> None:
        """So many packets of what goes out now are ours, at most."""
        self._asked.add(self._device, packets)

    def look(self, now: float) -> None:
        """Take in what passed since the last look."""
        sent, received = self._traffic.since()
        self._now = now
        self.received += received
        self._sent += sent
        own = self._asked.by(self._device)
        is_used = self._sent - (own - self._own) >= USED_PACKETS
        if is_used:
            self._used = now  # also before the window is over: the next look may be a second away
        if is_used or now - self._window >= WINDOW_SECONDS:
            self._sent, self._own = 0, own
            self._window = now
        if received:
            self.last_in, self._sent_since = now, 0
            self._looks = min(self._looks + 1, STALL_LOOKS)
            return
        self._sent_since += sent
        if self._looks == STALL_LOOKS and self._sent_since >= USED_PACKETS and now - self.last_in >= STALL_SECONDS:
            self.has_stalled, self._looks = True, 0
