"""A set that fills by itself is called after what the rule asks, and the kernel's news of it are no news of rules."""

from __future__ import annotations

import asyncio

import pytest

from netpolicy.core.field import parse_field
from netpolicy.dataplane.kernel import Kernel
from netpolicy.dataplane.learned_sets import base_name, base_of, is_learned, set_name
from netpolicy.dataplane.names import LONGEST, TABLE
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.netlink_watch import Watch
from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.nft_messages import AddElements, noticed
from netpolicy.dataplane.policy import Entry
from tests.dataplane.followed import MAIL, VIDEO, elements, follow
from tests.netns import needs_root
from tests.router import policy, rule

NAMED = Entry(rule("named", domain="video.example", dest_port="443"), 2)
BASE = base_name(parse_field("domain", ("video.example",)))
FOUR = set_name(BASE, 4)
ADDRESS = bytes((192, 0, 2, 20))


def test_the_name_says_which_question_and_which_family() -> None:
    sni = base_name(parse_field("sni", ("video.example",)))
    other = base_name(parse_field("domain", ("video.example", "!a.video.example")))
    assert len({BASE, sni, other}) == 3
    assert base_of(FOUR) == BASE and base_of("hits_a") == ""
    assert is_learned(FOUR) and not is_learned("g4_da_0123456789") and len(FOUR) <= LONGEST


@pytest.mark.kernel
@needs_root
async def test_addresses_come_and_go_without_a_change_to_plan(kernel: Kernel) -> None:
    await follow(kernel, policy(NAMED, VIDEO, MAIL))
    watch = Watch()
    try:
        with NftLink(TABLE) as link:
            link.commit([AddElements(FOUR, [Element(ADDRESS, timeout_ms=60_000)])])
        assert watch.read() == []
        assert [noticed(one) for one in watch.take_learned()] == [(FOUR, [Element(ADDRESS, timeout_ms=60_000)], True)]
    finally:
        watch.close()
    kernel.steps.runs.clear()
    assert (await kernel.plan(policy(NAMED, VIDEO, MAIL))).is_empty
    assert kernel.steps.runs == []  # nobody listed the table anew
    assert (await Kernel(open_netlink("builtin")).plan(policy(NAMED, VIDEO, MAIL))).is_empty


@pytest.mark.kernel
@needs_root
async def test_what_was_learned_outlives_other_rules_and_a_rebuilt_table_and_goes_with_the_last_that_asks(
    kernel: Kernel,
) -> None:
    await follow(kernel, policy(NAMED, MAIL))
    with NftLink(TABLE) as link:
        link.commit([AddElements(FOUR, [Element(ADDRESS, timeout_ms=60_000)])])
    also = Entry(rule("also", domain="video.example", src_addr="192.168.1.7"), 1)
    await follow(kernel, policy(also, NAMED))
    assert [one.key for one in elements(FOUR)] == [ADDRESS]
    asleep = await asyncio.create_subprocess_exec("nft", "add table inet netpolicy { flags dormant; }")
    await asleep.wait()
    plan = await kernel.plan(policy(also, NAMED))
    assert plan.nft.rebuild
    await kernel.apply(plan)
    held = elements(FOUR)
    assert [one.key for one in held] == [ADDRESS] and 0 < held[0].expires_ms <= 60_000
    await follow(kernel, policy(MAIL))
    with NftLink(TABLE) as link:
        assert not [name for name in link.sets() if is_learned(name)]
