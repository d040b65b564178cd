"""Which routes and rules the lines need, and in which order they come and go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.core.pairs import MOST_OUTBOUNDS
from netpolicy.dataplane import routing
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import Hop, Line, Policy
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.state import PROTOCOL, Address, Route, RoutingRule

LINE = Line("b", 2, "wanb", (Hop(4, "198.51.100.1"),))
LAN = Route(4, 254, "192.168.1.0/24", device="lan", protocol=2, scope="link")
NEAR = Route(4, 254, "198.51.100.0/24", device="wanb", protocol=2, scope="link")


def routes(*main: Route, line: Line = LINE) -> set[Route]:
    return set(routing.desired(Policy(lines=(line,)), main).routes)


def test_a_line_has_its_default_the_subnets_and_a_wall_behind_them():
    found = {routing.describe_route(route) for route in routes(LAN, NEAR)}
    assert found == {
        "ip -4 route default via 198.51.100.1 dev wanb table 7002",
        "ip -4 route 192.168.1.0/24 dev lan table 7002",
        "ip -4 route 198.51.100.0/24 dev wanb table 7002",
        "ip -4 route unreachable default table 7002 metric 4278198272",
        "ip -6 route unreachable default table 7002 metric 4278198272",
    }


def test_a_gateway_outside_of_the_lines_subnet_has_a_route_of_its_own_before_the_default():
    far = replace(LINE, hops=(Hop(4, "10.99.0.1"), Hop(6, "2001:db8:9::1"), Hop(6, "fe80::1")))
    found = [one for one in routing.in_order(routes(LAN, NEAR, line=far)) if "wanb" in routing.describe_route(one)]
    assert [routing.describe_route(one).split(" dev ")[0] for one in found] == [
        "ip -4 route 10.99.0.1/32",
        "ip -4 route 198.51.100.0/24",
        "ip -6 route 2001:db8:9::1/128",
        "ip -4 route default via 10.99.0.1",
        "ip -6 route default via 2001:db8:9::1",
        "ip -6 route default via fe80::1",
    ]


def test_routes_that_are_no_subnets_are_not_copied():
    """Half defaults of a VPN would swallow the line; gateways and link-local are not everybody's."""
    others = [Route(4, 254, half, device="tun0", protocol=3) for half in ("0.0.0.0/1", "128.0.0.0/1", "default")]
    others += [Route(6, 254, net, device="x") for net in ("::/1", "8000::/1", "fe80::/64")]
    others += [
        Route(4, 254, "10.0.0.0/8", gateway="192.168.1.9", device="lan"),
        replace(LAN, table=255),
        Route(4, 254, "10.1.0.0/16", "blackhole"),
    ]
    assert routes(*others) == routes()


def test_of_two_equal_subnets_the_line_takes_the_one_on_its_own_device():
    twin = replace(NEAR, device="wana")
    for order in ((NEAR, twin), (twin, NEAR)):
        found = [route.device for route in routes(*order) if route.destination == NEAR.destination]
        assert found == ["wanb"]
        found = [
            route.device
            for route in routes(*order, line=replace(LINE, device="lan"))
            if route.destination == NEAR.destination
        ]
        assert found == ["wana"]


def test_a_line_that_is_down_keeps_rules_and_wall():
    down = replace(LINE, hops=())
    wanted = routing.desired(Policy(lines=(down,)), ())
    assert {route.kind for route in wanted.routes} == {"unreachable"}
    assert {(rule.family, rule.priority, rule.table, rule.mark) for rule in wanted.rules if rule.mark} == {
        (4, 7002, 7002, 0x02000000),
        (6, 7002, 7002, 0x02000000),
    }


def test_a_foreign_table_is_asked_after_the_subnets_and_before_the_wall():
    """Answers to the LAN must not follow somebody else's default."""
    wanted = routing.desired(Policy(lines=(Line("vpn", 3, foreign_table=100),)), (LAN,))
    assert {(route.table, route.destination) for route in wanted.routes} == {(7003, "192.168.1.0/24")}
    steps = sorted((rule.priority, rule.action, rule.table) for rule in wanted.rules if rule.family == 4)
    assert [(action, table) for _, action, table in steps] == [("lookup", 7003), ("lookup", 100), ("unreachable", 0)]


def bound(*lines: Line) -> set[str]:
    rules = routing.desired(Policy(lines=lines), ()).rules
    return {routing.describe_rule(rule) for rule in rules if rule.priority == 7000}


