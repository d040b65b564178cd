"""Documents of the guarded apply as a daemon gives them, for the tests of what the tool makes of them."""

from __future__ import annotations

from typing import Any

ID = "r12345678"
TOKEN = f"{ID}.00112233445566778899aabbccddeeff"
HASH = "0123456789abcdef" * 4
HOSTILE = "a\x1b[2Jb\n\x07\x9b31m"

LOCKED = {
    "kind": "administration", "what": "admin 192.168.1.5 -> 192.168.1.1 tcp/22", "before": "answered",
    "after": "refused", "wanted": "answered", "ok": False, "because": "refused (no_ssh: block reject)",
}  # fmt: skip
HELD = {
    "kind": "assertion", "what": "assert lan can wan tcp/443", "before": "forwarded via eth1",
    "after": "forwarded via eth1", "wanted": "forwarded via eth1", "ok": True, "because": "",
}  # fmt: skip
UNTOLD = {
    **HELD,
    "what": "assert guest cannot lan",
    "before": "",
    "after": "",
    "ok": None,
    "because": "nobody is there",
}

PLAN: dict[str, Any] = {
    "changes": [f"+ element {n}" for n in range(200)], "hash": HASH, "drift": [], "conflicts": [], "not_enforced": [],
    "rules": [{"kind": "rule", "name": "video", "change": "changed"}],
    "text": ["~ rule video: dest_port 443 → 8443", "+ rule no_mail (block reject, dest_port 25, priority 50)"],
    "risk": {"level": "medium", "window": 120, "reasons": [{"level": "medium", "text": "rule no_mail blocks mail"}]},
    "window": 120, "rehearsal": {"how": "packets", "why": "", "ok": True, "notes": [], "rows": [HELD]},
    "unchanged": False,
}  # fmt: skip

CHANGE: dict[str, Any] = {
    "id": ID, "state": "await", "who": "root by bus", "why": "mail", "cause": "apply", "error": None, "hint": None,
    "window": 120, "seconds_left": 118, "generation": 8, "plan": PLAN, "rehearsal": PLAN["rehearsal"], "probes": [],
    "notes": [], "token": TOKEN,
}  # fmt: skip

COMMITTED = {
    **CHANGE, "state": "committed", "seconds_left": None, "token": None,
    "notes": ["confirmed by root by bus: SSH from 192.168.1.5:40000 to 192.168.1.1:22, opened after the change"],
}  # fmt: skip
REVERTED = {
    **CHANGE, "state": "reverted", "seconds_left": None, "token": None, "error": "nobody confirmed it in time",
}  # fmt: skip
REFUSED = {
    **CHANGE, "state": "refused", "seconds_left": None, "token": None, "generation": None,
    "error": "the rehearsal shows: admin 192.168.1.5 -> 192.168.1.1 tcp/22: refused", "hint": "change the rules",
    "rehearsal": {**PLAN["rehearsal"], "ok": False, "rows": [HELD, LOCKED]},
}  # fmt: skip

BEGIN = {"number": 4, "time": 1700000000.5, "event": "begin", "id": ID, "cause": "apply", "who": "root by bus",
         "why": "mail", "generation": 8}  # fmt: skip
END = {**BEGIN, "number": 5, "event": "change", "outcome": "reverted", "reason": "nobody confirmed it in time"}
RECOVERED = {"number": 5, "time": 1700000009.5, "event": "recovered", "outcome": "reverted",
             "detail": f"{ID} the-daemon-died by-guard"}  # fmt: skip
HISTORY = {"entries": [END, BEGIN], "generations": [6, 7], "current": 7}

GENERATION: dict[str, Any] = {
    "number": 7, "parent": 6, "healthy": True, "meta": {"cause": "apply", "who": "root by bus", "why": "mail"},
    "files": [
        {"path": "/etc/config/netpolicy", "text": "config netpolicy 'main'\n\toption enabled '1'\n", "sha256": "ab"},
        {"path": "/etc/netpolicy/long.txt", "text": None, "sha256": "cd"},
    ],
}  # fmt: skip

DRIFT: dict[str, Any] = {
    "mode": "heal", "is_there": True, "count": 3, "heals_again_in": 412,
    "last": {"seconds_ago": 7, "treatment": "paused", "changes": ["+ chain forward_np", "+ ip rule 7001"]},
}  # fmt: skip

CHANGE_REPLIES: dict[str, Any] = {
    "plan": PLAN,
    "apply": {"job": ID},
    "rollback": {"job": ID, "not_kept": []},
    "job": CHANGE,
    "confirm": COMMITTED,
    "extend": {**CHANGE, "seconds_left": 300},
    "abort": {**REVERTED, "error": "aborted by root by bus"},
    "history": HISTORY,
    "verify": {"fine": True, "lines": 5, "number": 5, "hash": "ef" * 32, "line": 0, "why": ""},
    "show": GENERATION,
    "diff": {"from": 6, "to": 7, "changes": [{"kind": "rule"}], "text": ["- rule old (route wan)"]},
    "drift": DRIFT,
    "heal": {"ok": True, "error": None},
}
