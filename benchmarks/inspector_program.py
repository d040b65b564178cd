"""What one packet costs in the eBPF program itself: nanoseconds, from the kernel's own runner (BPF_PROG_TEST_RUN).

No device, no forwarding, nobody else's work: of all figures of the inspector the steadiest, and with warm caches the
lowest. `bare` is the runner with a program that does nothing. Layouts: <linux/bpf.h>.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial

from benchmarks.conversations import HELLO, OPENING, PSH, Stage, wired
from benchmarks.measure import Options, Sample, Turns, leave_out
from benchmarks.watching import refusals

TEST_RUN, ATTR_TEST = 10, struct.Struct("=IIIIQQIIIIQQ")
TOOK = 36  # where the mean nanoseconds stand
REPEAT = 50_000
PARTS = 9
LINK = bytes(range(2, 14))
NOTHING = ((0xB7, 0, 0, -1), (0x95, 0, 0, 0))  # r0 = -1; exit

ACK = 0x10
BEHIND = 1 + len(HELLO)
BEGIN = (*OPENING, Stage(True, PSH | ACK, 1, 1, HELLO), Stage(False, ACK, 1, BEHIND, b"y" * 1000))
DATA, ACKNOWLEDGED = Stage(True, ACK, BEHIND, 1001, b"x" * 1400), Stage(False, ACK, 1001, BEHIND)


def program(options: Options) -> Iterator[Turns]:
    """A segment and an acknowledgement of a connection that is known, and read."""
    from netpolicy.flows.ebpf import bpf_call
    from netpolicy.flows.ebpf.loading import Loaded

    try:
        loaded = Loaded()
        ways = {up: loaded.program(True, not up) for up in (True, False)}
    except refusals() as why:
        leave_out("inspector/program/*", why)
        return

    def run(descriptor: int, frame: bytes, repeat: int) -> float:
        data = bytearray(frame)
        attr = bytearray(ATTR_TEST.pack(descriptor, 0, len(data), 0, bpf_call.address(data), 0, repeat, 0, 0, 0, 0, 0))
        bpf_call.call("run the program", TEST_RUN, attr)
        return float(struct.unpack_from("=I", attr, TOOK)[0])

    def shown(stage: Stage, repeat: int) -> float:
        return run(ways[stage.up], wired(stage, LINK, 0, 1)[0], repeat)

    for stage in BEGIN:
        shown(stage, 1)
    code = bytearray(b"".join(struct.pack("=BBhi", *one) for one in NOTHING))
    bare = bpf_call.load_program("np_bare", code, b"GPL\0")
    samples: dict[str, Sample] = {
        "inspector/program/bare": partial(run, bare, wired(DATA, LINK, 0, 1)[0], REPEAT),
        "inspector/program/segment": partial(shown, DATA, REPEAT),
        "inspector/program/ack": partial(shown, ACKNOWLEDGED, REPEAT),
    }
    yield Turns("ns", samples, close=loaded.close, parts=PARTS)
