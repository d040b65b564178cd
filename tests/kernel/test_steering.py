"""From /etc/config/netpolicy to packets that leave by another line, seen from the server's side.

Real connections from client namespaces through a router on which netpolicyd runs; what
counts is the address that the server saw.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator

import pytest

from netpolicy.lab import keeper
from netpolicy.lab.bench import Lab
from tests.kernel.steering import A4, A6, B4, B6, LINES, SERVER4, SERVER6, SERVERS, foreign, ours, reload, rule

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def steered(lab: Lab) -> Iterator[Lab]:
    lab.start_daemon(LINES)
    yield lab
    assert lab.stop_daemon() == 0
    assert "Traceback" not in lab.daemon_log()


@pytest.fixture(autouse=True)
def _whole_lines(steered: Lab) -> Iterator[None]:
    yield
    steered.repair()
    steered.wait_for(lambda: _up(steered) >= {"wan_a", "wan_b"}, 30.0, "lines are up")


def _lose_line_b(lab: Lab) -> None:
    """Pulls its cable; returns when the kernel follows."""
    lab.link("b", "down")
    lab.wait_for(lambda: "wan_b" not in _up(lab), 30.0, "wan_b is down")
    lab.wait_for(lambda: lab.call("status")["kernel"]["in_sync"], 30.0, "the kernel follows")


def _up(lab: Lab) -> set[str]:
    return {line["name"] for line in lab.call("outbounds")["outbounds"] if line["up"]}


@pytest.mark.parametrize(("server", "by_a", "by_b"), SERVERS)
@pytest.mark.parametrize("ask", ["tcp", "udp"])
def test_a_rule_sends_a_clients_connection_by_line_b_and_without_it_the_next_goes_by_a(
    steered: Lab, ask: str, server: str, by_a: str, by_b: str
) -> None:
    question = getattr(steered, ask)
    reload(steered, LINES + rule("to_b", "+dest_port=31000", f"+proto={ask}", "route=wan_b"))
    assert question("desk", server, 31000)["seen"] == by_b
    assert question("desk", server, 31001)["seen"] == by_a  # the control: only what the rule names moves
    reload(steered, LINES)
    assert question("desk", server, 31000)["seen"] == by_a


@pytest.mark.parametrize("server", [SERVER4, SERVER6])
def test_a_rejected_connection_is_refused_at_once_and_a_dropped_one_gets_no_answer(steered: Lab, server: str) -> None:
    config = LINES + rule("no_mail", "+dest_port=25", "+proto=tcp", "block=reject")
    config += rule("void", "+dest_port=31000", "block=drop") + rule("no_voice", "+dest_port=5004", "block=reject")
    reload(steered, config)
    assert steered.tcp("desk", server, 25)["error"] == "refused"
    assert steered.tcp("desk", server, 31000, timeout=0.3)["error"] == "timeout"
    assert steered.udp("desk", server, 5004, timeout=0.5)["error"] in ("refused", "prohibited", "unreachable")
    assert steered.tcp("desk", server, 26)["error"] is None
    # A block rule spares the router itself unless it names it.
    assert steered.tcp("router", server, 25)["error"] is None


@pytest.mark.parametrize("server", [SERVER4, SERVER6])
def test_clients_are_told_of_a_refusal_also_where_the_router_itself_is_refused_something(
    steered: Lab, server: str
) -> None:
    config = LINES + rule("no_mail", "+dest_port=25", "+proto=tcp", "block=reject")
    reload(steered, config + rule("own", "+src_iface=lo", "+dest_port=26", "block=reject"))
    assert steered.tcp("desk", server, 25)["error"] == "refused"
    assert steered.tcp("router", server, 26)["error"] == "refused"
    reload(steered, LINES + rule("kept", "+dest_port=25", "route=wan_b", "on_fail=block"))
    _lose_line_b(steered)
    assert steered.tcp("desk", server, 25)["error"] in ("refused", "prohibited", "unreachable")


def test_a_block_that_names_the_router_itself_refuses_its_own_connections(steered: Lab) -> None:
    reload(steered, LINES + rule("own", "+src_iface=lo", "+dest_port=25", "block=reject"))
    assert steered.tcp("router", SERVER4, 25)["error"] == "refused"
    assert steered.tcp("desk", SERVER4, 25)["error"] is None


@pytest.mark.parametrize(
    ("field", "moved", "stays"),
    [
        ("+src_addr=192.168.1.12", "laptop", "desk"),
        ("+src_addr=!192.168.1.11", "laptop", "desk"),
        ("+src_mac=02:00:00:00:01:12", "laptop", "desk"),
        ("+src_iface=br-guest", "guest", "desk"),
        ("+src_iface=!br-lan", "guest", "laptop"),
    ],
)
def test_a_rule_may_name_the_client_by_address_mac_or_device(steered: Lab, field: str, moved: str, stays: str) -> None:
    reload(steered, LINES + rule("who", field, "+dest_port=31000", "route=wan_b", "family=ipv4"))
    assert steered.tcp(moved, SERVER4, 31000)["seen"] == B4
    assert steered.tcp(stays, SERVER4, 31000)["seen"] == A4


def test_family_tells_ipv4_and_ipv6_apart(steered: Lab) -> None:
    reload(steered, LINES + rule("six", "family=ipv6", "+dest_port=31000", "route=wan_b"))
    assert steered.tcp("desk", SERVER6, 31000)["seen"] == B6
    assert steered.tcp("desk", SERVER4, 31000)["seen"] == A4


@pytest.mark.parametrize(("server", "by_a", "by_b"), SERVERS)
def test_the_routers_own_connections_follow_the_rules_too(steered: Lab, server: str, by_a: str, by_b: str) -> None:
    reload(steered, LINES + rule("own", "+dest_port=31000", "route=wan_b"))
    assert steered.tcp("router", server, 31000)["seen"] == by_b
    assert steered.udp("router", server, 31000)["seen"] == by_b
    assert steered.tcp("router", server, 31001)["seen"] == by_a


@pytest.mark.parametrize(("server", "by_b"), [(SERVER4, B4), (SERVER6, B6)])
def test_a_default_outbound_carries_what_no_rule_names(steered: Lab, server: str, by_b: str) -> None:
    reload(steered, LINES.replace("option default 'direct'", "option default 'wan_b'"))
    assert steered.tcp("desk", server, 31000)["seen"] == by_b


@pytest.mark.parametrize(("address", "server"), [(B4, SERVER4), (B6, SERVER6)])
def test_the_router_answers_on_the_line_that_the_question_came_by(steered: Lab, address: str, server: str) -> None:
    """Main's default leads by A, so without the ingress class the answer would leave by A and be dropped there."""
    reload(steered, LINES + rule("any", "any=1", "route=wan_a", priority=1))
    listener = steered.popen("router", ["python3", "-c", _ONE_ECHO, address])
    try:
        steered.wait_for(lambda: "8022" in steered.run("router", ["ss", "-Hltn"]).stdout, 30.0, "the service listens")
        asked = steered.run("internet", ["python3", "-c", _ASK, address, server])
        assert (asked.stdout, asked.stderr) == ("hello\n", "")
    finally:
        listener.kill()
        listener.wait()


