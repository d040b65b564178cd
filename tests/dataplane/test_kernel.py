"""The kernel follows the policy with as little as the change needs, and keeps what is not ours."""

from __future__ import annotations

import asyncio
import os
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netpolicy.dataplane.kernel import ApplyError, Kernel
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.names import TABLE
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.netlink_watch import Watch
from netpolicy.dataplane.nft import Nft, NftError
from netpolicy.dataplane.nft_element import Element
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.nft_messages import AddElements, DeleteElements
from netpolicy.dataplane.policy import Entry, Hop, Policy, SourceTranslation
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.set_key import from_host_number
from netpolicy.dataplane.table import build
from tests.dataplane.watched import WatchedKernel, generation
from tests.netns import needs_root, run
from tests.router import WAN_A, WAN_B, everything, of_others, ours, policy, router, rule

pytestmark = [pytest.mark.kernel, needs_root]

MARKS = Marks(0x77000000)
VIDEO = Entry(rule("video", dest_port="443", proto="tcp"), 2)
MAIL = Entry(rule("mail", ("block", "reject"), src_addr="192.168.3.0/24", dest_port="25"), MARKS.reject, blocks=True)
WORK = Entry(rule("work", ("route", "wan_a"), dest_addr="203.0.113.0/24 !203.0.113.9"), 1)
OTHER = Entry(rule("other", dest_port="8080", proto="tcp"), 1)  # of one shape with VIDEO
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


@pytest.fixture
def here():
    with router() as namespace:
        yield namespace


@pytest.fixture
def kernel(here):
    return WatchedKernel()


async def follow(kernel: Kernel, wanted: Policy) -> tuple[str, ...]:
    """Plan and apply; the changes. Afterwards nothing is left to do, for this object and for a new one."""
    plan = await kernel.plan(wanted)
    await kernel.apply(plan)
    assert (await kernel.plan(wanted)).changes == ()
    assert (await Kernel(open_netlink("builtin")).plan(wanted)).changes == ()
    return plan.changes


def elements(name: str) -> list[Element]:
    with NftLink(TABLE) as link:
        return sorted(link.elements(name), key=repr)


def labels(slot: str = "a") -> dict[str, int]:
    """The label of every rule, as the kernel has it."""
    return {element.comment: from_host_number(element.key) for element in elements(f"hits_{slot}")}


def leads(slot: str = "a") -> dict[str, str]:
    """Where every rule that stands leads, as the kernel has it."""
    names = {label: name for name, label in labels(slot).items()}
    return {names[from_host_number(element.key)]: element.verdict for element in elements(f"verdicts_{slot}")}


def maps() -> set[str]:
    """The interval maps, whose names tell what they hold."""
    with NftLink(TABLE) as link:
        return {name for name in link.sets() if name[0] in "gl"}


def count_hits(slot: str = "a", **hits: int) -> None:
    """As if so many first packets had met the rules."""
    name = f"hits_{slot}"
    found = [element for element in elements(name) if element.comment in hits]
    with NftLink(TABLE) as link:
        link.commit([DeleteElements(name, found)])
        for element in found:
            element.counter = (hits[element.comment], 100)
        link.commit([AddElements(name, found)])


def hits(kernel_counters: dict[str, tuple[int, int]]) -> dict[str, int]:
    return {name: packets for name, (packets, _) in kernel_counters.items()}


# -- the way there -------------------------------------------------------------------------------


async def test_after_an_apply_nothing_is_left_to_do(kernel):
    assert await follow(kernel, policy(VIDEO, MAIL, WORK))
    plan = await kernel.plan(policy(VIDEO, MAIL, WORK))
    assert plan.is_empty and plan.changes == ()


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


async def test_a_restart_with_an_equal_policy_changes_nothing(kernel):
    wanted = policy(VIDEO, MAIL, WORK, replace(OTHER, log=True))
    await follow(kernel, wanted)
    before, number = everything(), generation()
    again = WatchedKernel()
    plan = await again.plan(wanted)
    await again.apply(plan)
    assert plan.changes == () and again.steps.taken == 0
    assert everything() == before and generation() == number


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


