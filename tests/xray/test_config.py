"""Nodes to a configuration: the vectors, the defects that stay fixed, and the real Xray's word."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from netpolicy.xray.config import USUAL, Template, build_config, text_of
from netpolicy.xray.links import parse_links
from netpolicy.xray.node import Node

from .node_links import LINKS
from .real_xray import culprits, judge

DATA = Path(__file__).parents[1] / "data" / "share_links.json"
VECTORS = {one["id"]: one for one in json.loads(DATA.read_text())["xray_config"]}


def nodes_of(*links: str) -> list[Node]:
    nodes, problems = parse_links(links)
    assert not problems
    return nodes


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return build_config(nodes_of(*VECTORS["C01"]["urls"]))


def test_c01_names_are_unique_and_in_order(config: dict[str, Any]) -> None:
    assert [one["tag"] for one in config["outbounds"]] == VECTORS["C01"]["expect"]["outbound_tags"]


def test_c02_the_listeners_have_the_predecessors_tags_and_ports(config: dict[str, Any]) -> None:
    found = [[one["tag"], one["protocol"], one["port"]] for one in config["inbounds"]]
    assert found == VECTORS["C02"]["expect"]["inbounds"]
    assert {one["listen"] for one in config["inbounds"]} == {"127.0.0.1"}


def test_c03_tproxy_is_a_socket_option(config: dict[str, Any]) -> None:
    found = {one["tag"]: one for one in config["inbounds"]}
    assert found["tproxy"]["streamSettings"]["sockopt"]["tproxy"] == "tproxy"
    assert "tproxy" not in found["tproxy"]["settings"]


def test_c05_dns_servers_can_be_chosen_and_none_is_a_strangers() -> None:
    nodes = nodes_of(LINKS["socks"])
    assert build_config(nodes)["dns"]["servers"] == ["localhost"]
    assert build_config(nodes, replace(USUAL, dns=("192.0.2.53",)))["dns"]["servers"] == ["192.0.2.53"]


def test_every_balancer_that_needs_an_observatory_has_one(config: dict[str, Any]) -> None:
    tags = [one["tag"] for one in config["outbounds"]][:3]
    assert config["observatory"]["subjectSelector"] == tags
    for balancer in config["routing"]["balancers"]:
        assert balancer["selector"] == tags and balancer["fallbackTag"] == tags[0]


def test_no_target_of_a_rule_is_missing(config: dict[str, Any]) -> None:
    names = {one["tag"] for one in config["routing"]["balancers"]}
    assert {rule["balancerTag"] for rule in config["routing"]["rules"]} <= names


def test_what_leaves_has_the_mark_that_rules_pass_by(config: dict[str, Any]) -> None:
    sending = [one for one in config["outbounds"] if one["protocol"] != "blackhole"]
    assert {one["streamSettings"]["sockopt"]["mark"] for one in sending} == {0x37000000}


def test_the_same_nodes_give_the_same_text() -> None:
    made = [text_of(build_config(nodes_of(*LINKS.values()))) for _ in range(2)]
    assert made[0] == made[1]


def test_building_does_not_change_the_nodes() -> None:
    nodes = nodes_of(*LINKS.values())
    before = json.dumps([node.outbound for node in nodes])
    build_config(nodes)
    assert json.dumps([node.outbound for node in nodes]) == before


@pytest.mark.parametrize(
    "template",
    [replace(USUAL, listen=address) for address in ("0.0.0.0", "::", "8.8.8.8", "router.lan", "")]
    + [replace(USUAL, log_level="loud")],
    ids=repr,
)
def test_a_template_that_would_open_a_proxy_or_not_load_is_refused(template: Template) -> None:
    with pytest.raises(ValueError):
        build_config(nodes_of(LINKS["socks"]), template)


def test_without_nodes_there_is_no_configuration() -> None:
    with pytest.raises(ValueError, match="at least one node"):
        build_config([])


def test_the_real_xray_takes_every_kind_of_node() -> None:
    """In one start; the names of those that it refuses are searched for only when there are any."""
    assert [node.label for node in culprits(nodes_of(*(f"{link}#{name}" for name, link in LINKS.items())))] == []


def test_the_real_xray_takes_awkward_names() -> None:
    labels = ["", "d", "dir", "reject", "api", "A", "A", "A2", ".*", "(", "\\", "🎉 Tokyo", '"', "日本", "$^"]
    links = [f"{link}#{labels[number % len(labels)]}" for number, link in enumerate(LINKS.values())]
    config = build_config(nodes_of(*links))
    verdict = judge(text_of(config))
    assert verdict.accepted, verdict.log


def test_the_real_xray_takes_another_address_and_level() -> None:
    template = Template(listen="fd00::1", log_level="info", dns=("https://192.0.2.1/dns-query", "192.0.2.2"))
    config = build_config(nodes_of(LINKS["socks"]), template)
    config["inbounds"] = []  # the address is on no device here
    assert judge(text_of(config)).accepted


@pytest.mark.parametrize(
    "broken",
    [
        {"observatory": None},  # what the predecessor wrote
        {"outbounds": [{"protocol": "hysteria2"}]},
        {"routing": {"rules": [{"network": "tcp", "balancerTag": "nobody"}]}},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_the_judge_can_say_no(broken: dict[str, Any]) -> None:
    config = {**build_config(nodes_of(LINKS["socks"])), **broken}
    assert not judge(json.dumps({key: value for key, value in config.items() if value is not None})).accepted


def test_the_order_of_the_fallback_does_not_overflow() -> None:
    """Xray multiplies nanoseconds in 64 bits: the slowest of the last step must still fit, the fastest not vanish."""
    nodes = nodes_of(*[LINKS["socks"]] * 20)
    (balancer,) = [one for one in build_config(nodes)["routing"]["balancers"] if one["tag"] == "fallback"]
    roots = [cost["value"] ** 0.5 for cost in balancer["strategy"]["settings"]["costs"]]
    fastest, slowest = 1e6, 3e9
    assert fastest * roots[0] >= 1 and slowest * roots[-1] < 2**63
    assert all(slowest * one <= fastest * other * 1.001 for one, other in pairwise(roots[:5]))
    assert roots[4:] == [roots[4]] * 16