_ONE_ECHO = """
import socket, sys
listening = socket.create_server((sys.argv[1], 8022), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
connection, _ = listening.accept()
connection.sendall(b"hello\\n")
"""
_ASK = """
import socket, sys
six = ":" in sys.argv[1]
asking = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
# The internet node answers for whole prefixes; to ask from one of those addresses it has to be free to bind.
asking.setsockopt(socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP, 78 if six else 15, 1)  # IP(V6)_FREEBIND
asking.bind((sys.argv[2], 0))
asking.settimeout(20)
asking.connect((sys.argv[1], 8022))
print(asking.recv(100).decode(), end="")
"""


@pytest.mark.parametrize(("on_fail", "expected"), [("next", A4), ("direct", A4), ("block", None)])
def test_when_line_b_loses_its_carrier_new_connections_do_what_on_fail_says(
    steered: Lab, on_fail: str, expected: str | None
) -> None:
    reload(steered, LINES + rule("to_b", "+dest_port=31000", "route=wan_b", f"on_fail={on_fail}"))
    assert steered.tcp("desk", SERVER4, 31000)["seen"] == B4
    _lose_line_b(steered)
    answer = steered.tcp("desk", SERVER4, 31000, timeout=20.0 if expected else 0.5)
    assert answer["seen"] == expected
    steered.link("b", "up")
    steered.wait_for(lambda: steered.tcp("desk", SERVER4, 31000, timeout=0.3)["seen"] == B4, 30.0, "back on line B")


