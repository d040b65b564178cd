"""The area of the outbounds: interfaces that are not there, and lines that are down."""

from __future__ import annotations

import pytest

from netpolicy.core.model import Outbound, Ruleset
from netpolicy.outbounds.lines import LineState, LogicalInterface
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_lines import checks, examine
from tests.netns import needs_root
from tests.router import router
from tests.service.doctoring import Machine, Patient, seen

UP = LineState("a", "interface", True, "fine", "eth0")
DOWN = LineState("b", "interface", False, "eth1 has no carrier", "eth1")
ABSENT = LineState("c", "interface", False, "there is no device eth9", "eth9")


def test_each_is_red_for_its_own_reason_only() -> None:
    assert seen(checks((UP,))) == {"ND951": "ok", "ND952": "ok"}
    assert seen(checks((UP, DOWN))) == {"ND951": "ok", "ND952": "warning"}
    assert seen(checks((UP, ABSENT))) == {"ND951": "error", "ND952": "ok"}


@pytest.mark.kernel
@needs_root
def test_names_are_those_that_netifd_told_the_daemon() -> None:
    rules = Ruleset(outbounds=(Outbound("a", "interface", interface="wan", gateway="192.0.2.1"),))
    with router(foreign=False):
        assert seen(examine(Machine(), Given(rules, logical={})))["ND951"] == "error"
        told = {"wan": LogicalInterface("wana", True)}
        assert seen(examine(Machine(), Given(rules, logical=told))) == {"ND951": "ok", "ND952": "ok"}


@pytest.mark.kernel
@needs_root
def test_without_a_daemon_the_kernel_is_asked_and_netifd_for_its_names() -> None:
    outbounds = (Outbound("a", "interface", interface="wan", gateway="192.0.2.1"),)
    given = Given(Ruleset(outbounds=outbounds))
    dump = '{"interface":[{"interface":"wan","up":true,"l3_device":"wana","route":[]}]}'
    with router(foreign=False):
        assert seen(examine(Patient(), given))["ND951"] == "error"
        named = Machine(says={"ubus -S call network.interface dump": dump})
        assert seen(examine(named, given)) == {"ND951": "ok", "ND952": "ok"}
        named.says["ubus"] = named.says.pop("ubus -S call network.interface dump")[:20]
        assert seen(examine(named, given))["ND951"] == "error"