async def test_first_packets_are_counted_for_the_rule_that_decides(kernel):
    own = Entry(rule("own", src_iface="lo", dest_port="9"), 2)
    await follow(kernel, policy(own, VIDEO))
    run("ip", "neigh", "replace", "198.51.100.1", "lladdr", "02:00:00:00:00:09", "dev", "wanb")
    run("python3", "-c", "import socket; socket.socket(2, 2).sendto(b'x', ('203.0.113.1', 9))")
    assert hits(await kernel.counters()) == {"own": 1, "video": 0}
    await follow(kernel, policy(own, MAIL, default_forwarded=1))
    assert hits(await kernel.counters()) == {"own": 1, "mail": 0}


# -- what a change sends -------------------------------------------------------------------------


async def test_a_cold_start_loads_structure_then_elements_then_hooks(kernel):
    plan = await kernel.plan(policy(VIDEO, MAIL))
    assert not plan.nft.rebuild
    await kernel.apply(plan)
    assert leads() == {"video": "goto v_02", "mail": "goto v_30"}
    assert labels()["video"] < labels()["mail"]


async def test_another_action_of_one_rule_is_one_batch_and_starts_no_program(kernel):
    news = Entry(rule("news", dest_port="119", proto="tcp"), 2)
    before = policy(VIDEO, WORK, OTHER, news)
    await follow(kernel, before)
    await kernel.plan(before)  # what the checks of another object did is read
    count_hits(video=7, other=3)
    await kernel.plan(before)
    number, held, hit = generation(), maps(), elements("hits_a")
    kernel.steps.runs.clear()
    wanted = policy(replace(VIDEO, number=1), WORK, OTHER, news)
    plan = await kernel.plan(wanted)
    assert plan.changes == ("~ 1 in verdicts_a",)
    await kernel.apply(plan)
    assert (await kernel.plan(wanted)).is_empty
    assert kernel.steps.runs == [] and generation() == number + 1
    assert leads() == {"video": "goto v_01", "work": "goto v_01", "other": "goto v_01", "news": "goto v_02"}
    assert maps() == held and elements("hits_a") == hit
    assert (await Kernel(open_netlink("builtin")).plan(wanted)).is_empty


async def test_another_match_of_one_rule_replaces_the_maps_of_its_group_only(kernel):
    await follow(kernel, policy(VIDEO, WORK, MAIL))
    held, number, known = maps(), labels(), elements("verdicts_a")
    count_hits(work=7)
    moved = replace(VIDEO, rule=rule("video", dest_port="444", proto="tcp"))
    await follow(kernel, policy(moved, WORK, MAIL))
    assert {name.rpartition("_")[0] for name in held ^ maps()} == {"ga_dp_pr"} and len(held - maps()) == 1
    assert labels() == number and elements("verdicts_a") == known
    assert hits(await kernel.counters())["work"] == 7


async def test_a_rule_comes_and_goes_and_the_others_keep_label_and_count(kernel):
    await follow(kernel, policy(VIDEO, WORK))
    known, held = labels(), maps()
    count_hits(video=5, work=6)
    await follow(kernel, policy(VIDEO, OTHER, WORK))
    assert {name: label for name, label in labels().items() if name != "other"} == known
    assert known["video"] < labels()["other"] < known["work"]
    assert hits(await kernel.counters()) == {"video": 5, "other": 0, "work": 6}
    assert leads() == {"video": "goto v_02", "other": "goto v_01", "work": "goto v_01"}
    await follow(kernel, policy(VIDEO, WORK))
    assert labels() == known and maps() == held
    assert hits(await kernel.counters()) == {"video": 5, "work": 6}


async def test_another_rank_keeps_the_counter(kernel):
    await follow(kernel, policy(VIDEO, WORK, OTHER))
    count_hits(video=5, work=6, other=7)
    await follow(kernel, policy(WORK, OTHER, VIDEO))
    assert labels()["work"] < labels()["other"] < labels()["video"]
    assert hits(await kernel.counters()) == {"video": 5, "work": 6, "other": 7}


async def test_a_rule_that_stops_standing_keeps_its_count_and_its_place(kernel):
    await follow(kernel, policy(VIDEO, WORK))
    known = labels()
    count_hits(video=5)
    await follow(kernel, policy(WORK, ranked=("video", "work")))
    assert labels() == known and leads() == {"work": "goto v_01"}
    assert hits(await kernel.counters()) == {"video": 5, "work": 0}


