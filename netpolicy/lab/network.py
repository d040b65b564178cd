"""Build the lab's network namespaces, links, addresses and routes out of `topology`.

Adds no NAT and no policy routing: that is what the product has to do itself.
Runs inside the lab's private namespaces only; syntax: ip(8), ip-link(8), nft(8).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from itertools import count

from netpolicy.lab import namespaces
from netpolicy.lab.topology import (
    CLIENTS,
    DNS,
    ECHO,
    HOMES,
    INTERNET,
    INTERNET4,
    INTERNET6,
    NODES,
    PROVIDERS,
    ROUTER,
    Client,
    Provider,
    home,
)

TUN_DEVICE = "/dev/net/tun"
LINE = "line"  # the provider's device towards the internet
ROUTER_FIRST_INDEX = 101
WAN = "wan"  # the provider's device towards the router
# What waits for a relay that the machine does not let run: the kernel's 500 are half a second of a busy test.
TUN_QUEUE = 10_000

# For devices that do not exist yet (`default`) and as the upper bound of them all (`all`).
_EVERYWHERE = {
    # Duplicate address detection costs a second per address and proves nothing here.
    "accept_dad": "0",
    "dad_transmits": "0",
    "accept_ra": "0",
    # Pulling the carrier from the provider's side must not cost that side its addresses.
    "keep_addr_on_down": "1",
}

_ROUTER_SWITCHES = {
    # Bytes per connection are what the picture shows; the kernel counts them only when told to.
    "net/netfilter/nf_conntrack_acct": "1",
    "net/netfilter/nf_conntrack_timestamp": "1",
    # Built into some kernels and on: bridged packets would run through the IP hooks, unlike on OpenWrt.
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    # OpenWrt's netifd takes the routes of a line without carrier away; here the kernel ignores them.
    "net/ipv4/conf/all/ignore_routes_with_linkdown": "1",
    "net/ipv6/conf/all/ignore_routes_with_linkdown": "1",
    "net/ipv4/conf/default/ignore_routes_with_linkdown": "1",
    "net/ipv6/conf/default/ignore_routes_with_linkdown": "1",
}


def has_tun() -> bool:
    """Whether lines can have a latency: the relay needs the TUN device."""
    return os.access(TUN_DEVICE, os.R_OK | os.W_OK)


def build(tun: bool) -> None:
    """Make every node. Raises RuntimeError with the refused command when the kernel says no."""
    _ip(None, [f"netns add {node}" for node in NODES])
    for node in NODES:
        namespaces.set_switches(node, _switches(node))
    _ip(None, list(_links(tun)))
    _ip_everywhere({node: list(_node_commands(node, tun)) for node in NODES if node != ROUTER})
    # Last: a bridge port forwards at once only when its cable already has a carrier.
    _ip(ROUTER, list(_node_commands(ROUTER, tun)))
    _nft(INTERNET, _internet_rules())
    for line in PROVIDERS:
        _nft(line.node, _provider_rules(line))
    # Last: on kernels with modules the rules above have loaded conntrack by now.
    namespaces.set_switches(ROUTER, _ROUTER_SWITCHES)


def carrier_command(word: str) -> list[str]:
    """To run in a provider's node: pull (`down`) or plug in (`up`) the cable to the router."""
    return ["ip", "link", "set", "dev", WAN, word]


def blackhole_commands(verb: str) -> list[list[str]]:
    """To run in a provider's node without a relay: `add` or `del` routes that swallow what comes in."""
    return [
        ["ip", family, "route", verb, "blackhole", prefix, "metric", "1"]
        for family, prefix in (("-4", INTERNET4), ("-6", INTERNET6))
    ]


