"""In the machine: shapers and filters of others on the devices, with the inspector beside them and without."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import talk
from daemon import Daemon, filters, line_of, settled
from street import run

RATE_MBIT = 8
BYTES = 1_500_000  # one and a half seconds of it

# As SQM has it: cake or fq_codel behind a rate outwards, the same on an ifb for what comes in.
SHAPE = (
    "tc qdisc add dev {device} root handle 1: htb default 10",
    "tc class add dev {device} parent 1: classid 1:10 htb rate {rate}mbit ceil {rate}mbit burst 15k cburst 15k",
    "tc qdisc add dev {device} parent 1:10 fq_codel",
)
INGRESS = (
    "tc qdisc del dev {device} ingress",  # SQM begins with it; there may be none
    "tc qdisc add dev {device} handle ffff: ingress",
    "tc filter add dev {device} parent ffff: protocol all prio 10 u32 match u32 0 0 flowid 1:1 "
    "action mirred egress redirect dev {ifb}",
)


def shape(device: str, ifb: str, then: Callable[[], Any] = lambda: None) -> list[str]:
    """A shaper in both directions; what the programs said of its ingress half. `then`: after it made its ifb."""
    run(f"ip link add {ifb} type ifb")
    then()
    run(f"ip link set {ifb} up")
    for name in (device, ifb):
        for line in SHAPE:
            run(line.format(device=name, rate=RATE_MBIT))
    return [run(line.format(device=device, ifb=ifb), check=False) for line in INGRESS]


def unshape(device: str, ifb: str) -> None:
    """As it was."""
    for line in (f"tc qdisc del dev {device} root", f"tc qdisc del dev {device} ingress", f"ip link del {ifb}"):
        run(line, check=False)


def rates() -> dict[str, float]:
    """Down and up, in Mbit/s."""
    return {"down": BYTES * 8e-6 / talk.fetch(BYTES), "up": BYTES * 8e-6 / talk.give(BYTES)}


def qdiscs(device: str) -> list[str]:
    """What is there, without counters."""
    return run(f"tc qdisc show dev {device}").splitlines()


def sent(device: str) -> int:
    """Bytes that passed the shaper of a device."""
    return int(json.loads(run(f"tc -s -j qdisc show dev {device} root"))[0]["bytes"])


def told_of(status: dict[str, Any], device: str = "br-lan") -> dict[str, Any]:
    """What the inspector says of the device."""
    return next(one for one in status["devices"] if one["name"] == device)


def name_seen() -> str | None:
    """The name that a connection has in the daemon."""
    line, known = talk.shake_hands(talk.WEB, "www.example.net")
    with line:
        return line_of(known["port"]).get("name")


def shaper() -> dict[str, Any]:
    """SQM on the line out, where it is mostly: nothing of ours is there."""
    found: dict[str, Any] = {"rate": RATE_MBIT, "bytes": BYTES, "free": rates(), "said": shape("wana", "ifb4wana")}
    found["without"] = rates()
    before, found["qdiscs"] = (sent("wana"), sent("ifb4wana")), qdiscs("wana")
    daemon = Daemon()
    found["told"] = told_of(daemon.start())
    found["with"], found["name"] = rates(), name_seen()
    found["passed"] = [sent("wana") - before[0], sent("ifb4wana") - before[1]]
    found["ours"], found["qdiscs_with"] = filters("wana"), qdiscs("wana")
    daemon.stop()
    found["qdiscs_after"] = qdiscs("wana")
    unshape("wana", "ifb4wana")
    return found


def shaper_on_lan() -> dict[str, Any]:
    """SQM on the device that we would watch, before we come."""
    found: dict[str, Any] = {"rate": RATE_MBIT, "bytes": BYTES, "said": shape("br-lan", "ifb4br-lan")}
    found["without"] = rates()
    before, found["qdiscs"] = (sent("br-lan"), sent("ifb4br-lan")), qdiscs("br-lan")
    daemon = Daemon()
    found["told"] = told_of(daemon.start())
    found["with"], found["name"] = rates(), name_seen()
    found["passed"] = [sent("br-lan") - before[0], sent("ifb4br-lan") - before[1]]
    found["qdiscs_with"] = qdiscs("br-lan")
    daemon.stop()
    found["qdiscs_after"] = qdiscs("br-lan")
    unshape("br-lan", "ifb4br-lan")
    return found


def late_shaper() -> dict[str, Any]:
    """SQM on the device that we watch already, as it comes and as it goes."""
    daemon = Daemon()
    found: dict[str, Any] = {"rate": RATE_MBIT, "bytes": BYTES, "at_first": told_of(daemon.start())}

    def is_by(tier: str) -> Callable[[dict[str, Any]], bool]:
        return lambda status: any(one["name"] == "br-lan" and one["tier"] == tier for one in status["devices"])

    found["said"] = shape("br-lan", "ifb4br-lan", lambda: daemon.until(is_by("packet")))
    found["with"], found["name"] = rates(), name_seen()
    found["passed"] = [sent("br-lan"), sent("ifb4br-lan")]
    found["told"] = told_of(daemon.until(lambda _: True))
    unshape("br-lan", "ifb4br-lan")
    found["told_after"] = told_of(daemon.until(is_by("ebpf")))
    daemon.stop()
    found["qdiscs_after"] = qdiscs("br-lan")
    return found


FOREIGN = (
    "tc qdisc add dev br-lan clsact",
    "tc filter add dev br-lan ingress prio 1 protocol ip flower ip_proto tcp action gact continue",
    "tc filter add dev br-lan ingress prio 40 protocol ip matchall action gact pass",
    "tc filter add dev br-lan egress prio 40 protocol ip matchall action gact pass",
)


def hits() -> dict[str, int]:
    """Packets that the other program's filters counted, by side and priority."""
    found = {}
    for side in ("ingress", "egress"):
        for one in json.loads(run(f"tc -s -j filter show dev br-lan {side}")):
            for action in one.get("options", {}).get("actions", ()):
                found[f"{side} {one['pref']}"] = action["stats"]["packets"]
    return found


def another_filter() -> dict[str, Any]:
    """Filters of another program on the device that we watch: before us, and behind us."""
    for line in FOREIGN:
        run(line)
    before = hits()
    talk.give(300_000)
    alone, daemon = hits(), Daemon()
    found: dict[str, Any] = {"told": told_of(daemon.start())}
    begun, counted = hits(), daemon.until(lambda _: True)["counters"]["packets"]
    talk.give(300_000)
    found["name"] = name_seen()
    found["with"], found["ours"] = hits(), filters()
    found["seen"] = daemon.until(lambda _: True)["counters"]["packets"] - counted
    daemon.stop()
    found |= {"before": before, "alone": alone, "begun": begun}
    talk.give(300_000)
    found["after"], found["ours_after"], found["loaded_after"] = hits(), filters(), settled()
    run("tc qdisc del dev br-lan clsact")
    return found
