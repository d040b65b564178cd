"""How a rule stands: in the kernel, waiting, outside its hours, or not enforced yet."""

from __future__ import annotations

import pytest

from netpolicy.core.evaluate import World
from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Outbound, Rule, Ruleset
from netpolicy.service.standing import ENFORCED, Ways, not_enforced, partly

LINES = (
    Outbound("fibre", "interface", interface="wan"),
    Outbound("lte", "interface", interface="wwan"),
    Outbound("proxy", "xray", node="far"),
    Outbound("either", "group", member=("fibre", "lte")),
    Outbound("shared", "group", member=("fibre", "lte"), strategy="balance"),
)


def standing(action: Action, *fields: str, state: str = "NORMAL", down=(), active=(), **rule) -> str:
    parsed = tuple(parse_field(*_field(text)) for text in fields)
    ruleset = Ruleset((Rule("r", 0, parsed, action, **rule),), LINES)
    ways = Ways(ruleset, state, World(down=down), active)
    return ways.standing(ruleset.rules[0], ways.way(ruleset.rules[0]))


def _field(text: str) -> tuple[str, tuple[str, ...]]:
    name, _, values = text.partition("=")
    return name, tuple(values.split(","))


FIBRE = Action("route", "fibre")


def test_a_rule_about_the_first_packet_stands():
    assert standing(FIBRE, "dest_port=443", "dscp=ef", "family=ipv4") == ENFORCED


@pytest.mark.parametrize(
    ("active", "stands"), [((), False), (("evening",), True), (("evening", "school"), False), (("school",), False)]
)
def test_a_rule_with_a_schedule_stands_inside_its_window_only(active, stands):
    found = standing(FIBRE, "schedule=evening,!school", active=active)
    assert (found == ENFORCED) is stands
    assert stands or found == "waits: outside schedule evening,!school".replace(",", ", ")


def test_states_and_switches_are_said_before_anything_else():
    assert standing(FIBRE, enabled=False) == "is switched off"
    assert standing(FIBRE, when=("FAILOVER",)) == "applies only in state FAILOVER"
    assert standing(FIBRE, disable=("NORMAL",)) == "is disabled in state NORMAL"


def test_a_rule_whose_line_is_down_waits_unless_it_says_what_else_to_do():
    assert standing(FIBRE, down=("fibre",)) == "waits: outbound fibre is down"
    assert standing(Action("route", "fibre", on_fail="block"), down=("fibre",)) == ENFORCED
    assert standing(Action("route", "either"), down=("fibre",)) == ENFORCED


def test_what_a_first_packet_does_not_show_is_not_enforced():
    assert standing(FIBRE, "rtt_ms=>50") == "not enforced yet: rtt_ms is not known at the first packet"
    wanted_is_missing = "not enforced yet: sni says only which names it does not want"
    assert standing(FIBRE, "sni=!*.zoom.us") == wanted_is_missing
    assert standing(FIBRE, "sni=*.zoom.us") == standing(FIBRE, "domain=zoom.us") == ENFORCED
    assert standing(Action("throttle", "slow")) == ENFORCED
    assert standing(Action("route", "proxy")) == "not enforced yet: outbounds of type xray"


def test_what_is_done_in_part_is_named():
    ruleset = Ruleset((), LINES)
    rule = Rule("r", 0, (), Action("route", "shared", throttle="slow", notify=True))
    assert not_enforced(ruleset, rule) == ""
    assert partly(ruleset, rule) == "not enforced yet: notify"


def test_a_line_that_a_rule_seals_is_told_also_while_the_rule_waits():
    ruleset = Ruleset((Rule("r", 0, (), Action("route", "either", on_fail="block")),), LINES)
    assert Ways(ruleset, "NORMAL", World(), ()).way(ruleset.rules[0]).sealed == ("fibre", "lte")
    ruleset = Ruleset((Rule("r", 0, (), Action("route", "either")),), LINES)
    assert Ways(ruleset, "NORMAL", World(), ()).way(ruleset.rules[0]).sealed == ()
