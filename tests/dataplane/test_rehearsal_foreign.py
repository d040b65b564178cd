"""Tables of others, as nft lists them, load again; what cannot is left out and said."""

from __future__ import annotations

import pytest

from netpolicy.dataplane.rehearsal_foreign import by_index, loadable
from tests.netns import needs_root, private_netns, run

# Much of what firewall4 and others write, in their words.
FIREWALL = """
table inet fw4 {
	set doh { type ipv4_addr; flags interval,timeout; elements = { 9.9.9.9 timeout 1d, 1.1.1.0/24 timeout 1d }; }
	set many { type inet_service; elements = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19 }; }
	map to { type inet_service : ipv4_addr; elements = { 80 : 192.168.1.5 }; }
	counter spent { packets 7 bytes 9; }
	chain input {
		type filter hook input priority filter; policy drop;
		iif "lo" accept comment "!fw4: a { in words, queue to nobody"
		ct state vmap { established : accept, related : accept }
		tcp dport { 22, 80, 443 } ip saddr != @doh limit rate 25/second burst 50 packets counter name "spent" accept
		meta hour "08:00"-"17:00" accept
		jump handle_reject
	}
	chain handle_reject {
		meta l4proto tcp reject with tcp reset
		reject with icmpx port-unreachable
	}
	chain dstnat { type nat hook prerouting priority dstnat; policy accept;
		dnat ip to tcp dport map @to
	}
}
"""


@pytest.mark.kernel
@needs_root
def test_what_nft_lists_of_a_firewall_loads_into_an_empty_kernel_and_is_listed_the_same():
    with private_netns():
        run("nft", "-f", "-", text=FIREWALL)
        listing = run("nft", "list", "table", "inet", "fw4")
    text, notes = loadable(listing)
    assert notes == []
    with private_netns():
        run("nft", "-f", "-", text=text)
        again = run("nft", "list", "table", "inet", "fw4")
    assert [line.split("expires")[0] for line in again.splitlines()] == [
        line.split("expires")[0] for line in listing.splitlines()
    ]


LEFT_OUT = """table ip filter {
	flowtable ft {
		hook ingress priority filter
		devices = { eth0, eth1 }
	}

	chain early {
		type filter hook ingress device "eth0" priority filter; policy accept;
		drop
	}

	chain FORWARD {
		type filter hook forward priority filter; policy drop;
		meta l4proto { tcp, udp } flow add @ft
		xt match "ipvs" drop
		ip saddr 10.0.0.1 # xt_u32 counter packets 0 bytes 0 drop
		tcp dport 443 queue flags bypass to 200-203
		tcp dport 80 accept comment "queue to xt match"
	}
}
"""


LEFT = """table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
		tcp dport 80 accept comment "queue to xt match"
	}
}
"""


def test_what_cannot_be_loaded_back_is_left_out_and_said():
    text, notes = loadable("# Warning: table ip filter is managed by iptables-nft, do not touch!\n" + LEFT_OUT)
    assert text.split() == LEFT.split()
    assert notes == [
        "table ip filter: flow offloading is left out",
        "table ip filter: chain early is left out, it hangs on a device",
        "table ip filter: a rule of chain FORWARD is left out, it is flow offloading",
        "table ip filter: a rule of chain FORWARD is left out, it is a match of iptables that nft cannot say",
        "table ip filter: a rule of chain FORWARD is left out, it is a match of iptables that nft cannot say",
        "table ip filter: a rule of chain FORWARD is left out, it is a queue to a program",
    ]


def test_a_table_that_is_its_owners_alone_becomes_anybodys():
    text, _ = loadable("table inet x { # progname firewalld\n\tflags owner\n\tchain a {\n\t}\n}\n")
    assert "owner" not in text and "chain a" in text
    text, _ = loadable("table inet x {\n\tflags dormant,owner\n\tchain a {\n\t}\n}\n")
    assert "flags dormant" in text and "owner" not in text


@pytest.mark.parametrize("family", ["bridge", "netdev", "arp"])
def test_families_that_see_no_routed_packet_are_left_out(family):
    assert loadable(f"table {family} x {{\n\tchain a {{\n\t}}\n}}\n") == ("", [])


def test_nothing_and_half_a_table_are_no_mistake():
    assert loadable("") == ("", [])
    assert loadable("table inet x {\n")[1] == []


def test_devices_that_rules_name_by_number_are_told():
    assert by_index('iif "lo" accept\niifname "a" oif != { "b", "c" } drop') == {"lo", "b", "c"}
