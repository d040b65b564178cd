"""In the machine: open connections bypass the bridge by a flowtable, as fw4 has it; does the inspector follow?"""

from __future__ import annotations

import time
from typing import Any

import talk
from daemon import Daemon, line_of
from neighbours import name_seen
from street import nft, read, run, write

FLOWTABLE = """
table inet fw4 {
	flowtable ft {
		hook ingress priority 0
		devices = { lan, wana }
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
		meta l4proto { tcp, udp } ct state established flow add @ft
	}
}
"""
SEGMENTS = 200


def packets(device: str) -> int:
    """That the device received."""
    return int(read(f"/sys/class/net/{device}/statistics/rx_packets"))


def offload() -> dict[str, Any]:
    """The daemon sees the flowtable by an offloaded connection, and goes to the ports of the bridge."""
    daemon = Daemon()
    found: dict[str, Any] = {"at_first": daemon.start()["devices"]}
    nft(FLOWTABLE)
    with talk.connect(talk.WEB, talk.SINK) as line:
        talk.send(line, 10)
        status = daemon.until(lambda one: any(each["name"] == "lan" for each in one["devices"]))
    found["then"], found["not_watched"] = status["devices"], status["not_watched"]
    found["name"] = name_seen()
    found |= one_connection(daemon)
    daemon.stop()
    # As fw4 is told to, from the start.
    write("/etc/config/firewall", "config defaults\n\toption flow_offloading '1'\n")
    found["told"] = daemon.start("lan")["devices"]
    found["name_told"] = name_seen()
    daemon.stop()
    run("nft delete table inet fw4")
    run("rm /etc/config/firewall")
    return found


def one_connection(daemon: Daemon) -> dict[str, Any]:
    """What passes where, while one long connection goes on."""
    with talk.connect(talk.WEB, talk.SINK) as line:
        talk.send(line, 10)
        port = talk.port_of(line)
        flagged = run("conntrack -L -p tcp --orig-port-src " + str(port), check=False)
        before = daemon.until(lambda _: True)["counters"]["packets"], packets("br-lan"), packets("lan")
        talk.send(line, SEGMENTS)
        time.sleep(8)  # a sweep, and the events
        after = daemon.until(lambda _: True)["counters"]["packets"], packets("br-lan"), packets("lan")
        told = line_of(port, lambda one: one["rtt_ms"] is not None)
    names = ("seen", "bridge", "port")
    return {
        "segments": SEGMENTS, "conntrack": flagged, "line": told,
        **{name: now - then for name, now, then in zip(names, after, before, strict=True)},
    }  # fmt: skip
