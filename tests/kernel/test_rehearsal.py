"""What a rehearsal says is what real connections then do: the lab's router, its clients, and a rehearsal of it.

The connections that are tried beforehand and those of the clients afterwards have nothing in common but the router.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import random
import signal
import time

import pytest

from netpolicy.dataplane.rehearsal import Candidate, Probe, rehearse
from netpolicy.dataplane.rehearsal_child import in_child
from netpolicy.flows.administrators import Peer
from netpolicy.lab.bench import Lab
from netpolicy.lab.topology import CLIENTS
from netpolicy.service.rehearsing import Standing, try_change
from tests.kernel.steering import A4, A6, B4, B6, LINES, SERVER4, SERVER6, reload, rule
from tests.netns import Namespace, needs_root, run
from tests.service.standings import in_router, situation

pytestmark = [pytest.mark.kernel, needs_root]

ADMINS = (
    Peer("192.168.1.11", 0, "192.168.1.1", 22, "ssh"),
    Peer("fd00:c0de:1::11", 0, "fd00:c0de:1::1", 22, "ssh"),
)
ADMINS_BY_B = (
    Peer("192.0.2.50", 0, B4, 22, "ssh", "wanb"),
    Peer("2001:db8:1::50", 0, B6, 22, "ssh", "wanb"),
)


def try_in(lab: Lab, before: str, after: str, peers=()):
    """The table of a change in the lab's router. "" is: nothing of ours."""
    with in_router(lab):
        was = situation(before)[0] if before else Standing()
        now, scene = situation(after, peers)
        return asyncio.run(try_change(was, now, scene))


def with_asserts(*texts: str) -> str:
    lines = "".join(f"\tlist assert '{text}'\n" for text in texts)
    return LINES.replace("\toption enabled '1'\n", "\toption enabled '1'\n" + lines)


# -- who administers the router ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [("+src_iface=br-lan",), ("any=1",), ("+src_iface=lo",), ("+src_addr=192.168.1.11",)]
)
def test_rules_that_block_ssh_lock_nobody_out_because_they_spare_the_router_itself(lab: Lab, options) -> None:
    port = () if options == ("any=1",) else ("+dest_port=22",)
    blocks = LINES + rule("shut", *options, *port, "block=reject")
    trial = try_in(lab, LINES, blocks, ADMINS + ADMINS_BY_B)
    assert [row["after"] for row in trial.rows] == ["answered"] * 4 and trial.is_ok


@pytest.mark.parametrize("peer", ADMINS_BY_B)
def test_who_administers_by_line_b_is_locked_out_by_a_change_that_forgets_line_b(lab: Lab, peer: Peer) -> None:
    without_b = LINES[: LINES.index("config outbound 'wan_b'")]
    trial = try_in(lab, LINES, without_b, [peer, *ADMINS])
    assert [row["ok"] for row in trial.rows] == [False, True, True] and trial.locks_out
    assert (trial.rows[0]["before"], trial.rows[0]["after"]) == ("answered", "answered by wana")
    again = try_in(lab, without_b, without_b, [peer])
    assert again.is_ok and again.rows[0]["because"] == "could not before either"


@pytest.mark.parametrize(("number", "gateways"), [(0, "203.0.113.1"), (1, "2001:db8:a::1")])
def test_who_is_behind_another_router_of_the_lan_is_locked_out_when_the_lan_becomes_a_line(
    lab: Lab, number: int, gateways: str
) -> None:
    """One arm: what comes in by a line is answered by that line's gateway, and he is not there."""
    source, own = (("10.50.0.5", "192.168.1.1"), ("fd00:50::5", "fd00:c0de:1::1"))[number]
    near, net, other = (
        ("192.168.1.12", "10.50.0.0/24", "option gateway '192.168.1.13'"),
        ("fd00:c0de:1::12", "fd00:50::/64", "option gateway6 'fd00:c0de:1::13'"),
    )[number]
    arm = f"\nconfig outbound 'arm'\n\toption type 'interface'\n\toption interface 'br-lan'\n\t{other}\n"
    with in_router(lab):
        run("ip", "route", "add", net, "via", near)
    try:
        trial = try_in(lab, LINES, LINES + arm, [Peer(source, 0, own, 22, "ssh")])
    finally:
        with in_router(lab):
            run("ip", "route", "del", net)
    row = trial.rows[0]
    assert (row["before"], row["ok"]) == ("answered", False)
    assert row["after"] == f"answered by br-lan to {other.split(chr(39))[1]}"


