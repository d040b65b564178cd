"""rtnetlink messages that make devices: a veth pair whose other end is in another namespace, up, down.

Pure: bytes out. Never names a device that is there already: the kernel refuses it, and nothing is changed.
Layouts: rtnetlink(7), <linux/if_link.h>, <linux/veth.h>.
"""

from __future__ import annotations

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane.netlink_codec import (
    IFINFOMSG,
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
)

IFLA_MTU, IFLA_OPERSTATE, IFLA_MASTER, IFLA_NET_NS_FD, IFLA_INFO_DATA = 4, 16, 10, 28, 2
VETH_INFO_PEER = 1
OPERSTATE_UP = 6  # IF_OPER_UP of RFC 2863

IFF_UP, IFF_NOARP = 0x1, 0x80


def veth(name: str, index: int, flags: int, mtu: int, mac: bytes, far_name: str, far_index: int, far_ns: int) -> bytes:
    """The body of an RTM_NEWLINK request. `index` 0: the kernel chooses; `mac` b"": so it does; `far_ns`: where to.

    The far end is made down: the kernel takes no other before the two know of each other.
    """
    far = [IFINFOMSG.pack(0, 0, far_index, 0, 0), wire.attribute(IFLA_IFNAME, wire.string(far_name))]
    far += [wire.attribute(IFLA_MTU, wire.U32.pack(mtu)), wire.attribute(IFLA_NET_NS_FD, wire.U32.pack(far_ns))]
    kind = wire.attribute(IFLA_INFO_KIND, b"veth")
    info = wire.nested(IFLA_LINKINFO, kind, wire.nested(IFLA_INFO_DATA, wire.nested(VETH_INFO_PEER, *far)))
    near = [IFINFOMSG.pack(0, 0, index, flags, flags), wire.attribute(IFLA_IFNAME, wire.string(name))]
    near += [wire.attribute(IFLA_MTU, wire.U32.pack(mtu))]
    near += [wire.attribute(IFLA_ADDRESS, mac)] if len(mac) == 6 else []
    return b"".join([*near, info])


def change_flags(index: int, flags: int, mask: int) -> bytes:
    """The body of an RTM_NEWLINK request that sets these flags of a device that is there."""
    return IFINFOMSG.pack(0, 0, index, flags, mask)