async def test_match_and_action_at_once_change_in_one_swap_by_the_other_slot(kernel):
    await follow(kernel, policy(VIDEO, OTHER, WORK))
    count_hits(video=5, other=6, work=7)
    both = replace(VIDEO, rule=rule("video", dest_port="444", proto="tcp"), number=1)
    plan = await kernel.plan(policy(both, OTHER, WORK))
    assert "+ set hits_b" in plan.changes and "+ set verdicts_b" in plan.changes
    await follow(kernel, policy(both, OTHER, WORK))
    assert set(leads("b").values()) == {"goto v_01"}
    assert hits(await kernel.counters()) == {"video": 5, "other": 6, "work": 7}
    with NftLink(TABLE) as link:
        assert not {"hits_a", "verdicts_a"} & set(link.sets())
    await follow(kernel, policy(VIDEO, OTHER, WORK))
    assert leads("a")["video"] == "goto v_02"
    assert hits(await kernel.counters()) == {"video": 5, "other": 6, "work": 7}


async def test_labels_that_other_rules_get_change_in_one_swap_by_the_other_slot(kernel):
    """All rules are others, so all numbers are given anew: until the swap a label counts for its old rule."""
    await follow(kernel, policy(VIDEO, OTHER))
    known = labels()
    others = [Entry(rule(f"o{number}", dest_port=str(number), proto="tcp"), 2 - number) for number in range(2)]
    plan = await kernel.plan(policy(*others))
    assert set(plan.table.labels.values()) == set(known.values())
    assert "+ set hits_b" in plan.changes and "~ 2 in hits_a" not in plan.changes
    await follow(kernel, policy(*others))
    assert leads("b") == {"o0": "goto v_02", "o1": "goto v_01"}
    assert hits(await kernel.counters()) == {"o0": 0, "o1": 0}


async def test_an_action_that_needs_another_hook_changes_with_it_in_one_swap(kernel):
    """A rule that now rejects: nobody may be marked for it before the refusing chain knows that class."""
    drop = Entry(rule("drop", ("block", "drop"), dest_port="7", proto="udp"), MARKS.drop, blocks=True)
    await follow(kernel, policy(VIDEO, drop))
    plan = await kernel.plan(policy(replace(VIDEO, number=MARKS.reject, blocks=True), drop))
    assert "~ chain forward_np" in plan.changes and "+ set verdicts_b" in plan.changes


async def test_more_rules_than_fit_move_to_larger_sets(kernel):
    few = [Entry(rule(f"r{number}", dest_port=str(number), proto="tcp"), 1) for number in range(150)]
    many = [Entry(rule(f"n{number}", dest_port=str(number), proto="udp"), 2) for number in range(150)]
    await follow(kernel, policy(*few))
    count_hits(r17=9)
    known = labels()
    await follow(kernel, policy(*few[:70], *many, *few[70:]))
    assert {name: label for name, label in labels("b").items() if name in known} == known
    assert (await kernel.counters())["r17"][0] == 9 and len(leads("b")) == 300
    assert "size 512" in run("nft", "list", "set", "inet", TABLE, "hits_b")


async def test_a_class_comes_and_goes(kernel):
    wanted = policy(VIDEO, WORK, lines=(WAN_A, WAN_B, replace(WAN_A, name="wan_c", number=3)))
    await follow(kernel, policy(VIDEO, WORK))
    changes = await follow(kernel, replace(wanted, entries=(VIDEO, replace(WORK, number=3))))
    chains = {"+ chain m_03", "+ chain k_03", "+ chain v_03", "- chain v_01"}
    assert {line for line in changes if " in " not in line and "chain" in line} == chains
    assert "+ 1 in restore" in changes and "~ 1 in verdicts_a" in changes
    assert leads()["work"] == "goto v_03"
    changes = await follow(kernel, policy(VIDEO, WORK))
    assert "- 1 in restore" in changes and "k_03" not in ours()


