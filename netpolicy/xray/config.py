"""Nodes to a whole configuration of Xray: the predecessor's tags and ports, without its defects.

Decides listeners, balancers and what unmatched traffic does. Nothing leaves by `direct` unless
a rule says so: every balancer falls back to the first node. Same nodes, same text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from netpolicy.dataplane.policy import USUAL_MARKS

from . import address
from .node import Node, Settings
from .tags import BALANCERS, DIRECT, REJECT

BEST_PING, LOAD_BALANCE, FALLBACK = BALANCERS
LOG_LEVELS = ("debug", "info", "warning", "error", "none")

# leastLoad sorts by delay * sqrt(cost), in nanoseconds of 64 bits. Delays are taken as 1 ms to 3 s, so that each
# step of the order needs a factor of 3000, and five of them fit; all later nodes share the fifth, fastest first.
STEP = 3000.0**2
FIRST_COST = 1e-12
STEPS = 5
SLOWEST = "3s"


@dataclass(frozen=True, slots=True)
class Template:
    """What may be chosen. The defaults open nothing to the network and send nothing to anybody but the nodes."""

    listen: str = "127.0.0.1"  # private, since nobody has to log in
    log_level: str = "warning"
    dns: tuple[str, ...] = ("localhost",)  # Xray's word for the resolver of the system
    probe_url: str = "https://www.gstatic.com/generate_204"
    probe_interval: str = "1m"
    mark: int = USUAL_MARKS.bits(USUAL_MARKS.bypass)  # sockets that no rule of ours may steer: a proxy would loop


USUAL = Template()


def text_of(config: Settings) -> str:
    """The file's text."""
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def build_config(nodes: Sequence[Node], template: Template = USUAL) -> Settings:
    """The configuration for these nodes. Raises ValueError: no node, or a template that would open a proxy."""
    if not nodes:
        raise ValueError("a configuration needs at least one node")
    if not address.is_private_address(template.listen):
        raise ValueError("the listeners ask for no password: they need a private address")
    if template.log_level not in LOG_LEVELS:
        raise ValueError(f"log level {template.log_level!r} is none of {', '.join(LOG_LEVELS)}")
    tags = [node.tag for node in nodes]
    return {
        "log": {"loglevel": template.log_level},
        "dns": {"servers": list(template.dns), "queryStrategy": "UseIP"},
        "inbounds": _inbounds(template.listen),
        "outbounds": [*(_marked(node.outbound, template.mark) for node in nodes), *_own_outbounds(template.mark)],
        "observatory": _observatory(tags, template),
        "routing": {"domainStrategy": "AsIs", "balancers": _balancers(tags), "rules": _rules()},
    }


def _inbounds(listen: str) -> list[Settings]:
    return [
        _inbound("http", "http", listen, 7890, {}),
        _inbound("socks", "socks", listen, 7891, {"auth": "noauth", "udp": True}),
        # Xray's `socks` answers HTTP as well; the word `mixed` is another name for it.
        _inbound("mixed", "socks", listen, 7893, {"auth": "noauth", "udp": True}),
        # Redirected UDP does not know where it wanted to go.
        _transparent("redir", listen, 7892, "tcp", "redirect"),
        _transparent("tproxy", listen, 7895, "tcp,udp", "tproxy"),
    ]


def _inbound(tag: str, protocol: str, listen: str, port: int, settings: Settings) -> Settings:
    return {
        "tag": tag,
        "protocol": protocol,
        "listen": listen,
        "port": port,
        "settings": settings,
        # The name is for rules only: the address that the client asked for stays.
        "sniffing": {"enabled": True, "destOverride": ["http", "tls", "quic"], "routeOnly": True},
    }


def _transparent(tag: str, listen: str, port: int, network: str, how: str) -> Settings:
    settings = {"network": network, "followRedirect": True}
    return {
        **_inbound(tag, "dokodemo-door", listen, port, settings),
        "streamSettings": {"sockopt": {"tproxy": how}},
    }


def _marked(outbound: Settings, mark: int) -> Settings:
    stream = outbound.get("streamSettings", {})
    return {**outbound, "streamSettings": {**stream, "sockopt": {"mark": mark}}}


def _own_outbounds(mark: int) -> list[Settings]:
    direct: Settings = {"tag": DIRECT, "protocol": "freedom", "settings": {}}
    return [_marked(direct, mark), {"tag": REJECT, "protocol": "blackhole", "settings": {}}]


def _observatory(tags: list[str], template: Template) -> Settings:
    return {
        "subjectSelector": tags,
        "probeURL": template.probe_url,
        "probeInterval": template.probe_interval,
        "enableConcurrency": True,
    }


def _balancers(tags: list[str]) -> list[Settings]:
    strategies = (
        (BEST_PING, {"type": "leastPing"}),
        (LOAD_BALANCE, {"type": "roundRobin"}),
        (FALLBACK, {"type": "leastLoad", "settings": _in_order(tags)}),
    )
    # Before the first probe, and when all nodes are down, Xray would take the first outbound of its list anyway;
    # said aloud, that does not depend on the order of the list.
    return [
        {"tag": name, "selector": tags, "strategy": strategy, "fallbackTag": tags[0]} for name, strategy in strategies
    ]


def _in_order(tags: list[str]) -> Settings:
    costs = [
        {"regexp": True, "match": f"^{_quoted(tag)}$", "value": FIRST_COST * STEP ** min(place, STEPS - 1)}
        for place, tag in enumerate(tags)
    ]
    return {"costs": costs, "expected": 1, "maxRTT": SLOWEST}


def _quoted(text: str) -> str:
    """For Go's regular expressions: everything that could be a sign is escaped by its number."""
    return "".join(one if one.isalnum() else f"\\x{{{ord(one):x}}}" for one in text)


def _rules() -> list[Settings]:
    return [{"type": "field", "ruleTag": "everything", "network": "tcp,udp", "balancerTag": BEST_PING}]
