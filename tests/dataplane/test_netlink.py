"""One contract for both netlink adapters, against a real kernel, with `ip -j` as the oracle."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import re
import subprocess
import sys
import threading

import pytest

from netpolicy.dataplane.netlink import Netlink, is_absent, is_present, open_netlink
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.state import Address, Link, Neighbour, NetlinkError, Route, RoutingRule
from tests.netns import needs_root, private_netns, run
from tests.router import await_local_routes

pytestmark = [pytest.mark.kernel, needs_root]

KILL_METRIC = 4278198272
MARK, MASK = 0x01000000, 0x37000000


@pytest.fixture
def namespace():
    with private_netns() as fresh:
        run("ip", "link", "add", "wan", "type", "veth", "peer", "name", "far")
        # No link-local addresses, which appear a second or two later, in the middle of a comparison.
        run("ip", "-batch", "-", text="link set far addrgenmode none\nlink set wan addrgenmode none\n"
            "link set far up\nlink set wan up\n"
            "address add 10.7.0.2/24 dev wan\naddress add fd07::2/64 dev wan nodad\n")  # fmt: skip
        await_local_routes("local fd07::2 ", "ff00::/8 dev wan ", "ff00::/8 dev far ")
        yield fresh


@pytest.fixture(params=["builtin", "pyroute2"])
def netlink(request, namespace):
    if request.param == "pyroute2":
        pytest.importorskip("pyroute2")
    opened: Netlink = open_netlink(request.param)
    yield opened
    opened.close()


def ip(*words: str) -> list[dict]:
    return json.loads(run("ip", "-j", "-N", "-d", *words) or "[]")


def oracle_routes(family: int, table: str) -> set[tuple]:
    """Destination, kind, gateway, device, metric, protocol of each route as iproute2 tells it."""
    return {
        (
            one["dst"] if "/" in one["dst"] or one["dst"] == "default" else one["dst"] + ("/32", "/128")[family == 6],
            {"1": "unicast", "2": "local", "3": "broadcast", "5": "multicast", "7": "unreachable"}[str(one["type"])],
            one.get("gateway", ""),
            "" if str(one["type"]) == "7" else one.get("dev", ""),
            one.get("metric", 0),
            int(one["protocol"]),
        )
        for one in ip(f"-{family}", "route", "show", "table", table)
    }


def seen_routes(netlink: Netlink, family: int, table: int) -> set[tuple]:
    return {
        (one.destination, one.kind, one.gateway, one.device, one.metric, one.protocol)
        for one in netlink.routes(table)
        if one.family == family
    }


ROUTES = {
    "IPv4 default via a gateway": Route(4, 7001, "default", gateway="10.7.0.1", device="wan"),
    "IPv6 default via a gateway": Route(6, 7001, "default", gateway="fd07::1", device="wan", metric=1024),
    "IPv4 on-link": Route(4, 7001, "10.9.0.0/16", device="wan", scope="link", metric=5),
    "IPv4 on-link in global scope": Route(4, 7001, "default", device="wan"),
    "IPv6 on-link": Route(6, 7001, "fd09::/48", device="wan", metric=5),
    "IPv4 refused": Route(4, 7001, "default", "unreachable", metric=KILL_METRIC),
    "IPv6 refused": Route(6, 7001, "default", "unreachable", metric=KILL_METRIC),
    "IPv4 with a source": Route(4, 7199, "default", gateway="10.7.0.1", device="wan", source="10.7.0.2"),
    "IPv6 with a source": Route(6, 7199, "2001:db8::/32", gateway="fd07::1", device="wan", source="fd07::2", metric=9),
    "one IPv4 host in a small table": Route(4, 99, "192.0.2.1/32", gateway="10.7.0.1", device="wan", metric=1),
    "IPv4 through an IPv6 neighbour": Route(4, 7001, "default", gateway="fd07::1", device="wan", metric=3),
    "local for transparent proxies": Route(4, 7100, "default", "local", device="lo", scope="host"),
    "blackhole": Route(4, 7001, "198.51.100.0/24", "blackhole"),
}  # fmt: skip


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES.keys())
def test_a_route_reads_back_as_it_was_written_and_goes_away(netlink, route):
    before = not_the_kernels(netlink.routes())
    netlink.add_route(route)
    assert not_the_kernels(netlink.routes()) - before == {route}
    assert netlink.routes(route.table) == (route,)
    netlink.delete_route(route)
    assert not_the_kernels(netlink.routes()) == before


def not_the_kernels(routes):
    """Without those that the kernel makes by itself when a device comes up: on a busy machine that takes a while."""
    return {one for one in routes if one.protocol != 2}


def test_all_tables_look_like_the_oracle(netlink):
    for route in ROUTES.values():
        with contextlib.suppress(NetlinkError):  # two of them share destination and metric
            netlink.add_route(route)
    for family in (4, 6):
        for table in ("254", "255", "7001", "7199"):
            if table == "7001" and family == 4:
                continue  # `ip -j` shows "via" and "blackhole" in shapes of its own
            assert seen_routes(netlink, family, int(table)) == oracle_routes(family, table), (family, table)


def test_links_addresses_and_neighbours_look_like_the_oracle(netlink):
    run("ip", "link", "add", "bridge", "type", "bridge")
    run("ip", "link", "set", "far", "master", "bridge")
    run("ip", "neighbour", "add", "10.7.0.9", "lladdr", "02:00:00:00:00:09", "dev", "wan")
    run("ip", "neighbour", "add", "fd07::9", "lladdr", "02:00:00:00:00:0a", "dev", "wan")
    links = {one["ifname"]: one for one in ip("link")}
    told_index = {one["ifname"]: one["ifindex"] for one in links.values()}
    assert {one.name for one in netlink.links()} == set(links)
    for link in netlink.links():
        told = links[link.name]
        mac = told["address"] if link.name != "lo" else ""
        assert link == Link(
            told["ifindex"], link.name, "UP" in told["flags"], "LOWER_UP" in told["flags"], mac,
            told.get("linkinfo", {}).get("info_kind", ""), told_index.get(told.get("master", ""), 0),
        )  # fmt: skip
    found = {(one.device, one.address, one.prefixlen) for one in netlink.addresses()}
    assert found == {
        (one["ifname"], address["local"], address["prefixlen"])
        for one in ip("address")
        for address in one.get("addr_info", ())
    }
    assert Address(4, "lo", "127.0.0.1", 8, "host") in netlink.addresses()
    assert Neighbour(4, "wan", "10.7.0.9", "02:00:00:00:00:09") in netlink.neighbours()
    assert Neighbour(6, "wan", "fd07::9", "02:00:00:00:00:0a") in netlink.neighbours()


def test_a_fresh_ipv6_address_is_tentative(netlink):
    run("ip", "address", "add", "fd07::5/64", "dev", "wan")
    assert Address(6, "wan", "fd07::5", 64, tentative=True) in netlink.addresses()


RULES = {
    "IPv4 mark": RoutingRule(4, 7001, 7001, MARK, MASK),
    "IPv6 mark": RoutingRule(6, 7001, 7001, MARK, MASK),
    "zero under a mask": RoutingRule(4, 7002, 99, 0, MASK),
    "refusing": RoutingRule(4, 7031, 0, 0x36000000, MASK, "unreachable"),
    "refusing IPv6": RoutingRule(6, 7031, 0, 0x36000000, MASK, "unreachable"),
    "of another owner": RoutingRule(4, 100, 254, protocol=4),
    "for sockets bound to a device": RoutingRule(4, 7000, 7001, oif="wan"),
    "for bound IPv6 sockets": RoutingRule(6, 7000, 7001, oif="wan"),
    "for what is sent from an address": RoutingRule(4, 7101, 7001, selectors="from 192.0.2.7/32"),
    "for that and all but the default": RoutingRule(
        6, 7100, 254, selectors="from 2001:db8::7/128 suppress_prefixlength 0"
    ),
    "for a device that is not there": RoutingRule(4, 7000, 7001, oif="not-yet"),
    "for a device with a long strange name": RoutingRule(6, 7000, 7001, oif="täst@1.1234567"),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_a_rule_reads_back_as_it_was_written_and_goes_away(netlink, rule):
    before = netlink.rules()
    netlink.add_rule(rule)
    assert set(netlink.rules()) - set(before) == {rule}
    with pytest.raises(NetlinkError) as refused:
        netlink.add_rule(rule)
    assert is_present(refused.value)
    netlink.delete_rule(rule)
    assert netlink.rules() == before


def test_a_rule_for_a_device_is_told_from_those_for_others_and_for_none(netlink):
    """The kernel's delete takes a rule without a device for a wildcard."""
    mine, other, none = (RoutingRule(4, 7000, 7001, oif=device) for device in ("wan", "far", ""))
    netlink.add_rule(mine)
    for similar in (other, none):
        with pytest.raises(NetlinkError) as refused:
            netlink.delete_rule(similar)
        assert is_absent(refused.value)
    netlink.add_rule(other)
    assert {mine, other} <= set(netlink.rules()) and none not in netlink.rules()
    netlink.delete_rule(other)
    assert [one for one in netlink.rules() if one.priority == 7000] == [mine]


