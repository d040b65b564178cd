"""The kernel is asked for the port of its WireGuard devices, and for nothing else that it tells.

A real device is in tests/vm/test_tunnels.py: most kernels that build NetPolicy have none.
"""

from __future__ import annotations

import struct

import pytest

from netpolicy.dataplane import netlink_wire as wire
from netpolicy.dataplane import wireguard
from tests.netns import needs_root, private_netns, run

PRIVATE_KEY = 3


def answer(*attributes: bytes) -> bytes:
    return wireguard.HEADER.pack(0, 1) + b"".join(attributes)


def test_a_number_is_found_among_other_things():
    port = wire.attribute(wireguard.LISTEN_PORT, struct.pack("=H", 51820))
    assert wireguard.short(answer(wire.attribute(PRIVATE_KEY, bytes(32)), port), wireguard.LISTEN_PORT) == 51820


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        answer(),
        answer(wire.attribute(wireguard.LISTEN_PORT, b"")),
        answer(wire.attribute(6, bytes(4))),
        b"\xff" * 9,
    ],
    ids=["empty", "none", "no value", "too long", "nonsense"],
)
def test_what_is_not_there_or_broken_is_no_number(payload):
    assert wireguard.short(payload, wireguard.LISTEN_PORT) == 0


def test_without_such_devices_nobody_is_asked():
    assert wireguard.listen_ports(()) == {}


@pytest.mark.kernel
@needs_root
def test_a_device_that_is_none_is_left_out():
    """Whether this kernel knows WireGuard or not."""
    with private_netns():
        run("ip", "link", "add", "wg0", "type", "bridge")
        assert wireguard.listen_ports(("wg0", "gone")) == {}
