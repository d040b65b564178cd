"""`netpolicy doctor`: what it shows, how it ends, with a daemon and without one; and the bundle."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from netpolicy.service.doctor_finding import ERROR, INFO, WARNING, document, fine, found

from .conftest import Tool
from .stand_in import ARGUMENTS, StandIn

ARGUMENTS.setdefault("doctor", {})

FINE = document([fine("ND101"), fine("ND202", "nft 1.0.9"), fine("ND801")])
GOOD_TO_KNOW = document([fine("ND101"), found("ND306", INFO, "by software")])
BAD = document([
    fine("ND101"), fine("ND203"), found("ND209", WARNING, "bridge-nf-call-iptables is 1", "sysctl -w a.b=0"),
    found("ND202", ERROR, "nft 1.0.4 would send packets wrong ways, " * 5),
])  # fmt: skip


def answering(daemon: StandIn, reply: Any) -> None:
    """The stand-in serves what it had at its start, so it is asked by another name for the rest."""
    assert daemon.replies is not None
    daemon.replies["doctor"] = reply


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from .documents import REPLIES

    stand_in = StandIn(str(tmp_path / "doctor.sock"), {**REPLIES, "doctor": FINE}).start()
    monkeypatch.setenv("NETPOLICY_UBUS_SOCKET", stand_in.path)
    yield stand_in
    stand_in.stop()


@pytest.mark.parametrize(("reply", "code"), [(FINE, 0), (GOOD_TO_KNOW, 0), (BAD, 1)])
def test_it_ends_with_1_when_something_is_wrong_and_0_else(reply: Any, code: int, tool: Tool, doctor: StandIn) -> None:
    answering(doctor, reply)
    assert tool("doctor").code == code
    result = tool("doctor", "--json")
    assert (result.code, result.json) == (code, reply)


def test_findings_stand_first_and_each_area_has_a_line(tool: Tool, doctor: StandIn) -> None:
    answering(doctor, BAD)
    lines = tool("doctor").out.splitlines()
    assert lines[0] == "1 error, 1 warning, 0 good to know, 2 fine"
    assert lines[2].startswith("ERROR   nft is missing")
    assert "        run: sysctl -w a.b=0" in lines
    assert lines[-2:] == ["daemon      fine", "kernel      1 of 3 checks are fine"]
    assert all(len(line) <= 80 for line in lines)


def test_what_is_fine_is_told_in_full_when_asked_for(tool: Tool, doctor: StandIn) -> None:
    assert "nft 1.0.9" not in tool("doctor").out
    assert "  ND202  nft is new enough: nft 1.0.9" in tool("doctor", "--verbose").out


def test_areas_can_be_chosen_and_the_others_do_not_count(tool: Tool, doctor: StandIn) -> None:
    answering(doctor, BAD)
    result = tool("doctor", "daemon", "--json")
    assert result.code == 0
    assert result.json["summary"] == {"ok": 1, "info": 0, "warning": 0, "error": 0, "areas": {"daemon": "ok"}}
    wrong = tool("doctor", "kernels")
    assert wrong.code == 64 and "daemon, kernel" in wrong.err


def places(tmp_path: Path) -> list[str]:
    (tmp_path / "config").write_text("config netpolicy 'main'\n\toption enabled '0'\n")
    return ["--config", str(tmp_path / "config"), "--state-dir", str(tmp_path / "run"), "--store-dir", str(tmp_path)]


def test_without_a_daemon_it_says_so_first_and_looks_all_the_same(
    tool: Tool, empty_bus: StandIn, tmp_path: Path
) -> None:
    result = tool("doctor", "--json", *places(tmp_path))
    assert result.code == 1
    first, *rest = result.json["findings"]
    assert first["code"] == "ND101" and "not running" in first["details"]
    assert {"ND202", "ND501", "ND601", "ND702", "ND801", "ND901", "ND951"} <= {one["code"] for one in rest}
    assert "the daemon is not running" in tool("doctor", *places(tmp_path)).out.splitlines()[2]


def test_a_daemon_that_knows_no_doctor_is_not_in_the_way(tool: Tool, daemon: StandIn, tmp_path: Path) -> None:
    first = tool("doctor", "--json", *places(tmp_path)).json["findings"][0]
    assert first["code"] == "ND101" and "no method 'doctor'" in first["details"]


def test_the_bundle_has_what_the_daemon_said_and_does_not_replace_anything(
    tool: Tool, doctor: StandIn, tmp_path: Path
) -> None:
    path = tmp_path / "bundle.tar.gz"
    result = tool("doctor", "--bundle", str(path), *places(tmp_path))
    assert result.code == 0 and f"{path}iswritten" in "".join(result.out.split())  # a long path is wrapped
    with tarfile.open(path) as archive:
        status = archive.extractfile("netpolicy-doctor/status.json")
        drift = archive.extractfile("netpolicy-doctor/drift.json")
        assert status and json.load(status)["state"] == "NORMAL"
        assert drift and "no method" in json.load(drift)["error"]
    before = path.read_bytes()
    again = tool("doctor", "--bundle", str(path), *places(tmp_path))
    assert again.code == 64 and "is there already" in again.err
    assert path.read_bytes() == before


def test_a_bundle_that_cannot_be_written_is_said_in_words(tool: Tool, doctor: StandIn, tmp_path: Path) -> None:
    result = tool("doctor", "--bundle", str(tmp_path / "none" / "b"), *places(tmp_path))
    assert result.code == 1 and "was not written" in result.err


def test_a_reply_with_nothing_in_it_still_shows(tool: Tool, doctor: StandIn) -> None:
    answering(doctor, {"findings": None, "summary": 5})
    assert tool("doctor").code == 0
