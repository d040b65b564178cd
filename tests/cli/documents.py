"""Replies as a daemon gives them, for the tests of what the tool makes of them."""

from __future__ import annotations

from typing import Any

WAN = {
    "name": "wan", "type": "interface", "up": True, "reason": "carrier and a default route", "device": "eth1",
    "gateway": "192.0.2.1", "gateway6": "", "class": 1, "table": 7001,
}  # fmt: skip
TUNNEL = {
    "name": "tunnel_with_a_rather_long_name", "type": "interface", "up": False,
    "reason": "the interface wg0 does not exist, or netifd has not brought it up yet", "device": "wg0",
    "gateway": "", "gateway6": "2001:db8:1234:5678:9abc:def0:1234:5678", "class": 2, "table": 7002,
}  # fmt: skip

STATUS: dict[str, Any] = {
    "version": "0.1.0", "mode": "enforce", "enabled": True, "state": "NORMAL",
    "outbounds": [WAN, TUNNEL],
    "rules": {"total": 3, "active": 2, "skipped": [{"name": "typo", "error": "unknown protocol 'tpc'"}]},
    "pending": None, "confirmed": 2,
    "inspector": {"tier": "conntrack", "reason": "no eBPF on this kernel"},
    "warnings": [{"code": "NP206", "message": "the rule can never match: src_addr leaves nothing, " * 2,
                  "hint": "remove it"}],
    "config": {"file": "/etc/config/netpolicy", "error": None},
    "kernel": {"in_sync": True, "revision": 4, "error": None},
}  # fmt: skip

RULE = {
    "name": "office", "title": "office", "priority": 100, "enabled": True, "active": True,
    "match": "src_addr=192.168.1.0/24 dest_port=443,8443,9443 proto=tcp", "action": "route wan", "outbound": "wan",
    "hits": 12345, "bytes": 123456789, "enforced": "kernel", "log": True,
    "last_hit": 1_700_000_000, "in_force_since": 1_600_000_000, "unused": False,
}  # fmt: skip
SNI_RULE = {
    **RULE, "name": "calls", "match": "sni=*.zoom.us", "enforced": "not in the kernel: sni is not seen at first",
    "active": False, "hits": 0, "bytes": 0, "log": False, "last_hit": None, "in_force_since": None,
}  # fmt: skip
OFF_RULE = {**RULE, "name": "old", "enabled": False, "active": False, "enforced": "switched off"}

UNUSED_RULE = {**RULE, "name": "fax", "hits": 0, "bytes": 0, "last_hit": None, "unused": True}

CONNECTION = {
    "id": 7, "family": 4, "protocol": "tcp", "src": "192.168.1.7", "src_port": 50000, "dest": "198.51.100.4",
    "dest_port": 443, "rule": "office", "outbound": "wan", "class": 1, "agrees": True,
    "by": "decided again", "bytes": 2048, "packets": 9,
    "state": "ESTABLISHED",
}  # fmt: skip
STRAY = {
    **CONNECTION, "id": 8, "family": 6, "protocol": "udp", "src": "2001:db8:1234:5678:9abc:def0:1234:5678",
    "dest": "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "rule": None, "outbound": "direct", "agrees": False,
}  # fmt: skip
CONNECTIONS = {"total": 40, "disagreements": 1, "connections": [CONNECTION, STRAY]}

DECISION = {
    "rule": "office", "action": "route wan", "log": True, "outbound": "wan", "state": "NORMAL",
    "confidence": "certain", "why": ["mail: dest_port is 443, the rule wants 25", "office: matches"],
}  # fmt: skip

EXPLANATION: dict[str, Any] = {
    "connection": CONNECTION, "matches": 3,
    "facts": {"src_iface": "br-lan", "src_addr": "192.168.1.7", "dest_port": "443", "proto": "tcp"}, "hidden": ["dscp"],
    "decision": {**DECISION, "runners_up": [
        {"rule": "rest", "priority": 1, "failed": None, "reason": "matches too; its priority 1 is lower than 100"},
        {"rule": "mail", "priority": 1, "failed": "dest_port", "reason": "dest_port is 443, the rule wants 25"},
    ]},
    "kernel": {"class": 1, "outbound": "wan", "mark": "0x41000000", "classified": True, "offloaded": False,
               "rule": "office", "hits": 12345, "bytes": 123456},
    "agrees": True, "verdict": "the kernel did what the rules say", "reason": "",
    "judged": {"time": 1700000000.5, "age": 12.5, "rule": "office", "agrees": True},
}  # fmt: skip

ENTRY = {"id": 3, "time": 1700000000.5, "level": "warning", "kind": "state", "message": "wan: NORMAL to DEGRADED"}

REPLIES: dict[str, Any] = {
    "status": STATUS,
    "rules": {"rules": [RULE, SNI_RULE, OFF_RULE]},
    "outbounds": {"outbounds": [WAN, TUNNEL]},
    "outbound_set": {"ok": True, "error": None, "name": "wan", "state": "down"},
    "connections": CONNECTIONS,
    "explain": EXPLANATION,
    "decide": DECISION,
    "plan": {"changes": [], "hash": "abc"},
    "reload": {"ok": True, "error": None},
    "logs": {"entries": [ENTRY]},
}
