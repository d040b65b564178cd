"""Settings by which packets come through: each check red and green, and on a real kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netpolicy.core.model import Outbound, Ruleset
from netpolicy.dataplane.state import RoutingRule
from netpolicy.service import doctor_forwarding as forwarding
from netpolicy.service.doctor_forwarding import Facts
from netpolicy.service.doctor_given import Given
from tests.netns import needs_root, private_netns, run
from tests.router import router
from tests.service.doctoring import Patient, seen

OWN_RULES = (RoutingRule(4, 32766, 254), RoutingRule(4, 32767, 253), RoutingRule(6, 32766, 254))
FINE = Facts((), (), True, True, True, 100, 1000, OWN_RULES)

CASES = [
    (forwarding.bridge_hooks, "ND209", {"bridged": ("bridge-nf-call-iptables",)}, "warning"),
    (forwarding.reverse_path, "ND210", {"strict": ("wan.7",)}, "warning"),
    (forwarding.forwarding, "ND211", {"forwards4": False}, "warning"),
    (forwarding.forwarding, "ND211", {"forwards6": False}, "warning"),
    (forwarding.forwarding, "ND211", {"forwards6": False, "wants6": False}, "info"),
    (forwarding.connections, "ND212", {"connections": 900}, "warning"),
    (forwarding.connections, "ND212", {"connections": 980}, "error"),
    (forwarding.kernel_rules, "ND213", {"rules": OWN_RULES[1:]}, "error"),
]


@pytest.mark.parametrize(("check", "code", "broken", "level"), CASES)
def test_each_is_green_on_a_good_router_and_red_without(check, code, broken, level) -> None:
    assert seen(check(FINE)) == {code: "ok"}
    (red,) = check(replace(FINE, **broken))
    assert (red.code, red.level) == (code, level) and red.details and red.command


def test_the_command_reaches_a_device_with_a_dot_in_its_name() -> None:
    (red,) = forwarding.reverse_path(replace(FINE, strict=("wan.7",)))
    assert red.command == "sysctl -w net/ipv4/conf/wan.7/rp_filter=2"


def test_where_connections_are_not_tracked_nothing_is_said_of_room() -> None:
    assert forwarding.connections(replace(FINE, connections=None)) == []


def line(device: str) -> Given:
    return Given(Ruleset(outbounds=(Outbound("a", "interface", interface=device, gateway="192.0.2.1"),)))


@pytest.mark.kernel
@needs_root
def test_a_real_router_that_is_made_worse_step_by_step() -> None:
    with router(foreign=False) as here:
        here.sysctl("net/ipv4/conf/all/rp_filter", 0)
        here.sysctl("net/ipv4/conf/wana/rp_filter", 0)
        here.sysctl("net/ipv6/conf/all/forwarding", 1)
        quiet = seen(forwarding.examine(Patient(), line("wana")))
        assert [quiet[code] for code in ("ND210", "ND211", "ND213")] == ["ok", "ok", "ok"]
        here.sysctl("net/ipv4/conf/wana/rp_filter", 1)
        here.sysctl("net/ipv4/ip_forward", 0)
        run("ip", "rule", "flush")
        found = forwarding.examine(Patient(), line("wana"))
        loud = seen(found)
        assert [loud[code] for code in ("ND210", "ND211", "ND213")] == ["warning", "warning", "error"]
        for one in found:
            if one.code in ("ND211", "ND213") and one.level != "ok":
                run(*one.command.split())  # each command is one that cures
        assert seen(forwarding.examine(Patient(), line("wana")))["ND213"] == "ok"


@pytest.mark.kernel
@needs_root
def test_bridged_packets_are_seen_where_the_kernel_has_the_setting() -> None:
    with private_netns() as here:
        try:
            here.sysctl("net/bridge/bridge-nf-call-iptables", 1)
        except OSError:
            pytest.skip("this kernel has no bridge netfilter, or not for each namespace")
        assert "bridge-nf-call-iptables" in forwarding.gather(Patient(), Given()).bridged
        here.sysctl("net/bridge/bridge-nf-call-iptables", 0)
        assert "bridge-nf-call-iptables" not in forwarding.gather(Patient(), Given()).bridged
