"""Beside a firewall with zones, a blocker of addresses and a shaper, whoever was first: ours works, theirs stays.

The programs of others are played by what they put in the kernel: a table with a policy of drop that is flushed and
loaded again, sets with timeouts and intervals whose table is deleted and made anew, HTB with an ifb. One lab.
"""

from __future__ import annotations

import re
import time

import pytest

from netpolicy.lab.bench import Lab
from tests.kernel.steering import A4, B4, B6, LINES, SERVER4, SERVER6, foreign, reload, rule
from tests.netns import needs_root

pytestmark = [pytest.mark.kernel, needs_root]

BANNED = "192.0.2.66"
PATIENT = 20.0  # seconds for an answer that must come
FIREWALL = """
table inet walls
flush table inet walls
table inet walls {
	chain input { type filter hook input priority filter; policy drop;
		iif "lo" accept
		ct state vmap { established : accept, related : accept }
		iifname { "br-lan", "br-guest" } accept
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
		icmp type echo-request accept
	}
	chain forward { type filter hook forward priority filter; policy drop;
		ct state vmap { established : accept, related : accept }
		iifname "br-lan" jump to_wan
		meta l4proto tcp reject with tcp reset
	}
	chain to_wan {
		meta nfproto ipv4 oifname { "wana", "wanb" } ct state invalid counter drop
		oifname { "wana", "wanb" } counter accept comment "zone wan"
	}
	chain srcnat { type nat hook postrouting priority srcnat; policy accept;
		oifname { "wana", "wanb" } meta nfproto ipv4 masquerade
	}
	chain mangle_forward { type filter hook forward priority mangle; policy accept;
		iifname { "wana", "wanb" } tcp flags syn / syn,fin,rst tcp option maxseg size set rt mtu
	}
}
"""
# Its set, its named counters and limits, and a mark that takes the whole word for what comes in.
BLOCKER = f"""
table inet bans {{
	counter flood {{ }}
	limit told {{ rate 10/second burst 5 packets }}
	set listed {{ type ipv4_addr; flags interval,timeout; auto-merge; counter
		elements = {{ {BANNED}, 10.9.0.0/16 timeout 1h, 192.0.2.64-192.0.2.67 timeout 30m }}
	}}
	chain pre {{ type filter hook prerouting priority -175; policy accept;
		iifname != {{ "wana", "wanb" }} counter accept
		ct state invalid counter name flood drop
		meta l4proto udp ct state new limit rate over 100/second counter name flood drop
	}}
	chain from_wan {{ type filter hook forward priority -100; policy accept;
		iifname != {{ "wana", "wanb" }} counter accept
		ct state established,related counter accept
		meta mark set 0x2 ip saddr @listed counter drop
	}}
	chain from_lan {{ type filter hook forward priority -100; policy accept;
		oifname != {{ "wana", "wanb" }} counter accept
		ct state established,related counter accept
		ip daddr @listed counter reject with icmpx host-unreachable
	}}
}}
"""
LIMITED = """
config throttle 'slow'
	option down '8mbit'
	option up '2mbit'
"""
CONFIG = LINES + LIMITED + rule("held", "+dest_port=31000", "route=wan_b", "throttle=slow")
CONFIG += rule("there", "+dest_port=31001-31003", "route=wan_b")

SHAPER = (
    "qdisc add dev wanb root handle 1: htb default 10",
    "class add dev wanb parent 1: classid 1:1 htb rate 20mbit ceil 20mbit",
    "class add dev wanb parent 1:1 classid 1:10 htb rate 20mbit ceil 20mbit",
    "qdisc add dev wanb parent 1:10 handle 110: bfifo limit 1500000",
    "qdisc add dev wanb handle ffff: ingress",
    "qdisc add dev ifb4wanb root handle 1: htb default 10",
    "class add dev ifb4wanb parent 1: classid 1:10 htb rate 30mbit ceil 30mbit",
    "filter add dev wanb parent ffff: protocol all prio 10 u32 match u32 0 0"
    " action mirred egress redirect dev ifb4wanb",
)

# Starts of programs of a slow router lie between a shaper's deletion and its addition; we take a tenth of it.
BETWEEN = 0.7


def tc(lab: Lab, words: str) -> str:
    return lab.run("router", ["tc", *words.split()]).stdout


def start_shaper(lab: Lab, between: float = 0.0) -> None:
    """As its script does: away with what is there, then its own, which must find the place free."""
    lab.run("router", ["ip", "link", "add", "ifb4wanb", "address", "02:00:00:00:09:01", "type", "ifb"])
    lab.run("router", ["tc", "qdisc", "del", "dev", "wanb", "root"], check=False)
    time.sleep(between)
    for words in SHAPER:
        tc(lab, words)
    lab.run("router", ["ip", "link", "set", "ifb4wanb", "up"])
    local = ["ip", "-6", "route", "show", "table", "local", "dev", "ifb4wanb"]  # a worker of the kernel makes it
    lab.wait_for(lambda: "local fe80:" in lab.run("router", local).stdout, 30, "the device has its address")


