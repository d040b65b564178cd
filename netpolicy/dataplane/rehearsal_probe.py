"""What is tried in a rehearsal, and what may become of it: values only.

Never does I/O and imports nothing that a daemon at rest would not have.
"""

from __future__ import annotations

from dataclasses import dataclass

ANSWERED = "answered"  # by the router itself, to whoever asked
FORWARDED = "forwarded"  # and what answers there comes back
ONE_WAY = "one way"  # forwarded; the answer does not come back
ASTRAY = "astray"  # the router's answer leaves by another device, or to another neighbour
REFUSED, SILENT = "refused", "silent"
UNSENT = "unsent"  # there is no such device

ROUTER_ITSELF = "lo"  # in the place of a probe's device: the router opens the connection


@dataclass(frozen=True, slots=True)
class Probe:
    """A new connection: the device it comes in by ("lo": the router's own), addresses, "tcp", "udp" or "icmp".

    `mac` "": that of the neighbour who is known to have the source address, or one that nobody has.
    """

    device: str
    source: str
    destination: str
    protocol: str = "tcp"
    port: int = 0
    mac: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of it. `device`: where it left, or the wrong one that the answer left by; `neighbour`: to whom."""

    kind: str
    device: str = ""
    neighbour: str = ""

    @property
    def text(self) -> str:
        """In words."""
        if self.kind == FORWARDED:
            return f"forwarded via {self.device}"
        if self.kind == ONE_WAY:
            return f"forwarded via {self.device}, the answer does not come back"
        if self.kind == ASTRAY:
            return f"answered by {self.device}" + (f" to {self.neighbour}" if self.neighbour else "")
        return f"no device {self.device}" if self.kind == UNSENT else self.kind
