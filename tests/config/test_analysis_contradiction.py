"""Rules whose own parts exclude each other."""

from __future__ import annotations

import pytest

from .linted import LINES, findings, rule

SCHEDULES = "schedule day from=08:00 to=20:00\nschedule noon days=mon from=12:00 to=13:00\n"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("match any", "disable NORMAL,DEGRADED,FAILOVER,RECOVERY"), "leaves no state"),
        (("match any", "when state=NORMAL", "disable NORMAL"), "disable names every state"),
        (("match latency_ms=>4294967295 error_rate=>100%",), "true of no measured number"),
        (("match schedule=noon,!noon",), "leaves nothing"),
        (("match schedule=noon,!day",), "schedule leaves nothing"),
        (("match domain=a.example,!a.example",), "domain leaves nothing"),
        (("match domain==x.a.example,!a.example",), "domain leaves nothing"),
        (("match sni=x.a.example,!*.a.example",), "sni leaves nothing"),
        (("match src_iface=lo src_mac=02:00:00:00:00:01",), "have no MAC address"),
        (("match protocol=icmpv6 family=ipv4",), "exists in IPv6 only"),
        (("match protocol=icmp dest_addr=2001:db8::1",), "exists in IPv4 only"),
        (("match dest_addr=224.0.0.0/4,ff00::/8",), "never steered"),
        (("match src_addr=192.0.2.1 dest_addr=2001:db8::1",), "exclude each other"),
    ],
)
def test_a_rule_that_can_never_match_is_told_once_with_the_reason(lines: tuple[str, ...], reason: str) -> None:
    (item,) = findings(LINES + SCHEDULES + rule("a", *lines), "NP206")
    assert reason in item.message


@pytest.mark.parametrize(
    "lines",
    [
        ("match schedule=day,!noon",),
        ("match domain=a.example,!x.a.example",),
        ("match src_iface=lo,lan src_mac=02:00:00:00:00:01",),
        ("match protocol=icmp,icmpv6 family=ipv4",),
        ("match dest_addr=192.0.0.0/2",),
        ("match latency_ms=<1",),
        ("match error_rate=>=100%",),
    ],
)
def test_a_rule_that_may_match_is_left_alone(lines: tuple[str, ...]) -> None:
    assert findings(LINES + SCHEDULES + rule("a", *lines), "NP206") == []


def test_a_rule_that_is_switched_off_may_contradict_itself() -> None:
    text = LINES + rule("a", "enabled 0", "match any", "disable NORMAL,DEGRADED,FAILOVER,RECOVERY")
    assert findings(text, "NP206") == []


def test_a_route_for_what_comes_in_by_an_outbound_sends_nothing() -> None:
    (item,) = findings(LINES + rule("a", "match src_iface=wan", action="route=wg"), "NP410")
    assert "leaves by 'wan' again" in item.message
    assert findings(LINES + rule("a", "match src_iface=wan"), "NP410") == []
    assert findings(LINES + rule("a", "match src_iface=wan,lan", action="route=wg"), "NP410") == []
