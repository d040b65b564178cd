"""A change sends what it needs and no more, and rules that stay keep label and count."""

from __future__ import annotations

import pytest

from netpolicy.dataplane.kernel import ApplyError, Kernel
from netpolicy.dataplane.names import TABLE
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.nft import Nft, NftError
from netpolicy.dataplane.nft_link import NftLink
from netpolicy.dataplane.policy import Entry
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.transition import Transition
from tests.dataplane.followed import (
    MAIL,
    MARKS,
    OTHER,
    VIDEO,
    WORK,
    count_hits,
    elements,
    follow,
    hits,
    labels,
    leads,
    maps,
)
from tests.dataplane.watched import generation
from tests.netns import needs_root, run
from tests.router import WAN_A, WAN_B, everything, ours, policy, rule

pytestmark = [pytest.mark.kernel, needs_root]


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


async def test_what_is_counted_while_maps_are_filled_is_not_lost(kernel, monkeypatch):
    await follow(kernel, policy(VIDEO, WORK))
    fill = Transition._fill

    def slowly(transition, one, counters):
        fill(transition, one, counters)
        if one.name.startswith("g"):
            count_hits(work=3)

    monkeypatch.setattr(Transition, "_fill", slowly)
    both = replace(VIDEO, rule=rule("video", dest_port="444", proto="tcp"), number=1)
    await follow(kernel, policy(both, WORK))
    assert "hits_b" in everything()
    assert hits(await kernel.counters()) == {"video": 0, "work": 3}


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


async def test_a_flush_of_everything_between_plan_and_apply_is_survived(kernel):
    await follow(kernel, policy(VIDEO))
    plan = await kernel.plan(policy(VIDEO, MAIL))
    run("nft", "flush", "ruleset")
    with pytest.raises(ApplyError):
        await kernel.apply(plan)
    await follow(kernel, policy(VIDEO, MAIL))
    assert (await kernel.plan(policy(VIDEO, MAIL))).is_empty


async def test_our_table_of_an_older_layout_is_rebuilt(kernel):
    run("nft", "-f", "-", text="table inet netpolicy { chain np_schema_0 { }; chain old { }; }")
    await follow(kernel, policy(VIDEO))
    assert "chain old" not in run("nft", "list", "table", "inet", "netpolicy")
    assert (await kernel.plan(policy(VIDEO))).is_empty
