"""Fetched lists: unencrypted ones, those that are never or too often fetched, and blocks that begin empty."""

from __future__ import annotations

import pytest

from .linted import findings, marked

CODES = ("NP470", "NP471", "NP472")
ROUTE = "\nrule x:\n  match domain=@video\n  action route=direct\n"
BLOCK = "\nrule x:\n  match domain=@video\n  action block\n"


def said(options: str, rule: str = ROUTE) -> list[tuple[str, str]]:
    text = f"list video {options}\n{rule}"
    return [(item.code, marked(text, item)) for item in findings(text, *CODES)]


def test_a_list_that_is_fetched_daily_over_tls_is_fine() -> None:
    assert said("url=https://lists.example/v refresh=1d") == []
    assert said("youtube.com") == []


@pytest.mark.parametrize(
    "host", ["192.168.1.5", "nas.lan", "nas", "127.0.0.1:8080", "[fd00::1]", "[fe80::1]", "10.0.0.1"]
)
def test_in_the_own_network_nobody_is_on_the_way(host: str) -> None:
    assert said(f"url=http://{host}/v refresh=1d") == []


@pytest.mark.parametrize("host", ["lists.example", "9.9.9.9", "[2620:fe::fe]", "172.32.0.1"])
def test_unencrypted_from_the_internet_is_told(host: str) -> None:
    assert said(f"url=http://{host}/v refresh=1d") == [("NP470", f"http://{host}/v")]


def test_how_often_is_told_where_it_is_never_or_too_often() -> None:
    assert [code for code, _ in said("url=https://lists.example/v")] == ["NP471"]
    assert said("url=https://lists.example/v refresh=30s") == [("NP471", "30s")]


def test_a_block_that_is_empty_after_a_boot_is_told() -> None:
    url = "url=https://lists.example/v refresh=1d"
    assert said(url, BLOCK) == [("NP472", "https://lists.example/v")]
    assert said(f"youtube.com {url}", BLOCK) == []
