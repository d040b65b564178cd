"""The table as data: which chains there are, and what must never stand in one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane import table as table_module
from netpolicy.dataplane.arrange import TooManyBoxes
from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import Entry, Policy, SourceTranslation
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.table import Builder, build, room_for
from tests.router import WAN_A, WAN_B, policy, rule

MARKS = Marks(0x77000000)
BLOCK = Entry(rule("stop", ("block", "drop"), dest_port="25"), MARKS.drop, blocks=True)
VIDEO = Entry(rule("video", dest_port="443"), 2)


def texts(built) -> str:
    return "\n".join(text for chain in built.chains.values() for text in (chain.header, *chain.rules))


def held(built, name: str) -> dict[int, str]:
    """What a set of labels says about each."""
    (found,) = (one for one in built.sets if one.name == name)
    return {key[0][0]: value or comment for key, value, comment in found.elements}


def lookups(built, chain: str) -> list[str]:
    """The rules of a classifying chain from the first label to the last."""
    rules = built.chains[chain].rules
    first = rules.index("meta priority set 0xffffffff")
    last = next(place for place, text in enumerate(rules) if "vmap @verdicts" in text)
    return list(rules[first : last + 1])


@given(st.integers(1, 0xFFFFFFFF).filter(lambda mask: bin(mask).count("1") >= 4))
def test_no_write_changes_a_bit_outside_the_mask(mask):
    marks = Marks(mask)
    built = build(Policy(marks=marks, lines=(WAN_A,), entries=(Entry(rule("x"), 1), Entry(rule("y"), marks.drop))))
    writes = re.findall(r"mark set (?:ct|meta) mark & (\S+) \| (\S+)", texts(built))
    assert len(writes) >= 5
    for keep, put in ((int(keep, 16), int(put, 16)) for keep, put in writes):
        assert put & ~mask == 0
        assert keep & ~mask & 0xFFFFFFFF == ~mask & 0xFFFFFFFF


def test_ports_that_are_too_many_for_a_key_count_as_elements_too_but_once_for_all_rules_that_share_them(monkeypatch):
    monkeypatch.setattr(table_module, "MOST_BOXES_OF_ALL", 1000)
    first, second = (" ".join(str(port) for port in range(start, 1200, 2)) for start in (0, 1))
    same = [Entry(rule(f"r{number}", dest_port=first, proto="tcp"), 2) for number in range(3)]
    assert build(policy(*same)).chains
    with pytest.raises(TooManyBoxes, match="more than 1000 elements of maps, at rule 'other'"):
        build(policy(*same, Entry(rule("other", dest_port=second, proto="tcp"), 2)))


def test_every_match_of_a_mark_has_a_mask():
    built = build(policy(VIDEO, BLOCK, skip_marks=(1,)))
    for test in re.findall(r"mark [&={!<>].*", texts(built)):
        assert test.startswith("mark &") or test == "mark { 0x00000001 } accept"


def test_a_mark_that_others_lead_to_main_is_left_alone_on_what_the_router_sends():
    built = build(policy(VIDEO, left_alone=((0x80000, 0xFF0000),)))
    left = "meta mark & 0x00ff0000 == 0x00080000 accept"
    assert left in built.chains["out"].rules and left not in built.chains["pre"].rules


def test_only_the_hooks_that_a_policy_needs_exist():
    assert not [chain for chain in build(Policy()).chains.values() if chain.header]
    assert set(build(policy(VIDEO)).chains) >= {"pre", "out"}
    assert not {"forward_np", "out_np", "srcnat_np"} & set(build(policy(VIDEO)).chains)
    assert "forward_np" in build(policy(BLOCK)).chains
    assert "srcnat_np" in build(policy(VIDEO, translations=(SourceTranslation("wanb", True),))).chains


def test_a_block_spares_the_router_unless_it_is_named():
    built = build(policy(BLOCK, VIDEO))
    assert "out_np" not in built.chains
    assert len(lookups(built, "classify")) == len(lookups(built, "classify_own")) + 1
    own = replace(BLOCK, rule=rule("stop", ("block", "drop"), dest_port="25", src_iface="lo"))
    built = build(policy(own))
    assert "out_np" in built.chains and len(lookups(built, "classify_own")) == 4
    assert "meta priority set 0xffffffff" not in built.chains["classify"].rules


def test_every_base_chain_accepts_by_default():
    built = build(policy(VIDEO, BLOCK, translations=(SourceTranslation("wanb", True),)))
    headers = [chain.header for chain in built.chains.values() if chain.header]
    assert headers and all(header.endswith("policy accept;") for header in headers)


def test_what_must_never_be_steered_is_settled_before_the_first_lookup():
    for name in ("classify", "classify_own"):
        rules = build(policy(VIDEO, ingress=(("wanb", 2),))).chains[name].rules
        head = " ".join(rules[: rules.index("meta priority set 0xffffffff")])
        for word in ("224.0.0.0", "127.0.0.0/8", "ff00::/8", "fe80::", "68 . 67", "547 . 546", "fib daddr type"):
            assert word in head, word


def test_what_is_for_the_router_is_asked_once_and_goes_back_by_its_line():
    for_router = "fib daddr type { local, broadcast, anycast, multicast } goto "
    built = build(policy(VIDEO, ingress=(("wanb", 2),)))
    assert [text for text in built.chains["classify"].rules if "fib" in text] == [for_router + "to_router"]
    assert built.chains["to_router"].rules == ('iifname vmap { "wanb" : goto s_02 }', "goto m_00")
    built = build(policy(VIDEO))
    assert [text for text in built.chains["classify"].rules if "fib" in text] == [for_router + "m_00"]
    assert "to_router" not in built.chains


def test_an_unmarked_flow_and_one_of_ours_are_told_apart_by_the_done_bit_only():
    built = build(policy(VIDEO))
    for name in ("pre", "out"):
        rules = built.chains[name].rules
        assert "ct mark & 0x77000000 vmap @restore" in rules
        assert not [text for text in rules if "ct state" in text]
    assert sorted(held(built, "restore")) == [0x40000000, 0x41000000, 0x42000000]


def test_a_label_is_found_counted_and_led_on_and_the_default_comes_last():
    built = build(policy(VIDEO, BLOCK, default_forwarded=1))
    found = lookups(built, "classify")
    assert found[0] == "meta priority set 0xffffffff"
    assert all(" meta priority map @" in text for text in found[1:-2])
    assert found[-2:] == ["meta priority @hits_a", "meta priority vmap @verdicts_a"]
    assert built.chains["classify"].rules[-1] == "meta priority set 0x0 goto m_01"
    assert built.chains["classify_own"].rules[-1] == "meta priority set 0x0 goto m_00"


def test_no_packet_leaves_the_classification_with_a_label_in_its_priority():
    """The queueing discipline would read it."""
    by_device = Entry(rule("door", ("block", "drop"), src_iface="wanb"), MARKS.drop, blocks=True)
    built = build(policy(VIDEO, BLOCK, by_device, replace(VIDEO, rule=rule("told"), log=True), ingress=(("wanb", 2),)))
    for name in set(held(built, "verdicts_a").values()):
        assert built.chains[name].rules[-1].startswith("meta priority set 0x0 goto m_")
    for name in ("classify", "classify_own", "arriving"):
        rules = list(built.chains[name].rules)
        behind = rules[rules.index("meta priority vmap @verdicts_a") + 1]
        assert behind.startswith("meta priority set 0x0")


def test_labels_rise_in_rank_order_and_lead_to_the_class_of_their_rule():
    built = build(policy(VIDEO, BLOCK))
    assert built.labels["video"] < built.labels["stop"]
    assert held(built, "verdicts_a") == {built.labels["video"]: "v_02", built.labels["stop"]: "v_29"}
    assert built.chains["v_29"].rules == ("meta priority set 0x0 goto m_29",)
    other = build(policy(BLOCK, VIDEO))
    assert other.labels["stop"] < other.labels["video"]


def test_a_rule_that_does_not_stand_now_keeps_label_and_counter_and_leads_nowhere():
    built = build(policy(VIDEO, ranked=("waits", "video", "waits_too")))
    assert sorted(held(built, "hits_a").values()) == ["video", "waits", "waits_too"]
    assert held(built, "verdicts_a") == {built.labels["video"]: "v_02"}
    assert built.labels["waits"] < built.labels["video"] < built.labels["waits_too"]


def test_the_slot_names_the_sets_that_are_asked():
    built = Builder().build(policy(VIDEO), slot="b", room=1024)
    assert "meta priority vmap @verdicts_b" in built.chains["classify"].rules
    assert {one.name: one.size for one in built.sets if one.size} == {"hits_b": 1024, "verdicts_b": 1024}


@pytest.mark.parametrize(("count", "room"), [(0, 256), (170, 256), (172, 512), (10_000, 16_384), (11_000, 32_768)])
def test_sets_have_room_for_half_as_many_again(count, room):
    assert room_for(count) == room


def test_what_did_not_change_is_not_made_again():
    builder = Builder()
    mail = Entry(rule("mail", src_addr="192.168.3.0/24"), 1)
    first = builder.build(policy(VIDEO, mail))
    second = builder.build(policy(VIDEO, replace(mail, number=2)), first.labels)
    assert {one.name for one in first.sets} == {one.name for one in second.sets}
    assert [one for one in second.sets if one.interval] == [one for one in first.sets if one.interval]
    moved = replace(mail, rule=rule("mail", src_addr="192.168.4.0/24"))
    third = builder.build(policy(VIDEO, moved), first.labels)
    assert len([one for one in third.sets if one.interval and one in first.sets]) == 1


MATCHES = ({"dest_port": "443"}, {"src_iface": "office"}, {"dest_addr": "10.0.0.0/8", "dest_port": "80"}, {})


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.sampled_from((1, 2, 30)), st.booleans()), max_size=3)))
def test_whatever_was_built_before_the_table_is_the_one_that_is_built_for_once(rows):
    builder = Builder()
    for row in rows:
        entries = [
            Entry(rule(f"r{place}", **MATCHES[match]), number, log, blocks=number == 30)
            for place, (match, number, log) in enumerate(row)
        ]
        wanted, built = build(policy(*entries)), builder.build(policy(*entries))
        assert texts(built) == texts(wanted) and built.order == wanted.order
        assert [one.text() for one in built.sets] == [one.text() for one in wanted.sets]


def test_a_policy_that_was_refused_is_refused_again(monkeypatch):
    def refuse(_):
        raise TooManyBoxes

    builder = Builder()
    built = builder.build(policy(VIDEO))
    other = policy(replace(VIDEO, rule=rule("video", dest_port="444")))
    with monkeypatch.context() as patched:
        patched.setattr("netpolicy.dataplane.groups.arrange", refuse)
        for _ in range(2):
            with pytest.raises(TooManyBoxes):
                builder.build(other)
    assert [one.text() for one in builder.build(other).sets] == [one.text() for one in build(other).sets]
    assert [one.text() for one in builder.build(policy(VIDEO)).sets] == [one.text() for one in built.sets]


def test_another_device_behind_an_interface_is_seen():
    inside = Entry(rule("inside", src_iface="office"), 2)
    builder = Builder()
    built = [builder.build(policy(inside, device_names=(("office", device),))) for device in ("br-lan", "eth7")]
    assert [f'iifname "{device}"' in texts(one) for one, device in zip(built, ("br-lan", "eth7"), strict=True)] == [
        True,
        True,
    ]


def test_a_block_by_device_goes_before_the_answers_of_that_device():
    by_device = Entry(rule("door", ("block", "drop"), src_iface="wanb"), MARKS.drop, blocks=True)
    built = build(policy(VIDEO, by_device, ingress=(("wanb", 2),)))
    rules = built.chains["classify"].rules
    came_by = 'iifname vmap { "wanb" : goto s_02 }'
    assert came_by not in rules
    assert rules.index('iifname { "wanb" } goto arriving') < rules.index("meta priority set 0xffffffff")
    arriving = built.chains["arriving"].rules
    label = f"{built.labels['door']:#x}"
    assert arriving == (
        "meta priority set 0xffffffff",
        f'meta priority > {label} iifname "wanb" meta priority set {label}',
        "meta priority @hits_a",
        "meta priority vmap @verdicts_a",
        "meta priority set 0x0",
        came_by,
    )


def test_logging_is_limited():
    built = build(policy(replace(VIDEO, log=True)))
    assert list(held(built, "verdicts_a").values()) == ["r_video"]
    rules = built.chains["r_video"].rules
    assert rules[0].startswith("limit rate ") and 'log prefix "r_video" group 78' in rules[0]
    assert WAN_B.number == 2 and rules[1].endswith("goto m_02")