GROUP = """
config outbound 'both'
	option type 'group'
	list member 'wan_b'
	list member 'wan_a'
"""


# Groups go back to a line at once that was down.
AT_ONCE = LINES.replace("option type 'interface'\n", "option type 'interface'\n\toption hold '0'\n")


@pytest.mark.parametrize("action", ["route=both", "+fallback=wan_b"])
def test_when_the_first_of_several_lines_is_lost_new_connections_go_by_the_next(steered: Lab, action: str) -> None:
    then = ["+fallback=wan_a"] if "fallback" in action else []
    config = AT_ONCE + GROUP + rule("to_both", "+dest_port=31000", action, *then, "on_fail=block")
    reload(steered, config)
    assert steered.tcp("desk", SERVER4, 31000)["seen"] == B4
    _lose_line_b(steered)
    assert steered.tcp("desk", SERVER4, 31000)["seen"] == A4
    assert steered.tcp("desk", SERVER6, 31000)["seen"] == A6
    decided = steered.call("decide", {"facts": {"dest_addr": SERVER4, "dest_port": "31000"}})
    assert decided["outbound"] == "wan_a"
    assert any("wan_a is the first that is up" in why for why in decided["why"])
    steered.link("b", "up")
    steered.wait_for(lambda: steered.tcp("desk", SERVER4, 31000, timeout=0.3)["seen"] == B4, 30.0, "back on line B")


def test_a_proxy_that_nobody_drives_yet_counts_as_down_and_its_kill_switch_holds(steered: Lab) -> None:
    proxy = "\nconfig outbound 'proxy'\n\toption type 'xray'\n\toption node 'far'\n"
    reload(steered, LINES + proxy + rule("films", "+dest_port=31000", "route=proxy", "on_fail=block"))
    assert steered.tcp("desk", SERVER4, 31000, timeout=0.5)["seen"] is None
    reload(steered, LINES + proxy + rule("films", "+dest_port=31000", "route=proxy"))
    assert steered.tcp("desk", SERVER4, 31000)["seen"] == A4
    assert any("not enforced yet: outbounds of type xray" in one for one in steered.call("plan")["not_enforced"])


@pytest.mark.parametrize(("server", "by_b"), [(SERVER4, B4), (SERVER6, B6)])
def test_a_kill_switch_holds_while_an_ip_rule_of_ours_is_missing(steered: Lab, server: str, by_b: str) -> None:
    """The second lock: routing alone would lead the marked packet to main, and out by line A."""
    reload(steered, LINES + rule("to_b", "+dest_port=31000", "route=wan_b", "on_fail=block"))
    opened = steered.ask("desk", "open", address=server, port=31000, timeout=2.0)
    assert opened["seen"] == by_b
    steered.daemon.send_signal(signal.SIGSTOP)  # nobody heals
    try:
        for family in ("-4", "-6"):
            steered.run("router", ["ip", family, "rule", "del", "priority", "7002"], check=True)
        assert steered.tcp("desk", server, 31000, timeout=0.5)["seen"] is None
        assert steered.tcp("router", server, 31000, timeout=0.5)["seen"] is None
        assert not steered.ask("desk", "talk", id=opened["id"])["ok"]
    finally:
        os.kill(steered.daemon.pid, signal.SIGCONT)  # nsenter stops with its child and wakes it again
        steered.daemon.send_signal(signal.SIGCONT)
    steered.wait_for(lambda: steered.tcp("desk", server, 31000, timeout=0.3)["seen"] == by_b, 30.0, "the rule is back")


