"""What a tunnel sends itself goes by the main table where a rule would lead it into that tunnel, and nowhere else."""

from __future__ import annotations

import select
import socket
import struct

import pytest

from netpolicy.dataplane import own_tunnels
from netpolicy.dataplane.policy import Entry, Policy, Share, Tunnel
from netpolicy.dataplane.table import build
from tests.dataplane.followed import MARKS, follow
from tests.netns import needs_root, run
from tests.router import policy, rule

PORT, OTHER_PORT = 51821, 40123
ALL = Entry(rule("all"), 2)
NAMED = Entry(rule("named", ("route", "wan_b"), dest_port="4791"), 2)
LED = (Tunnel(PORT, ("all",), (2,)),)
SPARED = f"udp sport {PORT} fib saddr type local meta priority set 0x0 goto m_00"


def leads(made: Policy) -> dict[str, str]:
    """Where each rule leads."""
    built = build(made)
    (verdicts,) = (one for one in built.sets if one.name == "verdicts_a")
    by_label = {key[0][0]: value.removeprefix("goto ") for key, value, _ in verdicts.elements}
    return {name: by_label[label] for name, label in built.labels.items()}


def test_a_rule_that_leads_there_spares_the_tunnel_and_others_do_not():
    made = policy(NAMED, ALL, tunnels=LED)
    assert leads(made) == {"named": "v_02", "all": "w_02_51821"}
    assert build(made).chains["w_02_51821"].rules == (SPARED, "goto v_02")
    assert leads(policy(NAMED, ALL)) == {"named": "v_02", "all": "v_02"}


def test_so_does_one_that_refuses_because_the_line_is_down():
    made = policy(Entry(rule("all"), MARKS.reject), tunnels=LED)
    assert leads(made) == {"all": "w_30_51821"} and build(made).chains["w_30_51821"].rules == (SPARED, "goto v_30")


def test_a_rule_that_logs_logs_first_and_one_that_is_shared_out_is_shared_out_afterwards():
    shares = (Share(1000, {4: ((1, 1), (2, 1)), 6: ((2, 1),)}),)
    made = build(policy(Entry(rule("all"), 1000, log=True), shares=shares, tunnels=LED))
    assert made.chains["r_all"].rules[-1] == "goto w_1000_51821"
    assert made.chains["w_1000_51821"].rules == (SPARED, "goto v_1000")
    assert build(policy(Entry(rule("all"), 2, log=True), tunnels=LED)).chains["r_all"].rules[-1] == "goto w_02_51821"


def test_the_default_spares_it_too_for_the_router_alone():
    made = build(policy(NAMED, default_own=2, default_forwarded=2, tunnels=(Tunnel(PORT, ("",), (2,)),)))
    assert made.chains["classify_own"].rules[-2] == f"udp sport {PORT} meta priority set 0x0 goto m_00"
    assert not any("sport 51821" in one for one in made.chains["classify"].rules)


def test_two_tunnels_of_one_rule_are_spared_both():
    both = (Tunnel(PORT, ("all",), (2,)), Tunnel(OTHER_PORT, ("all", "named"), (1, 2)))
    made = build(policy(NAMED, ALL, tunnels=both))
    assert made.chains["w_02_40123_51821"].rules[0].startswith("udp sport { 40123, 51821 } fib")
    assert made.chains["w_02_40123"].rules[0].startswith("udp sport 40123 fib")
    assert own_tunnels.led_astray(policy(tunnels=both)) == [
        "udp sport 51821 ct mark & 0x77000000 == 0x42000000 goto classify_own",
        "udp sport 40123 ct mark & 0x77000000 { 0x41000000, 0x42000000 } goto classify_own",
    ]


def test_the_name_of_a_chain_for_many_tunnels_is_cut():
    many = tuple(Tunnel(50_000 + number, ("all",), (2,)) for number in range(9))
    (name,) = (one for one in build(policy(ALL, tunnels=many)).chains if one.startswith("w_"))
    assert len(name) <= 31


