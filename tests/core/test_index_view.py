"""Views: what a state, a line that is down or another device changes, and what is left behind."""

import gc
import weakref

from netpolicy.core.evaluate import World
from netpolicy.core.facts import Facts, parse_facts
from netpolicy.core.field import parse_field
from netpolicy.core.health import DEGRADED, NORMAL
from netpolicy.core.index import build
from netpolicy.core.model import Action, Outbound, Rule, Ruleset, Settings

OUTBOUNDS = (Outbound("fast", "interface", "wg0"), Outbound("slow", "interface", "eth0"))


def rule(name: str, action: Action, when: tuple[str, ...] = (), **fields: str) -> Rule:
    return Rule(name, 0, tuple(parse_field(key, (value,)) for key, value in fields.items()), action, when=when)


RULESET = Ruleset(
    (
        rule("calls", Action("route", "fast", log=True), dest_port="5060"),
        rule("worse", Action("route", "slow"), when=(DEGRADED,), dest_port="5060", proto="udp"),
        rule("no_mail", Action("block", "reject"), dest_port="25"),
        rule("off", Action("block", "drop"), domain="example.com"),
    ),
    OUTBOUNDS,
    Settings(default="slow"),
)
CALL = parse_facts({"dest": "192.0.2.1", "proto": "udp", "port": "5060"})
MAIL = parse_facts({"dest": "192.0.2.1", "proto": "tcp", "port": "25"})


def test_a_choice_says_rule_action_log_and_outbound() -> None:
    made = build(RULESET).view().decide(CALL)
    assert (made.rule, made.action, made.log, made.outbound, made.is_exempt) == (
        RULESET.rules[0], "route fast", True, "fast", False,
    )  # fmt: skip


def test_states_and_lines_share_the_tables() -> None:
    index = build(RULESET)
    assert index.view(NORMAL).find(CALL).name == "calls"
    assert index.view(DEGRADED).find(CALL).name == "worse"
    assert index.view(NORMAL, World(down=("fast",))).find(CALL) is None
    assert index.view(NORMAL, World(down=("fast",))).decide(CALL).outbound == "slow"


def test_traffic_that_no_rule_is_asked_about_is_exempt() -> None:
    view = build(RULESET).view(NORMAL, World(local=((4, 0xC0000201),), ingress={"wg0": "fast"}))
    assert view.decide(CALL).is_exempt
    for text in ("127.0.0.1", "255.255.255.255", "fe80::1"):
        made = view.decide(parse_facts({"dest": text, "port": "5060"}))
        assert (made.is_exempt, made.outbound) == (True, "direct")
    dhcp = parse_facts({"proto": "udp", "src_port": "68", "port": "67"})
    assert view.decide(dhcp).is_exempt
    assert view.candidates(dhcp) == []


def test_a_block_spares_the_router_and_answers_leave_by_their_line() -> None:
    view = build(RULESET).view(NORMAL, World(ingress={"wg0": "fast"}))
    for iface, outbound in (("lan", "block"), ("lo", "slow"), ("wg0", "fast"), ("lan", "block")):
        facts = parse_facts({"dest": "192.0.2.1", "proto": "tcp", "port": "25", "src_iface": iface})
        assert view.decide(facts).outbound == outbound


def test_candidates_are_the_rules_looked_at_with_what_they_lack() -> None:
    found = build(RULESET).view().candidates(parse_facts({"proto": "tcp", "port": "5060"}))
    assert [(one.name, unmet and unmet.name) for one, unmet in found] == [("worse", "proto"), ("calls", None)]


def test_an_explanation_is_that_of_the_candidates() -> None:
    made = build(RULESET).view().explain(CALL)
    assert made.why == ("worse: applies only in state DEGRADED", "calls: matches")
    assert build(RULESET).view().explain(Facts()).why == ("no rule matches: the default decides",)


def test_an_index_goes_without_the_collector() -> None:
    view = build(RULESET).view()
    view.decide(CALL), view.explain(MAIL)
    gone = weakref.ref(view.decide)
    gc.disable()
    try:
        del view
        assert gone() is None
    finally:
        gc.enable()
