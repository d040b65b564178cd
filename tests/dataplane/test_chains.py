"""The chains as data: which there are, and what must never stand in one."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from netpolicy.dataplane.marks import Marks
from netpolicy.dataplane.policy import Entry, Policy, SourceTranslation
from netpolicy.dataplane.record import replace
from netpolicy.dataplane.table import build
from tests.router import WAN_A, WAN_B, policy, rule

from .tables import BLOCK, MARKS, VIDEO, held, lookups, texts


@given(st.integers(1, 0xFFFFFFFF).filter(lambda mask: bin(mask).count("1") >= 4))
def test_no_write_changes_a_bit_outside_the_mask(mask):
    marks = Marks(mask)
    built = build(Policy(marks=marks, lines=(WAN_A,), entries=(Entry(rule("x"), 1), Entry(rule("y"), marks.drop))))
    writes = re.findall(r"mark set (?:ct|meta) mark & (\S+) \| (\S+)", texts(built))
    assert len(writes) >= 5
    for keep, put in ((int(keep, 16), int(put, 16)) for keep, put in writes):
        assert put & ~mask == 0
        assert keep & ~mask & 0xFFFFFFFF == ~mask & 0xFFFFFFFF


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
    assert not [text for text in built.chains["classify"].rules if "@hits" in text or "@verdicts" in text]


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
    assert built.chains["to_router"].rules == ('iifname "wanb" goto s_02', "goto m_00")
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
    assert built.chains["classify"].rules[-1] == "goto m_01"
    assert built.chains["classify_own"].rules[-1] == "goto m_00"


def test_nothing_is_settled_by_maps_that_find_nothing_because_the_table_goes():
    """Not even where there is no rule to ask for: `restore` finds nothing then either."""
    asked = "meta priority set meta mark & 0x37000000 map @alive"
    leave = "meta priority != 0x0 meta priority set 0x0 accept"
    for wanted in (policy(VIDEO), policy(ingress=(("wanb", 2),))):
        built = build(wanted)
        for name in ("classify", "classify_own"):
            assert built.chains[name].rules[-3:] == (asked, leave, "goto m_00")
            assert "meta priority set 0xffffffff" in built.chains[name].rules
        assert not [text for text in built.chains["classify"].rules if text.endswith("drop")]
        (alive,) = (one for one in built.sets if one.name == "alive")
        assert alive.elements == ((((0, 0),), 0, ""),)
    wait = "meta priority != 0x0 ct mark & 0x40000000 == 0 ct state new drop"
    for wanted in (policy(VIDEO, default_forwarded=1), policy(VIDEO, default_own=MARKS.reject)):
        by_main, by_line = ("classify_own", "classify") if wanted.default_forwarded else ("classify", "classify_own")
        built = build(wanted)
        assert built.chains[by_line].rules[-4:-1] == (asked, wait, leave) and wait not in built.chains[by_main].rules


def test_an_answer_settles_nothing_for_its_connection():
    first = build(policy(VIDEO)).chains["classify"].rules[0]
    assert first == "ct direction reply ct mark & 0x40000000 != 0 accept"


def test_no_packet_leaves_the_classification_with_a_label_in_its_priority():
    """The queueing discipline would read it."""
    by_device = Entry(rule("door", ("block", "drop"), src_iface="wanb"), MARKS.drop, blocks=True)
    built = build(policy(VIDEO, BLOCK, by_device, replace(VIDEO, rule=rule("told"), log=True), ingress=(("wanb", 2),)))
    for name in set(held(built, "verdicts_a").values()):
        assert built.chains[name].rules[-1].startswith("meta priority set 0x0 goto m_")
    arriving = list(built.chains["arriving"].rules)
    assert arriving[arriving.index("meta priority vmap @verdicts_a") + 1].startswith("meta priority set 0x0")
    for name in ("classify", "classify_own"):
        assert built.chains[name].rules[-2:] == ("meta priority != 0x0 meta priority set 0x0 accept", "goto m_00")


def test_a_block_by_device_goes_before_the_answers_of_that_device():
    by_device = Entry(rule("door", ("block", "drop"), src_iface="wanb"), MARKS.drop, blocks=True)
    built = build(policy(VIDEO, by_device, ingress=(("wanb", 2),)))
    rules = built.chains["classify"].rules
    came_by = 'iifname "wanb" goto s_02'
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
