"""The kernel follows the policy, keeps what is not ours, and stays as it was when something refuses."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netpolicy.dataplane.kernel import ApplyError, Kernel
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.names import without_generation
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.netlink_watch import Watch
from netpolicy.dataplane.nft import Nft, NftError
from netpolicy.dataplane.policy import Entry, Hop, Policy, SourceTranslation
from netpolicy.dataplane.record import replace
from tests.netns import needs_root, run
from tests.router import WAN_A, WAN_B, chain, everything, of_others, ours, policy, router, rule

pytestmark = [pytest.mark.kernel, needs_root]

MARKS = Marks(0x77000000)
VIDEO = Entry(rule("video", dest_port="443", proto="tcp"), 2)
MAIL = Entry(rule("mail", ("block", "reject"), src_addr="192.168.3.0/24", dest_port="25"), MARKS.reject, blocks=True)
WORK = Entry(rule("work", ("route", "wan_a"), dest_addr="203.0.113.0/24 !203.0.113.9"), 1)
CHOICES = (
    VIDEO,
    MAIL,
    WORK,
    replace(VIDEO, number=1),
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
    return Kernel(open_netlink("builtin"))


async def follow(kernel: Kernel, wanted: Policy) -> tuple[str, ...]:
    """Plan and apply; the changes."""
    plan = await kernel.plan(wanted)
    await kernel.apply(plan)
    return plan.changes


def wrapper(folder: Path, monkeypatch, script: str) -> Path:
    """An `nft` in front of the real one: `script` may end before the real one is started."""
    program = folder / "nft"
    real = next(place for place in ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft") if os.path.exists(place))
    program.write_text(f'#!/bin/sh\n{script}\nexec {real} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return program


def fail_on(word: str, folder: Path) -> str:
    """A script that refuses a load whose text holds the word; checks and rehearsals pass."""
    kept = folder / "text"
    return (
        f'if [ "$1" = -f ]; then cat >{kept}; '
        f'if grep -q "{word}" {kept} && [ -e {folder}/armed ]; then '
        f'echo "Error: the wrapper refuses" >&2; exit 1; fi; '
        f"exec /usr/sbin/nft -f {kept}; fi"
    )


# -- the way there -------------------------------------------------------------------------------


async def test_after_an_apply_nothing_is_left_to_do(kernel):
    assert await follow(kernel, policy(VIDEO, MAIL, WORK))
    plan = await kernel.plan(policy(VIDEO, MAIL, WORK))
    assert plan.is_empty and plan.changes == ()


async def test_a_second_plan_says_nothing_to_the_kernel(kernel):
    wanted = policy(VIDEO, MAIL, WORK)
    await follow(kernel, wanted)
    before = everything()
    watch = Watch()
    try:
        assert (await kernel.plan(wanted)).is_empty
        assert watch.read() == []
    finally:
        watch.close()
    assert everything() == before


async def test_a_text_is_rehearsed_once_and_a_table_made_once(kernel, tmp_path, monkeypatch):
    """An apply, the plan that checks it, and a reload of the same rules: one rehearsal."""
    wrapper(tmp_path, monkeypatch, f'echo "$*" >> {tmp_path}/runs')
    await follow(kernel, policy(VIDEO, MAIL))
    assert (await kernel.plan(policy(VIDEO, MAIL))).is_empty
    reloaded = Entry(rule("video", dest_port="443", proto="tcp"), 2)
    assert reloaded != VIDEO
    assert (await kernel.plan(policy(reloaded, MAIL))).is_empty
    runs = (tmp_path / "runs").read_text().splitlines()
    # Before the apply: what is there, the rehearsal. The load. Then what is there, twice.
    assert [line.count("list") for line in runs] == [1, 0, 1, 0, 1, 1]


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(CHOICES), max_size=5), st.lists(st.sampled_from(CHOICES), max_size=5), st.booleans())
def test_there_and_back_again_is_the_first_state(here, first, second, other_default):
    """Whatever two policies: the way back ends where it began, with the counters of rules that stayed."""

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
        again = await kernel.observe()
        assert (await kernel.plan(a)).is_empty
        assert _plain(again.table) == _plain(listed)

    asyncio.run(both())


def _plain(table):
    """A listing without generation numbers."""
    chains = {
        without_generation(name): (found.hook, tuple(re.sub(r'"g\d+_', '"g_', text) for text in found.rules))
        for name, found in table.chains.items()
    }
    return chains, table.elements, set(table.counters)


async def test_counters_of_rules_that_stay_are_kept(kernel):
    own = Entry(rule("own", src_iface="lo", dest_port="9"), 2)
    await follow(kernel, policy(own, VIDEO))
    run("ip", "neigh", "replace", "198.51.100.1", "lladdr", "02:00:00:00:00:09", "dev", "wanb")
    run("python3", "-c", "import socket; socket.socket(2, 2).sendto(b'x', ('203.0.113.1', 9))")
    assert (await kernel.counters())["c_own"][0] == 1
    await follow(kernel, policy(own, MAIL, default_forwarded=1))
    assert (await kernel.counters())["c_own"][0] == 1
    await follow(kernel, policy(own, VIDEO))
    counters = await kernel.counters()
    assert counters["c_own"][0] == 1 and "c_mail" not in counters


async def test_only_what_changed_is_touched(kernel):
    await follow(kernel, policy(VIDEO, MAIL))
    changes = await follow(kernel, policy(VIDEO, MAIL, WORK))
    assert set(changes) == {
        "+ counter c_work",
        "+ chain r_work",
        "~ chain g_forwarded",
        "~ chain g_own",
        "- chain g1_forwarded",
        "- chain g1_own",
    }


async def test_a_policy_without_lines_and_rules_needs_no_hook(kernel):
    await follow(kernel, Policy())
    assert "hook" not in run("nft", "list", "table", "inet", "netpolicy")


async def test_names_that_differ_only_in_case_or_after_the_thirtieth_letter_stay_apart(kernel):
    long = "a_rule_with_a_name_of_more_than_31_letters"
    found = ["A", "a", long + "_one", long + "_two", long.upper()]
    entries = [Entry(rule(name, dest_port=str(1000 + index)), index % 2 + 1) for index, name in enumerate(found)]
    await follow(kernel, policy(*entries))
    assert (await kernel.plan(policy(*entries))).is_empty
    table = run("nft", "list", "table", "inet", "netpolicy")
    for name in found:
        assert table.count(f'comment "np:rule={name}"') == 1
    assert len(await kernel.counters()) == len(found)


async def test_the_mask_can_be_changed_while_running(kernel):
    """The bits of class 1 under the new mask were those of class 2 under the old one."""
    await follow(kernel, policy(VIDEO, MAIL))
    moved = policy(replace(VIDEO, number=1), replace(MAIL, number=Marks(0x7E000000).reject), marks=Marks(0x7E000000))
    await follow(kernel, moved)
    assert (await kernel.plan(moved)).is_empty
    assert "0x02000000 : goto k_01" in run("nft", "list", "map", "inet", "netpolicy", "restore")
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
        "table inet netpolicy { }",
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


async def test_our_table_of_an_older_layout_is_rebuilt(kernel):
    run("nft", "-f", "-", text="table inet netpolicy { chain np_schema_0 { }; chain old { }; }")
    await follow(kernel, policy(VIDEO))
    assert "chain old" not in run("nft", "list", "table", "inet", "netpolicy")
    assert (await kernel.plan(policy(VIDEO))).is_empty


async def test_what_somebody_changed_in_our_table_is_set_right(kernel):
    wanted = policy(VIDEO, MAIL)
    await follow(kernel, wanted)
    clean = run("nft", "-s", "list", "table", "inet", "netpolicy")
    for damage in (
        ("flush", "chain", "inet", "netpolicy", "pre"),
        ("add", "rule", "inet", "netpolicy", "r_video", "accept"),
        ("add", "chain", "inet", "netpolicy", "stranger"),
        ("add", "counter", "inet", "netpolicy", "c_extra"),
        ("add", "element", "inet", "netpolicy", "restore", "{ 0x05000000 : accept }"),
        ("flush", "chain", "inet", "netpolicy", "classify"),
        ("delete", "table", "inet", "netpolicy"),
    ):
        run("nft", *damage)
        assert not (await kernel.plan(wanted)).is_empty, damage
        await follow(kernel, wanted)
        assert (await kernel.plan(wanted)).is_empty, damage
    assert _without_generations(run("nft", "-s", "list", "table", "inet", "netpolicy")) == _without_generations(clean)


def _without_generations(text: str) -> list[str]:
    return sorted(re.sub(r"\bg\d+_", "g_", text).splitlines())


async def test_routes_and_rules_deleted_by_hand_come_back(kernel):
    await follow(kernel, policy(VIDEO))
    clean = everything()
    run("ip", "rule", "del", "priority", "7002")
    run("ip", "-6", "rule", "del", "priority", "7001")
    run("ip", "route", "del", "default", "via", "198.51.100.1", "table", "7002")
    run("ip", "-6", "route", "flush", "table", "7002")
    await follow(kernel, policy(VIDEO))
    assert sorted(everything().splitlines()) == sorted(clean.splitlines())


# -- when something refuses ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "what"),
    [("add chain inet netpolicy r_work", "the stage"), ("delete chain inet netpolicy g1_forwarded", "the swap")],
)
async def test_a_refusal_leaves_the_running_generation_in_force(kernel, tmp_path, monkeypatch, word, what):
    await follow(kernel, policy(VIDEO, MAIL))
    before = everything()
    wrapper(tmp_path, monkeypatch, fail_on(word, tmp_path))
    wanted = policy(
        VIDEO, WORK, lines=(replace(WAN_A, number=3), replace(WAN_B, hops=(Hop(4, "198.51.100.77"),))), default_own=3
    )
    plan = await kernel.plan(wanted)
    (tmp_path / "armed").touch()
    with pytest.raises(ApplyError, match="previous rules stay in force: Error: the wrapper refuses"):
        await kernel.apply(plan)
    assert sorted(everything().splitlines()) == sorted(before.splitlines())
    (tmp_path / "armed").unlink()
    await follow(kernel, wanted)
    assert (await kernel.plan(wanted)).is_empty


async def test_a_refusal_of_the_first_load_leaves_nothing(kernel, tmp_path, monkeypatch):
    before = everything()
    wrapper(tmp_path, monkeypatch, fail_on("delete table inet netpolicy", tmp_path))
    plan = await kernel.plan(policy(VIDEO))
    (tmp_path / "armed").touch()
    with pytest.raises(ApplyError):
        await kernel.apply(plan)
    assert everything() == before


async def test_a_death_between_stage_and_swap_is_cleaned_up_by_the_next_apply(kernel, tmp_path, monkeypatch):
    """The swap never comes, and nobody unstages: as after kill -9."""
    await follow(kernel, policy(VIDEO, MAIL))
    in_force = (chain("classify"), chain("pre"), chain("r_video"))

    class Killed(BaseException):
        pass

    class DiesAtTheSwap(Nft):
        async def load(self, text: str) -> None:
            if "delete chain" in text:
                raise Killed
            await super().load(text)

    dying = Kernel(open_netlink("builtin"), DiesAtTheSwap())
    with pytest.raises(Killed):
        await dying.apply(await dying.plan(policy(VIDEO, WORK)))
    assert "g2_forwarded" in run("nft", "list", "table", "inet", "netpolicy")
    assert (chain("classify"), chain("pre"), chain("r_video")) == in_force
    fresh = Kernel(open_netlink("builtin"))
    await follow(fresh, policy(VIDEO, MAIL))
    table = run("nft", "list", "table", "inet", "netpolicy")
    assert "g2_" not in table and "r_work" not in table
    assert (await fresh.plan(policy(VIDEO, MAIL))).is_empty


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
    before = everything()
    run("nft", "-f", "-", text=text)
    assert everything() == before
    run("nft", "delete", "table", "inet", "netpolicy")
    run("nft", "-f", "-", text=text)
    assert (await kernel.plan(policy(VIDEO, WORK))).is_empty