def test_a_tunnel_that_covers_the_internet_in_main_takes_nothing_from_a_line(steered: Lab) -> None:
    """0.0.0.0/1 and the like, as VPN clients install them, are no subnets: no table of ours may copy them."""
    halves = ("0.0.0.0/1", "128.0.0.0/1", "192.0.2.64/26", "2000::/3", "2001:db8:1::/56")
    steered.run("router", ["ip", "link", "add", "tun9", "type", "veth", "peer", "name", "tun9far"], check=True)
    try:
        for command in ("link set tun9 up", "link set tun9far up", "addr add 10.99.0.2/24 dev tun9"):
            steered.run("router", ["ip", *command.split()], check=True)
        reload(steered, LINES + rule("to_b", "+dest_port=31000", "route=wan_b"))
        for half in halves:
            steered.run("router", ["ip", "route", "add", half, "dev", "tun9"], check=True)
        steered.wait_for(lambda: "10.99.0.0/24 dev tun9" in _table(steered), 30.0, "the subnet itself is copied")
        assert not any(half in _table(steered) for half in halves)
        for server, expected in ((SERVER4, B4), (SERVER6, B6)):
            assert steered.tcp("desk", server, 31000)["seen"] == expected
    finally:
        steered.run("router", ["ip", "link", "del", "tun9"], check=True)


def _table(lab: Lab) -> str:
    commands = (["ip", family, "route", "show", "table", "7002"] for family in ("-4", "-6"))
    return "".join(lab.run("router", command).stdout for command in commands)


def test_answers_find_a_network_behind_the_router_that_only_main_knows(steered: Lab) -> None:
    """What a line brings back goes on by main: a subnet behind another machine needs no copy."""
    reload(steered, LINES + rule("to_b", "+dest_port=31000", "route=wan_b", "family=ipv4"))
    steered.run("router", ["ip", "route", "add", "10.44.0.0/24", "via", "192.168.1.11"], check=True)
    steered.run("desk", ["ip", "addr", "add", "10.44.0.5/32", "dev", "lo"], check=True)
    try:
        assert steered.tcp("desk", SERVER4, 31000, source="10.44.0.5")["seen"] == B4
    finally:
        steered.run("router", ["ip", "route", "del", "10.44.0.0/24"], check=True)
        steered.run("desk", ["ip", "addr", "del", "10.44.0.5/32", "dev", "lo"], check=True)


def test_the_lines_own_link_local_packets_are_not_translated(steered: Lab) -> None:
    """DHCPv6 renewals leave from fe80::; with another source the answer would go to nobody."""
    prefix = "option ipv6_source 'prefix'\n\toption ipv6_prefix '2001:db8:b::/64'\n"
    reload(steered, prefix.join(LINES.rsplit("option ipv6_source 'masq'\n", 1)))
    assert "snat ip6 prefix" in steered.run("router", ["nft", "list", "ruleset"]).stdout
    with steered.popen("isp_b", ["python3", "-c", _HEAR_MULTICAST], stdout=-1, text=True) as listener:
        assert listener.stdout.readline() == "ready\n"
        steered.run("router", ["python3", "-c", _SEND_MULTICAST], check=True)
        assert listener.stdout.readline().startswith("fe80::")


_SEND_MULTICAST = """
import socket
group = ("ff02::1234", 5470, 0, socket.if_nametoindex("wanb"))
socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"renew", group)
"""
_HEAR_MULTICAST = """
import socket, struct
heard = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
heard.bind(("::", 5470))
heard.settimeout(20)
for index, _ in socket.if_nameindex():
    group = socket.inet_pton(socket.AF_INET6, "ff02::1234") + struct.pack("I", index)
    heard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
print("ready", flush=True)
try:
    print(heard.recvfrom(99)[1][0])
except TimeoutError:
    print("nothing")
"""


