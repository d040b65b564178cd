"""The lab's internet answers any address and says whom it saw."""

from __future__ import annotations

import pytest

from netpolicy.lab.bench import Lab

pytestmark = pytest.mark.kernel

A4, A6 = "203.0.113.2", "2001:db8:a::2"
B4, B6 = "198.51.100.2", "2001:db8:b::2"


def test_the_tls_server_tells_the_name_it_was_asked_for(lab: Lab) -> None:
    answer = lab.tcp("router", "192.0.2.11", 443, name="news.example.net", timeout=20)
    assert (answer["sni"], answer["host"]) == ("news.example.net", "news.example.net")


def test_names_resolve_in_both_families(lab: Lab) -> None:
    assert lab.dns("router", "www.example.net", timeout=20)["addresses"] == ["192.0.2.10"]
    assert lab.dns("router", "www.example.net", "AAAA", timeout=20)["addresses"] == ["2001:db8:1::10"]
    assert lab.dns("router", "nowhere.example.net", timeout=20)["addresses"] == []