def test_a_rule_for_an_address_is_told_from_those_for_others(netlink):
    mine, other = (RoutingRule(4, 7101, 7001, selectors=f"from 192.0.2.{last}/32") for last in (7, 8))
    netlink.add_rule(mine)
    for similar in (other, replace(mine, selectors="")):
        with pytest.raises(NetlinkError):
            netlink.delete_rule(similar)
    netlink.add_rule(other)
    netlink.delete_rule(other)
    assert [one for one in netlink.rules() if one.priority == 7101] == [mine]
    with pytest.raises(NetlinkError, match="not ours to write"):
        netlink.add_rule(replace(mine, selectors="iif wan"))


def test_a_rule_for_a_device_outlives_the_device_and_finds_it_again(netlink):
    rule = RoutingRule(4, 7000, 7001, oif="wan")
    netlink.add_rule(rule)
    run("ip", "link", "del", "wan")
    assert "[detached]" in run("ip", "rule") and rule in netlink.rules()
    run("ip", "link", "add", "wan", "type", "veth", "peer", "name", "far")
    assert "[detached]" not in run("ip", "rule") and rule in netlink.rules()


def test_a_rule_for_an_impossible_device_is_refused_with_words(netlink):
    with pytest.raises(NetlinkError, match=r"^add rule .*too long for a device name"):
        netlink.add_rule(RoutingRule(4, 7000, 7001, oif="a-name-beyond-15-bytes"))