def test_an_udp_flow_moves_when_its_line_goes_and_nothing_leaves_by_the_dead_one(steered: Lab) -> None:
    reload(steered, LINES + rule("to_b", "+dest_port=31000", "+proto=udp", "route=wan_b"))
    same = {"src_port": 9123}
    assert steered.udp("desk", SERVER4, 31000, **same, timeout=20.0)["seen"] == B4
    steered.link("b", "down")
    steered.wait_for(
        lambda: steered.udp("desk", SERVER4, 31000, **same, timeout=0.5)["seen"] == A4, 30.0, "the same flow by A"
    )


def test_ipv6_source_prefix_exchanges_the_prefix_and_keeps_the_host_part(steered: Lab) -> None:
    swapped = LINES.replace(
        "option gateway6 '2001:db8:b::1'\n\toption masq '1'\n\toption ipv6_source 'masq'",
        "option gateway6 '2001:db8:b::1'\n\toption masq '1'\n\toption ipv6_source 'prefix'\n"
        "\toption ipv6_prefix '2001:db8:b::/64'",
    )
    assert swapped != LINES
    reload(steered, swapped + rule("to_b", "+dest_port=31000", "route=wan_b"))
    # The provider must find the translated host: on a real line the prefix is routed to us.
    steered.run("isp_b", ["ip", "-6", "route", "add", "2001:db8:b::11/128", "via", "2001:db8:b::2"], check=True)
    assert steered.tcp("desk", SERVER6, 31000)["seen"] == "2001:db8:b::11"


def test_a_table_outbound_leads_into_a_table_that_somebody_else_keeps(steered: Lab) -> None:
    config = LINES + "\nconfig outbound 'theirs'\n\toption type 'table'\n\toption table '5000'\n"
    config += rule("to_table", "+dest_port=31000", "route=theirs")
    reload(steered, config)
    # Empty: the outbound is down and the next rule (none: direct) decides.
    assert steered.tcp("desk", SERVER4, 31000)["seen"] == A4
    add = ["ip", "route", "add", "default", "via", "198.51.100.1", "dev", "wanb", "table", "5000"]
    steered.run("router", add, check=True)
    try:
        steered.wait_for(lambda: steered.tcp("desk", SERVER4, 31000)["seen"] == B4, 30.0, "by the foreign table")
        # IPv6 is not in that table: refused rather than leaked by main.
        assert steered.tcp("desk", SERVER6, 31000, timeout=0.5)["seen"] is None
    finally:
        steered.run("router", ["ip", "route", "flush", "table", "5000"], check=True)


def test_open_connections_stay_where_they_are_when_routes_change_and_end_when_a_block_names_them(steered: Lab) -> None:
    reload(steered, LINES + rule("to_b", "+dest_port=31000", "route=wan_b"))
    opened = steered.ask("desk", "open", address=SERVER4, port=31000)
    other = steered.ask("laptop", "open", address=SERVER4, port=31000)
    assert opened["seen"] == B4
    reload(steered, LINES)
    assert steered.ask("desk", "talk", id=opened["id"])["ok"]
    reload(steered, LINES + rule("no", "+dest_port=31000", "+src_addr=192.168.1.11", "block=reject"))
    assert not steered.ask("desk", "talk", id=opened["id"])["ok"]
    assert steered.ask("laptop", "talk", id=other["id"])["ok"]
    for node, answer in (("desk", opened), ("laptop", other)):
        steered.ask(node, "close", id=answer["id"])


def test_switch_route_moves_an_open_udp_flow_with_its_translation(steered: Lab) -> None:
    same = {"src_port": 9321, "timeout": 20.0}
    reload(steered, LINES + rule("calls", "+dest_port=5004", "switch_route=wan_a"))
    assert steered.udp("desk", SERVER4, 5004, **same)["seen"] == A4
    reload(steered, LINES + rule("calls", "+dest_port=5004", "switch_route=wan_b"))
    assert steered.udp("desk", SERVER4, 5004, **same)["seen"] == B4
    reload(steered, LINES + rule("calls", "+dest_port=5004", "route=wan_a"))
    assert steered.udp("desk", SERVER4, 5004, **same)["seen"] == A4  # its rule moves nothing from now on, but did
    reload(steered, LINES + rule("calls", "+dest_port=5004", "route=wan_b"))
    assert steered.udp("desk", SERVER4, 5004, **same)["seen"] == A4


