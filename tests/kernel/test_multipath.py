"""One default route with several next hops, as load balancers and routing daemons set it: each line learns its own.

main alone says where the gateways are. What is sealed stays on its line though main would spread it.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator

import pytest

from tests.daemon.running import Netpolicyd, netpolicyd, until
from tests.kernel.leases import SEALED, USUAL, Far
from tests.kernel.streams import Place, place
from tests.netns import needs_root, run

pytestmark = [pytest.mark.kernel, needs_root]

BOTH = f"""
config netpolicy 'main'
	option enabled '1'
	option inspector 'off'
config outbound 'wan_a'
	option type 'interface'
	option interface 'wana'
config rule 'sealed'
	list proto 'udp'
	list dest_port '{SEALED}'
	option route 'wan_a'
	option on_fail 'block'
config outbound 'wan_b'
	option type 'interface'
	option interface 'wanb'
config rule 'usual'
	list proto 'udp'
	list dest_port '{USUAL}'
	option route 'wan_b'
"""
# Line B leads out by main alone: nobody but its default says so.
ONE = BOTH.partition("config outbound 'wan_b'")[0]

HOPS4 = "nexthop via 192.0.2.1 dev wana nexthop via 198.51.100.1 dev wanb"
HOPS6 = "nexthop via 2001:db8:a::1 dev wana nexthop via 2001:db8:b::1 dev wanb"
WAYS = {
    "written as one": (f"-4 route add default {HOPS4}", f"-6 route add default {HOPS6}"),
    "the other way round": (
        "-4 route add default nexthop via 198.51.100.1 dev wanb weight 9 nexthop via 192.0.2.1 dev wana",
        "-6 route add default nexthop via 2001:db8:b::1 dev wanb nexthop via 2001:db8:a::1 dev wana",
    ),
    "appended one by one": (
        "-4 route add default nexthop via 192.0.2.1 dev wana nexthop via 198.51.100.1 dev wanb",
        "-6 route add default via 2001:db8:a::1 dev wana",
        "-6 route append default via 2001:db8:b::1 dev wanb",
    ),
    "next hops that are objects": (
        "nexthop add id 1 via 192.0.2.1 dev wana", "nexthop add id 2 via 198.51.100.1 dev wanb",
        "nexthop add id 3 group 1/2", "-4 route add default nhid 3",
        "nexthop add id 4 via 2001:db8:a::1 dev wana", "nexthop add id 5 via 2001:db8:b::1 dev wanb",
        "nexthop add id 6 group 4/5", "-6 route add default nhid 6",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def where() -> Iterator[Place]:
    with place() as found:
        # The far side answers by the way that it was asked.
        found.server.run("ip", "route", "add", "192.168.1.0/24", "via", "198.51.100.2", "metric", "9")
        found.server.run("ip", "route", "add", "fd00:1::/64", "via", "2001:db8:b::2", "metric", "2000")
        yield found


@pytest.fixture
def far(where: Place) -> Iterator[Far]:
    found = Far(where.server, where.client, ("eth0", "eth1"))
    yield found
    found.close()


def without_defaults() -> None:
    for family in ("-4", "-6"):
        with contextlib.suppress(AssertionError):
            while True:
                run("ip", family, "route", "delete", "default", "table", "main")
    run("ip", "nexthop", "flush")


def gateways(daemon: Netpolicyd) -> dict[str, tuple[str, str]]:
    return {one["name"]: (one["gateway"], one["gateway6"]) for one in daemon.call("outbounds")["outbounds"]
            if one["type"] == "interface"}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_each_line_learns_its_own_next_hop(where, far, tmp_path, way):
    without_defaults()
    with netpolicyd(tmp_path, BOTH) as daemon:
        daemon.settled()
        assert not any(gateways(daemon)["wan_a"] + gateways(daemon)["wan_b"])
        for command in WAYS[way]:
            run("ip", *command.split())
        wanted = {"wan_a": ("192.0.2.1", "2001:db8:a::1"), "wan_b": ("198.51.100.1", "2001:db8:b::1")}
        until(lambda: gateways(daemon) == wanted)
        # The gateway of a line that is up already is told a moment before the kernel follows.
        until(lambda: all(far.asked(SEALED, one) and far.asked(USUAL, one).startswith("eth1") for one in (4, 6)))
        daemon.settled()
        for _ in range(8):  # by main a half would go the other way
            for family, client in ((4, "192.168.1."), (6, "fd00:1::")):
                assert far.came(SEALED, family).startswith(f"eth0 {client}")
                assert far.came(USUAL, family).startswith(f"eth1 {client}")
        assert daemon.call("plan")["changes"] == []
        # One way less: the route changes, the line goes.
        without_defaults()
        run("ip", "route", "add", "default", "via", "192.0.2.1", "dev", "wana")
        until(lambda: gateways(daemon) == {"wan_a": ("192.0.2.1", ""), "wan_b": ("", "")})


def test_a_device_of_a_further_next_hop_leads_out_and_nothing_sealed_passes_it(where, far, tmp_path):
    """Without our ip rules main spreads over both: the second lock is a set of the devices that lead out."""
    without_defaults()
    run("ip", *f"-4 route add default {HOPS4}".split())
    run("ip", *f"-6 route add default {HOPS6}".split())
    where.router.sysctl("net/ipv4/fib_multipath_hash_policy", 1)  # by ports too: each flow for itself
    where.router.sysctl("net/ipv6/fib_multipath_hash_policy", 1)
    with netpolicyd(tmp_path, ONE) as daemon:
        daemon.settled()
        until(lambda: far.asked(SEALED).startswith("eth0") and far.asked(SEALED, 6).startswith("eth0"))
        began = time.monotonic()  # until the daemon was there main spread it
        daemon.send(signal.SIGSTOP)
        try:
            for family in ("-4", "-6"):
                run("ip", family, "rule", "flush", "protocol", "78")
            sent = far.sent
            until(lambda: far.sent > sent + 200)
            spread = {far.came(USUAL).partition(" ")[0] for _ in range(40)}
            assert spread == {"eth0", "eth1"}, "main spreads what nobody steers"
        finally:
            daemon.send(signal.SIGCONT)
        assert {device for when, device, port, _ in far.seen if port == SEALED and when > began} == {"eth0"}


TABLE = f"""
config netpolicy 'main'
	option enabled '1'
	option inspector 'off'
config outbound 'both'
	option type 'table'
	option table '100'
config rule 'sealed'
	list proto 'udp'
	list dest_port '{SEALED}'
	option route 'both'
	option on_fail 'block'
"""


def test_a_sealed_table_may_use_every_next_hop_of_its_default(where, far, tmp_path):
    """main leads out by line B: were that device not one of the table's own too, the seal would drop a half."""
    without_defaults()
    run("ip", "route", "add", "default", "via", "198.51.100.1", "dev", "wanb")
    run("ip", "-6", "route", "add", "default", "via", "2001:db8:b::1", "dev", "wanb")
    run("ip", *f"-4 route replace default table 100 {HOPS4}".split())
    run("ip", *f"-6 route replace default table 100 {HOPS6}".split())
    where.router.sysctl("net/ipv4/fib_multipath_hash_policy", 1)
    where.router.sysctl("net/ipv6/fib_multipath_hash_policy", 1)
    with netpolicyd(tmp_path, TABLE) as daemon:
        daemon.settled()
        for family in (4, 6):
            assert {far.came(SEALED, family).partition(" ")[0] for _ in range(40)} == {"eth0", "eth1"}
