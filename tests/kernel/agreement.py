"""Engine against kernel: random rule sets, real packets, and the class that the kernel chose.

A router in an anonymous namespace gets our table for a random rule set; crafted frames
arrive at its LAN devices and raw packets leave it. A test-only table after ours logs each
packet with its mark; counters say which rule it was. Both must equal the reference decision.
"""

from __future__ import annotations

import asyncio
import random
import select
import socket
import struct
from collections import Counter
from dataclasses import dataclass

from netpolicy.core.address import format_address
from netpolicy.core.evaluate import decide
from netpolicy.core.facts import Facts
from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Outbound, Rule, Ruleset, Settings
from netpolicy.core.named_list import Lists, NamedList
from netpolicy.dataplane.kernel import Kernel
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.names import counter
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.flows.nflog import PacketLog
from netpolicy.outbounds.lines import View, line_states
from netpolicy.service.compile import compile_policy, needs_class
from tests.netns import Namespace, connect

LOG_GROUP = 99  # of the test's own table

# After our mangle + 1. What a line brought in is not marked, only remembered in its conntrack entry:
# here, and only here, that is made visible in the packet.
WITNESS = """
table inet witness {
	chain arrived { type filter hook prerouting priority mangle + 2; policy accept;
		iifname "wanb" meta mark 0 meta mark set ct mark and 0x37000000
		iifname { "lan", "guest", "wanb" } log group 99 prefix "arrived"
	}
	chain quiet { type filter hook output priority raw; policy accept;
		icmp type != echo-request drop
		icmpv6 type != echo-request drop
		tcp flags rst drop
		sctp chunk abort exists drop
	}
	chain leaving { type route hook output priority mangle + 2; policy accept;
		log group 99 prefix "leaving"
	}
}
"""

DEVICES = ("lan", "guest", "wanb")
MACS = ("02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c")
ROUTER_MAC = "02:00:00:00:01:01"

# Few of each, so that random rules and random packets meet often.
SOURCES = {
    4: ("192.168.1.10", "192.168.1.200", "192.168.3.7", "10.1.2.3"),
    6: ("fd00:1::10", "fd00:1::200", "fd00:3::7", "2001:db8:77::1"),
}
TARGETS = {
    4: (
        "203.0.113.5",
        "203.0.113.77",
        "198.18.7.9",
        "9.9.9.9",
        "192.168.1.1",
        "192.168.3.9",
        "224.0.0.5",
        "169.254.7.7",
    ),
    6: ("2001:db8:f::5", "2001:db8:f::77", "2620:fe::9", "fd00:1::1", "fd00:3::9", "ff02::5", "2001:db8:e:1::2"),
}
SOURCE_VALUES = ("192.168.1.0/24", "192.168.1.10", "!192.168.1.10", "10.0.0.0/8", "!192.168.0.0/16",
                 "fd00:1::/64", "!fd00:1::10", "fd00:3::7", "192.168.1.100-192.168.3.8")  # fmt: skip
TARGET_VALUES = ("203.0.113.0/24", "203.0.113.0/25", "203.0.113.77", "!203.0.113.5", "9.9.9.9", "198.18.0.0/15",
                 "2001:db8:f::/48", "!2001:db8:f::77", "2620:fe::/48", "2001:db8:e::-2001:db8:f::40")  # fmt: skip
PORTS = (25, 53, 67, 68, 80, 443, 3478, 5004, 6667, 546, 547)
PORT_VALUES = ("443", "80,443", "1-1024", "!443", "3478-3481,5004", "!1-100", "53", "0-65535")
PROTOCOL_VALUES = ("tcp", "udp", "icmp", "icmpv6", "sctp", "gre", "!tcp", "!udp", "6", "17")
PROTOCOLS = (6, 17, 1, 58, 132, 47, 33, 136)
WITH_PORTS = (6, 17, 132, 33, 136)
NEIGHBOUR_DISCOVERY = (133, 134, 135, 136, 137)


@dataclass
class Sample:
    """A packet to send, and the facts that describe it."""

    facts: Facts
    device: str  # "" for the router's own
    data: bytes
    key: tuple


class Disagreement(AssertionError):
    """Engine and kernel differ; the text holds what is needed to repeat it."""


LISTS = Lists((
    NamedList("near", ("192.168.1.0/25", "fd00:1::/64", "example.com")),
    NamedList("far", ("192.0.2.0/28", "198.51.100.0/24", "2001:db8::/32")),
))  # fmt: skip