def test_per_rule_counters_count_connections_and_survive_reloads(steered: Lab) -> None:
    config = LINES + rule("counted", "+dest_port=31000", "route=wan_b")
    reload(steered, config)
    for _ in range(3):
        steered.tcp("desk", SERVER4, 31000)
    reload(steered, config + rule("other", "+dest_port=31005", "route=wan_a"))
    # Not even while its line is down and the rule waits.
    steered.link("b", "down")
    steered.wait_for(lambda: not _rule(steered, "counted")["active"], 30.0, "the rule waits")
    assert _hits(_settled_rules(steered, "counted", 3)) == {"counted": 3, "other": 0}
    steered.link("b", "up")
    steered.wait_for(lambda: _rule(steered, "counted")["active"], 30.0, "the rule stands again")
    assert _hits(_settled_rules(steered, "counted", 3)) == {"counted": 3, "other": 0}


def _hits(rules: list[dict]) -> dict[str, int]:
    return {line["name"]: line["hits"] for line in rules}


def _rule(lab: Lab, name: str) -> dict:
    return next(line for line in lab.call("rules")["rules"] if line["name"] == name)


def _settled_rules(lab: Lab, name: str, hits: int) -> list[dict]:
    """The rules, once the cached counters are as new as the question."""
    lab.wait_for(
        lambda: any(line["name"] == name and line["hits"] >= hits for line in lab.call("rules")["rules"]),
        what=f"{hits} hits of {name}",
    )
    return lab.call("rules")["rules"]


def test_connections_say_which_rule_and_outbound_each_took(steered: Lab) -> None:
    reload(steered, LINES + rule("to_b", "+dest_port=31000", "+src_iface=br-lan", "route=wan_b"))
    for port in (31000, 31001):
        opened = steered.ask("desk", "open", address=SERVER4, port=port)
        assert opened["ok"]

    def found() -> dict[int, tuple]:
        lines = steered.call("connections", {"limit": 500, "filter": SERVER4})["connections"]
        return {line["dest_port"]: (line["rule"], line["outbound"], line["agrees"]) for line in lines
                if line["state"] == "ESTABLISHED"}  # fmt: skip

    expected = {31000: ("to_b", "wan_b", True), 31001: (None, "direct", True)}
    steered.wait_for(lambda: expected.items() <= found().items(), 30.0, f"{expected} among the connections")
    assert steered.call("connections", {"limit": 1})["disagreements"] == 0

    def counted() -> bool:
        lines = steered.call("connections", {"limit": 500, "filter": SERVER4})["connections"]
        return all(line["packets"] >= 3 and line["bytes"] > 100 for line in lines if line["state"] == "ESTABLISHED")

    steered.wait_for(counted, 30.0, "bytes and packets are told")


def test_a_rule_with_log_writes_the_decision_for_passed_and_for_blocked_connections(steered: Lab) -> None:
    config = LINES + rule("seen", "+dest_port=31000", "route=wan_b", "log=1")
    reload(steered, config + rule("stopped", "+dest_port=31007", "block=reject", "log=1"))
    steered.tcp("desk", SERVER4, 31000)
    steered.tcp("desk", SERVER6, 31007)

    def decisions() -> str:
        entries = steered.call("logs", {"limit": 500})["entries"]
        return "\n".join(entry["message"] for entry in entries if entry["kind"] == "decision")

    steered.wait_for(lambda: "rule=seen action=route wan_b" in decisions(), 30.0, "the passed one is logged")
    steered.wait_for(lambda: "rule=stopped action=block reject" in decisions(), 30.0, "the blocked one is logged")


