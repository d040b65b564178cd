"""Queues of ours as lines for `tc -batch`, and as what a kernel has that no tc can lead back.

Values in, texts out; the same queues as the daemon's own messages make (traffic_control.py). What reads them:
files/usr/lib/netpolicy/guard. Syntax: tc(8), tc-htb(8), tc-fq_codel(8), tc-bfifo(8).
"""

from __future__ import annotations

from collections.abc import Iterable

from netpolicy.dataplane import limits, script, shaping
from netpolicy.dataplane.limits import MAJOR, Shaped
from netpolicy.dataplane.policy import Policy
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.shaping import BFIFO, FQ_CODEL, REST, REST_RATE, Observed
from netpolicy.dataplane.traffic_control import CODEL_INTERVAL_US, CODEL_MEMORY, burst


def text(shaped: Iterable[Shaped], seen: Observed) -> str:
    """What puts these classes there, with the leaves that stand there now. Raises ValueError for a device's name."""
    wanted: dict[str, dict[int, int]] = {}
    for one in shaped:
        wanted.setdefault(one.device, {REST: REST_RATE})[one.minor] = one.rate
    lines: list[str] = []
    for name, classes in sorted(wanted.items()):
        device = f"dev {script.word(name)}"
        # `add`, not `replace`: where a queue of somebody else stands the kernel refuses.
        lines.append(f"qdisc add {device} root handle {MAJOR:x}: {shaping.HTB} default {REST:x} r2q 10")
        for minor, rate in sorted(classes.items()):
            lines += _class(device, minor, rate, _leaf(seen, name, minor))
    return "".join([f"{line}\n" for line in lines])


def untouched(old: Iterable[Shaped], new: Iterable[Shaped]) -> tuple[Shaped, ...]:
    """What a change from the one to the other leaves as it stands."""
    stays = set(new)
    return tuple([one for one in old if one in stays])


def dropping_text(policy: Policy, held: tuple[Shaped, ...]) -> str:
    """What makes limits whose queues may be missing hold by dropping; `held`: queues that are there for sure."""
    now = {name: rules for name, rules, _ in limits.chains(policy)}
    lines = []
    for name, rules, _ in limits.chains(replace(policy, shaped=held)):
        if rules != now[name]:
            lines.append(f"flush chain {script.TABLE} {name}\n")
            lines += [f"add rule {script.TABLE} {name} {rule}\n" for rule in rules]
    return "".join(lines)


def _class(device: str, minor: int, rate: int, leaf: str) -> list[str]:
    held = f"{burst(minor, rate)}b"
    speed = f"rate {rate // 8 * 8}bit ceil {rate // 8 * 8}bit burst {held} cburst {held}"
    place = f"{MAJOR:x}:{minor:x}"
    return [
        f"class replace {device} parent {MAJOR:x}: classid {place} {shaping.HTB} {speed} "
        f"quantum {shaping.quantum(rate)}",
        f"qdisc replace {device} parent {place} {_leaf_words(leaf, rate)}",
    ]


def _leaf(seen: Observed, device: str, minor: int) -> str:
    there = seen.devices.get(device)
    for one in there.leaves if there is not None else ():
        if one.parent == MAJOR << 16 | minor:
            return one.kind
    return FQ_CODEL


def _leaf_words(kind: str, rate: int) -> str:
    if kind == BFIFO:
        return f"{BFIFO} limit {shaping.fifo_size(rate)}"
    target = shaping.target_us(rate)
    interval = CODEL_INTERVAL_US + target - 5000
    return f"{FQ_CODEL} target {target}us interval {interval}us memory_limit {CODEL_MEMORY}b"
