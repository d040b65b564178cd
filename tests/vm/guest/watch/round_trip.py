"""In the machine: is the round trip that is told the one that it is? The server is 40 ms away, by netem."""

from __future__ import annotations

from typing import Any

import talk
from daemon import Daemon, line_of
from street import SERVER, run

DELAY_MS = 40
CONNECTIONS, SEGMENTS = 5, 30


def measured() -> dict[str, Any]:
    """By connection: what the daemon says, and what the client's own kernel says."""
    run(f"tc qdisc add dev eth0 root netem delay {DELAY_MS}ms", SERVER)
    daemon = Daemon()
    daemon.start()
    talk.connect(talk.WEB, talk.SINK).close()  # ARP is slow there too
    opened = [talk.connect(talk.WEB, talk.SINK) for _ in range(CONNECTIONS)]
    handshakes = [told(line) for line in opened]
    for line in opened:
        talk.send(line, SEGMENTS)
    # The line must be younger than the last segment: a sweep takes three seconds.
    run("sleep 8")
    smoothed = [told(line) for line in opened]
    daemon.stop()
    run("tc qdisc del dev eth0 root", SERVER)
    return {"delay_ms": DELAY_MS, "handshakes": handshakes, "smoothed": smoothed}


def told(line: Any) -> dict[str, Any]:
    """Both, for one connection."""
    of_socket = talk.round_trip(line)
    found = line_of(talk.port_of(line), lambda one: one["rtt_ms"] is not None)
    return {"daemon": found.get("rtt_ms"), "retransmits": found.get("retransmits"), **of_socket}