async def test_a_rule_that_logs_gets_a_chain_of_its_own(kernel):
    await follow(kernel, policy(VIDEO, WORK))
    changes = await follow(kernel, policy(VIDEO, replace(WORK, log=True)))
    assert changes[:1] == ("+ chain r_work",) and leads()["work"] == "goto r_work"
    await follow(kernel, policy(VIDEO, WORK))
    assert "chain r_work" not in ours()


async def test_what_somebody_does_between_plan_and_apply_is_not_taken_for_ours(kernel):
    await follow(kernel, policy(VIDEO, WORK, OTHER))
    wanted = policy(replace(VIDEO, number=1), WORK, OTHER)
    plan = await kernel.plan(wanted)
    run("nft", "add", "element", "inet", TABLE, "restore", "{ 0x75000000 : accept }")
    await kernel.apply(plan)
    assert "- 1 in restore" in (await kernel.plan(wanted)).changes
    await follow(kernel, wanted)


async def test_what_somebody_does_while_we_apply_is_not_taken_for_ours(kernel):
    await follow(kernel, policy(VIDEO, WORK))

    class Busy(WatchedKernel):
        async def _swap(self, plan):
            run("nft", "add", "element", "inet", TABLE, "restore", "{ 0x75000000 : accept }")
            await super()._swap(plan)

    busy = Busy()
    wanted = policy(VIDEO, replace(WORK, log=True), OTHER)
    await busy.plan(policy(VIDEO, WORK))
    await busy.apply(await busy.plan(wanted))
    assert (await busy.plan(wanted)).changes == ("- 1 in restore",)


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


async def test_tables_and_priorities_can_be_moved_while_running(kernel):
    await follow(kernel, policy(VIDEO))
    await follow(kernel, policy(VIDEO, table_base=9000, rule_priority=12000))
    rules = run("ip", "rule")
    assert "12002:" in rules and "lookup 9002" in rules and "7002" not in rules
    assert run("ip", "route", "show", "table", "all").count("table 7002") == 0


async def test_a_new_gateway_replaces_the_old_one(kernel):
    await follow(kernel, policy(VIDEO))
    moved = policy(VIDEO, lines=(WAN_A, replace(WAN_B, hops=(Hop(4, "198.51.100.9"),))))
    await follow(kernel, moved)
    assert "default via 198.51.100.9 dev wanb" in run("ip", "route", "show", "table", "7002")
    without_a_gateway = run("ip", "-6", "route", "show", "table", "7002")
    assert "unreachable default" in without_a_gateway and "via" not in without_a_gateway


async def test_two_lines_with_the_same_subnet_reach_each_its_own(kernel):
    """Two modems of one maker: both 198.51.100.0/24."""
    run("ip", "address", "add", "198.51.100.7/24", "dev", "wana")
    wanted = policy(VIDEO, WORK, lines=(replace(WAN_A, hops=(Hop(4, "198.51.100.1"),)), WAN_B))
    await follow(kernel, wanted)
    assert (await kernel.plan(wanted)).is_empty
    assert "198.51.100.0/24 dev wana" in run("ip", "route", "show", "table", "7001")
    assert "198.51.100.0/24 dev wanb" in run("ip", "route", "show", "table", "7002")


# -- what is not ours ----------------------------------------------------------------------------


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


async def test_an_nft_that_dies_after_its_work_takes_nothing_away_with_it(kernel, monkeypatch):
    """The kernel did what nft was told, and nft was killed before it could say so."""
    await follow(kernel, policy(VIDEO, MAIL))
    load = Nft.load

    async def killed(nft, text):
        await load(nft, text)
        raise NftError("nft ended with status -9")

    wanted = policy(MAIL, replace(VIDEO, rule=rule("video", dest_port="444", proto="tcp")))
    plan = await kernel.plan(wanted)
    monkeypatch.setattr(Nft, "load", killed)
    with pytest.raises(ApplyError, match="what is in force now is read before anything else is done"):
        await kernel.apply(plan)
    monkeypatch.undo()
    assert run("nft", "list", "map", "inet", "netpolicy", "verdicts_a").count("goto") == len(plan.table.labels)
    await follow(kernel, wanted)
    assert (await kernel.plan(wanted)).is_empty


