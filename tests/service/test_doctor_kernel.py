"""The area of the kernel and its tools: each check red and green, and all of them on this machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netpolicy.service import doctor_kernel as kernel
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_kernel import Facts
from netpolicy.service.doctor_system import MISSING, NO_NAMESPACE, Ran
from tests.netns import needs_root, private_netns
from tests.service.doctoring import Patient, seen

FINE = Facts(
    Ran(0, "nftables v1.0.9 (Old Doc Yak #3)\n"), Ran(0, "{}"), True, "", "", "", True, Ran(0), "",
    Ran(0, "ip utility, iproute2-6.1.0\n"), Ran(0), Ran(0),
)  # fmt: skip

CASES = [
    (kernel.nf_tables, "ND201", {"nft_list": Ran(1, "", "Error: Protocol not supported")}, "error"),
    (kernel.nft_version, "ND202", {"nft_version": Ran(0, "nftables v1.0.4 (x)")}, "error"),
    (kernel.nft_version, "ND202", {"nft_version": Ran(MISSING)}, "error"),
    (kernel.nft_version, "ND202", {"nft_list": Ran(1, "", "JSON support not compiled-in")}, "error"),
    (kernel.tracking, "ND203", {"is_tracking": False}, "error"),
    (kernel.ctnetlink, "ND204", {"ctnetlink": "not supported"}, "warning"),
    (kernel.policy_routing, "ND205", {"rules4": "not supported"}, "error"),
    (kernel.policy_routing, "ND205", {"rules6": "not supported"}, "error"),
    (kernel.scratch, "ND206", {"apart": Ran(NO_NAMESPACE)}, "warning"),
    (kernel.scratch, "ND206", {"apart": Ran(2)}, "warning"),
    (kernel.packet_log, "ND207", {"nflog": "not supported"}, "info"),
    (kernel.ip_tool, "ND208", {"ip_batch": Ran(1, "", "BusyBox v1.36.1")}, "error"),
    (kernel.ip_tool, "ND208", {"ip_protocol": Ran(1, "", "invalid argument 'protocol'")}, "error"),
    (kernel.ip_tool, "ND208", {"ip_version": Ran(MISSING)}, "error"),
]


@pytest.mark.parametrize(("check", "code", "broken", "level"), CASES)
def test_each_is_green_on_a_good_kernel_and_red_without(check, code, broken, level) -> None:
    assert seen(check(FINE)) == {code: "ok"}
    red = check(replace(FINE, **broken))
    assert seen(red) == {code: level} and red.details and red.cure


def test_a_kernel_without_ipv6_needs_no_rules_for_it() -> None:
    assert kernel.policy_routing(replace(FINE, rules6="not supported", has_ipv6=False)).level == "ok"


def test_versions_are_numbers() -> None:
    assert kernel.version_in("nftables v1.0.10 (x)") == (1, 0, 10)
    assert kernel.version_in("nftables v1.1.3 (Commodore Bullmoose #4)") == (1, 1, 3)
    assert kernel.version_in("no version") == ()


@pytest.mark.kernel
@needs_root
def test_a_private_network_of_this_kernel_has_what_is_needed() -> None:
    with private_netns():
        found = seen(kernel.examine(Patient(), Given()))
    # The logs of packets may be missing where tests run; the rest of the suite needs all others.
    assert {code: level for code, level in found.items() if level != "ok"} in ({}, {"ND207": "info"})
    assert set(found) == {f"ND20{number}" for number in range(1, 9)}
