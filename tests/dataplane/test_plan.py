"""What differs is found without a change, and found once."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import ClassVar

import pytest

from netpolicy.core.model import Rule
from netpolicy.dataplane import plan as plan_module
from netpolicy.dataplane.kernel import Kernel
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.netlink_watch import Watch
from netpolicy.dataplane.nft import NftError
from netpolicy.dataplane.policy import Entry, SourceTranslation
from tests.dataplane.followed import MAIL, VIDEO, WORK, follow
from tests.dataplane.watched import generation
from tests.netns import needs_root
from tests.router import everything, of_others, policy, rule

pytestmark = [pytest.mark.kernel, needs_root]


async def test_a_second_plan_says_nothing_to_the_kernel_and_starts_no_program(kernel):
    wanted = policy(VIDEO, MAIL, WORK)
    await follow(kernel, wanted)
    before, number = everything(), generation()
    kernel.steps.runs.clear()
    watch = Watch()
    try:
        assert (await kernel.plan(wanted)).is_empty
        await kernel.apply(await kernel.plan(wanted))
        assert watch.read() == []
    finally:
        watch.close()
    assert kernel.steps.runs == []
    assert everything() == before and generation() == number


async def test_a_reload_of_equal_rules_needs_no_rehearsal_and_no_change(kernel):
    await follow(kernel, policy(VIDEO, MAIL))
    number = generation()
    kernel.steps.runs.clear()
    reloaded = Entry(rule("video", dest_port="443", proto="tcp"), 2)
    assert reloaded != VIDEO
    plan = await kernel.plan(policy(reloaded, MAIL))
    await kernel.apply(plan)
    assert plan.is_empty and kernel.steps.runs == [] and generation() == number


async def test_more_elements_than_are_good_for_a_router_are_refused_in_words(kernel):
    addresses, ports = " ".join(f"10.0.{n}.1" for n in range(32)), " ".join(str(2 * n + 1) for n in range(30))
    entries = [Entry(rule(f"r{n}", dest_addr=addresses, dest_port=ports, proto="tcp"), 2) for n in range(120)]
    with pytest.raises(NftError, match="the rules need more than 100000 elements of maps, at rule 'r104'"):
        await kernel.plan(policy(*entries))


async def test_a_policy_that_nft_refuses_changes_nothing(kernel):
    await follow(kernel, policy(VIDEO))
    before = everything()
    with pytest.raises(NftError):
        await kernel.plan(policy(VIDEO, translations=(SourceTranslation('wan"b', True),)))
    assert everything() == before


async def test_without_unshare_the_text_is_rehearsed_beside_and_leaves_nothing(kernel, tmp_path, monkeypatch):
    for name in ("nft", "sh"):
        os.symlink(f"/usr/sbin/{name}" if name == "nft" else "/bin/sh", tmp_path / name)
    path = os.environ["PATH"]
    before = of_others()
    monkeypatch.setenv("PATH", str(tmp_path))
    await follow(kernel, policy(VIDEO, MAIL))
    assert kernel.rehearsal == "beside"
    assert (await kernel.plan(policy(VIDEO, MAIL))).is_empty
    await follow(kernel, policy(WORK, MAIL))
    assert (await kernel.plan(policy(WORK, MAIL))).is_empty
    monkeypatch.setenv("PATH", path)
    assert "netpolicy_rehearsal" not in everything()
    assert of_others() == before


async def test_both_rehearsals_list_the_same_rules(here, tmp_path, monkeypatch):
    wanted = policy(VIDEO, MAIL, WORK)
    await follow(Kernel(open_netlink("builtin")), wanted)
    os.symlink("/usr/sbin/nft", tmp_path / "nft")
    monkeypatch.setenv("PATH", str(tmp_path))
    beside = Kernel(open_netlink("builtin"))
    assert (await beside.plan(wanted)).is_empty
    assert beside.rehearsal == "beside"


async def test_the_digest_names_the_plan(kernel):
    first = await kernel.plan(policy(VIDEO))
    assert first.digest == (await kernel.plan(policy(VIDEO))).digest
    assert first.digest != (await kernel.plan(policy(VIDEO, WORK))).digest


class Mortal(Rule):
    """Notes at which turn of the loop it dies."""

    __slots__ = ()
    turn = 0
    deaths: ClassVar[list[int]] = []

    def __del__(self) -> None:
        self.deaths.append(Mortal.turn)


async def test_rules_that_are_no_more_are_freed_little_by_little(kernel, monkeypatch):
    """All at once they would hold the loop."""
    monkeypatch.setattr(plan_module, "FREED_AT_ONCE", 5)

    async def turns() -> None:
        while True:
            Mortal.turn += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(turns())
    for start in (1000, 2000, 3000):
        rules = [rule(f"r{n}", dest_port=str(start + n), proto="tcp") for n in range(60)]
        wanted = policy(*[Entry(Mortal(one.name, one.priority, one.fields, one.action), 1) for one in rules])
        await kernel.apply(await kernel.plan(wanted))
        del wanted
    counting.cancel()
    assert len(Mortal.deaths) >= 60 and max(Counter(Mortal.deaths).values()) <= 5
