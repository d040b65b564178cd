"""What the settings say of the inspector."""

from __future__ import annotations

import pytest

from netpolicy.core.model import Settings
from netpolicy.flows.ebpf.inspector import Switches
from netpolicy.service.inspector_options import Wanted, read


@pytest.mark.parametrize(
    ("setting", "tiers"),
    [("auto", ("ebpf", "packet")), ("ebpf", ("ebpf",)), ("packet", ("packet",)), ("conntrack", ()), ("off", ())],
)
def test_a_setting_is_an_order_of_tiers(setting: str, tiers: tuple[str, ...]) -> None:
    assert read(Settings(inspector=setting)).tiers == tiers


def test_without_a_list_all_names_are_read_and_with_one_only_those() -> None:
    assert read(Settings()).wanted == Wanted(True, True, True, True, True, True)
    assert read(Settings(inspect=("dns",))).wanted == Wanted(dns_answers=True, dns_queries=True, flows=True)
    assert read(Settings(inspect=("tls", "quic"))).wanted == Wanted(tls=True, quic=True, flows=True)
    assert read(Settings(inspect=("none", "tls"))).wanted == Wanted(flows=True)


def test_what_is_wanted_has_the_words_of_the_programs_switches() -> None:
    assert Wanted._fields == Switches._fields