def _switches(node: str) -> dict[str, str]:
    switches = {}
    for scope in ("all", "default"):
        for name, value in _EVERYWHERE.items():
            switches[f"net/ipv6/conf/{scope}/{name}"] = value
        # Hosts often hand a strict setting down to new namespaces; OpenWrt has it off.
        switches[f"net/ipv4/conf/{scope}/rp_filter"] = "0"
    # Refusals are what tests look for; the kernel's default lets one per second and peer through.
    switches["net/ipv4/icmp_ratelimit"] = "0"
    switches["net/ipv4/icmp_msgs_per_sec"] = "100000"
    switches["net/ipv4/icmp_msgs_burst"] = "10000"
    switches["net/ipv6/icmp/ratelimit"] = "0"
    if node not in {c.name for c in CLIENTS}:
        switches["net/ipv4/ip_forward"] = "1"
        switches["net/ipv6/conf/all/forwarding"] = "1"
        switches["net/ipv6/conf/default/forwarding"] = "1"
    return switches


def _links(tun: bool) -> Iterable[str]:
    # Both ends of a veth pair with the same number look like one device to the kernel, which then
    # reports a carrier change up to a second late (net/core/link_watch.c).
    number = count(ROUTER_FIRST_INDEX)
    for client in CLIENTS:
        yield (
            f"link add name lan-{client.name} index {next(number)} netns {ROUTER} type veth"
            f" peer name eth0 address {client.mac} netns {client.name}"
        )
    for line in PROVIDERS:
        yield (
            f"link add name {line.device} index {next(number)} netns {ROUTER} type veth"
            f" peer name {WAN} netns {line.node}"
        )
        if not tun:
            yield f"link add name {LINE} netns {line.node} type veth peer name {line.far_device} netns {INTERNET}"


def _node_commands(node: str, tun: bool) -> Iterable[str]:
    yield "link set dev lo up"
    if node == ROUTER:
        yield from _router_commands()
    elif node == INTERNET:
        yield from _internet_commands(tun)
    for line in PROVIDERS:
        if node == line.node:
            yield from _provider_commands(line, tun)
    for client in CLIENTS:
        if node == client.name:
            yield from _client_commands(client)


def _client_commands(client: Client) -> Iterable[str]:
    network = home(client.home)
    yield f"address add {client.address4}/24 dev eth0"
    yield f"address add {client.address6}/64 dev eth0 nodad"
    yield "link set dev eth0 up"
    yield f"route add default via {network.address4} dev eth0"
    yield f"route add ::/0 via {network.address6} dev eth0"


def _router_commands() -> Iterable[str]:
    for network in HOMES:
        yield f"link add name {network.device} type bridge stp_state 0 forward_delay 0"
        yield f"address add {network.address4}/24 dev {network.device}"
        yield f"address add {network.address6}/64 dev {network.device} nodad"
        yield f"link set dev {network.device} up"
    for client in CLIENTS:
        yield f"link set dev lan-{client.name} up"
        yield f"link set dev lan-{client.name} master {client.home}"
    for line in PROVIDERS:
        yield f"address add {line.router4}/24 dev {line.device}"
        yield f"address add {line.router6}/64 dev {line.device} nodad"
        yield f"link set dev {line.device} up"
        yield f"route add default via {line.gateway4} dev {line.device} metric {line.metric}"
        yield f"route add ::/0 via {line.gateway6} dev {line.device} metric {line.metric}"


def _provider_commands(line: Provider, tun: bool) -> Iterable[str]:
    if tun:
        yield from _tun(LINE)
    yield f"address add {line.gateway4}/24 dev {WAN}"
    yield f"address add {line.gateway6}/64 dev {WAN} nodad"
    yield f"link set dev {WAN} up"
    yield from _point_to_point(LINE, tun, near="169.254.0.1", far="169.254.0.2", near6="fe80::1")
    via4, via6 = _next_hops(tun, "169.254.0.2", "fe80::2")
    yield f"route add default {via4} dev {LINE}"
    yield f"route add ::/0 {via6} dev {LINE}"


