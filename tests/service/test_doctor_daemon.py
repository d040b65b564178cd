"""The area of the daemon: each check red and green."""

from __future__ import annotations

from netpolicy.core.model import Ruleset, Settings
from netpolicy.service.doctor_daemon import examine, left_out, runs, warnings
from netpolicy.service.doctor_given import Given
from netpolicy.service.warnings import Warning_
from tests.service.doctoring import Machine, seen


class Stranger(Machine):
    """Who is not root."""

    @property
    def is_root(self) -> bool:
        return False


def test_a_daemon_without_complaints_is_fine() -> None:
    codes = ("ND101", "ND102", "ND103", "ND104", "ND105", "ND107")
    assert seen(examine(Machine(), Given())) == dict.fromkeys(codes, "ok")


def test_no_daemon_a_bad_file_a_kernel_that_refuses_warnings_no_root() -> None:
    assert seen(examine(Machine(), Given(why_not="no ubus")))["ND101"] == "warning"
    wanted = Ruleset(settings=Settings(enabled=True))
    assert seen(examine(Machine(), Given(wanted, why_not="no ubus")))["ND101"] == "error"
    assert seen(examine(Machine(), Given(config_error="line 3")))["ND102"] == "error"
    assert seen(examine(Machine(), Given(kernel_error="busy")))["ND103"] == "error"
    assert seen(examine(Machine(), Given(warnings=(Warning_("NP905", "x"),))))["ND104"] == "warning"
    assert seen(examine(Stranger(), Given()))["ND105"] == "warning"


def test_of_one_that_does_not_run_nothing_is_said_that_only_it_knows() -> None:
    assert "ND103" not in seen(examine(Machine(), Given(why_not="no ubus")))


def test_how_to_start_it_depends_on_where_we_are() -> None:
    assert runs(Given(why_not="x"), is_service=True).command.startswith("/etc/init.d/netpolicy")
    assert runs(Given(why_not="x", config="/c"), is_service=False).command.endswith("--config /c")


def test_rules_that_are_left_out_are_a_warning_that_names_them() -> None:
    told = left_out(Given(config="/c", skipped=tuple(f"r{n} (c:{n}:1, why)" for n in range(7))))
    assert (told.level, told.command) == ("warning", "netpolicy lint /c")
    assert told.details.startswith("7 rules: r0 (c:0:1, why); r1") and told.details.endswith("and 2 more")
    assert left_out(Given(skipped=("r",), config_error="refused")).level == "ok"  # it is not in force at all


def test_what_has_its_own_check_is_not_told_twice() -> None:
    assert warnings(Given(warnings=(Warning_("NP904", "strict"),))).level == "ok"
