"""The area of lists: copies that are there, that are not, and that are old."""

from __future__ import annotations

from netpolicy.config.kept_list import path_of, source_of
from netpolicy.core.model import Ruleset, Settings
from netpolicy.core.named_list import NamedList
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_lists import examine
from tests.service.doctoring import Machine

URL = "https://lists.example/ads"
DAY = 86400


def seen(machine: Machine, *lists: NamedList, enabled: bool = True) -> dict[str, tuple[str, str]]:
    given = Given(Ruleset(lists=lists, settings=Settings(enabled=enabled)))
    return {one.code: (one.level, one.details) for one in examine(machine, given)}


def machine_with_copy(age: float) -> Machine:
    machine = Machine({path_of("/var/run/netpolicy/lists", "ads", source_of(URL, "auto", ())): ""})
    machine.time = age
    return machine


def test_a_list_without_a_copy_is_told_unless_it_has_a_file_or_nothing_is_on() -> None:
    ads = NamedList("ads", url=URL, refresh=DAY)
    assert seen(Machine(), ads)["ND981"] == ("warning", "ads")
    assert seen(Machine(), ads, enabled=False)["ND981"][0] == "ok"
    assert seen(Machine(), NamedList("ads", url=URL, file="ads.txt"))["ND981"][0] == "ok"
    assert seen(Machine(), NamedList("own", ("192.0.2.1",)))["ND981"] == ("ok", "none is fetched")


def test_a_copy_counts_for_the_same_address_alone_and_not_for_ever() -> None:
    ads = NamedList("ads", url=URL, refresh=DAY)
    assert seen(machine_with_copy(DAY), ads) == {"ND981": ("ok", "1 are fetched"), "ND982": ("ok", "1 are fetched")}
    assert seen(machine_with_copy(5 * DAY), ads)["ND982"] == ("warning", "ads is 5 days old")
    assert seen(machine_with_copy(DAY), NamedList("ads", url=URL + "2"))["ND981"][0] == "warning"