def test_ip_shows_our_rule_with_its_protocol(netlink):
    netlink.add_rule(RULES["IPv4 mark"])
    (told,) = (one for one in ip("rule") if one["priority"] == 7001)
    fields = [told[key] for key in ("fwmark", "fwmask", "table", "protocol")]
    assert fields == ["0x1000000", "0x37000000", "7001", "78"]


def test_the_kernels_own_rules_are_told_with_their_protocol(netlink):
    assert [(one.family, one.priority, one.table, one.protocol) for one in netlink.rules()] == [
        (4, 0, 255, 2), (4, 32766, 254, 2), (4, 32767, 253, 2), (6, 0, 255, 2), (6, 32766, 254, 2),
    ]  # fmt: skip


def test_foreign_selectors_are_told_and_such_a_rule_is_never_taken_for_ours(netlink):
    run("ip", "rule", "add", "from", "10.0.0.0/8", "iif", "wan", "fwmark", "0x01000000/0x37000000",
        "lookup", "7001", "priority", "7001", "protocol", "78")  # fmt: skip
    run("ip", "rule", "add", "lookup", "main", "suppress_prefixlength", "0", "priority", "7000", "protocol", "78")
    run("ip", "-6", "rule", "add", "not", "to", "fd00::/8", "ipproto", "tcp", "lookup", "5", "priority", "9")
    told = {one.priority: one.selectors for one in netlink.rules()}
    assert told[7001] == "from 10.0.0.0/8 iif wan"
    assert told[7000] == "suppress_prefixlength 0"
    assert told[9] == "not to fd00::/8 attribute 22"
    before = netlink.rules()
    for ours in (RoutingRule(4, 7000, 254), RoutingRule(4, 7001, 7001, MARK, MASK)):
        with pytest.raises(NetlinkError) as refused:
            netlink.delete_rule(ours)
        assert is_absent(refused.value)
    assert netlink.rules() == before


