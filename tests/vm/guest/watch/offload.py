"""In the machine: open connections bypass the bridge by a flowtable, as fw4 has it; does the inspector follow?"""

from __future__ import annotations

import time
from typing import Any

import talk
from daemon import CONFIG, TEXT, Daemon, call, line_of
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
STOP = f"""
config rule 'stop'
	option priority '90'
	list proto 'tcp'
	list dest_addr '{talk.DNS}'
	option block 'reject'
"""


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


def offload_cut() -> dict[str, Any]:
    """Of two offloaded connections a rule stops one."""
    daemon = Daemon()
    daemon.start()
    nft(FLOWTABLE)
    with talk.connect(talk.DNS, talk.SINK) as stopped, talk.connect(talk.WEB, talk.SINK) as kept:
        ports = {"stopped": talk.port_of(stopped), "kept": talk.port_of(kept)}
        for line in (stopped, kept):
            talk.send(line, 10)
        found: dict[str, Any] = {"before": {name: entry(port) for name, port in ports.items()}}
        write(CONFIG, TEXT + STOP)
        call("reload")
        until = time.monotonic() + 60
        while entry(ports["stopped"]) and time.monotonic() < until:
            time.sleep(0.1)
        try:
            talk.send(kept, 10)
            found["kept"] = "goes on"
            stopped.settimeout(10)
            stopped.sendall(b"?")
            found["stopped"] = "ended" if stopped.recv(1) == b"" else "answered"
        except OSError as error:
            found["stopped"] = type(error).__name__
        found["after"] = {name: entry(port) for name, port in ports.items()}
    daemon.stop()
    run("nft delete table inet fw4")
    return found


def entry(port: int) -> str:
    """The line of conntrack of the connection from that port; "" without one."""
    told = run(f"conntrack -L -p tcp --orig-port-src {port}", check=False).splitlines()
    return "".join([line for line in told if line.startswith("tcp")])
