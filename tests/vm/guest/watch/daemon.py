"""In the machine: netpolicyd as it is, and what the kernel holds of it, by other means than its own.

Judges nothing.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from street import read, run, write

from netpolicy.bus.blocking import call as bus_call
from netpolicy.bus.status import UbusError
from netpolicy.flows.ebpf import bpf_call

LOG = "/tmp/netpolicyd.log"
CONFIG = "/etc/config/netpolicy"
TEXT = """
config netpolicy 'main'
	option enabled '1'
	option mode 'enforce'
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
	option gateway '203.0.113.1'
	option gateway6 '2001:db8:a::1'
config rule 'secure'
	list proto 'tcp'
	list dest_port '443'
	option route 'wan_a'
"""
PATIENCE = 90.0

# Of <linux/bpf.h>: BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID, BPF_PROG_GET_FD_BY_ID, BPF_OBJ_GET_INFO_BY_FD.
PROGRAMS, MAPS, OPEN, TELL = 11, 12, 13, 15
LENGTHS = struct.Struct("=16xII")  # of struct bpf_prog_info: bytes of the machine's code, and of BPF's


class Daemon:
    """Off at first."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, device: str = "br-lan", text: str = TEXT) -> dict[str, Any]:
        """On, and it watches the device; the `inspector` part of its status."""
        os.makedirs(os.path.dirname(CONFIG), exist_ok=True)
        write(CONFIG, text)
        os.chmod(CONFIG, 0o600)
        with open(LOG, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "netpolicy.daemon.main", "--config", CONFIG, "--foreground"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return self.until(lambda status: any(one["name"] == device for one in status["devices"]))

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The `inspector` part of its status, once this holds of it."""
        until = time.monotonic() + PATIENCE
        status: dict[str, Any] = {}
        while time.monotonic() < until:
            try:
                status = call("status")["inspector"]
                if holds(status):
                    return status
            except UbusError:
                pass
            if self._process is not None and self._process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"the daemon does not get there: {status}\n{read(LOG)[-3000:]}")

    def stop(self) -> int:
        """Off, in order; its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """Off, without a chance to clean up."""
        return self._end(signal.SIGKILL)

    def _end(self, number: int) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        status = self._process.wait(PATIENCE)
        self._process = None
        return status


def call(method: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
    """A method of the daemon."""
    return dict(bus_call("netpolicy", method, data or {}, timeout=60.0))


def line_of(port: int, complete: Callable[[dict[str, Any]], bool] | None = None) -> dict[str, Any]:
    """The connection from that port of the client, once it is complete: with name and round trip; or as it is then."""
    is_complete = complete or (lambda line: line["name"] is not None and line["rtt_ms"] is not None)
    until = time.monotonic() + 20
    found: dict[str, Any] = {}
    while time.monotonic() < until:
        for line in call("connections", {"limit": 200})["connections"]:
            if line["src_port"] == port:
                found = line
                if is_complete(line):
                    return found
        time.sleep(0.2)
    return found


def loaded() -> dict[str, int]:
    """How many BPF programs and maps the kernel holds, whosever they are."""
    return {"programs": _count(PROGRAMS), "maps": _count(MAPS)}


def _count(command: int) -> int:
    return sum(1 for _ in _numbers(command))


def _numbers(command: int) -> Iterator[int]:
    last = 0
    while True:
        attr = bytearray(struct.pack("=III", last, 0, 0))
        try:
            bpf_call.call("list", command, attr)
        except bpf_call.BpfError:
            return
        last = struct.unpack_from("=I", attr, 4)[0]
        yield last


def machine_code() -> list[int]:
    """Of each BPF program in the kernel the bytes that it was compiled to; 0: it is interpreted."""
    found = []
    for number in _numbers(PROGRAMS):
        program = bpf_call.call("open", OPEN, bytearray(struct.pack("=III", number, 0, 0)))
        told = bytearray(LENGTHS.size)
        bpf_call.call("tell", TELL, bytearray(struct.pack("=IIQ", program, len(told), bpf_call.address(told))))
        os.close(program)
        found.append(LENGTHS.unpack(told)[0])
    return found


def settled() -> dict[str, int]:
    """The same, once nothing changes any more: the kernel frees them behind the caller's back."""
    before, quiet = loaded(), 0
    while quiet < 5:
        time.sleep(0.1)
        now = loaded()
        before, quiet = now, quiet + 1 if now == before else 0
    return before


def filters(device: str = "br-lan") -> list[str]:
    """Our filters on both sides, as tc lists them."""
    sides = [run(f"tc filter show dev {device} {side}", check=False) for side in ("ingress", "egress")]
    return [line.strip() for side in sides for line in side.splitlines() if "netpolicy" in line]


def spoilt() -> list[str]:
    """Lines of the log that no run should have."""
    return [line for line in read(LOG).splitlines() if "Traceback" in line or "a fault in netpolicy" in line]
