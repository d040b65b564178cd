"""What is said of lines, the state and drift: in the log for people, on the bus for programs."""

from __future__ import annotations

from typing import Any

import pytest

from netpolicy.core.line_health import Transition
from netpolicy.observe.ring import Ring
from netpolicy.outbounds.lines import LineState
from netpolicy.service.drift import Found
from netpolicy.service.line_news import LineNews


class Heard:
    def __init__(self) -> None:
        self.log = Ring(lambda: 0.0, lambda entry: None, "debug")
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.news = LineNews(self.log, lambda name, data: self.events.append((name, dict(data))))

    def said(self) -> list[tuple[str, str]]:
        return [(entry.level, entry.message) for entry in self.log.since(0, 100)]


def test_a_line_and_its_health_are_told_with_their_reasons() -> None:
    heard = Heard()
    heard.news.transition("wan", Transition("DEGRADED", "FAILOVER", "3 of 5 rounds lost", 1.0), up=True)
    heard.news.line(LineState("wan", "interface", False, "3 of 5 rounds lost"))
    heard.news.state("NORMAL", "FAILOVER")
    assert heard.said() == [
        ("warning", "outbound wan DEGRADED → FAILOVER because: 3 of 5 rounds lost"),
        ("warning", "outbound wan is down: 3 of 5 rounds lost"),
        ("warning", "state NORMAL → FAILOVER"),
    ]
    told = {"name": "wan", "reason": "3 of 5 rounds lost"}
    assert heard.events == [
        ("netpolicy.outbound", {**told, "up": True, "before": "DEGRADED", "state": "FAILOVER"}),
        ("netpolicy.outbound", {**told, "up": False}),
    ]


@pytest.mark.parametrize(
    ("treatment", "level", "words"),
    [("heal", "warning", "put right"), ("alert", "warning", "left, as `drift` says"),
     ("leave", "info", "left, as `drift` says"), ("paused", "warning", "left: it was put right twice")],
)  # fmt: skip
def test_drift_is_told_with_what_is_done_about_it(treatment: str, level: str, words: str) -> None:
    heard = Heard()
    heard.news.drift(Found(0.0, tuple(f"change {number}" for number in range(12)), treatment))
    ((seen, text),) = heard.said()
    assert seen == level and text.startswith(f"others changed what is ours: 12 differences, change 0: {words}")
    ((_, told),) = heard.events
    assert told["treatment"] == treatment and len(told["changes"]) == 10