def random_rule(rng: random.Random, index: int) -> Rule:
    """A rule with some packet fields, negations and overlaps included."""
    choices = {
        "src_addr": SOURCE_VALUES,
        "dest_addr": TARGET_VALUES,
        "src_port": PORT_VALUES,
        "dest_port": PORT_VALUES,
        "proto": PROTOCOL_VALUES,
        "src_iface": ("lan", "guest", "wanb", "lo", "!lan", "!guest", "!lo"),
        "src_mac": (*MACS, "!" + MACS[0]),
        "family": ("ipv4", "ipv6"),
    }
    weights = {"src_addr": 3, "dest_addr": 4, "dest_port": 4, "proto": 3, "src_iface": 2}
    names = sorted(choices)
    wanted = set(rng.choices(names, [weights.get(name, 1) for name in names], k=rng.choice((0, 1, 1, 2, 2, 3, 4))))
    fields = []
    for name in sorted(wanted):
        values = tuple(rng.sample(choices[name], rng.choice((1, 1, 2, 3)) if name != "family" else 1))
        if name.endswith("_addr") and rng.random() < 0.2:
            values = (rng.choice(("@near", "!@near", "@far")), *values[1:])
        fields.append(parse_field(name, values, LISTS))
    action = rng.choice((
        Action("route", "wan_b"), Action("route", "wan_c", on_fail=rng.choice(("next", "direct", "block"))),
        Action("route", "direct"), Action("switch_route", "wan_b"), Action("block", "drop"), Action("block", "reject"),
        Action("route", "wan_d"), Action("route", "closed"), Action("route", "pair"),
        Action("route", "dead", on_fail=rng.choice(("next", "direct", "block"))), Action("route", "nested"),
        Action("fallback", "wan_c", targets=("wan_c", "wan_b")),
        Action("fallback", "dead", on_fail=rng.choice(("next", "block")), targets=("dead", "wan_c")),
    ))  # fmt: skip
    states = rng.choice(((), (), (), ("NORMAL",), ("FAILOVER",)))
    return Rule(f"r{index}", rng.choice((0, 10, 10, 50)), tuple(fields), action, when=states,
                disable=rng.choice(((), (), (), ("NORMAL",))), enabled=rng.random() > 0.1)  # fmt: skip


def random_ruleset(rng: random.Random) -> Ruleset:
    """Up to a dozen rules over three lines, one of them down."""
    outbounds = (
        Outbound("wan_b", "interface", interface="wanb", gateway="198.51.100.1", gateway6="2001:db8:b::1"),
        Outbound("wan_c", "interface", interface="missing0", gateway="198.51.100.1"),
        Outbound("wan_d", "table", table=123),
        Outbound("closed", "block"),
        Outbound("pair", "group", member=("wan_c", "wan_b")),
        Outbound("dead", "group", member=("wan_c", "proxy")),
        Outbound("nested", "group", member=("dead", "wan_d", "pair")),
        Outbound("proxy", "xray", node="far"),
    )
    rules = tuple(random_rule(rng, index) for index in range(rng.randint(0, 12)))
    default = rng.choice(("direct", "direct", "wan_b", "wan_c", "block", "pair", "dead"))
    return Ruleset(rules, outbounds, Settings(enabled=True, default=default))


def random_sample(rng: random.Random, number: int) -> Sample:
    """A packet with its facts. `number` makes its flow unlike every other one of the batch."""
    family = rng.choice((4, 6))
    facts = Facts()
    facts.family = family
    facts.proto = rng.choice(PROTOCOLS)
    own = rng.random() < 0.25
    facts.src_iface = "lo" if own else rng.choice(DEVICES)
    source = ("192.168.1.1", "198.51.100.2") if family == 4 else ("fd00:1::1", "2001:db8:b::2")
    source_text = rng.choice(source) if own else rng.choice(SOURCES[family])
    target_text = rng.choice(TARGETS[family])
    facts.src_addr = (family, _number(family, source_text))
    facts.dest_addr = (family, _number(family, target_text))
    if not own:
        facts.src_mac = rng.choice(MACS)
    if facts.proto in WITH_PORTS:
        facts.dest_port = rng.choice(PORTS)
        facts.src_port = rng.choice((*PORTS, 20000 + number))
    packet = _packet(facts, number)
    key = (family, facts.proto, source_text, target_text, facts.src_port or 0, facts.dest_port or 0, number)
    return Sample(facts, "" if own else facts.src_iface, packet, key)


def _number(family: int, text: str) -> int:
    return int.from_bytes(socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, text), "big")


