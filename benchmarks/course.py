"""A client, a router with two lines, and a server: three namespaces for packets to run through.

    client eth0 ── lan  router  wana ── eth0 server
                               wanb ── eth1

Everything happens on the core of the thread that sends. What the router decides with is
loaded by `carry`, `load_linear` or `load_conntrack`; several courses stand side by side, so that
they can be measured in turn. Never measures anything itself.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import Counter

from benchmarks import firewall, linear
from benchmarks.frames import Flow, Sender
from benchmarks.namespaces import Namespace, connect, mac_of
from netpolicy.core.evaluate import decide
from netpolicy.core.facts import Facts
from netpolicy.core.model import DIRECT, Ruleset
from netpolicy.core.pairs import needs_class
from netpolicy.dataplane.kernel import ApplyError, Kernel, Plan
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.netlink_socket import NETFILTER, KernelSocket
from netpolicy.dataplane.nft import NftError
from netpolicy.dataplane.policy import Policy
from netpolicy.flows import ctmessage
from netpolicy.outbounds.lines import View, line_states
from netpolicy.service.compile import Compiled, compile_policy

# Frames from these ports are dropped where the server's driver hands them over: it costs nearly nothing.
DROPPED_PORTS = 32_768

SERVER = f"""
table netdev server {{
	chain first {{ type filter hook ingress device "eth0" priority 0; udp sport >= {DROPPED_PORTS} drop; }}
	chain second {{ type filter hook ingress device "eth1" priority 0; udp sport >= {DROPPED_PORTS} drop; }}
}}
"""

# After the product and the yardstick: which class did each packet get?
WITNESS = """
table inet witness {
	chain leaving { type filter hook postrouting priority mangle + 2; policy accept;
		meta mark & 0x37000000 == 0x00000000 counter name c_0
		meta mark & 0x37000000 == 0x01000000 counter name c_1
		meta mark & 0x37000000 == 0x02000000 counter name c_2
	}
	counter c_0 { }
	counter c_1 { }
	counter c_2 { }
}
"""

ROUTER = """
addr add 172.16.0.1/12 dev lan
addr add 192.0.2.2/24 dev wana
addr add 198.51.100.2/24 dev wanb
neigh replace 172.16.0.2 lladdr {client} dev lan
neigh replace 192.0.2.1 lladdr {first} dev wana
neigh replace 198.51.100.1 lladdr {second} dev wanb
route add default via 192.0.2.1 dev wana
"""
CLIENT = """
addr add 172.16.0.2/12 dev eth0
addr add 172.31.0.2/12 dev eth0
neigh replace 172.16.0.1 lladdr {router} dev eth0
route add 10.0.0.0/8 via 172.16.0.1 src 172.31.0.2
"""
FAR_END = """
addr add 192.0.2.1/24 dev eth0
addr add 198.51.100.1/24 dev eth1
neigh replace 192.0.2.2 lladdr {router} dev eth0
route add 172.16.0.0/12 via 192.0.2.2
route add local 10.0.0.0/8 dev lo
"""


# What a product says that cannot load that many rules.
REFUSALS = (NftError, ApplyError)


# What a thread of the kernel holds when the machine is busy is waited for so long.
LATE_SECONDS = 10.0


class WrongMeasure(Exception):
    """The router does not do what the figures would claim."""


class Course:
    """One client, router and server."""

    def __init__(self, offload: bool = False) -> None:
        self.client, self.router, self.server = Namespace(), Namespace(), Namespace()
        connect(self.client, "eth0", self.router, "lan", offload)
        connect(self.router, "wana", self.server, "eth0", offload)
        connect(self.router, "wanb", self.server, "eth1", offload)
        lan, client = mac_of(self.router, "lan"), mac_of(self.client, "eth0")
        first, second = mac_of(self.server, "eth0"), mac_of(self.server, "eth1")
        self.ends = bytes.fromhex((lan + client).replace(":", ""))
        self.router.ip(ROUTER.format(client=client, first=first, second=second))
        self.client.ip(CLIENT.format(router=lan))
        self.server.ip(FAR_END.format(router=mac_of(self.router, "wana")))
        self.router.switch(ipv4__ip_forward=1)
        # Between its samples a connection is idle; each of them would begin slowly.
        self.client.switch(ipv4__tcp_slow_start_after_idle=0)
        for namespace in (self.router, self.server):
            for device in ("all", "lan", "wana", "wanb", "eth0", "eth1"):
                namespace.switch(**{f"ipv4__conf__{device}__rp_filter": 0})
        self.server.run("nft", "-f", "-", text=SERVER)
        with self.router.entered():
            self.netlink = open_netlink("builtin")
            self.kernel = Kernel(self.netlink)
            self._conntrack = KernelSocket(NETFILTER)

    def close(self) -> None:
        self._conntrack.close()
        for namespace in (self.client, self.router, self.server):
            namespace.close()

    # -- what the router decides with

    def carry(self, ruleset: Ruleset) -> None:
        """Loads the rules as the daemon would."""
        policy = self.compiled(ruleset)
        with self.router.entered():
            asyncio.run(_applied(self.kernel, policy))

    def compiled(self, ruleset: Ruleset) -> Policy:
        """The policy of these rules in this router, both lines up."""
        return self.compile(ruleset).policy

    def compile(self, ruleset: Ruleset, before: Compiled | None = None) -> Compiled:
        """The same with all that belongs to it, as the daemon does it after other rules."""
        links = {link.name: link for link in self.netlink.links()}
        view = View(links, self.netlink.addresses(), self.netlink.routes())
        numbers = {name: index for index, name in enumerate(needs_class(ruleset), 1)}
        states = line_states(ruleset.outbounds, view)
        return compile_policy(ruleset, "NORMAL", states, view, numbers, before=before)

    def load_linear(self, ruleset: Ruleset) -> None:
        """One nft rule per policy."""
        self.router.ip(linear.ROUTING)
        self.router.run("nft", "-f", "-", text=linear.table(ruleset))

    def load_conntrack(self) -> None:
        """Connections are tracked, nothing else."""
        self.router.run("nft", "-f", "-", text=firewall.CONNTRACK_ONLY)

    def load_routing(self) -> None:
        """The same, and routing asks for marks that no packet has."""
        self.load_conntrack()
        self.router.ip(firewall.ROUTING)

    def load_firewall(self) -> None:
        """A home router's firewall, with source translation: beside anything else that is loaded."""
        self.router.run("nft", "-f", "-", text=firewall.FIREWALL)

    # -- what runs through it

    def sender(self, flows: list[Flow]) -> Sender:
        """Sends frames of these flows from the client."""
        with self.client.entered():
            return Sender("eth0", self.ends, flows)

    def arrived(self) -> int:
        """Packets that came to the server so far. A thread of the kernel may still hold some."""
        return self.server.received("eth0") + self.server.received("eth1")

    def forget(self) -> None:
        """Empties the router's conntrack table."""
        self._conntrack.request("forget every flow", ctmessage.DELETE, 0, struct.pack("!BBH", 0, 0, 0))

    def check(self, ruleset: Ruleset, flows: list[Flow]) -> None:
        """Raises WrongMeasure unless new flows get the classes that the reference evaluator says."""
        wanted = Counter(_class_of(ruleset, flow) for flow in flows)
        self.router.run("nft", "-f", "-", text=WITNESS)
        sender = self.sender(flows)
        while (left := len(flows) - sender.passed) > 0:
            sender.send(min(left, 64))
        sender.close()
        until = time.monotonic() + LATE_SECONDS
        while (seen := self._seen()).total() < len(flows) and time.monotonic() < until:
            time.sleep(0.01)
        self.router.run("nft", "delete", "table", "inet", "witness")
        self.forget()
        if seen != wanted:
            raise WrongMeasure(f"packets by class: {dict(seen)}, the rules say {dict(wanted)}")

    def _seen(self) -> Counter[int]:
        return Counter({n: packets for n in (0, 1, 2) if (packets := self._witnessed(n))})

    def _witnessed(self, number: int) -> int:
        listing = self.router.run("nft", "list", "counter", "inet", "witness", f"c_{number}").split()
        return int(listing[listing.index("packets") + 1])


async def _applied(kernel: Kernel, policy: Policy) -> Plan:
    plan = await kernel.plan(policy)
    await kernel.apply(plan)
    return plan


def _class_of(ruleset: Ruleset, flow: Flow) -> int:
    facts = Facts()
    facts.family, facts.proto, facts.src_iface = 4, 17, "lan"
    facts.src_addr, facts.dest_addr = (4, flow.source), (4, flow.destination)
    facts.src_port, facts.dest_port = flow.source_port, flow.destination_port
    outbound = decide(ruleset, facts).outbound
    return 0 if outbound == DIRECT else [found.name for found in ruleset.outbounds].index(outbound) + 1
