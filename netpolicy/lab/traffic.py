"""Be the user of one client: connect to the same few places again and again, and say how it went.

One JSON object per connection on standard output; decides nothing about routes.
What a client does is the table below.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from itertools import cycle

from netpolicy.lab import probes
from netpolicy.lab.topology import DNS, server

# Slow enough to read along, quick enough that a change shows within a breath.
PAUSE_SECONDS = 0.4
TIMEOUT_SECONDS = 1.2
PORTS = {"http": 80, "tls": 443, "mail": 25, "call": 3478, "dns": 53}
UDP_KINDS = ("call", "dns")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a client does: what, to which name, in which family (4 or 6)."""

    kind: str
    name: str
    family: int

    @property
    def address(self) -> str:
        """Where it goes."""
        found = server(self.name)
        assert found is not None
        return found.address4 if self.family == 4 else found.address6

    @property
    def port(self) -> int:
        """The port it goes to."""
        return PORTS[self.kind]

    @property
    def protocol(self) -> str:
        """`udp` or `tcp`."""
        return "udp" if self.kind in UDP_KINDS else "tcp"


PLANS = {
    "desk": (
        Step("http", "www.example.net", 4),
        Step("tls", "video.example.net", 4),
        Step("tls", "video.example.net", 6),
        Step("call", "calls.example.net", 6),
        Step("dns", DNS.name, 4),
    ),
    "laptop": (
        Step("http", "www.example.net", 6),
        Step("tls", "news.example.net", 4),
    ),
    "guest": (
        Step("http", "news.example.net", 4),
        Step("mail", "mail.example.org", 4),
        Step("call", "calls.example.net", 4),
    ),
}


def take(step: Step) -> probes.Result:
    """Make the connection of one step."""
    if step.kind == "dns":
        return probes.dns("video.example.net", "A", step.address, TIMEOUT_SECONDS)
    if step.protocol == "udp":
        return probes.udp(step.address, step.port, TIMEOUT_SECONDS)
    return probes.tcp(step.address, step.port, TIMEOUT_SECONDS, step.name)


def main(argv: list[str]) -> int:
    """`traffic CLIENT`: until the reader is gone."""
    client = argv[0]
    for number, step in cycle(enumerate(PLANS[client])):
        result = take(step)
        told = {key: result.get(key) for key in ("ok", "error", "seen", "local_port", "ms")}
        try:
            print(json.dumps({"client": client, "step": number, **told}), flush=True)
        except BrokenPipeError:
            # What could not be written is not tried again when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        time.sleep(PAUSE_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
