"""The files of /proc and /sys as devices, addresses and routes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from netpolicy.dataplane.netlink import open_netlink
from netpolicy.lite.network import read_view
from tests.lite.test_main import FILES
from tests.netns import needs_root, private_netns

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for place, text in FILES.items():
        path = tmp_path / place.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_devices_routes_and_interfaces_are_read(root: Path) -> None:
    view = read_view(str(root))
    assert sorted(view.links) == ["br-lan", "lo", "pppoe-wan", "wanb"]
    assert {(one.destination, one.gateway, one.device) for one in view.routes} == {
        ("default", "203.0.113.1", "pppoe-wan"), ("203.0.113.0/24", "", "pppoe-wan"), ("192.168.1.0/24", "", "br-lan"),
        ("198.51.100.0/24", "", "wanb"), ("2001:db8:b::/64", "", "wanb"),
    }  # fmt: skip
    assert [(one.address, one.prefixlen) for one in view.addresses] == [("2001:db8:b::2", 64)]
    assert (view.device_of("lan"), view.device_of("wan"), view.device_of("eth9")) == ("br-lan", "pppoe-wan", "eth9")


def test_a_machine_without_these_files_shows_an_empty_network(tmp_path: Path) -> None:
    view = read_view(str(tmp_path))
    assert (view.links, view.addresses, view.routes) == ({}, (), ())


@pytest.mark.parametrize("text", ["\x00", "x" * 100, "a b c d e f g h\n" * 3, "Iface\nlan zz zz zz zz zz zz zz\n"])
def test_odd_files_do_no_harm(root: Path, text: str) -> None:
    for place in ("proc/net/route", "proc/net/ipv6_route", "proc/net/if_inet6", "proc/net/dev", "etc/config/network"):
        (root / place).write_text(text)
    read_view(str(root))


PROGRAM = """
from netpolicy.lite.network import read_view
for one in read_view().routes:
    print(one.family, one.destination, one.gateway, one.device, one.metric)
"""


@pytest.mark.kernel
@needs_root
def test_the_files_say_what_netlink_says() -> None:
    with private_netns() as here:
        for line in (
            "link add wan0 type veth peer name far0", "link set wan0 up", "link set far0 up",
            "link set lo up", "address add 198.51.100.2/24 dev wan0",
            "address add 2001:db8:b::2/64 dev wan0 nodad", "route add default via 198.51.100.1 metric 7",
            "route add 10.8.0.0/16 via 198.51.100.9", "-6 route add default via 2001:db8:b::1",
        ):  # fmt: skip
            here.run("ip", *line.split())
        # The kernel makes them a moment after the devices have a carrier: not between the two looks.
        deadline = time.monotonic() + 20
        while here.run("ip", "-6", "route").count("fe80::/64 ") < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        shown = here.run("env", f"PYTHONPATH={ROOT}", sys.executable, "-c", PROGRAM)
        told = {
            f"{one.family} {one.destination} {one.gateway} {one.device} {one.metric}"
            for one in open_netlink("builtin").routes(254)
            if one.kind == "unicast" and not one.destination.startswith("ff00")
        }
    assert set(shown.splitlines()) == told
    assert len(told) >= 6
