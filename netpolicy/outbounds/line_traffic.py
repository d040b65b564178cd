"""How much passes a line's device, from one look to the next: whether somebody uses it, whether anything comes back.

Reads two counters of a device, sends nothing, judges nothing. From /proc/net/dev (proc(5)), which is that of the
process's own network namespace; /sys/class/net is that of whoever mounted it.
"""

from __future__ import annotations

COUNTERS = "/proc/net/dev"
RECEIVED_BYTES, SENT_PACKETS = 0, 9  # columns behind the name


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