def _payload(facts: Facts, number: int) -> bytes:
    """Enough of a header that conntrack takes it for the first packet of a flow."""
    if facts.proto == 6:  # SYN
        return struct.pack("!HHIIBBHHH", facts.src_port, facts.dest_port, number, 0, 0x50, 0x02, 65535, 0, 0)
    if facts.proto in (17, 136):
        return struct.pack("!HHHH", facts.src_port, facts.dest_port, 8, 0)
    if facts.proto == 132:  # INIT chunk
        return struct.pack("!HHII", facts.src_port, facts.dest_port, 0, 0) + struct.pack(
            "!BBHIIHHI", 1, 0, 20, number, 65535, 1, 1, number
        )
    if facts.proto == 33:
        return struct.pack("!HHBBHIQ", facts.src_port, facts.dest_port, 5, 0, 0, number, 0)
    if facts.proto in (1, 58):  # echo request
        return struct.pack("!BBHHH", 8 if facts.proto == 1 else 128, 0, 0, number & 0xFFFF, 1)
    return struct.pack("!HHI", 0x2000, 0x0800, number)  # GRE with key


def _packet(facts: Facts, number: int) -> bytes:
    payload = _payload(facts, number)
    if facts.family == 4:
        source, target = (part[1].to_bytes(4, "big") for part in (facts.src_addr, facts.dest_addr))
        header = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), number & 0xFFFF, 0, 64, facts.proto, 0, source, target
        )
        return header[:10] + struct.pack("!H", _checksum(header)) + header[12:] + _with_checksum(facts, payload)
    source, target = (part[1].to_bytes(16, "big") for part in (facts.src_addr, facts.dest_addr))
    header = struct.pack("!IHBB16s16s", 6 << 28, len(payload), facts.proto, 64, source, target)
    return header + _with_checksum(facts, payload)


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


_CHECKSUM_AT = {6: 16, 17: 6, 136: 6, 33: 6, 1: 2, 58: 2}


def _with_checksum(facts: Facts, payload: bytes) -> bytes:
    """Conntrack calls a packet with a wrong checksum invalid and then keeps no mark for it."""
    at = _CHECKSUM_AT.get(facts.proto)
    if facts.proto == 132:
        crc = _crc32c(payload)
        return payload[:8] + struct.pack("<I", crc) + payload[12:]
    if at is None:
        return payload
    if facts.proto == 1:
        pseudo = b""
    else:
        size = 4 if facts.family == 4 else 16
        addresses = b"".join(part[1].to_bytes(size, "big") for part in (facts.src_addr, facts.dest_addr))
        pseudo = addresses + struct.pack("!II", len(payload), facts.proto)
    value = _checksum(pseudo + payload) or 0xFFFF
    return payload[:at] + struct.pack("!H", value) + payload[at + 2 :]


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Router:
    """The router under test and the ends that send to it."""

    def __init__(self) -> None:
        self.here = Namespace()
        self.there = Namespace()
        for name in DEVICES:
            connect(self.here, name, self.there, f"to_{name}")
        commands = """
addr add 192.168.1.1/24 dev lan
addr add 192.168.3.1/24 dev guest
addr add 198.51.100.2/24 dev wanb
addr add fd00:1::1/64 dev lan nodad
addr add fd00:3::1/64 dev guest nodad
addr add 2001:db8:b::2/64 dev wanb nodad
neigh replace 198.51.100.1 lladdr 02:00:00:00:02:02 dev wanb
neigh replace 2001:db8:b::1 lladdr 02:00:00:00:02:02 dev wanb
route add default via 198.51.100.1 dev wanb
route add default via 2001:db8:b::1 dev wanb
route add default via 198.51.100.1 dev wanb table 123
"""
        for name in DEVICES:
            self.here.run("ip", "link", "set", name, "address", ROUTER_MAC)
        self.here.run("ip", "-batch", "-", text=commands)
        self.here.sysctl("net/ipv4/ip_forward", 1)
        self.here.sysctl("net/ipv6/conf/all/forwarding", 1)
        for name in ("all", *DEVICES):
            self.here.sysctl(f"net/ipv4/conf/{name}/rp_filter", 0)
        self.here.run("nft", "-f", "-", text=WITNESS)
        with self.here.entered():
            self.kernel = Kernel(open_netlink("builtin"))
            self.log = PacketLog(LOG_GROUP, per_second=1_000_000)
            self._own = {
                4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
                6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
            }
            netlink = open_netlink("builtin")
            links = {link.name: link for link in netlink.links()}
            self.view = View(links, netlink.addresses(), netlink.routes())
        with self.there.entered():
            self._wires = {name: socket.socket(socket.AF_PACKET, socket.SOCK_RAW) for name in DEVICES}
            for name, wire in self._wires.items():
                wire.bind((f"to_{name}", 0))

    def close(self) -> None:
        for opened in (*self._own.values(), *self._wires.values()):
            opened.close()
        self.log.close()
        self.here.close()
        self.there.close()

    def send(self, sample: Sample) -> bool:
        """Puts the packet on its wire; False where the kernel would not send it at all."""
        if sample.device:
            kind = 0x0800 if sample.facts.family == 4 else 0x86DD
            ends = bytes.fromhex((ROUTER_MAC + sample.facts.src_mac).replace(":", ""))
            self._wires[sample.device].send(ends + struct.pack("!H", kind) + sample.data)
            return True
        family = sample.facts.family
        target = format_address(*sample.facts.dest_addr)
        try:
            self._own[family].sendto(sample.data, (target, 0) if family == 4 else (target, 0, 0, 0))
        except OSError:
            return False
        return True

    def collect(self, seen: dict[tuple, int]) -> None:
        """Notes the marks of the packets that were logged meanwhile."""
        for packet in self.log.read(0.0):
            identity = (packet.family, packet.protocol, packet.source, packet.destination,
                        packet.source_port, packet.destination_port)  # fmt: skip
            seen.setdefault(identity, packet.mark)

    def collect_all(self, seen: dict[tuple, int], wanted: set[tuple]) -> None:
        """Waits until the kernel has told of every wanted packet (it collects for 100 ms)."""
        while wanted - seen.keys() and select.select([self.log], [], [], 1.0)[0]:
            self.collect(seen)


