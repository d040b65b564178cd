"""The area of fw4: each check red and green, texts and flowtables with the real nft."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from netpolicy.service import doctor_firewall as firewall
from netpolicy.service.doctor_firewall import Facts
from netpolicy.service.doctor_given import Given
from netpolicy.service.doctor_system import TOO_LONG, Ran
from tests.netns import needs_root, private_netns, run
from tests.router import router
from tests.service.doctoring import Machine, Patient, seen

FOLDER = "/var/run/netpolicy/fw4"
PACKAGED = Path(__file__).parents[2] / "files" / firewall.RULESET_POST.lstrip("/")
TEXT = (f"{FOLDER}/netpolicy.nft", Ran(0))
FINE = Facts(True, True, PACKAGED.read_text(encoding="utf-8"), FOLDER, (TEXT,), ("inet fw4",), Ran(0, ""))
SOFTWARE = (
    "table inet fw4 {\n\tflowtable ft_offload {\n\t\thook ingress priority filter\n\t\tdevices = { eth0 }\n\t}\n}\n"
)

CASES = [
    (firewall.installed, "ND301", {"has_fw4": False}, "warning"),
    (firewall.includes, "ND302", {"include": None}, "error"),
    (firewall.includes, "ND302", {"include": '# include "/var/run/netpolicy/fw4/*.nft"'}, "error"),
    (firewall.texts, "ND303", {"texts": ((TEXT[0], Ran(1, "", "Error: syntax error")),)}, "error"),
    (firewall.texts, "ND303", {"texts": ((TEXT[0], Ran(TOO_LONG)),)}, "info"),
    (firewall.strangers, "ND304", {"texts": (TEXT, (f"{FOLDER}/mine.nft", Ran(0)))}, "warning"),
    (firewall.loaded, "ND305", {"tables": ("inet netpolicy",)}, "error"),
    (firewall.offload, "ND306", {"flowtables": Ran(0, SOFTWARE)}, "info"),
    (firewall.offload, "ND306", {"flowtables": Ran(0, SOFTWARE.replace("\t}", "\t\tflags offload\n\t}"))}, "warning"),
]


@pytest.mark.parametrize(("check", "code", "broken", "level"), CASES)
def test_each_is_green_on_a_good_router_and_red_without(check, code, broken, level) -> None:
    assert seen(check(FINE)) == {code: "ok"}
    assert seen(check(replace(FINE, **broken))) == {code: level}


def test_where_there_is_no_openwrt_no_fw4_is_missed() -> None:
    assert set(seen(firewall.examine(Machine(), Given())).values()) == {"ok"}


def test_a_text_that_was_not_tried_to_the_end_is_not_to_be_removed() -> None:
    (one,) = firewall.texts(replace(FINE, texts=((TEXT[0], Ran(TOO_LONG)),)))
    assert one.command == "" and "took too long" in one.details


class Stranger(Machine):
    """Who is not root."""

    @property
    def is_root(self) -> bool:
        return False


def test_to_whom_nft_refuses_everything_no_text_is_bad() -> None:
    says = {"nft": Ran(1, "", "Operation not permitted"), "fw4": ""}
    found = seen(firewall.examine(Stranger({TEXT[0]: "", firewall.RULESET_POST: FINE.include or ""}, says), Given()))
    assert found == {"ND301": "ok", "ND302": "ok", "ND304": "ok"}


def test_nft_that_says_nonsense_has_no_tables() -> None:
    for said in ("", "[", '{"nftables": 5}', '{"nftables": [{"table": 3}]}'):
        assert firewall.tables(Machine(says={"nft -j list tables": said})) == ()


@pytest.mark.kernel
@needs_root
def test_a_real_include_is_judged_without_being_loaded(tmp_path: Path) -> None:
    (tmp_path / "fw4").mkdir()
    text = tmp_path / "fw4" / "netpolicy.nft"
    given = Given(state=str(tmp_path))
    with private_netns():
        text.write_text("table inet tried { chain c { accept; }; }\n")
        assert seen(firewall.examine(Patient(), given))["ND303"] == "ok"
        assert firewall.tables(Patient()) == ()
        text.write_text("table inet tried { chain c { acept; }; }\n")
        assert seen(firewall.examine(Patient(), given))["ND303"] == "error"


@pytest.mark.kernel
@needs_root
def test_a_real_flowtable_is_seen() -> None:
    with router(foreign=False):
        assert firewall.offload(firewall.gather(Patient(), Given())).level == "ok"
        try:
            run("nft", "table inet offload { flowtable ft { hook ingress priority filter; devices = { wana }; }; }")
        except AssertionError:
            pytest.skip("this kernel has no flowtables")
        assert firewall.offload(firewall.gather(Patient(), Given())).level == "info"
