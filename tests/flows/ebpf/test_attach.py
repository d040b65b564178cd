"""Both ways onto a device, and everything that must be as before."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from netpolicy.dataplane.netlink_socket import ROUTE, KernelSocket
from netpolicy.dataplane.state import NetlinkError
from netpolicy.flows.ebpf import attach as attaching
from netpolicy.flows.ebpf.attach import CLSACT, LAN, TCX, WAN, NotAttached, attach, find_device, is_attached
from netpolicy.flows.ebpf.bpf_call import BpfError
from tests.netns import needs_root, private_netns, run

from .detaching import detach_link, links_of
from .trial import Trial

pytestmark = [pytest.mark.kernel, needs_root]


@pytest.fixture
def kernel() -> Iterator[KernelSocket]:
    """Asks in a namespace with the veth `lan`."""
    with private_netns():
        run("ip", "link", "add", "lan", "type", "veth", "peer", "name", "far")
        opened = KernelSocket(ROUTE)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def has_tcx(loaded: Trial) -> None:
    """Skips before Linux 6.6."""
    with private_netns():
        run("ip", "link", "add", "lan", "type", "veth", "peer", "name", "far")
        opened = KernelSocket(ROUTE)
        try:
            programs = (loaded.loaded.program(True, False), loaded.loaded.program(True, True))
            attach(opened, find_device(opened, "lan"), LAN, *programs, (TCX,)).close()
        except NotAttached as error:
            pytest.skip(f"no tcx: {error}")
        finally:
            opened.close()


def programs(loaded: Trial) -> tuple[int, int]:
    return loaded.loaded.program(True, False), loaded.loaded.program(True, True)


def filters(side: str) -> str:
    return run("tc", "filter", "show", "dev", "lan", side)


def test_a_device_is_found_with_what_its_packets_begin_with(kernel: KernelSocket) -> None:
    assert find_device(kernel, "lan").ethernet
    assert find_device(kernel, "lo").ethernet
    if os.path.exists("/dev/net/tun"):
        run("ip", "tuntap", "add", "tun0", "mode", "tun")
        assert not find_device(kernel, "tun0").ethernet
    with pytest.raises(NetlinkError) as caught:
        find_device(kernel, "gone")
    assert caught.value.errno == errno.ENODEV


def test_tcx_links_live_as_long_as_we_hold_them(kernel: KernelSocket, loaded: Trial, has_tcx: None) -> None:
    attachment = attach(kernel, find_device(kernel, "lan"), LAN, *programs(loaded))
    assert attachment.way == TCX and attachment.is_alive()
    assert run("tc", "qdisc", "show", "dev", "lan", "clsact") == ""
    attachment.close()
    assert not attachment.is_alive()


def test_a_link_says_when_its_device_is_gone(kernel: KernelSocket, loaded: Trial, has_tcx: None) -> None:
    attachment = attach(kernel, find_device(kernel, "lan"), LAN, *programs(loaded))
    run("ip", "link", "del", "lan")
    assert not attachment.is_alive() and not attachment.is_taken_off()
    run("ip", "link", "add", "lan", "type", "veth", "peer", "name", "far")
    assert not attachment.is_alive() and not attachment.is_taken_off(), "that is another device"
    attachment.close()
    assert not is_attached(10**6)


@pytest.mark.parametrize("place", [0, 1])
def test_a_link_that_somebody_detached_is_missed(
    place: int, kernel: KernelSocket, loaded: Trial, has_tcx: None
) -> None:
    attachment = attach(kernel, find_device(kernel, "lan"), LAN, *programs(loaded))
    assert not attachment.is_taken_off()
    detach_link(links_of("lan")[place])
    assert attachment.is_taken_off() and not attachment.is_alive()
    attachment.close()


@pytest.mark.parametrize(("role", "ingress"), [(LAN, "_up "), (WAN, "_down ")])
def test_which_side_is_up_depends_on_the_role(role: str, ingress: str, kernel: KernelSocket, loaded: Trial) -> None:
    attachment = attach(kernel, find_device(kernel, "lan"), role, *programs(loaded), (CLSACT,))
    assert attachment.way == CLSACT and attachment.is_alive()
    assert ingress in filters("ingress") and ingress not in filters("egress")
    attachment.close()
    assert run("tc", "qdisc", "show", "dev", "lan", "clsact") == ""


def test_a_clsact_of_others_stays_as_it_was(kernel: KernelSocket, loaded: Trial) -> None:
    run("tc", "qdisc", "add", "dev", "lan", "clsact")
    before = run("tc", "qdisc", "show", "dev", "lan")
    attachment = attach(kernel, find_device(kernel, "lan"), LAN, *programs(loaded), (CLSACT,))
    assert "netpolicy_up" in filters("ingress")
    attachment.close()
    assert filters("ingress") == filters("egress") == ""
    assert run("tc", "qdisc", "show", "dev", "lan") == before


def test_filters_that_somebody_took_off_are_missed(kernel: KernelSocket, loaded: Trial) -> None:
    attachment = attach(kernel, find_device(kernel, "lan"), LAN, *programs(loaded), (CLSACT,))
    assert not attachment.is_taken_off()
    run("tc", "filter", "del", "dev", "lan", "egress")
    assert not attachment.is_alive() and attachment.is_taken_off()
    run("tc", "qdisc", "del", "dev", "lan", "clsact")
    assert not attachment.is_alive() and attachment.is_taken_off()
    run("ip", "link", "del", "lan")
    assert not attachment.is_alive() and not attachment.is_taken_off()
    attachment.close()


def test_tcx_takes_off_the_filters_of_an_earlier_life(kernel: KernelSocket, loaded: Trial, has_tcx: None) -> None:
    """A process that had no tcx was killed, then the kernel was upgraded in place, or the way was set free."""
    attach(kernel, find_device(kernel, "lan"), LAN, *programs(loaded), (CLSACT,))
    attachment = attach(kernel, find_device(kernel, "lan"), LAN, *programs(loaded))
    assert attachment.way == TCX and filters("ingress") == filters("egress") == ""
    attachment.close()


def test_beside_an_ingress_qdisc_there_is_tcx_or_nothing(kernel: KernelSocket, loaded: Trial) -> None:
    """SQM: a clsact of ours would break it, and be broken."""
    run("tc", "qdisc", "add", "dev", "lan", "ingress")
    before = run("tc", "qdisc", "show", "dev", "lan"), filters("ingress")
    with pytest.raises(NotAttached, match=r"^lan: clsact: .*'ingress'"):
        attach(kernel, find_device(kernel, "lan"), LAN, *programs(loaded), (CLSACT,))
    assert (run("tc", "qdisc", "show", "dev", "lan"), filters("ingress")) == before


def test_a_shaper_that_is_about_to_come_is_given_way_to(kernel: KernelSocket, loaded: Trial) -> None:
    """SQM makes its ifb first."""
    attachment = attach(kernel, find_device(kernel, "lan"), LAN, *programs(loaded), (CLSACT,))
    run("ip", "link", "add", "ifb4lan", "type", "veth", "peer", "name", "any")
    assert not attachment.is_alive()
    assert not attachment.is_taken_off(), "it is we who give way"
    run("tc", "qdisc", "del", "dev", "lan", "clsact")
    assert not attachment.is_taken_off(), "and it makes room for itself"
    attachment.close()
    run("tc", "qdisc", "add", "dev", "lan", "handle", "ffff:", "ingress")
    run("tc", "qdisc", "del", "dev", "lan", "ingress")
    with pytest.raises(NotAttached, match="ifb4lan says that a shaper"):
        attach(kernel, find_device(kernel, "lan"), LAN, *programs(loaded), (CLSACT,))
    assert run("tc", "qdisc", "show", "dev", "lan", "clsact") == ""
    run("ip", "link", "del", "ifb4lan")
    attach(kernel, find_device(kernel, "lan"), LAN, *programs(loaded), (CLSACT,)).close()


def test_the_shapers_device_of_a_long_name_is_known_too(kernel: KernelSocket) -> None:
    run("ip", "link", "add", "ifb4cdefghijklm", "type", "veth", "peer", "name", "any")
    assert attaching.shaper_of(kernel, "abcdefghijklm") == "ifb4cdefghijklm"
    assert attaching.shaper_of(kernel, "cdefghijklm") == "ifb4cdefghijklm"
    assert attaching.shaper_of(kernel, "lan") == ""


def test_tcx_does_not_hinder_a_shaper_that_comes_later(kernel: KernelSocket, loaded: Trial, has_tcx: None) -> None:
    attachment = attach(kernel, find_device(kernel, "lan"), LAN, *programs(loaded))
    run("tc", "qdisc", "add", "dev", "lan", "ingress")
    run("tc", "qdisc", "del", "dev", "lan", "ingress")
    attachment.close()


def test_each_way_that_failed_has_its_reason(
    kernel: KernelSocket, loaded: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def old_kernel(*_: object) -> attaching.Attachment:
        raise BpfError("attach to lan", errno.EINVAL)

    monkeypatch.setitem(attaching.WAY, TCX, old_kernel)
    assert attach(kernel, find_device(kernel, "lan"), LAN, *programs(loaded)).way == CLSACT
    run("tc", "qdisc", "del", "dev", "lan", "clsact")
    run("tc", "qdisc", "add", "dev", "lan", "ingress")
    with pytest.raises(NotAttached, match="tcx: attach to lan: this kernel does not know it; clsact: attach to lan"):
        attach(kernel, find_device(kernel, "lan"), LAN, *programs(loaded))


def test_half_an_attachment_is_taken_back(kernel: KernelSocket, loaded: Trial) -> None:
    up, _ = programs(loaded)
    with pytest.raises(NotAttached):
        attach(kernel, find_device(kernel, "lan"), LAN, up, 10**6, (CLSACT,))
    assert run("tc", "qdisc", "show", "dev", "lan", "clsact") == ""
    with pytest.raises(NotAttached):
        attach(kernel, find_device(kernel, "lan"), LAN, up, 10**6, (TCX,))