def disagreements(router: Router, ruleset: Ruleset, samples: list[Sample], state: str = "NORMAL") -> list[str]:
    """Loads the rule set, sends the packets, and says where kernel and engine differ. O(rules x packets)."""
    marks = Marks(ruleset.settings.fwmark_mask)
    numbers = {name: index for index, name in enumerate(needs_class(ruleset.outbounds), 1)}
    states = line_states(ruleset.outbounds, router.view)
    compiled = compile_policy(ruleset, state, states, router.view, numbers)
    router.here.run("conntrack", "-F")
    with router.here.entered():
        asyncio.run(_load(router.kernel, compiled.policy))
    expected: dict[tuple, tuple[int, str]] = {}
    hits: Counter = Counter()
    tolerated: dict[tuple, tuple[int, ...]] = {}
    before = _counters(router)
    seen: dict[tuple, int] = {}
    for sample in samples:
        sent = router.send(sample)
        decision = decide(ruleset, sample.facts, state, compiled.world)
        rule = decision.rule.name if decision.rule else None
        wanted = _class_of(decision.outbound, decision, marks, numbers, ruleset)
        if sent:
            expected[sample.key[:6]] = (wanted, rule)
            if sample.device == "wanb" and rule is None and sample.facts.proto not in (6, 17, 132):
                tolerated[sample.key[:6]] = (0,)  # conntrack may call it invalid, and then there is no entry
        elif wanted == 0:
            continue  # refused before it came to our hook: main has no route
        # An own packet whose new route refuses it is counted by our hook and seen by none after it.
        hits[rule] += 1
        router.collect(seen)
    router.collect_all(seen, set(expected))
    found = [
        f"{key}: kernel class {marks.number(seen[key])}, engine {wanted}" if key in seen else f"{key}: not seen"
        for key, wanted in expected.items()
        if key not in seen or marks.number(seen[key]) not in (wanted[0], *tolerated.get(key, ()))
    ]
    after = _counters(router)
    for rule in ruleset.rules:
        name = counter(rule.name)
        counted = after.get(name, (0, 0))[0] - before.get(name, (0, 0))[0]
        if counted != hits[rule.name]:
            found.append(f"rule {rule.name} ({rule.match_text}): kernel counted {counted}, engine {hits[rule.name]}")
    return found


def _counters(router: Router) -> dict[str, tuple[int, int]]:
    with router.here.entered():
        return asyncio.run(router.kernel.counters())


async def _load(kernel: Kernel, policy) -> None:
    plan = await kernel.plan(policy)
    if not plan.is_empty:
        await kernel.apply(plan)


def _class_of(outbound: str, decision, marks: Marks, numbers: dict[str, int], ruleset: Ruleset) -> int:
    rule = decision.rule
    if rule is not None and rule.action.kind == "block":
        return marks.reject if rule.action.target == "reject" else marks.drop
    if outbound == "direct":
        return 0
    found = ruleset.outbound(outbound)
    return marks.reject if outbound == "block" or found.type == "block" else numbers[outbound]


def unique_samples(rng: random.Random, count: int) -> list[Sample]:
    """Packets of that many different flows: a second packet of a flow would not be decided again."""
    samples: dict[tuple, Sample] = {}
    number = 0
    while len(samples) < count:
        number += 1
        sample = random_sample(rng, number)
        samples.setdefault(_tracked_by(sample), sample)
    return list(samples.values())


def _tracked_by(sample: Sample) -> tuple:
    """What conntrack tells flows apart by: ports for TCP, UDP and SCTP only, on today's kernels."""
    return sample.key[:6] if sample.facts.proto in (6, 17, 132) else sample.key[:4]