def test_a_bound_socket_asks_the_table_of_its_line_and_main_where_the_line_knows_no_way():
    assert bound(LINE) == {
        "ip -4 rule priority 7000 oif wanb lookup 7002",
        "ip -6 rule priority 7000 oif wanb lookup 254",
    }
    assert bound(replace(LINE, hops=())) == {
        "ip -4 rule priority 7000 oif wanb lookup 254",
        "ip -6 rule priority 7000 oif wanb lookup 254",
    }
    assert bound(Line("vpn", 3, foreign_table=100), Line("gone", 4)) == set()


def test_of_two_lines_on_one_device_the_first_answers_for_bound_sockets():
    second = replace(LINE, name="c", number=1)
    assert "ip -4 rule priority 7000 oif wanb lookup 7002" in bound(LINE, second)
    assert len(bound(LINE, second)) == 2


def test_what_is_sent_from_an_address_of_a_line_goes_by_it_where_main_knows_nothing_better():
    there = [
        Address(4, "wanb", "198.51.100.2", 24),
        Address(4, "lan", "192.168.1.1", 24),
        Address(6, "wanb", "2001:db8:b::2", 64),  # the line has no way out in IPv6
        Address(4, "wanb", "169.254.0.2", 16, "link"),
        *(Address(4, "wanb", f"203.0.113.{last}", 32) for last in range(40)),
    ]
    two_on_one = Policy(lines=(LINE, replace(LINE, name="c", number=3)))
    rules = [r for r in routing.rules_in_order(routing.desired(two_on_one, (), there).rules) if r.priority >= 7198]
    assert len(rules) == 32
    assert [routing.describe_rule(one) for one in rules if "198.51" in one.selectors] == [
        "ip -4 rule priority 7198 from 198.51.100.2/32 suppress_prefixlength 0 lookup 254",
        "ip -4 rule priority 7199 from 198.51.100.2/32 lookup 7002",
    ]


def test_a_line_knows_the_link_local_subnet_of_its_own_device_only():
    own = Route(6, 254, "fe80::/64", device="wanb", metric=256, protocol=2)
    lead = replace(LINE, hops=(Hop(6, "fe80::1"),))
    found = [route for route in routes(own, replace(own, device="lan"), line=lead) if route.device == "wanb"]
    assert {routing.describe_route(route) for route in found} == {
        "ip -6 route fe80::/64 dev wanb table 7002 metric 256",
        "ip -6 route default via fe80::1 dev wanb table 7002 metric 1024",
    }


def test_every_priority_of_every_class_lies_among_ours():
    line = Line("vpn", MOST_OUTBOUNDS, foreign_table=100)
    wanted = routing.desired(Policy(marks=Marks(0xFFFF0000), lines=(line,)), ())
    assert {rule.priority for rule in wanted.rules} <= set(range(7000, 7000 + routing.SPAN))


def test_subnets_come_before_the_gateway_and_rules_after_all_routes():
    wanted = routing.desired(Policy(lines=(LINE,)), (LAN, NEAR))
    change = routing.change(wanted, routing.Routing())
    order = [(route.destination == "default", route.kind) for route in change.add_routes]
    assert order == [(False, "unicast")] * 2 + [(True, "unicast")] + [(True, "unreachable")] * 2
    assert [rule.priority for rule in change.add_rules] == [7000, 7000, 7002, 7002]
    assert not change.delete_rules and not change.delete_routes
    assert change.changes[0].startswith("+ ip -4 route 192.168.1.0/24")


def test_only_our_protocol_number_is_compared():
    stranger = Route(4, 7002, "default", gateway="198.51.100.1", device="wanb", protocol=3)
    rule = RoutingRule(4, 7002, 7002, 0x02000000, 0x37000000, protocol=0)
    assert routing.ours([stranger], [rule]) == routing.Routing()
    assert routing.ours([replace(stranger, protocol=PROTOCOL)], ()).routes


def test_what_the_kernel_adds_to_a_route_is_no_difference():
    wanted = routing.desired(Policy(lines=(LINE,)), (NEAR,))
    told = [
        replace(route, source="198.51.100.2", device="lo" if route.kind != "unicast" else route.device)
        for route in wanted.routes
    ]
    assert routing.change(wanted, routing.ours(told, wanted.rules)).is_empty


LINES = st.sets(st.integers(1, 28), max_size=4).map(
    lambda numbers: tuple(Line(f"n{n}", n, f"dev{n}", (Hop(4, f"10.{n}.0.1"),)) for n in sorted(numbers))
)


@given(LINES, LINES)
def test_a_change_leads_exactly_there(first, second):
    a, b = (routing.desired(Policy(lines=lines), (LAN,)) for lines in (first, second))
    change = routing.change(b, a)
    assert (a.routes | set(change.add_routes)) - set(change.delete_routes) == b.routes
    assert (a.rules | set(change.add_rules)) - set(change.delete_rules) == b.rules
    assert change.is_empty == (a == b)
