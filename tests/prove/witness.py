"""A table of the test's own behind ours: it logs what was decided for each of our packets, and drops it.

Dropped at once a flow leaves no conntrack entry: every packet is the first of its flow, and nothing
has to be flushed between two runs. Our packets carry foreign bits in both marks; a data plane
that loses them is not believed. Log format: <linux/netfilter/nfnetlink_log.h>.
"""

from __future__ import annotations

import select
import socket
import struct

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.netlink_socket import NETFILTER, open_socket, set_receive_buffer
from netpolicy.flows.nflog import (
    CFG_COMMAND,
    CFG_MODE,
    CFG_THRESHOLD,
    CFG_TIMEOUT,
    COMMAND_BIND,
    CONFIG,
    COPY_PACKET,
    MARK,
    NFGENMSG,
    PACKET,
    PAYLOAD,
)
from tests.prove.packet import number_of

LOG_GROUP = 99
COPY_BYTES = 8  # up to identification and flow label
RECEIVE_BUFFER = 8 << 20
BATCH_PACKETS = 64

MARKS = Marks(0x77000000)

# Foreign bits that every packet and every conntrack entry of ours carries.
OURS, FOREIGN_CT = 0x00000008, 0x00000080

# What the witness adds to the packet mark.
MARKS_DIFFER = 0x1  # packet mark and conntrack mark do not say the same, or a foreign bit is gone
ONLY_SAVED = 0x2  # came in by a line: the class is in the conntrack mark alone, as it should be
INVALID = 0x4  # conntrack knows no such flow: the packet mark is all there is
PRIORITY_LEFT = 0x10  # the packet's priority is neither the one it came with nor 0

# What a packet may have come with, from its sender or another table.
PRIORITY = 0x00050003


def _agreeing() -> str:
    numbers = range(MARKS.bypass + 1)
    pairs = [(MARKS.bits(number) | OURS, MARKS.bits(number) | MARKS.done | FOREIGN_CT) for number in numbers]
    return ", ".join(f"{packet:#010x} . {flow:#010x}" for packet, flow in pairs)


def table(lines: tuple[str, ...], devices: tuple[str, ...]) -> str:
    """The text of the table: `lines` are the devices that lead out, `devices` those that packets come by."""
    names, out = (", ".join(f'"{name}"' for name in found) for found in (devices, lines))
    return f"""
table inet witness {{
	set agreeing {{ typeof meta mark . ct mark; elements = {{ {_agreeing()} }}; }}
	chain before {{ type filter hook prerouting priority mangle - 1; policy accept;
		iifname {{ {names} }} meta mark set {OURS:#x} ct mark set {FOREIGN_CT:#x} meta priority set {PRIORITY:#x}
	}}
	chain before_own {{ type filter hook output priority mangle - 1; policy accept;
		meta mark {OURS:#x} ct mark set {FOREIGN_CT:#x} meta priority set {PRIORITY:#x}
	}}
	chain arrived {{ type filter hook prerouting priority mangle + 2; policy accept;
		meta mark & {OURS:#x} == 0 accept
		iifname {{ {out} }} ct state != invalid meta mark & {MARKS.class_mask:#010x} == 0 goto only_saved
		goto told
	}}
	chain leaving {{ type filter hook output priority mangle + 2; policy accept;
		meta mark & {OURS:#x} == 0 accept
		oifname "lo" log group {LOG_GROUP} drop
		goto told
	}}
	chain only_saved {{
		meta mark set ct mark & {MARKS.class_mask:#010x}
		meta mark set meta mark | {OURS | ONLY_SAVED:#x}
		ct mark & {MARKS.done | FOREIGN_CT:#x} != {MARKS.done | FOREIGN_CT:#x} meta mark set meta mark | {MARKS_DIFFER}
		meta priority != {{ 0x0, {PRIORITY:#x} }} meta mark set meta mark | {PRIORITY_LEFT:#x}
		log group {LOG_GROUP} drop
	}}
	chain told {{
		meta priority != {{ 0x0, {PRIORITY:#x} }} meta mark set meta mark | {PRIORITY_LEFT:#x}
		meta mark & {PRIORITY_LEFT:#x} != 0 log group {LOG_GROUP} drop
		ct state invalid meta mark set meta mark | {INVALID} log group {LOG_GROUP} drop
		meta mark . ct mark != @agreeing meta mark set meta mark | {MARKS_DIFFER}
		log group {LOG_GROUP} drop
	}}
}}
"""


class Witness:
    """What the table logs: packet number to packet mark."""

    def __init__(self) -> None:
        self._socket = open_socket(NETFILTER)
        set_receive_buffer(self._socket, RECEIVE_BUFFER)
        settings = (
            wire.attribute(CFG_COMMAND, bytes((COMMAND_BIND,))),
            wire.attribute(CFG_MODE, struct.pack(">IBx", COPY_BYTES, COPY_PACKET)),
            wire.attribute(CFG_THRESHOLD, struct.pack(">I", BATCH_PACKETS))
            + wire.attribute(CFG_TIMEOUT, struct.pack(">I", 1)),
        )
        for sequence, setting in enumerate(settings, 1):
            body = NFGENMSG.pack(0, 0, socket.htons(LOG_GROUP)) + setting
            self._socket.sendto(wire.message(CONFIG, wire.F_REQUEST | wire.F_ACK, sequence, body), (0, 0))
            answer = self._answer(sequence)
            if wire.outcome(answer)[0]:
                raise OSError(wire.outcome(answer)[0], "cannot read the witness's log group")
        self._socket.setblocking(False)

    def _answer(self, sequence: int) -> wire.Message:
        """What the kernel says to that message; once it is bound, packets of its own may be told first."""
        while True:
            for message in wire.messages(self._socket.recv(1 << 18)):
                if message.kind == wire.ERROR and message.sequence == sequence:
                    return message

    def read(self, wanted: set[int], seconds: float) -> dict[int, int]:
        """The marks by number, once all of `wanted` are there or nothing more came for so long.

        The kernel's own packets are logged too (a young router tells its groups): they take nobody's place.
        """
        seen: dict[int, int] = {}
        while not wanted <= seen.keys() and select.select([self._socket], [], [], seconds)[0]:
            self._take(self._socket.recv(1 << 18), seen)
        return seen

    def forget(self) -> None:
        """Throws away what is still waiting: late news of an earlier run."""
        while select.select([self._socket], [], [], 0)[0]:
            self._socket.recv(1 << 18)

    def close(self) -> None:
        self._socket.close()

    @staticmethod
    def _take(data: bytes, seen: dict[int, int]) -> None:
        for message in wire.messages(data):
            if message.kind == PACKET:
                found = wire.attributes(message.payload, NFGENMSG.size)
                mark = int.from_bytes(found.get(MARK, b"\0\0\0\0"), "big")
                seen[number_of(found[PAYLOAD])] = mark
