"""What the doctor is given."""

from __future__ import annotations

import os

from netpolicy.core.model import Ruleset, Settings
from netpolicy.service.doctor_given import Given, guard_program


def test_numbers_are_those_of_the_settings() -> None:
    policy = Given(Ruleset(settings=Settings(fwmark_mask=0xF0000000, table_base=8000, rule_priority=9000))).policy
    assert (policy.marks.mask, policy.table_base, policy.rule_priority) == (0xF0000000, 8000, 9000)


def test_a_mask_that_cannot_be_used_does_not_stop_the_doctor() -> None:
    assert Given(Ruleset(settings=Settings(fwmark_mask=1))).policy.marks.mask == 0x77000000


def test_only_a_service_that_is_on_and_enforces_has_anything_in_the_kernel() -> None:
    assert Given(Ruleset(settings=Settings(enabled=True))).enforces
    assert not Given(Ruleset(settings=Settings(enabled=True, mode="observe"))).enforces
    assert not Given().enforces


def test_there_is_a_guard_in_a_checkout() -> None:
    assert os.access(guard_program(), os.X_OK)
