"""In the machine: limits of speed with fq_codel below their classes, and beside a flowtable as fw4 has it."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import talk
from daemon import TEXT, Daemon, call, spoilt
from neighbours import rates
from offload import FLOWTABLE
from street import nft, read, run, write

UP_MBIT, DOWN_MBIT = 4, 8
LIMITED = f"""{TEXT}
config throttle 'slow'
	option up '{UP_MBIT}mbit'
	option down '{DOWN_MBIT}mbit'
config rule 'held'
	list proto 'tcp'
	list dest_port '{talk.SINK}'
	list dest_port '{talk.SOURCE}'
	option route 'wan_a'
	option throttle 'slow'
"""
BESIDE = 30  # questions
MUCH = 4_000_000


def queues(device: str) -> list[str]:
    """What is there: kind, handle and place, without numbers of chance."""
    found = json.loads(run(f"tc -j qdisc show dev {device}"))
    return [f"{one['kind']} {one.get('parent', 'root')}" for one in found]


def waited() -> float:
    """Milliseconds that one of a few small packets waits for its answer, beside a download in the same limit."""
    loading = threading.Thread(target=talk.fetch, args=(MUCH,))
    loading.start()
    times = []
    with talk.connect(talk.WEB, talk.SINK) as line:
        time.sleep(1)
        for _ in range(BESIDE):
            begun = time.monotonic()
            talk.send(line, 1)
            times.append(time.monotonic() - begun)
    still = loading.is_alive()
    loading.join()
    if not still:
        raise RuntimeError("the download was over before the questions were")
    return sorted(times)[BESIDE // 2] * 1000


def limits() -> dict[str, Any]:
    """As fast as written both ways, fair below the class, and gone again."""
    found: dict[str, Any] = {"up": UP_MBIT, "down": DOWN_MBIT, "free": rates()}
    before = queues("wana"), queues("br-lan")
    daemon = Daemon()
    daemon.start(text=LIMITED)
    (slow,) = call("rules")["throttles"]
    found["ways"] = [[one["device"], one["how"]] for ways in slow["directions"] for one in ways["devices"]]
    found["queues"] = {"wana": queues("wana"), "br-lan": queues("br-lan")}
    found["rates"], found["waited_ms"] = rates(), waited()
    found["counted"] = {one["direction"]: one["bytes"] for one in call("rules")["throttles"][0]["directions"]}
    daemon.stop()
    return {**found, "is_as_before": before == (queues("wana"), queues("br-lan")), "spoilt": spoilt()}


def limits_offload() -> dict[str, Any]:
    """What the firewall offloads passes by the limit; without that it is held again."""
    write("/etc/config/firewall", "config defaults\n\toption flow_offloading '1'\n")
    nft(FLOWTABLE)
    daemon = Daemon()
    daemon.start("lan", text=LIMITED)
    found: dict[str, Any] = {"up": UP_MBIT, "down": DOWN_MBIT, "rates": rates()}
    found["warnings"] = [one["code"] for one in call("status")["warnings"]]
    run("nft delete table inet fw4")
    run("rm /etc/config/firewall")
    found["held"] = rates()
    daemon.stop()
    return found


def limits_cake() -> dict[str, Any]:
    """SQM's cake on the line out stays, and the limit holds; what a leaf of each kind takes of memory."""
    run("tc qdisc add dev wana root cake bandwidth 20mbit")
    found: dict[str, Any] = {"up": UP_MBIT, "down": DOWN_MBIT, "before": queues("wana")}
    daemon = Daemon()
    daemon.start(text=LIMITED)
    (slow,) = call("rules")["throttles"]
    found["why"] = [one["why"] for ways in slow["directions"] for one in ways["devices"] if one["device"] == "wana"]
    found["rates"], found["with"] = rates(), queues("wana")
    daemon.stop()
    found["after"] = queues("wana")
    run("tc qdisc del dev wana root")
    found["leaf_kb"] = {kind: leaf(kind) for kind in ("fq_codel", "cake")}
    return found


LEAVES = 32


def leaf(kind: str) -> float:
    """Kilobytes of the kernel's memory for one queue of that kind below a class."""
    run("tc qdisc add dev wana root handle 1: htb")
    before = available()
    for number in range(1, LEAVES + 1):
        run(f"tc class add dev wana parent 1: classid 1:{number:x} htb rate 1mbit")
        run(f"tc qdisc add dev wana parent 1:{number:x} {kind}")
    after = available()
    run("tc qdisc del dev wana root")
    return (before - after) / LEAVES


def available() -> int:
    """Kilobytes, once the kernel has given back what it may."""
    write("/proc/sys/vm/drop_caches", "3")
    time.sleep(1)
    (line,) = [one for one in read("/proc/meminfo").splitlines() if one.startswith("MemFree:")]
    return int(line.split()[1])
