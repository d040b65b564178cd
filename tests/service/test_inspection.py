"""The inspector as the daemon has it: nothing at all when it is off, and things shown as the settings say."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from netpolicy.core.model import Settings
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from netpolicy.dataplane.netlink_watch import Change
from netpolicy.dataplane.state import Address, Route
from netpolicy.flows.ebpf.clsact import INGRESS, TrafficControl
from netpolicy.flows.ebpf.loading import Loaded
from netpolicy.flows.inside import Subnet
from netpolicy.flows.model import TCP, Flow
from netpolicy.flows.reader import Name
from netpolicy.observe.ring import Ring
from netpolicy.outbounds.lines import View
from netpolicy.service.anonymous import OPEN
from netpolicy.service.inspection import Inspection
from netpolicy.service.inspector_feed import packed
from tests.flows.ebpf.conftest import refusal
from tests.netns import needs_root, private_netns, run

FLOW = Flow(1, 4, TCP, "192.168.1.11", 50000, "198.51.100.4", 443, "198.51.100.4", 443, "203.0.113.2", 50000, mark=7)
KEY = (packed("192.168.1.11"), packed("198.51.100.4"), 50000, 443, TCP)
VIEW = View({}, (Address(6, "br-lan", "2001:db8:1:2::1", 64), Address(4, "br-lan", "192.168.1.1", 24)),
            (Route(4, 254, "default", "203.0.113.1", "wan"),))  # fmt: skip


def inspection(settings: Settings, netlink: Any = None) -> Inspection:
    engine: Any = SimpleNamespace(
        settings=settings, view=VIEW, states=(), loaded=object(), netlink=netlink,
        log=Ring(lambda: 0.0, lambda entry: None), in_force=SimpleNamespace(is_indexing=False),
    )  # fmt: skip
    return Inspection(engine, lambda mark: "wan", lambda: 1.0)


def test_before_the_first_turn_it_says_that_nobody_looks() -> None:
    found = inspection(Settings())
    assert found.line(FLOW) == {} and found.name(FLOW) == "" and found.quality("wan") is None
    assert found.status("ctnetlink", "")["reason"] == "not started or not enabled"
    found.network_changed([Change("link", False, "link lan changed")])
    found.drain()
    found.close()


@needs_root
@pytest.mark.kernel
def test_switched_off_it_is_not_even_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("netpolicy.service.inspector")]:
        monkeypatch.delitem(sys.modules, name)
    with private_netns():
        found = inspection(Settings(True, inspector="off"))
        found.turned()
    assert found.inspector is None
    assert not [name for name in sys.modules if name.startswith("netpolicy.service.inspector")]
    told = found.status("proc", "polling")
    assert (told["tier"], told["reason"], told["setting"]) == ("proc", "option inspector is off; polling", "off")


@needs_root
@pytest.mark.kernel
def test_while_the_rules_are_indexed_it_is_not_loaded_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its modules would lie between what the index needs for a moment only, and keep all of that in memory."""
    loop = SimpleNamespace(call_later=lambda *_: SimpleNamespace(cancel=lambda: None), add_reader=lambda *_: None)
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    started = []
    monkeypatch.setattr("netpolicy.service.inspector.Inspector.start", lambda *_: started.append(1))
    with private_netns():
        found = inspection(Settings(True))
        found._engine.in_force.is_indexing = True
        found.turned()
        assert found.inspector is None
        found._engine.in_force.is_indexing = False
        found.turned()
    assert found.inspector is not None and started == [1]


@needs_root
@pytest.mark.kernel
def test_what_is_not_enabled_looks_at_nothing() -> None:
    with private_netns():
        found = inspection(Settings(False))
        found.turned()
    assert found.inspector is None


def test_what_others_do_to_devices_that_are_not_watched_is_not_looked_at() -> None:
    looked: list[int] = []
    found = inspection(Settings())
    stub: Any = SimpleNamespace(tiers=SimpleNamespace(devices={"br-lan": None}), look_later=lambda: looked.append(1))
    found.inspector = stub
    found.network_changed([Change("tc", False, "", "wan"), Change("nft", False, "table added")])
    assert not looked
    found.network_changed([Change("tc", False, "", "wan"), Change("tc", False, "", "br-lan")])
    found.network_changed([Change("route", False, "")])
    assert len(looked) == 2


@needs_root
@pytest.mark.kernel
def test_filters_of_one_that_was_killed_are_taken_off_even_by_one_that_is_off() -> None:
    if why := refusal():
        pytest.skip(why)
    loaded = Loaded()
    with private_netns():
        run("ip", "link", "add", "lan", "type", "bridge")
        with contextlib.closing(KernelSocket(ROUTE)) as kernel:
            control, index = TrafficControl(kernel), socket.if_nametoindex("lan")
            control.provide_clsact(index, "lan")
            control.attach(index, INGRESS, loaded.program(True, False), "netpolicy_up")
            inspection(Settings(True, inspector="off")).turned()
            assert not [one for one in control.filters(index, INGRESS) if one.is_ours]
    loaded.close()


@needs_root
@pytest.mark.kernel
def test_names_and_clients_are_shown_as_the_settings_say() -> None:
    async def whole() -> None:
        netlink = open_netlink("builtin")
        found = inspection(Settings(True, inspector="conntrack", anonymize=("clients", "names")), netlink)
        found.turned()
        assert found.inspector is not None
        found.inspector.feed.live_in([Subnet(4, 0xC0A80100, 0xC0A801FF, "192.168.1.1", "br-lan")])
        found.inspector.feed._take(Name(KEY, "a.b.example.net", "tls"), 0.0)
        assert found.line(FLOW)["name"] == found.name(FLOW) == "example.net"
        assert found.shade.address("2001:db8:1:2::77") == "2001:db8:1::/48"
        told = found.status("ctnetlink", "")
        assert (told["tier"], told["setting"], told["anonymize"]) == ("ctnetlink", "conntrack", ["clients", "names"])
        found.close()
        netlink.close()

    with private_netns():
        asyncio.run(whole())


def test_without_a_wish_everything_is_shown_as_it_is() -> None:
    found = inspection(Settings(True, inspector="off"))
    found._choose_shade()
    assert found.shade is OPEN