@pytest.mark.parametrize("left_behind", ["a", "b"])
async def test_a_slot_that_a_death_left_behind_takes_no_count_away(kernel, left_behind):
    await follow(kernel, policy(VIDEO))
    in_force = "b" if left_behind == "a" else "a"
    run("nft", "delete element inet netpolicy hits_a { " + f"{labels()['video']:#x}" + " }")
    for slot, packets in ((left_behind, 3), (in_force, 5)):
        declared = f"add set inet netpolicy hits_{slot} {{ type classid; size 256; counter; }}\n"
        element = f'{{ 0x5 counter packets {packets} bytes {packets * 60} comment "video" }}\n'
        run("nft", "-f", "-", text=declared + f"add element inet netpolicy hits_{slot} {element}")
    assert await kernel.counters() == {"video": (5, 300)}


async def test_a_flush_of_everything_between_plan_and_apply_is_survived(kernel):
    await follow(kernel, policy(VIDEO))
    plan = await kernel.plan(policy(VIDEO, MAIL))
    run("nft", "flush", "ruleset")
    with pytest.raises(ApplyError):
        await kernel.apply(plan)
    await follow(kernel, policy(VIDEO, MAIL))
    assert (await kernel.plan(policy(VIDEO, MAIL))).is_empty


async def test_more_elements_than_are_good_for_a_router_are_refused_in_words(kernel):
    addresses, ports = " ".join(f"10.0.{n}.1" for n in range(32)), " ".join(str(2 * n + 1) for n in range(30))
    entries = [Entry(rule(f"r{n}", dest_addr=addresses, dest_port=ports, proto="tcp"), 2) for n in range(120)]
    with pytest.raises(NftError, match="the rules need more than 100000 elements of maps, at rule 'r104'"):
        await kernel.plan(policy(*entries))


async def test_our_table_of_an_older_layout_is_rebuilt(kernel):
    run("nft", "-f", "-", text="table inet netpolicy { chain np_schema_0 { }; chain old { }; }")
    await follow(kernel, policy(VIDEO))
    assert "chain old" not in run("nft", "list", "table", "inet", "netpolicy")
    assert (await kernel.plan(policy(VIDEO))).is_empty


DAMAGES = {
    "a chain is flushed": "flush chain inet netpolicy pre",
    "the classifier is flushed": "flush chain inet netpolicy classify",
    "a rule is added": "add rule inet netpolicy v_02 accept",
    "a chain is added": "add chain inet netpolicy stranger",
    "a hook is added": "add chain inet netpolicy evil { type filter hook forward priority 0; policy drop; }",
    "a set is added": "add set inet netpolicy mine { type ipv4_addr; }",
    "a class is added": "add element inet netpolicy restore { 0x45000000 : accept }",
    "a class is deleted": "delete element inet netpolicy restore { 0x41000000 }",
    "the classes are gone": "flush map inet netpolicy restore",
    "a verdict is deleted": "delete element inet netpolicy verdicts_a { VIDEO }",
    "a verdict leads elsewhere": "delete element inet netpolicy verdicts_a { VIDEO }; "
                                 "add element inet netpolicy verdicts_a { VIDEO : goto v_01 }",
    "a label is added": "add element inet netpolicy verdicts_a { 0x5 : accept }",
    "a hit is deleted": "delete element inet netpolicy hits_a { VIDEO }",
    "a hit of nobody is added": 'add element inet netpolicy hits_a { 0x5 }',
    "all hits are gone": "flush set inet netpolicy hits_a",
    "an interval is deleted": "delete element inet netpolicy MAP { 443 . 6 . AFTER-0xffffffff }",
    "an interval is added": "add element inet netpolicy MAP { 80 . 6 . 0x5-0xffffffff : 0x4 }",
    "an interval covers what is missing": "delete element inet netpolicy MAP { 443 . 6 . AFTER-0xffffffff }; "
                                          "add element inet netpolicy MAP { 400-500 . 6 . 0x5-0xffffffff : 0x4 }",
    "the intervals are gone": "flush map inet netpolicy MAP",
    "an address is deleted from a long list": "delete element inet netpolicy LIST { 10.0.3.0/25 }",
    "an address is added to a long list": "add element inet netpolicy LIST { 172.16.0.0/12 }",
    "a larger network covers a long list": "flush set inet netpolicy LIST; "
                                           "add element inet netpolicy LIST { 10.0.0.0/8 }",
    "the other slot is there": "add set inet netpolicy hits_b { type classid; size 256; counter; }; "
                               "add element inet netpolicy hits_b { 0x5 comment \"video\", 0x6 }; "
                               "add map inet netpolicy verdicts_b { type classid : verdict; size 256; }; "
                               "add element inet netpolicy verdicts_b { 0x5 : goto v_01 }",
    "the table sleeps": "add table inet netpolicy { flags dormant; }",
    "the table is deleted": "delete table inet netpolicy",
}  # fmt: skip

