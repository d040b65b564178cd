"""Documents as the daemon's bus object gives them, for the parts of the lab that only show them."""

from __future__ import annotations

from typing import Any

from netpolicy.lab import watch
from netpolicy.lab.watch import Answers


def outbound(name: str, device: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "interface",
        "up": True,
        "reason": "has a way out",
        "device": device,
        "latency_ms": None,
    }


DOCUMENTS: dict[str, dict[str, Any]] = {
    "status": {
        "version": "0",
        "mode": "enforce",
        "enabled": True,
        "state": "NORMAL",
        "outbounds": [outbound("wan_a", "wana"), outbound("wan_b", "wanb")],
        "rules": {"total": 2, "active": 1, "skipped": []},
        "config": {"file": "x", "error": None},
        "kernel": {"in_sync": True, "generation": 3},
    },
    "rules": {
        "rules": [
            {
                "name": "video",
                "enabled": True,
                "active": True,
                "match": "dest_addr=192.0.2.20",
                "action": "route wan_b",
                "hits": 12,
                "bytes": 1234567,
            },
            {
                "name": "guest_no_mail",
                "enabled": True,
                "active": False,
                "match": "dest_port=25",
                "action": "block reject",
                "hits": 0,
                "bytes": 0,
            },
        ]
    },
    "connections": {
        "total": 1,
        "connections": [
            {
                "protocol": "tcp",
                "src": "192.168.1.11",
                "src_port": 40001,
                "dest": "192.0.2.20",
                "dest_port": 443,
                "rule": "video",
                "outbound": "wan_b",
            },
        ],
    },
    "logs": {"entries": [{"level": "info", "message": "generation 3"}]},
    "decide": {"rule": "guest_no_mail", "outbound": "block"},
    "reload": {"ok": True, "error": None},
}

REPORTS: dict[tuple[str, int], dict[str, Any]] = {
    ("desk", 1): {"ok": True, "error": None, "seen": "198.51.100.2", "local_port": 40001, "ms": 26.4},
    ("guest", 1): {"ok": False, "error": "refused", "seen": None, "local_port": 50000, "ms": 0.2},
}


def call(method: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return DOCUMENTS[method]


def silent(method: str, arguments: dict[str, Any]) -> dict[str, Any]:
    raise watch.Unanswered("nobody there")


def answers(unexplained: Any = ()) -> Answers:
    return watch.look(call, Answers(), unexplained)