def test_a_firewall_that_drops_already_is_not_the_fault_of_a_change(lab: Lab) -> None:
    with in_router(lab):
        run("nft", "add table inet fw; add chain inet fw i { type filter hook input priority 0; }; ")
        run("nft", 'add rule inet fw i iifname "br-lan" tcp dport 22 drop')
    try:
        trial = try_in(lab, LINES, LINES, ADMINS)
    finally:
        with in_router(lab):
            run("nft", "delete table inet fw")
    assert trial.is_ok and [row["after"] for row in trial.rows] == ["silent", "silent"]


# -- assertions --------------------------------------------------------------------------------------


def test_assertions_that_hold_and_that_break(lab: Lab) -> None:
    config = with_asserts(
        "br-lan can wana tcp/443", "br-guest can wanb tcp/443", "br-guest cannot wana tcp/443",
        "br-guest cannot br-lan", "br-lan can br-guest icmp", "lo can wana udp/53", "br-guest cannot lo tcp/22",
    )  # fmt: skip
    config += rule("guests", "+src_iface=br-guest", "+dest_port=443", "route=wan_b")
    trial = try_in(lab, LINES, config)
    assert [row["ok"] for row in trial.rows] == [True, True, True, False, True, True, False]
    assert "192.168.3.13" in trial.rows[3]["because"] or "192.168.3.2" in trial.rows[3]["because"]
    assert trial.rows[1]["before"] == "forwarded via wana" and trial.rows[1]["after"] == "forwarded via wanb"
    shut = config + rule("apart", "+src_iface=br-guest", "+dest_addr=192.168.1.0/24", "block=reject", priority=90)
    shut += rule("apart6", "+src_iface=br-guest", "+dest_addr=fd00:c0de:1::/64", "block=reject", priority=90)
    assert try_in(lab, LINES, shut).rows[3]["ok"] is True


def test_a_kill_switch_is_seen(lab: Lab) -> None:
    config = with_asserts("br-lan cannot wana", "br-lan can wanb tcp/443")
    config += rule("only_b", "any=1", "route=wan_b", "on_fail=block")
    assert [row["ok"] for row in try_in(lab, "", config).rows] == [True, True]
    lab.link("b", "down")
    try:
        with in_router(lab):
            lab.wait_for(lambda: "NO-CARRIER" in run("ip", "link", "show", "wanb"), what="the cable is pulled")
        assert [row["ok"] for row in try_in(lab, "", config).rows] == [True, False]
    finally:
        lab.repair()
        with in_router(lab):
            lab.wait_for(lambda: "linkdown" not in run("ip", "route"), what="the cable is in use again")


# -- the same as real connections --------------------------------------------------------------------

PORTS = (25, 80, 443, 31000, 31001)
SEEN = {A4: "wana", A6: "wana", B4: "wanb", B6: "wanb"}


def random_rules(chance: random.Random) -> str:
    config = ""
    for number in range(chance.randrange(1, 7)):
        options = []
        if chance.random() < 0.5:
            options.append(chance.choice(["+src_iface=br-guest", "+src_iface=br-lan", "+src_addr=192.168.1.11",
                                          "+src_addr=fd00:c0de:1::11", "+src_mac=02:00:00:00:01:12"]))  # fmt: skip
        if chance.random() < 0.7:
            options.append(f"+dest_port={chance.choice(PORTS)}")
        if chance.random() < 0.5:
            options.append(f"+proto={chance.choice(['tcp', 'udp'])}")
        if chance.random() < 0.3:
            options.append(f"family={chance.choice(['ipv4', 'ipv6'])}")
        options = options or ["any=1"]
        action = chance.choice(["route=wan_a", "route=wan_b", "block=reject", "block=drop", "route=direct"])
        config += rule(f"r{number}", *options, action, priority=chance.randrange(10, 90))
    return LINES + config