def test_a_second_reload_of_the_same_rules_sends_nothing_to_the_kernel(steered: Lab) -> None:
    config = LINES + rule("to_b", "+dest_port=31000", "route=wan_b")
    before = reload(steered, config)["kernel"]["revision"]
    watcher = steered.popen("router", ["nft", "monitor"], stdout=-1, text=True)
    routes = steered.popen("router", ["ip", "monitor", "route", "rule"], stdout=-1, text=True)
    assert reload(steered, config)["kernel"]["revision"] == before
    assert steered.call("plan")["changes"] == []
    for monitor in (watcher, routes):
        monitor.terminate()
    assert (watcher.communicate()[0], routes.communicate()[0]) == ("", "")


@pytest.mark.parametrize(("server", "by_b"), [(SERVER4, B4), (SERVER6, B6)])
def test_a_restart_hands_over_and_a_kill_switch_stays_shut_meanwhile(steered: Lab, server: str, by_b: str) -> None:
    """Not one packet by line A: a restart is what every package upgrade does."""
    # A port of its own: the kernel knows flows of other tests yet, and one of their source ports is no new flow.
    config = LINES + rule("to_b", "+dest_port=31070", "route=wan_b", "on_fail=block")
    reload(steered, config)
    opened = steered.ask("desk", "open", address=server, port=31070)
    assert opened["seen"] == by_b
    steered.file(keeper.STATE / "handover").touch()  # as the init script does before the signal
    before = ours(steered)
    asking = steered.start("desk", "udp_many", targets=[[server, 31070, 0]] * 1500, timeout=20.0)
    assert steered.stop_daemon() == 0
    assert re.sub(COUNTS, "", ours(steered)) == re.sub(COUNTS, "", before)
    steered.start_daemon(config)
    assert set(asking.result()) == {by_b}
    assert steered.ask("desk", "talk", id=opened["id"])["ok"]
    assert not steered.file(keeper.STATE / "handover").exists()
    assert steered.call("plan")["changes"] == []


COUNTS = r"packets \d+ bytes \d+"

FOREIGN_TABLE = """
table inet theirs {
	set s { type ipv4_addr; elements = { 192.0.2.200 }; }
	chain mark_them { type filter hook prerouting priority mangle; policy accept;
		ip daddr @s meta mark set 0x00000001
	}
	chain mark_bits { type filter hook prerouting priority mangle; policy accept;
		ip daddr 192.0.2.201 meta mark set 0x00050000
	}
	chain witness { type filter hook postrouting priority 200; policy accept;
		ip daddr 192.0.2.201 meta mark and 0x00ff0000 == 0x00050000 counter comment "bits"
	}
}
"""


def test_foreign_marks_tables_and_rules_are_as_before_after_start_reload_and_stop(steered: Lab) -> None:
    steered.stop_daemon()
    assert ours(steered) == ""
    steered.run("router", ["nft", "-f", "-"], input=FOREIGN_TABLE, check=True)
    for command in ("ip rule add fwmark 1 lookup 100 priority 100", "ip route add default via 198.51.100.1 table 100",
                    "ip rule add fwmark 0x50000/0xff0000 lookup 101 priority 101",
                    "ip route add default via 198.51.100.1 table 101"):  # fmt: skip
        steered.run("router", command.split(), check=True)
    before = foreign(steered)
    steered.start_daemon(LINES + rule("all", "any=1", "route=wan_a"))
    steered.wait_for(lambda: steered.call("status")["kernel"]["in_sync"], 30.0, "in force")
    assert foreign(steered) == before
    # An exact mark of somebody else still leads where its owner wants, in spite of our rule for everything.
    assert steered.udp("desk", "192.0.2.200", 31000)["seen"] == B4
    # Masked bits of somebody else are still there when the packet leaves.
    steered.udp("desk", "192.0.2.201", 31000, timeout=0.3)
    listing = steered.run("router", ["nft", "list", "chain", "inet", "theirs", "witness"]).stdout
    assert "packets 0" not in listing
    reload(steered, LINES + rule("all", "any=1", "route=wan_b"))
    assert foreign(steered) == before
    assert steered.stop_daemon() == 0
    assert (foreign(steered), ours(steered)) == (before, "")
    steered.run("router", ["nft", "delete", "table", "inet", "theirs"], check=True)
    for command in ("ip rule del priority 100", "ip rule del priority 101", "ip route flush table 100",
                    "ip route flush table 101"):  # fmt: skip
        steered.run("router", command.split(), check=True)
    steered.start_daemon(LINES)


