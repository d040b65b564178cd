"""The area of other programs: what is known of them, and what they really do in a kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netpolicy.core.model import Ruleset, Settings
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.state import RoutingRule
from netpolicy.service import doctor_collisions as collisions
from netpolicy.service.doctor_collisions import Facts, present
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_marks import Hooked
from netpolicy.service.doctor_programs import PROGRAMS
from netpolicy.service.doctor_system import Ran
from tests.netns import needs_root, run
from tests.router import router
from tests.service.doctoring import Machine, Patient, seen

OURS = Hooked("inet netpolicy", "prerouting", "filter", "prerouting", -149)
FINE = Facts(Policy(), (), (), None, (), (OURS, Hooked("inet fw4", "pre", "filter", "prerouting", -150)), ())
PBR = next(one for one in PROGRAMS if one.name == "pbr")
DAE = next(one for one in PROGRAMS if one.name == "dae")
CODES = tuple(f"ND50{number}" for number in range(1, 7))

CASES = [
    (collisions.in_kernel, "ND501", {"rules": (RoutingRule(4, 7100, 9, protocol=3),)}, "error"),
    (collisions.by_name, "ND502", {"programs": (PBR,), "policy": Policy(Marks(0x00FF0000))}, "warning"),
    (collisions.by_name, "ND502", {"programs": (PBR,), "policy": Policy(rule_priority=29800)}, "warning"),
    (collisions.by_name, "ND502", {"programs": (PBR,), "policy": Policy(table_base=400)}, "warning"),
    (collisions.beside, "ND503", {"programs": (PBR,)}, "info"),
    (collisions.hooks, "ND504", {"chains": (OURS, OURS._replace(table="inet other"))}, "info"),
    (collisions.marks, "ND505", {"overwriters": ("inet other chain pre",)}, "warning"),
    (collisions.exact, "ND506", {"rules": (RoutingRule(4, 5, 100, 1, 0xFFFFFFFF, protocol=3),)}, "info"),
]


@pytest.mark.parametrize(("check", "code", "broken", "level"), CASES)
def test_each_is_green_on_a_box_of_our_own_and_red_without(check, code, broken, level) -> None:
    assert seen(check(FINE)) == {code: "ok"}
    assert seen(check(replace(FINE, **broken))) == {code: level}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: one.name)
def test_no_known_program_meets_our_numbers_unless_somebody_moves_ours(program) -> None:
    assert collisions.overlap(program, Policy()) == ("", "")


def test_the_way_out_of_a_collision_leads_to_numbers_that_are_free() -> None:
    (one,) = collisions.by_name(replace(FINE, programs=(PBR,), policy=Policy(rule_priority=29800)))
    assert one.command.startswith("uci set netpolicy.main.rule_priority=7000; uci commit")
    taken = PBR._replace(masks=(0x01000000,), priorities=((1, 60000),))
    busy = replace(FINE, programs=(taken,))
    assert "fwmark_mask=0xf0000000;" in collisions.move("fwmark_mask", busy)
    assert collisions.move("rule_priority", replace(FINE, programs=(PBR._replace(priorities=((1, 60000),)),))) == ""


def test_a_ruleset_that_cannot_be_listed_is_not_called_good() -> None:
    found = seen(collisions.examine(Machine(says={"nft": Ran(1, "", "Operation not permitted")}), Given()))
    assert found["ND505"] == "info" and "ND504" not in found


def test_a_program_is_known_by_a_file_or_by_its_nft_table() -> None:
    assert present(lambda path: path == "/etc/init.d/pbr", set()) == (PBR,)
    assert [one.name for one in present(lambda path: False, {"inet banIP"})] == ["banIP"]
    assert present(lambda path: False, {"inet fw4"}) == ()


def test_the_mark_of_dae_lies_beside_ours() -> None:
    assert collisions.overlap(DAE, Policy(Marks(0xF8000000)))[1] == "fwmark_mask"


@pytest.mark.kernel
@needs_root
def test_a_real_box_with_strangers_in_it() -> None:
    with router():
        quiet = seen(collisions.examine(Patient(), Given()))
        assert quiet == {**dict.fromkeys(CODES, "ok"), "ND506": "info"}  # the router's foreign rule with mark 1
        run("ip", "rule", "add", "priority", "7050", "lookup", "900")
        run(
            "nft", "table inet netpolicy { chain np_schema_2 { }; chain mine { type filter hook output priority 5; }; }"
        )
        run("nft", "table inet mad { chain out { type filter hook output priority 5; meta mark set 0xff; }; }")
        loud = seen(collisions.examine(Patient(), Given()))
        assert [loud[code] for code in ("ND501", "ND504", "ND505")] == ["error", "info", "warning"]
        moved = Given(Ruleset(settings=Settings(rule_priority=8000)))
        assert seen(collisions.examine(Patient(), moved))["ND501"] == "ok"
