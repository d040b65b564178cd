"""In the machine: it is suspended, and its clock wakes it: what is in force then, what is said of lines and changes.

Judges nothing. Seconds are those of a clock that stands still in a sleep, unless they are said to be others.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import Any

import talk
from daemon import CONFIG, LOG, Daemon, call, spoilt
from lines import LINES, until, until_up
from street import SERVER, inside, read, write

from netpolicy.bus.status import UbusError

ALARM, STATE, KINDS = "/sys/class/rtc/rtc0/wakealarm", "/sys/power/state", "/sys/power/mem_sleep"
GUARD_LOG = "/var/run/netpolicy/guard/log"
SHOP = 20  # a port that is open by day alone
DAY = f"""{LINES.partition("config outbound 'wan_b'")[0]}	list probe 'ping:{talk.WEB}'
config schedule 'day'
	option from '06:00'
	option to '21:00'
config schedule 'night'
	option from '21:00'
	option to '06:00'
config rule 'offline'
	option priority '90'
	list proto 'tcp'
	list dest_port '{talk.SINK}'
	list schedule 'night'
	option block 'reject'
config rule 'shop'
	option priority '90'
	list proto 'tcp'
	list dest_port '{SHOP}'
	list schedule 'day'
	option route 'wan_a'
config rule 'shut'
	option priority '80'
	list proto 'tcp'
	list dest_port '{SHOP}'
	option block 'reject'
"""
OTHER = f"""{DAY}
config rule 'mail'
	list proto 'tcp'
	list dest_port '25'
	option block 'reject'
"""
# 2026-11-20, UTC.
EVENING = 1_795_132_800 + 21 * 3600
MORNING = EVENING + 9 * 3600
BEFORE, SLEEP = 8, 20  # seconds from falling asleep to the edge of the window, and to the alarm
UNUSED = 11  # seconds after which nobody counts as using the line
# A question over a line that nobody uses has a second; after 0.6 s it is sent once more, and after this no more.
ASKED_FOR = 0.75
PATIENCE = 60


def schedules() -> dict[str, Any]:
    """One window opens and another closes in a sleep into which a probe's answer falls; and the other way round."""
    talk.listen(SHOP, talk.swallow)
    daemon, deaf = Daemon(), Deaf()
    time.clock_settime(time.CLOCK_REALTIME, EVENING - 3600)
    daemon.start(text=DAY)
    until_up("wan_a")
    until(lambda: line()["probes"], "a probe is answered")
    # All that a start sets off is over.
    until(lambda: line()["trusted"] and line()["state"] == "NORMAL", "the line is well")
    found: dict[str, Any] = {"kinds": read(KINDS).strip(), "before": line()}
    said = len(read(LOG))
    open_now = {port: talk.connect(talk.WEB, port) for port in (talk.SINK, SHOP)}
    for one in open_now.values():
        talk.send(one, 2)
    time.sleep(UNUSED)
    found["evening"] = deaf.sleep_into(EVENING - BEFORE, SLEEP)
    woke = time.monotonic()
    cuts = {port: Cut(one) for port, one in open_now.items()}
    found["asked_after"] = deaf.until_asked() - woke
    found["cut_after"] = {str(port): cut.after(woke) for port, cut in cuts.items()}
    found["refused"] = {str(port): not lets_pass(port) for port in open_now}
    found["morning"] = sleep_into(MORNING - BEFORE, SLEEP)
    woke = time.monotonic()
    until(lambda: lets_pass(talk.SINK) and lets_pass(SHOP), "both are open by day")
    found["open_after"] = time.monotonic() - woke
    time.sleep(3)  # a line that was doubted would be by now
    found["after"], found["said"] = line(), read(LOG)[said:].splitlines()
    found["in_sync"] = call("status")["kernel"]["in_sync"]
    daemon.stop()
    return {**found, "spoilt": spoilt()}


