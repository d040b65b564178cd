"""The kernel makes the cable that the message asks for."""

from __future__ import annotations

import os

import pytest

from netpolicy.dataplane import netlink_codec as codec
from netpolicy.dataplane import netlink_link, netlink_wire
from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from tests.netns import Namespace, needs_root, private_netns

pytestmark = [pytest.mark.kernel, needs_root]

ADD = netlink_wire.F_CREATE | netlink_wire.F_EXCL


@pytest.mark.parametrize("name", ["br-lan", "eth0.2", "wan@x", "ü", "a_very_long_nam"])
def test_a_cable_has_name_number_size_and_mac_address_and_its_far_end_is_elsewhere(name):
    with Namespace() as far, private_netns() as near:
        kernel = KernelSocket(ROUTE)
        descriptor = os.open(far.path, os.O_RDONLY)
        body = netlink_link.veth(
            name, 77, netlink_link.IFF_UP, 1400, bytes.fromhex("020000000777"), "far", 9077, descriptor
        )
        kernel.request("add link", codec.NEWLINK, ADD, body)
        kernel.close()
        os.close(descriptor)
        shown, other = near.run("ip", "link"), far.run("ip", "link")
        assert f"77: {name}@" in shown and "mtu 1400" in shown and "02:00:00:00:07:77" in shown and ",UP" in shown
        assert "9077: far@" in other and "mtu 1400" in other and "state DOWN" in other


def test_flags_of_a_device_change_alone():
    with private_netns() as here:
        kernel = KernelSocket(ROUTE)
        kernel.request("lo down", codec.NEWLINK, 0, netlink_link.change_flags(1, 0, netlink_link.IFF_UP))
        assert "state DOWN" in here.run("ip", "link", "show", "lo")
        kernel.request("lo up", codec.NEWLINK, 0, netlink_link.change_flags(1, 1, netlink_link.IFF_UP))
        assert "UP,LOWER_UP" in here.run("ip", "link", "show", "lo")
        kernel.close()
