"""What a finding is, and in which order findings are told."""

from __future__ import annotations

from netpolicy.service.doctor_finding import ERROR, INFO, WARNING, document, fine, found


def test_the_worst_stands_first_and_an_area_is_as_bad_as_its_worst() -> None:
    told = document(
        [fine("ND101"), found("ND209", WARNING), fine("ND201"), found("ND202", ERROR), found("ND306", INFO)]
    )
    assert [one["code"] for one in told["findings"]] == ["ND202", "ND209", "ND306", "ND101", "ND201"]
    assert told["summary"] == {
        "ok": 2, "info": 1, "warning": 1, "error": 1, "areas": {"daemon": "ok", "kernel": "error", "fw4": "info"},
    }  # fmt: skip


def test_a_finding_has_title_and_cure_of_its_code_and_says_what_was_seen() -> None:
    one = found("ND202", ERROR, "nft 1.0.4", "opkg update").as_dict()
    assert set(one) == {"area", "level", "code", "title", "details", "cure", "command"}
    assert one["area"] == "kernel" and one["details"] == "nft 1.0.4" and "1.0.6" in one["cure"]
    assert fine("ND202").title != one["title"] and fine("ND202").cure == ""


def test_a_secret_in_what_was_seen_does_not_come_out() -> None:
    assert "hunter2" not in found("ND106", WARNING, "password=hunter2").as_dict()["details"]


def test_that_nobody_runs_stands_before_everything() -> None:
    told = document([found("ND202", ERROR), found("ND101", WARNING)])
    assert [one["code"] for one in told["findings"]] == ["ND101", "ND202"]
    assert document([found("ND202", ERROR), fine("ND101")])["findings"][0]["code"] == "ND202"


def test_an_area_is_as_bad_as_its_worst_also_when_that_does_not_stand_first() -> None:
    told = document([found("ND101", WARNING), found("ND102", ERROR)])
    assert told["summary"]["areas"] == {"daemon": "error"}