def change() -> dict[str, Any]:
    """The time to confirm passes in a sleep."""
    daemon = Daemon()
    daemon.start(text=DAY)
    until_up("wan_a")
    before, begun = read(CONFIG), time.monotonic()
    call("apply", {"text": OTHER, "confirm": 12, "console": True})
    job = until(lambda: awaiting(call("job")), "the change waits")
    found: dict[str, Any] = {"applied": read(CONFIG) != before, "took": time.monotonic() - begun}
    found["slept"] = suspend(SLEEP)
    woke = time.monotonic()
    try:
        found["confirmed"] = call("confirm", {"id": job["token"], "console": True})
    except UbusError as error:
        found["refused"] = str(error)
    ended = until(lambda: (now := call("job"))["state"] in ("reverted", "committed", "rescue") and now, "the end")
    found["ended_after"], found["state"], found["why"] = time.monotonic() - woke, ended["state"], ended["error"]
    found["is_back"], found["guard"] = read(CONFIG) == before, read(GUARD_LOG).splitlines()
    found["status"] = daemon.stop()
    return {**found, "spoilt": spoilt()}


def awaiting(job: dict[str, Any]) -> dict[str, Any] | None:
    if job["state"] in ("refused", "reverted", "rescue"):
        raise RuntimeError(f"the change is {job['state']}: {job['error']}")
    return job if job["state"] == "await" else None


def line() -> dict[str, Any]:
    """What is said of the line's health."""
    (found,) = [one for one in call("outbounds")["outbounds"] if one["name"] == "wan_a"]
    return dict(found["health"]) if "health" in found else dict(found)


def sleep_into(begin: float, seconds: int) -> dict[str, float]:
    """Sets the clock, and falls asleep."""
    time.clock_settime(time.CLOCK_REALTIME, begin)
    return suspend(seconds)


def suspend(seconds: int) -> dict[str, float]:
    """For so long by the machine's battery clock; how long it was by each of the others."""
    write(ALARM, "0")
    write(ALARM, f"+{seconds}")
    before = _clocks()
    write(STATE, "mem")
    after = _clocks()
    return {name: after[name] - before[name] for name in before}


def _clocks() -> dict[str, float]:
    numbers = {"steady": time.CLOCK_MONOTONIC, "boot": time.CLOCK_BOOTTIME, "wall": time.CLOCK_REALTIME}
    return {name: time.clock_gettime(number) for name, number in numbers.items()}


class Deaf:
    """The far side, which answers no ping while the machine falls asleep."""

    def __init__(self) -> None:
        with inside(SERVER):
            self._line = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            # The file stays that of the namespace in which it was opened.
            self._switch = os.open("/proc/sys/net/ipv4/icmp_echo_ignore_all", os.O_WRONLY)
        self._line.settimeout(PATIENCE)

    def sleep_into(self, begin: float, seconds: int) -> dict[str, float]:
        """Waits for a question that gets no answer, sets the clock, and falls asleep before that is given up.

        The far side hears as soon as the machine is awake.
        """
        os.write(self._switch, b"1")
        self.until_asked()
        time.sleep(ASKED_FOR)
        found = sleep_into(begin, seconds)
        os.write(self._switch, b"0")
        return found

    def until_asked(self) -> float:
        """When the next question comes."""
        self._line.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self._line.recv(256):
                pass
        self._line.settimeout(PATIENCE)
        self._line.recv(256)
        return time.monotonic()


class Cut:
    """When an open connection ends."""

    def __init__(self, one: socket.socket) -> None:
        self._line = one
        self._when = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while True:
            begun = time.monotonic()
            try:
                talk.send(self._line, 1)
            except OSError:
                self._when = begun
                return
            time.sleep(0.05)

    def after(self, moment: float) -> float | None:
        """Seconds; None: it goes on."""
        self._thread.join(PATIENCE)
        return self._when - moment if self._when else None


def lets_pass(port: int) -> bool:
    """Whether a new connection comes about."""
    try:
        talk.connect(talk.WEB, port).close()
    except OSError:
        return False
    return True
