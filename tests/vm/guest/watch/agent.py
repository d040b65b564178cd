"""In the machine: runs the checks that the kernel's words name and prints what each found, one JSON line each.

Judges nothing: a test on the other side of the console does. `checks=seen,ended` names functions of the modules here.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import asleep
import daemon
import dialled
import hours
import limits
import neighbours
import offload
import round_trip
import seen
import street
import talk
import wireguard

CHECKS: dict[str, Callable[[], dict[str, Any]]] = {
    "seen": seen.seen, "taken_apart": seen.taken_apart, "ended": seen.ended, "round_trip": round_trip.measured,
    "filter": neighbours.another_filter, "shaper": neighbours.shaper, "shaper_on_lan": neighbours.shaper_on_lan,
    "late_shaper": neighbours.late_shaper, "offload": offload.offload, "offload_cut": offload.offload_cut,
    "limits": limits.limits, "limits_offload": limits.limits_offload, "limits_cake": limits.limits_cake,
    "schedules": hours.schedules,
    "wireguard": wireguard.wireguard, "wireguard_all": wireguard.wireguard_all, "pppoe": dialled.pppoe,
    "sleep_schedules": asleep.schedules, "sleep_change": asleep.change,
}  # fmt: skip


def tell(name: str, found: dict[str, Any]) -> None:
    """A line for the other side."""
    os.write(1, f"\nRIG {json.dumps({'check': name, **found})}\n".encode())


def main() -> None:
    """All checks that are wanted, in their order; one that fails ends none of the others."""
    wanted = next(word[7:] for word in street.read("/proc/cmdline").split() if word.startswith("checks="))
    street.build()
    talk.serve()
    release, machine = os.uname().release, os.uname().machine
    jit = street.read("/proc/sys/net/core/bpf_jit_enable").strip()
    tell("machine", {"release": release, "machine": machine, "order": sys.byteorder, "jit": jit})
    for name in wanted.split(","):
        begun = time.monotonic()
        try:
            found = CHECKS[name]()
        except Exception:  # noqa: BLE001 - the other side shows it
            found = {"error": traceback.format_exc(), "log": street.read(daemon.LOG)[-3000:]}
        tell(name, {**found, "seconds": round(time.monotonic() - begun, 1)})
    os._exit(0)  # the servers' threads wait for the next connection


main()
