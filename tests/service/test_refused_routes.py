"""A line whose route the kernel does not take: the others are followed all the same."""

from __future__ import annotations

from errno import EINVAL

import pytest

from netpolicy.dataplane.policy import Hop
from netpolicy.dataplane.state import NetlinkError, Route
from netpolicy.outbounds.lines import LineState
from netpolicy.service.refused_routes import FIRST_SECONDS, RefusedRoutes
from tests.netns import needs_root, run
from tests.router import everything, router
from tests.service.parts import CONFIG, House

BOTH = (Hop(4, "192.0.2.1"), Hop(6, "2001:db8::1"))


def line(*hops: Hop) -> LineState:
    return LineState("wan", "interface", True, "it is well", "wana", hops)


def test_one_refusal_may_be_a_network_that_was_changing() -> None:
    refused = RefusedRoutes()
    assert not refused.note(line(*BOTH), 4, "no", 0)
    assert refused.without(line(*BOTH), 0) == line(*BOTH)
    refused.all_taken(1)
    assert not refused.note(line(*BOTH), 4, "no", 2)


def test_a_family_that_is_refused_again_is_left_out_until_it_is_tried_again() -> None:
    refused = RefusedRoutes()
    assert [refused.note(line(*BOTH), 4, "no", now) for now in (0, 2)] == [False, True]
    found = refused.without(line(*BOTH), 3)
    assert (found.up, found.hops, found.reason) == (True, BOTH[1:], "the kernel does not take its route: no")
    refused.all_taken(3)
    assert refused.without(line(*BOTH), 2 + FIRST_SECONDS) == line(*BOTH)
    assert refused.note(line(*BOTH), 4, "no", 33)  # and twice as long
    assert refused.without(line(*BOTH), 33 + FIRST_SECONDS + 1).hops == BOTH[1:]


def test_another_gateway_is_another_matter() -> None:
    refused = RefusedRoutes()
    for now in (0, 2):
        refused.note(line(BOTH[0]), 4, "no", now)
    assert not refused.without(line(BOTH[0]), 3).up
    other = line(Hop(4, "192.0.2.9"))
    assert refused.without(other, 3) == other and not refused.note(other, 4, "no", 3)


@pytest.mark.kernel
@needs_root
async def test_the_other_lines_are_followed(tmp_path, monkeypatch) -> None:
    with router():
        house = House(tmp_path, CONFIG)
        netlink = house.engine.netlink
        add = netlink.add_route

        def refuse(route: Route) -> None:
            if route.gateway == "192.0.2.1":
                raise NetlinkError(f"add route default via {route.gateway}", EINVAL, "Nexthop has invalid gateway")
            add(route)

        monkeypatch.setattr(netlink, "add_route", refuse)
        assert "invalid gateway" in await house.load()
        assert await house.engine.reconcile("retry") == ""
        states = {one.name: one for one in house.engine.states}
        assert (states["wan_a"].up, states["wan_b"].up) == (False, True)
        assert "invalid gateway" in states["wan_a"].reason
        assert "via 198.51.100.1" in run("ip", "route", "show", "table", "7002")
        run("ip", "link", "set", "wanb", "down")
        assert await house.engine.reconcile("a line is down") == ""
        assert "via 198.51.100.1" not in everything()