def test_a_delete_takes_exactly_what_was_asked(netlink):
    run("ip", "route", "add", "default", "via", "10.7.0.1", "table", "7001", "protocol", "4", "metric", "7")
    run("ip", "route", "add", "default", "dev", "wan", "table", "7001", "protocol", "78", "metric", "8")
    run("ip", "-6", "route", "add", "default", "dev", "wan", "table", "7001", "protocol", "78", "metric", "8")
    before = netlink.routes()
    similar = [
        Route(4, 7001, "default", gateway="10.7.0.1", device="wan", metric=7),  # another owner's
        Route(4, 7001, "default", gateway="10.7.0.1", device="wan"),  # another metric
        Route(4, 7001, "default", device="wan", metric=7),
        Route(4, 7001, "default", "unreachable", metric=8),
        Route(6, 7001, "default", "unreachable", metric=8),
        Route(6, 7001, "default", device="wan"),
    ]
    for route in similar:
        with pytest.raises(NetlinkError) as refused:
            netlink.delete_route(route)
        assert is_absent(refused.value), route
    assert netlink.routes() == before


def test_adding_twice_says_that_it_exists(netlink):
    route = ROUTES["IPv6 refused"]
    netlink.add_route(route)
    with pytest.raises(NetlinkError, match=r"^add route unreachable default table 7001 .*exists already") as refused:
        netlink.add_route(route)
    assert refused.value.errno == errno.EEXIST


def test_deleting_what_is_absent_says_so(netlink):
    with pytest.raises(NetlinkError) as refused:
        netlink.delete_route(ROUTES["IPv4 refused"])
    assert refused.value.errno == errno.ESRCH
    with pytest.raises(NetlinkError) as refused:
        netlink.delete_rule(RULES["IPv4 mark"])
    assert refused.value.errno == errno.ENOENT


@pytest.mark.parametrize("family", [4, 6])
def test_replacing_switches_in_place_and_creates_what_is_missing(netlink, family):
    gateways = ("10.7.0.1", "10.7.0.3") if family == 4 else ("fd07::1", "fd07::3")
    first = Route(family, 7001, "default", gateway=gateways[0], device="wan", metric=1024)
    netlink.replace_route(first)
    netlink.replace_route(replace(first, gateway=gateways[1]))
    assert netlink.routes(7001) == (replace(first, gateway=gateways[1]),)
    refusing = Route(family, 7001, "default", "unreachable", metric=1024)
    netlink.replace_route(refusing)
    assert netlink.routes(7001) == (refusing,)
    netlink.replace_route(first)
    assert netlink.routes(7001) == (first,)


def test_an_ipv6_metric_of_zero_can_be_deleted_as_it_was_added(netlink):
    route = Route(6, 7001, "default", gateway="fd07::1", device="wan")
    netlink.add_route(route)
    assert netlink.routes(7001) == (replace(route, metric=1024),)
    netlink.delete_route(route)
    assert netlink.routes(7001) == ()