def test_the_state_follows_the_primary_line_and_rules_that_wait_for_it_take_over(steered: Lab) -> None:
    config = AT_ONCE.replace("option default 'direct'", "option default 'direct'\n\toption primary 'wan_a'")
    config += rule("away", "+dest_port=31000", "+state=FAILOVER", "route=wan_b", priority=90)
    config += rule("usual", "+dest_port=31000", "route=wan_a")
    assert reload(steered, config)["state"] == "NORMAL"
    assert steered.tcp("desk", SERVER4, 31000)["seen"] == A4
    steered.link("a", "down")
    steered.wait_for(lambda: steered.call("status")["state"] == "FAILOVER", 30.0, "the state follows")
    steered.wait_for(lambda: steered.tcp("desk", SERVER4, 31000, timeout=0.3)["seen"] == B4, 30.0, "line B takes over")
    steered.link("a", "up")
    steered.wait_for(lambda: steered.tcp("desk", SERVER4, 31000, timeout=0.3)["seen"] == A4, 30.0, "back on line A")
    steered.wait_for(lambda: steered.call("status")["state"] == "NORMAL", 30.0, "the state follows back")


VANDAL = """
table inet vandal {
	chain after_us { type filter hook prerouting priority mangle + 5; policy accept;
		iifname "br-lan" udp dport 31005 ct mark set ct mark & 0xc9ffffff | 0x01000000
	}
}
"""


def test_a_mark_that_somebody_else_rewrites_is_a_counted_finding_and_explained(steered: Lab) -> None:
    reload(steered, LINES + rule("to_b", "+dest_port=31005", "route=wan_b"))
    before = steered.call("connections", {"limit": 1})["disagreements"]
    steered.run("router", ["nft", "-f", "-"], input=VANDAL, check=True)
    try:
        steered.udp("desk", SERVER4, 31005, src_port=9555)
        flow = f"udp 192.168.1.11:9555 {SERVER4}:31005"
        steered.wait_for(
            lambda: steered.call("connections", {"limit": 1})["disagreements"] == before + 1, 30.0, "found"
        )
        assert steered.call("status")["inspector"]["disagreements"] == before + 1
        found = steered.call("explain", {"flow": flow})
        assert (found["agrees"], found["decision"]["rule"], found["kernel"]["outbound"]) == (False, "to_b", "wan_a")
        assert found["judged"]["agrees"] is False and found["connection"]["by"] == "decided again"
        warnings = [entry["message"] for entry in steered.call("logs", {"level": "warning"})["entries"]]
        assert any("the kernel chose wan_a, the rules say wan_b" in text for text in warnings)
    finally:
        steered.run("router", ["nft", "delete", "table", "inet", "vandal"], check=True)


def test_a_connection_is_explained_and_the_last_hit_of_its_rule_is_known(steered: Lab) -> None:
    began = time.time()
    reload(steered, LINES + rule("explained", "+dest_port=31006", "+src_mac=02:00:00:00:01:11", "route=wan_b"))
    opened = steered.ask("desk", "open", address=SERVER6, port=31006)

    def its_id() -> int:
        lines = steered.call("connections", {"filter": f":{opened['local_port']} → {SERVER6}:31006"})["connections"]
        return lines[0]["id"] if lines else 0

    steered.wait_for(its_id, 30.0, "the connection is known")
    steered.wait_for(lambda: _rule(steered, "explained")["last_hit"] is not None, 30.0, "the hit is seen")
    assert began - 1 <= _rule(steered, "explained")["last_hit"] <= time.time() + 1
    found = steered.call("explain", {"flow": str(its_id())})
    assert (found["agrees"], found["facts"]["src_mac"], found["kernel"]["hits"]) == (True, "02:00:00:00:01:11", 1)