def _internet_commands(tun: bool) -> Iterable[str]:
    for line in PROVIDERS:
        if tun:
            yield from _tun(line.far_device)
        yield from _point_to_point(line.far_device, tun, near="169.254.0.2", far="169.254.0.1", near6="fe80::2")
        via4, via6 = _next_hops(tun, "169.254.0.1", "fe80::1")
        yield f"route add {line.prefix4} {via4} dev {line.far_device}"
        yield f"route add {line.prefix6} {via6} dev {line.far_device}"
    for server in (ECHO, DNS):
        yield f"address add {server.address4}/32 dev lo"
        yield f"address add {server.address6}/128 dev lo nodad"
    # Every address of the prefix is ours: a test may pick any destination it likes.
    yield f"route add local {INTERNET4} dev lo"
    yield f"route add local {INTERNET6} dev lo"


def _tun(device: str) -> Iterable[str]:
    yield f"tuntap add dev {device} mode tun"
    yield f"link set dev {device} txqueuelen {TUN_QUEUE}"


def _point_to_point(device: str, tun: bool, near: str, far: str, near6: str) -> Iterable[str]:
    # A TUN line needs no address: every packet written into it arrives at the other end.
    if not tun:
        yield f"address add {near} peer {far} dev {device}"
        yield f"address add {near6}/64 dev {device} nodad"
    yield f"link set dev {device} up"


def _next_hops(tun: bool, far4: str, far6: str) -> tuple[str, str]:
    return ("", "") if tun else (f"via {far4} onlink", f"via {far6}")


def _internet_rules() -> str:
    """Any port of any address answers: what no server of its own has goes to the echo server."""
    return f"""
table inet internet {{
    chain pre {{
        type nat hook prerouting priority dstnat
        ip daddr {INTERNET4} udp dport 53 dnat ip to {DNS.address4}
        ip6 daddr {INTERNET6} udp dport 53 dnat ip6 to {DNS.address6}
        ip daddr {INTERNET4} udp dport 0-65535 dnat ip to {ECHO.address4}:7
        ip6 daddr {INTERNET6} udp dport 0-65535 dnat ip6 to [{ECHO.address6}]:7
        ip daddr {INTERNET4} tcp dport != {{ 25, 53, 80, 443 }} dnat ip to {ECHO.address4}:7
        ip6 daddr {INTERNET6} tcp dport != {{ 25, 53, 80, 443 }} dnat ip6 to [{ECHO.address6}]:7
    }}
}}
"""


def _provider_rules(line: Provider) -> str:
    """A provider drops what does not carry an address it gave out (BCP 38): wrong sources must not work."""
    return f"""
table inet provider {{
    chain pre {{
        type filter hook prerouting priority raw
        iifname "{WAN}" ip saddr != {line.prefix4} counter drop
        iifname "{WAN}" ip6 saddr != {{ {line.prefix6}, fe80::/10 }} counter drop
    }}
}}
"""


def _ip(node: str | None, commands: list[str]) -> None:
    _finish(_start_ip(node, commands), node, commands)


def _ip_everywhere(batches: dict[str, list[str]]) -> None:
    """The batches of all nodes at once; they do not depend on each other."""
    started = [(_start_ip(node, commands), node, commands) for node, commands in batches.items()]
    for child, node, commands in started:
        _finish(child, node, commands)


def _start_ip(node: str | None, commands: list[str]) -> subprocess.Popen[str]:
    where = ["-n", node] if node else []
    child = subprocess.Popen(["ip", *where, "-batch", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdin is not None
    child.stdin.write("\n".join(commands) + "\n")
    child.stdin.flush()
    return child


def _finish(child: subprocess.Popen[str], node: str | None, commands: list[str]) -> None:
    _, errors = child.communicate()
    if child.returncode != 0:
        raise RuntimeError(
            f"lab network, node {node or 'all'}: ip refused: {errors.strip()}\n"
            + "\n".join(f"  {number}: {command}" for number, command in enumerate(commands, 1))
        )


def _nft(node: str, text: str) -> None:
    result = subprocess.run(
        ["ip", "netns", "exec", node, "nft", "-f", "-"], input=text, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise RuntimeError(f"lab network, node {node}: nft refused: {result.stderr.strip()}")