def test_a_multipath_route_shows_all_its_hops_and_can_be_deleted(netlink):
    run("ip", "route", "add", "192.0.2.0/24", "table", "7001", "protocol", "78", "metric", "3",
        "nexthop", "via", "10.7.0.1", "nexthop", "via", "10.7.0.3")  # fmt: skip
    run("ip", "-6", "route", "add", "2001:db8::/32", "table", "7001", "protocol", "78", "metric", "3",
        "nexthop", "via", "fd07::1", "nexthop", "via", "fd07::3")  # fmt: skip
    routes = netlink.routes(7001)
    assert [(one.family, one.kind, one.device) for one in routes] == [(4, "multipath", "wan"), (6, "multipath", "wan")]
    assert routes[0].hops == (("10.7.0.1", "wan"), ("10.7.0.3", "wan"))
    assert routes[1].hops == (("fd07::1", "wan"), ("fd07::3", "wan"))
    assert routes[0].devices == ("wan", "wan") and routes[0].others == (("10.7.0.3", "wan"),)
    with pytest.raises(NetlinkError, match="several next hops"):
        netlink.add_route(routes[0])
    for route in routes:
        netlink.delete_route(route)
    assert netlink.routes(7001) == ()


def test_a_vanished_device_takes_its_routes_and_is_named_in_the_error(netlink):
    netlink.add_route(ROUTES["IPv4 default via a gateway"])
    netlink.add_route(ROUTES["IPv4 refused"])
    run("ip", "link", "del", "wan")
    assert netlink.routes(7001) == (ROUTES["IPv4 refused"],)
    assert [one.name for one in netlink.links()] == ["lo"]
    with pytest.raises(NetlinkError, match=r"dev wan.*no such") as refused:
        netlink.add_route(ROUTES["IPv4 on-link"])
    assert refused.value.errno == errno.ENODEV


@pytest.mark.parametrize("name", ["wan.7", 'a"b', "p'$x", "täst@1", "-dash", "*"])
def test_devices_may_be_called_almost_anything(netlink, name):
    run("ip", "link", "set", "wan", "down")
    run("ip", "link", "set", "dev", "wan", "name", name)
    run("ip", "link", "set", "dev", name, "up")
    assert name in [one.name for one in netlink.links()]
    route = Route(4, 7001, "default", device=name, scope="link")
    netlink.add_route(route)
    assert netlink.routes(7001) == (route,)
    netlink.delete_route(route)


@pytest.mark.parametrize(
    "route",
    [
        Route(4, 7001, "10.0.0.0/33", device="wan"),
        Route(4, 7001, "fd00::/8", device="wan"),
        Route(4, 7001, "10.0.0.0/x", device="wan"),
        Route(4, 7001, "nonsense", device="wan"),
        Route(4, 7001, "default", gateway="nonsense", device="wan"),
        Route(4, 7001, "default", device="wan", source="fd07::2"),
        Route(4, 7001, "default", "sideways", device="wan"),
        Route(4, 7001, "default", device="wan", scope="galaxy"),
        Route(4, 1 << 32, "default", device="wan"),
        Route(4, 7001, "default", device="wan", metric=-1),
        Route(4, 7001, "10.0.0.1/24", device="wan"),  # host bits: the kernel refuses
        Route(4, 7001, "default", device="a-name-beyond-15-bytes"),
    ],
    ids=str,
)
def test_impossible_routes_are_refused_with_words(netlink, route):
    with pytest.raises(NetlinkError) as refused:
        netlink.add_route(route)
    assert str(refused.value).startswith("add route ")
    assert refused.value.errno in (errno.EINVAL, errno.ENODEV)
    assert netlink.routes(7001) == ()


def test_an_unreachable_gateway_is_explained(netlink):
    with pytest.raises(NetlinkError, match="gateway cannot be reached") as refused:
        netlink.add_route(Route(4, 7001, "default", gateway="203.0.113.1", device="wan"))
    assert refused.value.errno == errno.ENETUNREACH


