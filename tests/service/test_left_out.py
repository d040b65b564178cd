"""What is left out of a configuration is named with place and reason; why one is refused whole is said."""

from __future__ import annotations

from pathlib import Path

from netpolicy.config.load import load
from netpolicy.config.loaded import Loaded
from netpolicy.core.model import Ruleset
from netpolicy.service.left_out import left_out, refusal
from tests.service.parts import CONFIG


def read(folder: Path, text: str) -> Loaded:
    (folder / "netpolicy").write_text(text)
    return load(str(folder / "netpolicy"))


def test_each_rule_is_named_with_its_place_and_why(tmp_path: Path) -> None:
    odd = "config rule 'odd'\n\tlist dest_port 'x'\n\toption route 'wan_a'\n"
    found = left_out(read(tmp_path, CONFIG.replace("route 'wan_b'", "route 'wan_c'") + odd))
    assert sorted(one.name for one in found) == ["odd", "video"]
    places = {one.name: one.place.partition(":")[2] for one in found}
    assert places["video"].startswith("16:") and places["odd"].startswith("23:")
    assert all(one.why and one.text == f"{one.name} ({one.place}, {one.why})" for one in found)


def test_nothing_is_left_out_of_a_good_one_or_of_none(tmp_path: Path) -> None:
    assert left_out(None) == [] == left_out(read(tmp_path, CONFIG))


def test_a_rule_without_a_diagnostic_still_has_its_reason() -> None:
    assert left_out(Loaded(Ruleset(), (), (("a", "why"),)))[0].text == "a (why)"


def test_a_broken_rule_that_blocks_is_the_reason_why_nothing_is_used(tmp_path: Path) -> None:
    broken = CONFIG.replace("list dest_port '25'", "list dest_prot '25'")
    told = refusal(read(tmp_path, broken))
    assert "NP101" in told and "rule mail blocks" in told and "would pass" in told and "\n" not in told
    both = refusal(read(tmp_path, broken.replace("list dest_port '443'", "list dest_port 'x'")))
    assert "(video, mail) one blocks" in both or "(mail, video) one blocks" in both


def test_a_fatal_mistake_is_told_alone(tmp_path: Path) -> None:
    told = refusal(read(tmp_path, "config rule 'x"))
    assert "NP003" in told and "blocks" not in told
    assert refusal(Loaded(Ruleset(), (), fatal=True)) == "the configuration cannot be used"
