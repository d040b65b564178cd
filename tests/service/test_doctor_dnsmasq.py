"""The area of dnsmasq: whether it is there, can fill sets, and is needed."""

from __future__ import annotations

from netpolicy.core.model import Ruleset
from netpolicy.service.doctor_dnsmasq import examine
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_system import Ran
from tests.router import rule
from tests.service.doctoring import Machine, seen

HEAD = "Dnsmasq version 2.90  Copyright (c) 2000-2024 Simon Kelley\nCompile time options: IPv6 GNU-getopt no-DBus "
FULL, SMALL = HEAD + "ipset nftset auth\n", HEAD + "no-ipset no-nftset no-auth\n"
NAMES = Given(Ruleset((rule("video", domain="example.com"),)))
ADDRESSES = Given(Ruleset((rule("video", dest_port="443", proto="tcp"),)))


def test_one_that_can_fill_sets_is_fine() -> None:
    assert seen(examine(Machine(says={"dnsmasq": FULL}), NAMES)) == {"ND401": "ok", "ND402": "ok"}
    assert seen(examine(Machine(says={"dnsmasq": FULL.rstrip()[: -len(" auth")]}), NAMES))["ND402"] == "ok"


def test_one_that_cannot_hurts_only_rules_with_names() -> None:
    assert seen(examine(Machine(says={"dnsmasq": SMALL}), NAMES))["ND402"] == "warning"
    assert seen(examine(Machine(says={"dnsmasq": SMALL}), ADDRESSES))["ND402"] == "info"


def test_none_at_all_is_said_once() -> None:
    assert seen(examine(Machine(), NAMES)) == {"ND401": "warning"}
    assert seen(examine(Machine(), ADDRESSES)) == {"ND401": "info"}
    assert seen(examine(Machine(says={"dnsmasq": Ran(1, "", "broken")}), NAMES))["ND401"] == "ok"