@pytest.mark.parametrize(
    ("rule_name", "port", "expected"),
    [("all", PORT, True), ("named", PORT, False), ("all", OTHER_PORT, False), (None, PORT, False)],
)
def test_who_judges_connections_asks_the_same(rule_name, port, expected):
    assert own_tunnels.is_spared(policy(tunnels=LED), rule_name, port) is expected


def test_without_tunnels_nothing_is_there():
    assert own_tunnels.ports(policy(ALL)) == {} and own_tunnels.led_astray(policy(ALL)) == []


# -- with packets --------------------------------------------------------------------------

FAR_END = "203.0.113.5"


class Ends:
    """The far ends of both lines, and of the LAN."""

    def __init__(self) -> None:
        for device, gateway in (("wana", "192.0.2.1"), ("wanb", "198.51.100.1")):
            run("ip", "neigh", "replace", gateway, "lladdr", "02:00:00:00:00:99", "dev", device, "nud", "permanent")
        self._lines = {self._listener(f"{name}_far"): name for name in ("wana", "wanb")}

    @staticmethod
    def _listener(name: str) -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        made.bind((name, 0x0800))
        return made

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._lines:
            one.close()

    def way(self, port: int) -> str:
        """By which line a datagram from this port comes; "" when none does within twenty seconds."""
        while ready := select.select(list(self._lines), [], [], 20)[0]:
            for one in ready:
                packet = one.recv(256)
                if packet[9] == socket.IPPROTO_UDP and struct.unpack_from("!H", packet, 20) == (port,):
                    return self._lines[one]
        return ""


def of_the_router(port: int, target: int = 4790) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("", port))
        one.sendto(b"datagram", (FAR_END, target))


def of_a_client(port: int) -> None:
    """As a frame from the far end of the LAN's cable."""
    data = struct.pack("!HHHH", port, 4790, 16, 0) + b"datagram"
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), 1, 0, 64, socket.IPPROTO_UDP, 0)
    head += socket.inet_aton("192.168.1.9") + socket.inet_aton(FAR_END)
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
    mac = bytes.fromhex(run("ip", "-o", "link", "show", "lan").partition("link/ether ")[2][:17].replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as line:
        line.bind(("lan_far", 0))
        line.send(mac + bytes.fromhex("020000000009") + b"\x08\x00" + head + data)


@pytest.mark.kernel
@needs_root
async def test_packets_of_the_tunnel_leave_by_main_and_those_of_clients_by_the_rule(kernel):
    with Ends() as ends:
        # Before its port is known it is led as everything is, and that flow does not stay where it was led.
        await follow(kernel, policy(ALL))
        of_the_router(PORT)
        assert ends.way(PORT) == "wanb"
        await follow(kernel, policy(NAMED, ALL, tunnels=(Tunnel(PORT, ("all",), (2,)),)))
        of_the_router(PORT)
        assert ends.way(PORT) == "wana"
        of_the_router(PORT)  # its conntrack entry says so now
        assert ends.way(PORT) == "wana"
        of_the_router(OTHER_PORT)
        assert ends.way(OTHER_PORT) == "wanb"
        of_the_router(PORT, 4791)  # a rule that names its packets, and is not the one that leads into it
        assert ends.way(PORT) == "wanb"
        of_a_client(PORT)  # a tunnel of its own
        assert ends.way(PORT) == "wanb"


@pytest.mark.kernel
@needs_root
async def test_a_line_that_is_down_refuses_the_router_and_not_the_tunnel(kernel):
    refusing = Entry(rule("all"), MARKS.reject)
    with Ends() as ends:
        await follow(kernel, policy(refusing, tunnels=LED))
        with pytest.raises(PermissionError):
            of_the_router(OTHER_PORT)
        of_the_router(PORT)
        assert ends.way(PORT) == "wana"
