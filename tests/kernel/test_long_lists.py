"""Lists too long for a text that a firewall loads at boot: they come back at once, and whole."""

from __future__ import annotations

import pytest

from netpolicy.core.field import parse_field
from netpolicy.core.model import Action, Rule
from netpolicy.core.named_list import Lists, NamedList
from netpolicy.dataplane.kernel import Kernel
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.policy import Entry, Policy
from netpolicy.dataplane.script import MOST_AT_BOOT
from tests.netns import needs_root, run
from tests.router import policy, router

pytestmark = [pytest.mark.kernel, needs_root]

COUNT = MOST_AT_BOOT + 10


@pytest.fixture(scope="module")
def listed() -> Policy:
    entries = tuple(f"10.{number >> 8}.{number & 255}.0/25" for number in range(COUNT))
    field = parse_field("dest_addr", ("@long",), Lists((NamedList("long", entries),)))
    return policy(Entry(Rule("far", 1, (field,), Action("route", "wan_b")), 2))


@pytest.fixture
def kernel():
    with router():
        yield Kernel(open_netlink("builtin"))


def held() -> int:
    """How many networks the kernel has in its one long list."""
    with NftLink("netpolicy") as link:
        (name,) = (name for name in link.sets() if name.startswith("l4_"))
        return sum(1 for element in link.elements(name) if not element.closes)


async def test_the_text_of_the_firewalls_include_declares_it_empty_and_the_next_plan_fills_it(kernel, listed):
    await kernel.apply(await kernel.plan(listed))
    include = kernel.include_text(await kernel.plan(listed))
    assert held() == COUNT and len(include) < 20_000
    await kernel.remove()
    run("nft", "-f", "-", text=include)
    assert held() == 0
    fresh = Kernel(open_netlink("builtin"))
    plan = await fresh.plan(listed)
    assert [change for change in plan.changes if "nft" not in change and "ip -" not in change] == [
        f"+ all in {one.name}" for one in plan.table.sets if one.is_list
    ]
    await fresh.apply(plan)
    assert held() == COUNT
    assert (await fresh.plan(listed)).is_empty and (await Kernel(open_netlink("builtin")).plan(listed)).is_empty


async def test_a_firewall_that_loads_its_include_again_empties_nothing(kernel, listed):
    await kernel.apply(await kernel.plan(listed))
    run("nft", "-f", "-", text=kernel.include_text(await kernel.plan(listed)))
    assert held() == COUNT and (await kernel.plan(listed)).is_empty


async def test_a_table_that_has_to_be_made_anew_has_it_too(kernel, listed):
    await kernel.apply(await kernel.plan(listed))
    run("nft", "add table inet netpolicy { flags dormant; }")
    plan = await kernel.plan(listed)
    assert plan.nft.rebuild
    await kernel.apply(plan)
    assert held() == COUNT and (await kernel.plan(listed)).is_empty