def connections(chance: random.Random):
    """(client, server, protocol, port) to try."""
    for client in CLIENTS:
        for server in (SERVER4, SERVER6):
            for protocol in ("tcp", "udp"):
                yield client, server, protocol, chance.choice(PORTS)


def probe_of(client, server, protocol, port) -> Probe:
    source = client.address6 if ":" in server else client.address4
    return Probe(client.home, source, server, protocol, port, client.mac)


@pytest.mark.parametrize("seed", range(4))
def test_random_rules_do_to_real_connections_what_the_rehearsal_said(steered: Lab, seed: int) -> None:
    chance = random.Random(seed)
    config = random_rules(chance)
    wanted = list(connections(chance))
    with in_router(steered):
        now, _ = situation(config)
        said = asyncio.run(rehearse([Candidate(now.table, now.routing)], [probe_of(*one) for one in wanted]))
    reload(steered, config)
    for (client, server, protocol, port), result in zip(wanted, said.results[0], strict=True):
        told = {"forwarded": result.device, "silent": "timeout"}.get(result.kind, result.kind)
        patience = 0.4 if told == "timeout" else 20.0
        found = getattr(steered, protocol)(client.name, server, port, timeout=patience)
        real = SEEN.get(found["seen"]) if not found["error"] else found["error"]
        same = told == real or (told == "refused" and real in ("prohibited", "unreachable"))
        assert same, (client.name, server, protocol, port, result.text, found, config)


@pytest.fixture(scope="module")
def steered(lab: Lab):
    lab.start_daemon(LINES)
    yield lab
    assert lab.stop_daemon() == 0


# -- what it costs, and what it leaves ---------------------------------------------------------------


def big_router(count: int) -> None:
    """Bridges' worth of networks, each with both families."""
    lines = []
    for number in range(count):
        name = f"lan{number}"
        lines += [f"link add {name} type veth peer name {name}x", f"link set {name} up", f"link set {name}x up"]
        lines += [f"addr add 10.{number}.0.1/24 dev {name}", f"addr add fd00:{number}::1/64 dev {name} nodad"]
    lines.append("route add default via 10.0.0.9 dev lan0")
    run("ip", "-batch", "-", text="\n".join(lines))


def seconds_of_work() -> float:
    """Seconds of its processors for this process and its children: others may use them too."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def test_thirty_interfaces_are_rehearsed_in_bounded_time() -> None:
    probes = [Probe(f"lan{n}", f"10.{n}.0.5", f"10.{(n + 1) % 30}.0.5", "tcp", 80) for n in range(30)]
    with Namespace() as here, here.entered():
        here.sysctl("net/ipv4/ip_forward", 1)
        big_router(30)
        began = seconds_of_work()
        found = asyncio.run(rehearse([Candidate(None)] * 2, probes))
        took = seconds_of_work() - began
    assert [one.text for one in found.results[1]] == [f"forwarded via lan{(n + 1) % 30}" for n in range(30)]
    assert found.notes == () and 0 < took < 5, took


def test_a_parent_that_is_killed_takes_the_rehearsal_and_its_namespaces_along(tmp_path) -> None:
    """The child tells its number and then stays; it is gone soon after its parent."""
    told = tmp_path / "pid"

    def stay() -> bytes:
        from netpolicy.dataplane import namespace

        namespace.new()
        (tmp_path / "new").write_text(str(os.getpid()))
        (tmp_path / "new").rename(told)
        signal.pause()
        return b""

    parent = os.fork()
    if parent == 0:
        try:
            asyncio.run(in_child(stay, 60))
        finally:
            os._exit(0)
    deadline = time.monotonic() + 30
    while not told.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child = int(told.read_text())
    assert os.readlink(f"/proc/{child}/ns/net") != os.readlink("/proc/self/ns/net")
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    while os.path.exists(f"/proc/{child}/ns/net") and state_of(child) not in "ZX":
        assert time.monotonic() < deadline
        time.sleep(0.005)


def state_of(pid: int) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
