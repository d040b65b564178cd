"""A group that takes the quicker line, on lines that are really late: what moves it, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from netpolicy.lab.bench import Lab
from netpolicy.lab.network import TUN_DEVICE
from tests.kernel.steering import A4, B4, LINES, SERVER4, rule
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

PROBED = LINES.replace("option type 'interface'\n", "option type 'interface'\n\toption max_latency_ms '0'\n")
GROUP = """
config outbound 'quick'
	option type 'group'
	option strategy 'latency'
	list member 'wan_b'
	list member 'wan_a'
"""


def config() -> str:
    probe = f"\tlist probe 'ping:{SERVER4}'\n"
    lines = "".join(
        f"{line}\n{probe}" if line.strip() in ("option interface 'wana'", "option interface 'wanb'") else f"{line}\n"
        for line in PROBED.splitlines()
    )
    return lines + GROUP + rule("all", "+dest_port=31000", "route=quick")


def latency(lab: Lab, name: str) -> float:
    found: list[dict[str, Any]] = lab.call("outbounds")["outbounds"]
    return next(one["health"]["latency_ms"] for one in found if one["name"] == name) or 0.0


def seen(lab: Lab) -> str:
    """By which line a new flow goes."""
    return str(lab.udp("desk", SERVER4, 31000, timeout=1.0)["seen"])


def late(lab: Lab, name: str, milliseconds: float) -> list[str]:
    """By which lines new flows went until the line was known to be so late."""
    lab.relay(name[-1], milliseconds)
    went: list[str] = []

    def is_known() -> bool:
        went.append(seen(lab))  # a line that is used is asked each second
        return abs(latency(lab, name) - milliseconds) < 4

    lab.wait_for(is_known, what=f"{name} is known to take {milliseconds} ms", seconds=40)
    return went


# A mean of the answers of some seconds has to follow, twice.
@pytest.mark.slow
def test_new_flows_go_by_the_quicker_line_and_do_not_dance_between_two_that_are_alike() -> None:
    with Lab() as lab:
        if not lab.tun:
            pytest.skip(f"a line that is late needs {TUN_DEVICE}")
        lab.relay("a", 20)
        lab.relay("b", 60)
        lab.start_daemon(config())
        lab.wait_for(lambda: latency(lab, "wan_a") and latency(lab, "wan_b"), what="both lines are measured")
        lab.wait_for(lambda: seen(lab) == A4, what="the quicker one is used, which is written second")
        opened = lab.ask("desk", "open", address=SERVER4, port=31000)
        assert opened["seen"] == A4
        assert set(late(lab, "wan_a", 68)) == {A4}  # eight more than the other, which is no reason
        lab.relay("a", 150)
        lab.wait_for(lambda: seen(lab) == B4, what="the other one is quicker by far", seconds=40)
        assert lab.ask("desk", "talk", id=opened["id"])["ok"]  # slow, and nobody cut it
