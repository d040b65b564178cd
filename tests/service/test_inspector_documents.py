"""What the doors say of what was seen: values, and for what is unknown the reason."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from netpolicy.core.facts import Facts
from netpolicy.core.model import Settings
from netpolicy.flows.inside import Subnet
from netpolicy.flows.model import TCP, Flow
from netpolicy.flows.reader import Name
from netpolicy.flows.seen import OPEN, Measured, Side
from netpolicy.service import inspector_documents as documents
from netpolicy.service.inspector_feed import Feed, packed
from netpolicy.service.inspector_options import read
from netpolicy.service.inspector_tiers import Watching

KEY = (packed("192.168.1.11"), packed("198.51.100.4"), 50000, 443, TCP)
FLOW = Flow(1, 4, TCP, "192.168.1.11", 50000, "198.51.100.4", 443, "198.51.100.4", 443, "203.0.113.2", 50000, mark=7)


@pytest.fixture
def feed() -> Feed:
    found = Feed(lambda mark: "wan")
    found.live_in([Subnet(4, 0xC0A80100, 0xC0A801FF, "192.168.1.1", "br-lan")])
    return found


def test_what_nobody_saw_is_null_with_the_reason(feed: Feed) -> None:
    found = documents.line(feed, FLOW, 0.0)
    assert {name for name, value in found.items() if value is None} == {
        "name", "name_source", "name_confidence", "rtt_ms", "retransmits", "resets"
    }  # fmt: skip
    assert found["unknown"] == dict.fromkeys(("name", "rtt_ms", "retransmits", "resets"), "not_seen")


def test_what_was_seen_is_told(feed: Feed) -> None:
    feed._take(Name(KEY, "www.example.net", "tls"), 0.0)
    feed.measured(Measured(KEY, OPEN, Side(packets=5, retransmits=1), Side(packets=5), rtt_remote_us=12345), 0.0)
    assert documents.line(feed, FLOW, 0.0) == {
        "name": "www.example.net", "name_source": "tls", "name_confidence": "certain", "rtt_ms": 12.345,
        "retransmits": 1, "resets": 0, "unknown": {},
        "dest_quality": {"rtt_ms": 12.35, "loss": None, "errors": None, "resets": None, "connections": 1.0},
    }  # fmt: skip
    feed.measured(Measured(KEY, OPEN, Side(packets=60, retransmits=6), Side(packets=40)), 1.0)
    assert documents.line(feed, FLOW, 1.0)["dest_quality"]["loss"] == pytest.approx(0.06, abs=1e-4)


def test_what_a_tier_cannot_know_is_told_apart_from_what_it_did_not_see(feed: Feed) -> None:
    feed.measured(Measured(KEY, OPEN, Side(), Side()), 0.0)
    found = documents.line(feed, FLOW, 0.0)
    assert found["unknown"] == {"name": "not_seen", "rtt_ms": "not_measured", "retransmits": "not_by_this_tier"}
    assert (found["retransmits"], found["resets"]) == (None, 0)


def test_an_outbound_has_its_quality(feed: Feed) -> None:
    feed.began(FLOW)
    feed.measured(Measured(KEY, OPEN, Side(packets=60, retransmits=3), Side(), rtt_remote_us=40_000), 0.0)
    nothing = {"rtt_ms": None, "loss": None, "errors": None, "resets": None, "connections": 0.0}
    assert documents.quality(feed, "wan", 0.0) == {**nothing, "rtt_ms": 40.0, "loss": 0.05, "connections": 1.0}
    assert documents.quality(feed, "vpn", 0.0) == nothing


def test_facts_get_what_was_learned_and_measured(feed: Feed) -> None:
    facts = Facts()
    documents.complete(feed, facts, FLOW, 0.0)
    assert (facts.sni, facts.domain, facts.rtt_ms) == (None, None, None)
    feed.learned.note_answer(KEY[0], "www.example.net", [(KEY[1], 60)], 0.0)
    documents.complete(feed, facts, FLOW, 0.0)
    assert (facts.sni, facts.domain) == (None, "www.example.net")
    feed._take(Name(KEY, "www.example.net", "tls"), 0.0)
    feed.measured(Measured(KEY, OPEN, Side(), Side(), rtt_remote_us=40_000), 0.0)
    documents.complete(feed, facts, FLOW, 0.0)
    assert (facts.sni, facts.rtt_ms) == ("www.example.net", 40.0)


@pytest.mark.parametrize(
    ("setting", "devices", "expected"),
    [
        ("auto", [("lan", "ebpf", "")], ("ebpf", "")),
        ("auto", [("lan", "packet", "ebpf: no"), ("guest", "ebpf", "")], ("ebpf", "ebpf: no")),
        ("auto", [("lan", "packet", "ebpf: no")], ("packet", "ebpf: no")),
        ("auto", [("lan", "conntrack", "ebpf: no")], ("proc", "ebpf: no; polling")),
        ("auto", [], ("proc", "no device with clients is up; polling")),
        ("off", [], ("proc", "option inspector is off; polling")),
    ],
)
def test_the_summary_is_the_best_tier_and_why_not_a_better_one(
    setting: str, devices: list[tuple[str, str, str]], expected: tuple[str, str]
) -> None:
    tiers = SimpleNamespace(devices={name: Watching(name, tier, "", reason) for name, tier, reason in devices})
    inspector: Any = SimpleNamespace(tiers=tiers, options=read(Settings(inspector=setting)))
    assert documents.summary(inspector, "proc", "polling") == expected
