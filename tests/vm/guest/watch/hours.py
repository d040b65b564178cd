"""In the machine: schedules by its own clock, which is set: a window that begins, a clock that was wrong.

Judges nothing. All other checks of a boot are before this one, or do not mind what the time is.
"""

from __future__ import annotations

import socket
import time
from typing import Any

import talk
from daemon import TEXT, Daemon, spoilt

SCHEDULED = f"""{TEXT}
config schedule 'night'
	option from '21:00'
	option to '06:00'
config rule 'offline'
	option priority '90'
	list proto 'tcp'
	list dest_port '{talk.SINK}'
	list schedule 'night'
	option block 'reject'
"""
# 2026-11-20, UTC.
DAY = 1_795_132_800
EVENING, NOON, LONG_AGO = DAY + 21 * 3600, DAY + 36 * 3600, 600
PATIENCE = 60


def schedules() -> dict[str, Any]:
    """Seconds from each event until packets are treated by it."""
    time.clock_settime(time.CLOCK_REALTIME, EVENING - 8)
    daemon, found = Daemon(), {}
    daemon.start(text=SCHEDULED)
    with talk.connect(talk.WEB, talk.SINK) as line:
        talk.send(line, 3)
        found["opened_before"] = EVENING - time.time()
        found["cut_after"] = until_cut(line) - EVENING
    found["new_is_refused"] = not lets_pass()
    # As by NTP, or after a suspended night.
    time.clock_settime(time.CLOCK_REALTIME, NOON)
    found["open_after"] = until(True)
    # As at a boot without a battery: its own epoch is at night.
    time.clock_settime(time.CLOCK_REALTIME, LONG_AGO)
    found["shut_after"] = until(False)
    time.clock_settime(time.CLOCK_REALTIME, NOON)
    found["right_after"] = until(True)
    daemon.stop()
    return {**found, "spoilt": spoilt()}


def until_cut(line: socket.socket) -> float:
    """The time of the first packet of an open connection that got no answer."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        begun = time.time()
        try:
            talk.send(line, 1)
        except OSError:
            return begun
        time.sleep(0.1)
    raise RuntimeError("it goes on")


def until(passes: bool) -> float:
    """Seconds until new connections are let pass, or are not any more."""
    begun = time.monotonic()
    while lets_pass() != passes:
        if time.monotonic() > begun + PATIENCE:
            raise RuntimeError(f"new connections: {not passes}")
        time.sleep(0.2)
    return time.monotonic() - begun


def lets_pass() -> bool:
    """Whether a new connection comes about."""
    try:
        talk.connect(talk.WEB, talk.SINK).close()
    except OSError:
        return False
    return True
