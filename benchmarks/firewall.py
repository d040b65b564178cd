"""What a router has without any policy: the yardstick for what NetPolicy adds to it.

Two kinds, as nft text: one rule that looks at the connection, and a table with the chains, hooks and
source translation that the firewall of a home router has. Written by the benchmark itself. Never
decides a way. The hooks are those of OpenWrt's fw4 (`fw4 print` of a default configuration).
"""

CONNTRACK_ONLY = """
table inet firewall {
	chain pre { type filter hook prerouting priority mangle + 1; policy accept; ct state established,related accept
	}
}
"""

# What any routing by marks needs beside conntrack, before a rule asks anything: NetPolicy's own ip rules.
ROUTING = """
route add default via 192.0.2.1 dev wana table 7001
route add default via 198.51.100.1 dev wanb table 7002
rule add priority 7000 oif wana lookup 7001
rule add priority 7000 oif wanb lookup 7002
rule add priority 7001 fwmark 0x01000000/0x37000000 lookup 7001
rule add priority 7002 fwmark 0x02000000/0x37000000 lookup 7002
"""

FIREWALL = """table inet fw4 {
	chain input { type filter hook input priority filter; policy drop;
		iifname "lo" accept
		ct state vmap { established : accept, related : accept }
		tcp flags & (fin | syn | rst | ack) == syn jump flood
		iifname "lan" jump input_lan
		iifname { "wana", "wanb" } jump input_wan
		jump refuse
	}
	chain forward { type filter hook forward priority filter; policy drop;
		ct state vmap { established : accept, related : accept }
		iifname "lan" jump forward_lan
		iifname { "wana", "wanb" } jump forward_wan
		jump refuse
	}
	chain output { type filter hook output priority filter; policy accept;
		oifname "lo" accept
		ct state vmap { established : accept, related : accept }
	}
	chain prerouting { type filter hook prerouting priority filter; policy accept;
		iifname "lan" jump helper_lan
	}
	chain flood { limit rate 25/second burst 50 packets return
		drop
	}
	chain refuse { meta l4proto tcp reject with tcp reset
		reject with icmpx port-unreachable
	}
	chain input_lan { accept
	}
	chain input_wan { ct status dnat accept
		jump refuse
	}
	chain forward_lan { oifname { "wana", "wanb" } accept
		oifname "lan" accept
	}
	chain forward_wan { ct status dnat accept
		jump refuse
	}
	chain helper_lan {
	}
	chain dstnat { type nat hook prerouting priority dstnat; policy accept;
	}
	chain srcnat { type nat hook postrouting priority srcnat; policy accept;
		oifname { "wana", "wanb" } jump srcnat_wan
	}
	chain srcnat_wan { meta nfproto ipv4 masquerade
	}
	chain raw_prerouting { type filter hook prerouting priority raw; policy accept;
	}
	chain raw_output { type filter hook output priority raw; policy accept;
	}
	chain mangle_prerouting { type filter hook prerouting priority mangle; policy accept;
	}
	chain mangle_postrouting { type filter hook postrouting priority mangle; policy accept;
		oifname { "wana", "wanb" } tcp flags & (fin | syn | rst) == syn tcp option maxseg size set rt mtu
	}
	chain mangle_input { type filter hook input priority mangle; policy accept;
	}
	chain mangle_output { type route hook output priority mangle; policy accept;
	}
	chain mangle_forward { type filter hook forward priority mangle; policy accept;
		iifname { "wana", "wanb" } tcp flags & (fin | syn | rst) == syn tcp option maxseg size set rt mtu
	}
}
"""
