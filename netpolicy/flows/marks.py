"""Changes what conntrack entries remember of us: forget a flow, or clear our bits in its mark.

Acts on every entry that matches and on no other; never decides which class or mask that
is. CTA_MARK with CTA_MARK_MASK: <linux/netfilter/nfnetlink_conntrack.h>.
"""

from __future__ import annotations

import errno
import struct

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_socket import NETFILTER, KernelSocket
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows import ctmessage, ctnetlink

_NUMBER = struct.Struct("!I")


class Conntrack:
    """The conntrack table of this network namespace. Both methods raise NetlinkError. O(entries)."""

    def forget(self, mark: int, mask: int) -> int:
        """Deletes the entries with `entry.mark & mask == mark`, so that their next packet is decided again."""
        return sum(1 for flow in ctnetlink.dump(mark, mask) if ctnetlink.delete(flow))

    def clear_marks(self, mask: int) -> int:
        """Clears the bits of `mask` in every entry; the entries themselves, with their NAT, stay."""
        kernel = KernelSocket(NETFILTER)
        changed = 0
        # CTA_MARK replaces what CTA_MARK_MASK selects: zero under our mask.
        value = wire.attribute(ctmessage.MARK, _NUMBER.pack(0)) + wire.attribute(
            ctmessage.MARK_MASK, _NUMBER.pack(mask)
        )
        try:
            for flow in ctnetlink.dump():
                if flow.mark & mask:
                    changed += self._update(kernel, ctmessage.encode_delete(flow) + value, ctnetlink.describe(flow))
        finally:
            kernel.close()
        return changed

    def _update(self, kernel: KernelSocket, body: bytes, what: str) -> int:
        try:
            kernel.request(f"clear the mark of {what}", ctmessage.NEW, 0, body)
        except NetlinkError as error:
            if error.errno == errno.ENOENT:  # it ended meanwhile
                return 0
            raise
        return 1