def stop_shaper(lab: Lab) -> None:
    tc(lab, "qdisc del dev wanb ingress")
    tc(lab, "qdisc del dev wanb root")
    lab.run("router", ["ip", "link", "del", "ifb4wanb"])


def load(lab: Lab, text: str) -> None:
    lab.run("router", ["nft", "-f", "-"], input=text)


def restart_blocker(lab: Lab) -> None:
    lab.run("router", ["nft", "delete", "table", "inet", "bans"])
    load(lab, BLOCKER)


def queues(lab: Lab) -> list[str]:
    """Everybody's but ours, and but the kernel's own."""
    every = tc(lab, "qdisc show")
    for device in ("wanb", "ifb4wanb") if "ifb4wanb" in every else ():
        every += tc(lab, f"class show dev {device}") + tc(lab, f"filter show dev {device} parent ffff:")
    return sorted(line for line in every.splitlines() if "4e50:" not in line and " 0: " not in line)


def others(lab: Lab) -> tuple[str, list[str]]:
    return re.sub(r"used \d+", "", foreign(lab)), queues(lab)


def held_on_wanb(lab: Lab) -> tuple[str, str]:
    (slow,) = lab.call("rules")["throttles"]
    (way,) = [one for ways in slow["directions"] for one in ways["devices"] if one["device"] == "wanb"]
    return way["how"], way["why"]


def assert_decided(lab: Lab) -> None:
    """Our rules lead, the blocker blocks, the firewall refuses, whoever was asked last."""
    seen = [lab.tcp("desk", SERVER4, port, timeout=PATIENT)["seen"] for port in (31000, 31001, 31009)]
    assert seen == [B4, B4, A4] and lab.tcp("desk", SERVER6, 31001, timeout=PATIENT)["seen"] == B6
    assert not lab.tcp("desk", BANNED, 31001)["ok"] and not lab.tcp("guest", SERVER4, 31001)["ok"]


def test_they_are_there_first_and_stay_to_the_letter_through_our_whole_life(lab: Lab) -> None:
    load(lab, FIREWALL)
    load(lab, BLOCKER)
    start_shaper(lab)
    before = others(lab)
    assert any("mirred" in line for line in before[1])
    lab.start_daemon(CONFIG)
    try:
        assert others(lab) == before
        assert_decided(lab)
        assert held_on_wanb(lab) == ("policed", "wanb has a queue of somebody else: htb")
        assert [one["code"] for one in lab.call("status")["warnings"]] == ["NP909"]
        reload(lab, CONFIG.replace("2mbit", "3mbit"))
        assert others(lab) == before
        revision = lab.call("status")["kernel"]["revision"]
        load(lab, FIREWALL)
        restart_blocker(lab)
        assert_decided(lab)
        reload(lab, CONFIG)
        assert others(lab) == before and lab.call("status")["kernel"]["revision"] == revision + 1
    finally:
        assert lab.stop_daemon() == 0
    assert others(lab) == before
    stop_shaper(lab)
    load(lab, "delete table inet walls\ndelete table inet bans\n")


def test_they_come_and_go_while_we_are_there(lab: Lab) -> None:
    nothing = others(lab)
    load(lab, FIREWALL)
    load(lab, BLOCKER)
    start_shaper(lab)
    alone = others(lab)
    stop_shaper(lab)
    load(lab, "delete table inet walls\ndelete table inet bans\n")
    assert others(lab) == nothing
    lab.start_daemon(CONFIG)
    try:
        assert held_on_wanb(lab) == ("shaped", "")
        load(lab, FIREWALL)
        load(lab, BLOCKER)
        start_shaper(lab, BETWEEN)
        assert others(lab) == alone
        lab.wait_for(lambda: held_on_wanb(lab)[0] == "policed", 30, "the limit is held without a queue")
        assert_decided(lab)
        stop_shaper(lab)
        start_shaper(lab, BETWEEN)  # a restart: nor do we fill the place of somebody else's at once
        assert others(lab) == alone
        stop_shaper(lab)
        load(lab, "delete table inet walls\ndelete table inet bans\n")
        lab.wait_for(lambda: held_on_wanb(lab)[0] == "shaped", 30, "the queue is back")
        assert lab.call("status")["warnings"] == []
    finally:
        assert lab.stop_daemon() == 0
    assert others(lab) == nothing
    log = lab.daemon_log()
    assert "Traceback" not in log and "others changed what is ours" not in log
