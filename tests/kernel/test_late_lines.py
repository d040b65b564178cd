"""A group that takes the quicker line, on lines that are really late: what moves it, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from netpolicy.lab.bench import Lab
from netpolicy.lab.network import TUN_DEVICE
from tests.kernel.steering import A4, B4, LINES, SERVER4, rule
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root, pytest.mark.timeout(300)]

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


def late(lab: Lab, milliseconds: float) -> list[str]:
    """By which lines new flows went, without a reason to leave line A, until that was known to be so late.

    A busy machine makes the line later than that now and then: who leaves it then has one.
    """
    lab.relay("a", milliseconds)
    went: list[str] = []
    has_reason = False

    def is_known() -> bool:
        nonlocal has_reason
        way = seen(lab)  # a line that is used is asked each second
        now, other = latency(lab, "wan_a"), latency(lab, "wan_b")
        has_reason |= now - other > max(10, now / 5)  # docs/rules.md
        went.extend([] if has_reason else [way])
        return now > milliseconds - 4

    lab.wait_for(is_known, 80.0, f"line A is known to take {milliseconds} ms")
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
        lab.wait_for(lambda: latency(lab, "wan_a") and latency(lab, "wan_b"), 30.0, "both lines are measured")
        lab.wait_for(lambda: seen(lab) == A4, 30.0, "the quicker one is used, which is written second")
        opened = lab.ask("desk", "open", address=SERVER4, port=31000)
        assert opened["seen"] == A4
        assert set(late(lab, 68)) <= {A4}  # eight more than the other, which is no reason
        lab.relay("a", 150)
        lab.wait_for(lambda: seen(lab) == B4, 80.0, "the other one is quicker by far")
        assert lab.ask("desk", "talk", id=opened["id"])["ok"]  # slow, and nobody cut it
