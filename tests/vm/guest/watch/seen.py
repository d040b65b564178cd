"""In the machine: are real connections named and measured, and is nothing left in the kernel afterwards?"""

from __future__ import annotations

from typing import Any

import talk
from daemon import LOG, Daemon, call, filters, line_of, loaded, machine_code, settled, spoilt
from street import read, run

from netpolicy.flows.ebpf.inspector import Inspector, Switches
from netpolicy.flows.seen import HELLO, STREAM, Payload
from netpolicy.flows.tls_hello import from_told

HELLOS = {
    "tls13": (talk.WEB, "www.example.net", "TLSv1_3", 0),
    "tls12": (talk.WEB, "news.example.net", "TLSv1_2", 0),
    "ipv6": ("2001:db8:1::10", "mail.example.org", "", 0),
    "split": (talk.WEB, "a-name-in-pieces.example.org", "", 200),
}


def seen() -> dict[str, Any]:
    """Names by TLS and by DNS, round trips, counters."""
    daemon = Daemon()
    status = daemon.start()
    lines, known = named()
    after, rules = daemon.until(lambda _: True), call("status")["kernel"]
    daemon.stop()
    found = {"status": status, "rules": rules, "lines": lines, "known": known, "counters": after["counters"]}
    return {**found, "spoilt": spoilt(), "log": read(LOG)[-2000:]}


def named() -> tuple[dict[str, Any], dict[str, Any]]:
    """Connections of all kinds: the lines of the daemon, and what the client knows."""
    addresses = talk.look_up("video.example.net")
    known: dict[str, Any] = {"dns": {"addresses": addresses}}
    open_now = []
    for kind, (address, name, version, size) in HELLOS.items():
        line, known[kind] = talk.shake_hands(address, name, version, size)
        known[kind]["name"] = name
        open_now.append(line)
    plain = talk.connect(addresses[0], talk.SINK)
    talk.send(plain, 3)
    known["dns"]["port"], known["dns"]["name"] = talk.port_of(plain), "video.example.net"
    lines = {kind: line_of(what["port"]) for kind, what in known.items()}
    for line in (*open_now, plain):
        line.close()
    return lines, known


def taken_apart() -> dict[str, Any]:
    """What the programs hand out of each hello, and whether it is the name: the reader alone, without a daemon."""
    handed: list[Payload] = []
    inspector = Inspector(handed.append, lambda _: None, Switches(tls=True))
    found: dict[str, Any] = {"way": inspector.attach("br-lan"), "kinds": {}, "names": {}}
    for kind, (address, name, version, size) in HELLOS.items():
        line, _ = talk.shake_hands(address, name, version, size)
        line.close()
        inspector.drain()
        hellos = [one for one in handed if one.kind in (STREAM, HELLO)]
        found["kinds"][kind] = [one.kind for one in hellos]
        found["names"][kind] = [from_told(one.data).name for one in hellos if one.kind == HELLO]
        handed.clear()
    settled()  # programs of before are gone, and those that only asked what the kernel knows
    found["counters"], found["machine_code"] = inspector.counters(), machine_code()
    inspector.close()
    return found


def ended() -> dict[str, Any]:
    """What is in the kernel before, while and after the daemon runs, and after it was killed."""
    daemon, found = Daemon(), {"before": settled()}
    found["way"] = daemon.start()["devices"]
    found["running"], found["running_filters"] = loaded(), filters()
    found["status"] = daemon.stop()
    found["stopped_qdiscs"] = run("tc qdisc show dev br-lan ingress")
    found["stopped"], found["stopped_filters"] = settled(), filters()
    daemon.start()
    daemon.kill()
    found["killed"], found["killed_filters"] = settled(), filters()
    found["way_again"] = daemon.start()["devices"]
    found["again"], found["again_filters"] = settled(), filters()
    lines, _ = named()
    found["name_again"] = lines["tls13"].get("name")
    daemon.stop()
    found["end_qdiscs"] = run("tc qdisc show dev br-lan ingress")
    found["end"], found["end_filters"], found["spoilt"] = settled(), filters(), spoilt()
    return found
