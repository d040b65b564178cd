"""The kernel follows the policy with as little as the change needs, and keeps what is not ours."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netpolicy.dataplane.kernel import ApplyError, Kernel
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.nft import Nft
from netpolicy.dataplane.policy import Entry, Policy, SourceTranslation
from netpolicy.dataplane.record import replace
from tests.dataplane.followed import (
    MAIL,
    OTHER,
    VIDEO,
    WORK,
    count_hits,
    follow,
    hits,
    leads,
)
from tests.netns import needs_root, run
from tests.router import everything, of_others, ours, policy, rule

pytestmark = [pytest.mark.kernel, needs_root]


CHOICES = (
    VIDEO,
    MAIL,
    WORK,
    OTHER,
    replace(VIDEO, number=1),
    replace(VIDEO, rule=rule("video", dest_port="444-500", proto="tcp")),
    Entry(rule("A"), 2),
    Entry(rule("a"), 1),
    replace(WORK, log=True),
)


async def test_after_an_apply_nothing_is_left_to_do(kernel):
    assert await follow(kernel, policy(VIDEO, MAIL, WORK))
    plan = await kernel.plan(policy(VIDEO, MAIL, WORK))
    assert plan.is_empty and plan.changes == ()


@settings(max_examples=7, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(CHOICES), max_size=5), st.lists(st.sampled_from(CHOICES), max_size=5), st.booleans())
def test_there_and_back_again_is_the_first_state(here, first, second, other_default):
    """Whatever two policies: the way back ends where it began; rules lead where they should, in their order."""

    def unique(entries: list[Entry]) -> tuple[Entry, ...]:
        return tuple({entry.rule.name: entry for entry in entries}.values())

    a = policy(*unique(first))
    b = policy(*unique(second), default_forwarded=2 if other_default else 0, ingress=(("wanb", 2),))

    async def both() -> None:
        kernel = Kernel(open_netlink("builtin"))
        await follow(kernel, a)
        listed = (await kernel.observe()).table
        await follow(kernel, b)
        await follow(kernel, a)
        again = (await kernel.observe()).table
        assert set(again.structure.chains) == set(listed.structure.chains)
        assert _shapes(again.structure.sets) == _shapes(listed.structure.sets)
        found = again.labels()
        assert sorted(found, key=found.__getitem__) == list(a.ranked)
        if a.entries:
            wanted = {entry.rule.name: f"v_{entry.number:02}" for entry in a.entries}
            wanted.update({entry.rule.name: f"r_{entry.rule.name}" for entry in a.entries if entry.log})
            assert {name: to.removeprefix("goto ") for name, to in leads(again.slot).items() if name != "A"} == {
                name: to for name, to in wanted.items() if name != "A"
            }

    asyncio.run(both())


def _shapes(sets: dict[str, str]) -> list[str]:
    """Without slot and without what names tell of contents."""
    return sorted(name.rpartition("_")[0] for name in sets)


async def test_a_policy_without_lines_and_rules_needs_no_hook(kernel):
    await follow(kernel, Policy())
    assert "hook" not in run("nft", "list", "table", "inet", "netpolicy")


async def test_names_that_differ_only_in_case_or_after_the_thirtieth_letter_stay_apart(kernel):
    long = "a_rule_with_a_name_of_more_than_31_letters"
    found = ["A", "a", long + "_one", long + "_two", long.upper()]
    entries = [
        Entry(rule(name, dest_port=str(1000 + index)), index % 2 + 1, log=True) for index, name in enumerate(found)
    ]
    await follow(kernel, policy(*entries))
    table = run("nft", "list", "table", "inet", "netpolicy")
    for name in found:
        assert table.count(f'comment "np:rule={name}"') == 1
    assert set(await kernel.counters()) == set(found)


async def test_the_mask_can_be_changed_while_running(kernel):
    """The bits of class 1 under the new mask were those of class 2 under the old one."""
    await follow(kernel, policy(VIDEO, MAIL))
    moved = policy(replace(VIDEO, number=1), replace(MAIL, number=Marks(0x7E000000).reject), marks=Marks(0x7E000000))
    await follow(kernel, moved)
    assert (await kernel.plan(moved)).is_empty
    assert "0x42000000 : goto k_01" in run("nft", "list", "map", "inet", "netpolicy", "restore")
    rules = run("ip", "rule")
    assert "fwmark 0x2000000/0x3e000000 lookup 7001" in rules and "/0x37000000" not in rules


async def test_things_of_others_stay_byte_for_byte(kernel):
    before, clean = everything(), of_others()
    steps = (
        policy(VIDEO, MAIL, ingress=(("wanb", 2),), translations=(SourceTranslation("wanb", True, True),)),
        policy(WORK, default_forwarded=1),
        policy(),
        policy(VIDEO, skip_marks=(1,)),
    )
    for wanted in steps:
        await follow(kernel, wanted)
        assert of_others() == clean
    await kernel.remove()
    assert everything() == before
    assert ours() == ""


async def test_removing_twice_and_removing_nothing_is_fine(kernel):
    before = everything()
    await kernel.remove()
    await kernel.remove()
    assert everything() == before


@pytest.mark.parametrize(
    "text",
    [
        "table inet netpolicy { chain pre { type filter hook prerouting priority 5; policy accept; accept; }; }",
        "table inet netpolicy { set mine { type ipv4_addr; elements = { 10.1.1.1 }; }; }",
    ],
)
async def test_a_table_of_our_name_that_we_did_not_make_is_left_alone(kernel, text):
    run("nft", "-f", "-", text=text)
    before = everything()
    plan = await kernel.plan(policy(VIDEO))
    assert "that we did not make" in plan.conflicts[0].message
    with pytest.raises(ApplyError, match="nft delete table inet netpolicy"):
        await kernel.apply(plan)
    await kernel.remove()
    assert await kernel.counters() == {}
    assert everything() == before


async def test_an_empty_table_of_our_name_is_taken(kernel):
    run("nft", "add table inet netpolicy")
    await follow(kernel, policy(VIDEO))
    assert (await kernel.plan(policy(VIDEO))).is_empty


async def test_the_include_text_loads_to_the_same_table(kernel):
    """What the firewall loads again after its own restart."""
    await follow(kernel, policy(VIDEO, MAIL))
    plan = await kernel.plan(policy(VIDEO, WORK))
    text = kernel.include_text(plan)
    await kernel.apply(plan)
    count_hits(video=5)
    before = everything()
    for _ in range(2):
        run("nft", "-f", "-", text=text)
    assert everything() == before
    assert hits(await kernel.counters()) == {"video": 5, "work": 0}
    run("nft", "delete", "table", "inet", "netpolicy")
    run("nft", "-f", "-", text=text)
    assert (await kernel.plan(policy(VIDEO, WORK))).is_empty


class Heard(Nft):
    """Tells which tables each transaction names, in the order in which nft loads them."""

    seen: list[list[str]] = []

    async def load(self, text: str) -> None:
        self.seen.append(sorted(set(re.findall(r"table inet (\w+)", text.replace("add table", "table")))))
        await super().load(text)


@pytest.mark.parametrize(("is_sealed", "entries"), [(True, [VIDEO]), (False, [VIDEO, MAIL]), (False, [VIDEO])])
async def test_while_a_table_is_made_anew_a_gate_holds_what_is_sealed_or_refused(here, is_sealed, entries):
    wanted = policy(*entries)
    lines = tuple(replace(line, sealed=is_sealed, leaves_by=(line.device,)) for line in wanted.lines)
    wanted = replace(wanted, lines=lines, ways_out=tuple(line.device for line in lines))
    kernel = Kernel(open_netlink("builtin"), Heard())
    await kernel.apply(await kernel.plan(wanted))
    Heard.seen.clear()
    run(
        "nft",
        "flush chain inet netpolicy pre; delete chain inet netpolicy pre;"
        "add chain inet netpolicy pre { type filter hook prerouting priority 5; }",
    )  # not to be changed in place
    plan = await kernel.plan(wanted)
    assert plan.nft.rebuild and bool(wanted.forbidden) is is_sealed
    await kernel.apply(plan)
    tables = [name for names in Heard.seen for name in names]
    gate = [place for place, name in enumerate(tables) if name == "netpolicy_gate"]
    table = tables.index("netpolicy", 0)
    assert (len(gate) == 2 and gate[0] < table < gate[1]) if is_sealed or MAIL in entries else not gate
    assert "netpolicy_gate" not in everything()


async def test_a_gate_that_a_dead_process_left_closed_can_be_opened(kernel):
    run("nft", "add", "table", "inet", "netpolicy_gate")
    await kernel.open_gate()
    await kernel.open_gate()
    assert "netpolicy_gate" not in everything()
