"""What is loaded is read as it is, whoever wrote it."""

from __future__ import annotations

import re

import pytest

from netpolicy.dataplane.kernel import Kernel
from netpolicy.dataplane.loaded import Reader
from netpolicy.dataplane.names import TABLE
from netpolicy.dataplane.netlink import open_netlink
from netpolicy.dataplane.policy import Entry
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.table import build
from netpolicy.dataplane.transition import Transition
from tests.dataplane.followed import MAIL, OTHER, VIDEO, WORK, follow, hits, labels, maps
from tests.dataplane.watched import WatchedKernel, generation
from tests.netns import needs_root, run
from tests.router import everything, policy, rule

pytestmark = [pytest.mark.kernel, needs_root]


async def test_a_restart_with_an_equal_policy_changes_nothing(kernel):
    wanted = policy(VIDEO, MAIL, WORK, replace(OTHER, log=True))
    await follow(kernel, wanted)
    before, number = everything(), generation()
    again = WatchedKernel()
    plan = await again.plan(wanted)
    await again.apply(plan)
    assert plan.changes == () and again.steps.taken == 0
    assert everything() == before and generation() == number


async def test_first_packets_are_counted_for_the_rule_that_decides(kernel):
    own = Entry(rule("own", src_iface="lo", dest_port="9"), 2)
    await follow(kernel, policy(own, VIDEO))
    run("ip", "neigh", "replace", "198.51.100.1", "lladdr", "02:00:00:00:00:09", "dev", "wanb")
    run("python3", "-c", "import socket; socket.socket(2, 2).sendto(b'x', ('203.0.113.1', 9))")
    assert hits(await kernel.counters()) == {"own": 1, "video": 0}
    await follow(kernel, policy(own, MAIL, default_forwarded=1))
    assert hits(await kernel.counters()) == {"own": 1, "mail": 0}


async def test_what_somebody_does_between_plan_and_apply_is_not_taken_for_ours(kernel):
    await follow(kernel, policy(VIDEO, WORK, OTHER))
    wanted = policy(replace(VIDEO, number=1), WORK, OTHER)
    plan = await kernel.plan(wanted)
    run("nft", "add", "element", "inet", TABLE, "restore", "{ 0x75000000 : accept }")
    await kernel.apply(plan)
    assert "- 1 in restore" in (await kernel.plan(wanted)).changes
    await follow(kernel, wanted)


async def test_what_somebody_does_while_we_apply_is_not_taken_for_ours(kernel, monkeypatch):
    await follow(kernel, policy(VIDEO, WORK))

    swap = Transition._swap

    async def disturbed(transition):
        run("nft", "add", "element", "inet", TABLE, "restore", "{ 0x75000000 : accept }")
        await swap(transition)

    monkeypatch.setattr(Transition, "_swap", disturbed)
    busy = WatchedKernel()
    wanted = policy(VIDEO, replace(WORK, log=True), OTHER)
    await busy.plan(policy(VIDEO, WORK))
    await busy.apply(await busy.plan(wanted))
    assert (await busy.plan(wanted)).changes == ("- 1 in restore",)


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
    successor = WatchedKernel()
    await successor.plan(policy(VIDEO))
    assert (successor.take_older_counts(), successor.take_older_counts()) == ({"video": 5}, {})
    assert kernel.take_older_counts() == {}


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


@pytest.fixture
def readings(monkeypatch) -> list[str]:
    """Grows with each reading of our whole table."""
    found: list[str] = []
    read = Reader._read_sets

    def noted(reader, structure):
        found.append("read")
        return read(reader, structure)

    monkeypatch.setattr(Reader, "_read_sets", noted)
    return found


async def test_others_who_change_their_tables_all_the_time_make_us_read_nothing(kernel, readings):
    run("nft", "add table inet other; add set inet other s { type inet_service; }")
    wanted = policy(VIDEO, WORK, OTHER)
    await follow(kernel, wanted)
    await kernel.plan(wanted)
    readings.clear()
    for port in range(30):
        run("nft", f"add element inet other s {{ {port} }}")
        assert (await kernel.plan(wanted)).is_empty
    assert readings == []
    run("nft", "add", "element", "inet", TABLE, "restore", "{ 0x75000000 : accept }")
    assert not (await kernel.plan(wanted)).is_empty
    assert readings == ["read"]


async def test_what_others_do_in_their_tables_while_we_apply_is_told_from_ours(kernel, readings, monkeypatch):
    run("nft", "add table inet other")
    await follow(kernel, policy(VIDEO, WORK))
    swap = Transition._swap

    async def disturbed(transition):
        run("nft", "add", "chain", "inet", "other", "c")
        await swap(transition)

    monkeypatch.setattr(Transition, "_swap", disturbed)
    await kernel.plan(policy(VIDEO, WORK))
    readings.clear()
    wanted = policy(replace(VIDEO, number=1), WORK)
    await kernel.apply(await kernel.plan(wanted))
    assert (await kernel.plan(wanted)).is_empty
    assert readings == []
