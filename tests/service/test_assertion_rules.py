"""What our own rules make of a probe, without any packet."""

from __future__ import annotations

import pytest

from netpolicy.core.pairs import needs_class
from netpolicy.dataplane.rehearsal_probe import ANSWERED, ASTRAY, FORWARDED, REFUSED, UNSENT, Probe, Result
from netpolicy.dataplane.state import Neighbour, Route
from netpolicy.outbounds.lines import View, line_states
from netpolicy.service.assertion_rules import ByRules
from netpolicy.service.compile import compile_policy
from tests.service.test_compile import HEAD, compiled, view

RULES = """
config rule 'video'
	list proto 'tcp'
	list dest_port '443'
	option route 'wan_b'
config rule 'mail'
	list dest_port '25'
	option block 'reject'
config rule 'phone'
	list src_mac '02:00:00:00:00:99'
	option block 'drop'
"""


def probe(port: int = 443, protocol: str = "tcp", **changes) -> Probe:
    given = {"device": "lan", "source": "192.168.1.5", "destination": "203.0.113.9", **changes}
    return Probe(given["device"], given["source"], given["destination"], protocol, port)


@pytest.fixture
def rules() -> ByRules:
    return by_rules()


def by_rules(default: str = "wana", neighbours=()) -> ByRules:
    seen = view()
    seen = View(seen.links, seen.addresses, (*seen.routes, Route(4, 254, "default", device=default, protocol=3)))
    ruleset, _ = compiled(HEAD + RULES)
    numbers = {name: index for index, name in enumerate(needs_class(ruleset), 1)}
    made = compile_policy(ruleset, "NORMAL", line_states(ruleset.outbounds, seen), seen, numbers)
    return ByRules(made, seen, neighbours)


def test_a_route_leads_by_its_line_what_no_rule_names_by_main_and_a_block_nowhere(rules):
    assert rules.results([probe(443), probe(80), probe(25), probe(443, "udp")]) == [
        Result(FORWARDED, "wanb"),
        Result(FORWARDED, "wana"),
        Result(REFUSED),
        Result(FORWARDED, "wana"),
    ]


def test_a_network_near_by_is_reached_by_every_line(rules):
    assert rules.result(probe(443, source="192.0.2.9", device="wanb", destination="192.168.1.9")) == Result(
        FORWARDED, "lan"
    )


def test_a_neighbour_is_known_by_its_mac_address(rules):
    known = by_rules(neighbours=[Neighbour(4, "lan", "192.168.1.5", "02:00:00:00:00:99")])
    assert known.result(probe(80)) == Result(REFUSED) and rules.result(probe(80)) != Result(REFUSED)


def test_the_router_answers_by_the_line_that_was_asked_or_else_by_main(rules):
    ours = probe(22, destination="192.168.1.1")
    assert rules.result(ours) == Result(ANSWERED)
    from_b = probe(22, device="wanb", source="203.0.113.5", destination="198.51.100.2")
    assert rules.result(from_b) == Result(ANSWERED)
    without = ByRules(None, rules._view)
    assert without.result(from_b) == Result(ASTRAY, "wana") and without.result(ours) == Result(ANSWERED)
    assert without.result(probe(443)) == Result(FORWARDED, "wana")


def test_a_device_that_is_not_there_sends_nothing(rules):
    assert rules.result(probe(device="nix0")) == Result(UNSENT, "nix0")


def test_reasons_name_the_rule(rules):
    assert rules.explain(probe(25)) == "the rule mail blocks it"
    assert rules.explain(probe(443)) == "the rule video sends it to wan_b"
    assert rules.explain(probe(80)) == "" and rules.explain(probe(25, destination="192.168.1.1")) == ""
