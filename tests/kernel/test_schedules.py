"""Windows that open and close while connections are open, on the daemon as it is: its clock is moved by the time zone.

The zone's file of the lab is another one all at once, as when somebody sets it; the machine's own clock stays.
"""

from __future__ import annotations

import os
import struct
import subprocess
import time
from collections.abc import Iterator

import pytest

from netpolicy.lab.bench import Lab
from tests.kernel.steering import A4, B4, LINES, SERVER4, rule
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

ZONE = "/run/zone"
HOURS = """
config schedule 'evening'
	option from '18:00'
	option to '22:00'
config throttle 'slow'
	option down '8mbit'
	option up '2mbit'
"""
CONFIG = (
    LINES
    + HOURS
    + rule("offline", "+dest_port=31000", "+schedule=!evening", "block=reject", priority=90)
    + rule("calls", "+dest_port=31001", "+schedule=evening", "switch_route=wan_b", priority=80)
    + rule("held", "+dest_port=31002", "+schedule=evening", "route=wan_b", "throttle=slow", priority=70)
    + rule("video", "+dest_port=31002", "route=wan_b", priority=60)
)


def make_it(lab: Lab, hour: int) -> None:
    """It is that hour and a half of the day, for who looks at the zone from now on."""
    now = time.time()
    offset = int((hour * 3600 + 1800 - now) % 86400)
    # RFC 8536: one type of local time, no change ever; the second part is the one that is read.
    header = struct.pack(">4sc15x6I", b"TZif", b"2", 0, 0, 0, 0, 1, 4)
    body = struct.pack(">ibB4s", offset, 0, 0, b"LAB\0")
    text = header + body + header + body + b"\n\n"
    lab.file("/run/zone.new").write_bytes(text)
    os.rename(lab.file("/run/zone.new"), lab.file(ZONE))


@pytest.fixture(scope="module")
def lab(monkeypatch_module: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch_module.delenv("TZ", raising=False)
    with Lab() as found:
        make_it(found, 20)
        place = "mkdir -p /run/e && cp -a /etc/. /run/e/ && rm -f /run/e/localtime && ln -s /run/zone /run/e/localtime"
        subprocess.run(found.inside(["sh", "-c", f"{place} && mount --bind /run/e /etc"]), check=True)
        found.start_daemon(CONFIG)
        yield found
        assert found.stop_daemon() == 0
        assert "Traceback" not in found.daemon_log()


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def is_refused(lab: Lab) -> bool:
    """Whether the rule for the time beside the window refuses; no answer yet is no refusal."""
    return lab.tcp("desk", SERVER4, 31000)["error"] == "refused"


def held(lab: Lab) -> int:
    (slow,) = lab.call("rules")["throttles"]
    return sum(one["packets"] for one in slow["directions"])


def test_when_a_window_closes_open_connections_end_move_and_are_free_as_their_rules_say(lab: Lab) -> None:
    opened = {port: lab.ask("desk", "open", address=SERVER4, port=port) for port in (31000, 31001, 31002, 31003)}
    assert [one["seen"] for one in opened.values()] == [A4, B4, B4, A4]

    def talks(port: int) -> bool:
        return bool(lab.ask("desk", "talk", id=opened[port]["id"])["ok"])

    assert all(talks(port) for port in opened) and held(lab) > 5
    make_it(lab, 23)
    lab.wait_for(lambda: is_refused(lab), 30.0, what="the evening is over")
    lab.wait_for(lambda: not talks(31000), what="what is blocked now is cut")
    lab.wait_for(lambda: not talks(31001), what="what moves begins anew: its address is another one")
    before = held(lab)
    assert talks(31002) and talks(31003) and held(lab) == before
    assert [lab.tcp("desk", SERVER4, port)["seen"] for port in (31001, 31002)] == [A4, B4]


def test_a_zone_that_is_set_is_noticed_though_nothing_tells_of_it(lab: Lab) -> None:
    make_it(lab, 23)
    lab.wait_for(lambda: is_refused(lab), 30.0, what="it is night")
    time.sleep(1.0)  # what the kernel told of our own change leads to a turn, too
    make_it(lab, 19)
    lab.wait_for(lambda: lab.tcp("desk", SERVER4, 31000)["ok"], 30.0, what="it is evening again")
    assert lab.tcp("desk", SERVER4, 31001)["seen"] == B4
    lab.wait_for(lambda: "info apply: schedule: " in lab.daemon_log(), what="why there was a turn")