def test_five_thousand_routes_are_read_whole(netlink):
    routes = [Route(4, 7001, f"10.{n >> 8}.{n & 255}.0/24", device="wan", scope="link") for n in range(5000)]
    run("ip", "-batch", "-", text="".join(
        f"route add {one.destination} dev wan table 7001 proto 78 scope link\n" for one in routes))  # fmt: skip
    assert netlink.routes(7001) == tuple(routes)


def test_a_table_that_changes_meanwhile_is_read_again(netlink):
    """Links come and go under the reader; what it returns was true at one moment."""
    run("ip", "-batch", "-", text="".join(f"link add v{n} type veth peer name w{n}\n" for n in range(60)))
    stop, was_read = threading.Event(), threading.Event()

    def churn() -> None:
        # Without rest, and a whole table read in between, no reader could ever see one.
        while not stop.wait(0.05):
            was_read.wait()
            was_read.clear()
            run("ip", "link", "add", "churn", "type", "veth", "peer", "name", "nruhc")
            run("ip", "link", "del", "churn")

    worker = threading.Thread(target=churn)
    worker.start()
    try:
        for _ in range(20):
            names = [one.name for one in netlink.links()]
            assert len(names) == len(set(names)) and {f"v{n}" for n in range(60)} <= set(names)
            was_read.set()
    finally:
        stop.set()
        was_read.set()
        worker.join()


def test_the_adapter_works_inside_a_running_asyncio_loop(netlink):
    async def use() -> tuple[Route, ...]:
        netlink.add_route(ROUTES["IPv4 refused"])
        return netlink.routes(7001)

    assert asyncio.run(use()) == (ROUTES["IPv4 refused"],)


@pytest.mark.parametrize("choice", ["builtin", "pyroute2"])
def test_the_adapter_opens_inside_a_running_asyncio_loop(namespace, choice):
    async def use() -> tuple[Link, ...]:
        opened = open_netlink(choice)
        try:
            return opened.links()
        finally:
            opened.close()

    assert {one.name for one in asyncio.run(use())} == {"lo", "wan", "far"}


UNPRIVILEGED = """
import sys
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.state import NetlinkError, Route, RoutingRule
netlink = open_netlink(sys.argv[1])
print(len(netlink.links()))
for write in (lambda: netlink.add_route(Route(4, 7001, "default", "unreachable")),
              lambda: netlink.add_rule(RoutingRule(4, 7001, 7001, 1, 1))):
    try:
        write()
    except NetlinkError as error:
        print(error.errno, error)
"""


@pytest.mark.parametrize("choice", ["builtin", "pyroute2"])
def test_without_privileges_reading_works_and_writing_says_what_to_do(namespace, choice):
    told = run("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", sys.executable, "-c", UNPRIVILEGED, choice)
    assert told.splitlines()[0] == "3"
    for line, operation in zip(told.splitlines()[1:], ("add route", "add rule"), strict=True):
        assert re.match(rf"{errno.EPERM} {operation} .*CAP_NET_ADMIN", line), line


def test_closing_twice_is_fine(netlink):
    netlink.close()
    netlink.close()


def test_sockets_are_given_back(namespace):
    gc.collect()  # what an earlier test left must not go in the middle of this one
    before = len(os.listdir("/proc/self/fd"))
    for choice in ("builtin", "pyroute2"):
        opened = open_netlink(choice)
        opened.links()
        opened.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="'fast' is not one of auto, pyroute2, builtin"):
        open_netlink("fast")


@pytest.mark.parametrize("choice", ["builtin", "auto"])  # auto also where pyroute2 is installed, as it is here
def test_the_builtin_adapter_imports_neither_pyroute2_nor_ctypes(choice):
    code = (
        f"import sys; from netpolicy.dataplane.netlink import open_netlink; open_netlink({choice!r}).rules();"
        "print([m for m in ('pyroute2', 'ctypes', 'asyncio', 'logging') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