LISTED = Entry(rule("listed", dest_addr=" ".join(f"10.0.{number}.0/25" for number in range(200))
                    + " " + " ".join(f"10.1.{number}.0/25" for number in range(100))), 1)  # fmt: skip


def damage(text: str) -> None:
    """The change by somebody else; VIDEO stands for the label of `video`, MAP for its map, LIST for the long list."""
    label = labels()["video"]
    (video_map,) = (name for name in maps() if name.startswith("ga_dp_pr"))
    (long,) = (name for name in maps() if name.startswith("l4"))
    text = text.replace("VIDEO", f"{label:#x}").replace("AFTER", f"{label + 1:#x}")
    run("nft", text.replace("MAP", video_map).replace("LIST", long))


@pytest.mark.parametrize("by", ["who made it", "another"])
async def test_what_somebody_changed_in_our_table_is_found_and_set_right(kernel, by):
    wanted = policy(VIDEO, MAIL, WORK, LISTED)
    await follow(kernel, wanted)
    clean = meaning()
    for name, text in DAMAGES.items():
        damage(text)
        healer = kernel if by == "who made it" else Kernel(open_netlink("builtin"))
        assert not (await healer.plan(wanted)).is_empty, name
        await follow(healer, wanted)
        assert meaning() == clean, name
        if labels() != build(wanted).labels:  # one that was taken away comes back as another
            await healer.remove()
            await follow(healer, wanted)


def meaning() -> list[str]:
    """Our table as nft prints it, without what labels a history gave, names that tell contents, and counts."""
    text = run("nft", "-s", "list", "table", "inet", "netpolicy")
    for name, label in labels().items():
        for number, word in ((label, name), (label + 1, f"after_{name}")):
            shown = f"{number >> 16:x}:{number & 0xFFFF:x}"
            text = re.sub(rf"\b{shown}\b", word, text)
    text = re.sub(r"\b([gl][46]?[afio]?(?:_[a-z]{2})*)_[0-9a-f]{10}\b", r"\1", text)
    return sorted(" ".join(sorted(re.split(r"[\s,]+", text))).split())


async def test_routes_and_rules_deleted_by_hand_come_back(kernel):
    await follow(kernel, policy(VIDEO))
    clean = everything()
    run("ip", "rule", "del", "priority", "7002")
    run("ip", "-6", "rule", "del", "priority", "7001")
    run("ip", "route", "del", "default", "via", "198.51.100.1", "table", "7002")
    run("ip", "-6", "route", "flush", "table", "7002")
    await follow(kernel, policy(VIDEO))
    assert sorted(everything().splitlines()) == sorted(clean.splitlines())


# -- when something refuses: see also test_kernel_refused.py ---------------------------------------


async def test_a_policy_that_nft_refuses_changes_nothing(kernel):
    await follow(kernel, policy(VIDEO))
    before = everything()
    with pytest.raises(NftError):
        await kernel.plan(policy(VIDEO, translations=(SourceTranslation('wan"b', True),)))
    assert everything() == before


async def test_a_line_over_a_missing_device_is_refused_and_undone(kernel):
    await follow(kernel, policy(VIDEO))
    before = everything()
    plan = await kernel.plan(
        policy(VIDEO, lines=(WAN_A, WAN_B, replace(WAN_A, name="wan_c", number=3, device="gone0")))
    )
    with pytest.raises(ApplyError, match="gone0"):
        await kernel.apply(plan)
    assert sorted(everything().splitlines()) == sorted(before.splitlines())


# -- the rehearsal -------------------------------------------------------------------------------


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
