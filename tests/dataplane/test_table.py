"""The table as data: labels, sets, and what is not made again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane import table as table_module
from netpolicy.dataplane.arrange import TooManyBoxes
from netpolicy.dataplane.policy import Entry
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.table import Builder, build, room_for
from tests.router import policy, rule

from .tables import BLOCK, VIDEO, held, texts


def test_ports_that_are_too_many_for_a_key_count_as_elements_too_but_once_for_all_rules_that_share_them(monkeypatch):
    monkeypatch.setattr(table_module, "MOST_BOXES_OF_ALL", 1000)
    first, second = (" ".join(str(port) for port in range(start, 1200, 2)) for start in (0, 1))
    same = [Entry(rule(f"r{number}", dest_port=first, proto="tcp"), 2) for number in range(3)]
    assert build(policy(*same)).chains
    with pytest.raises(TooManyBoxes, match="more than 1000 elements of maps, at rule 'other'"):
        build(policy(*same, Entry(rule("other", dest_port=second, proto="tcp"), 2)))


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
